"""Urban green, income and happiness of countries: does the paper's split show in a public stand-in?

python experiments/green_happiness.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Green: Landsat NDVI of 1,038 cities (Lancet Countdown, Stowell 2023), population-weighted within a city, peak
of the year 2020; a country is the plain mean of its cities, whose inhabitants are not in the file.
Happiness, log GDP a head (purchasing power) and social support: World Happiness Report, mean of the surveys
of 2018-2020. Samples: "as written", countries spelled alike in both files, the 133 of the reference;
"joined" by country_names.csv, which takes two cities out of the wrong Congo, too; and parts of the latter.
cpu: two minutes on one core; full: ten times the draws. Two pictures are written to --out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from rows import Rows, write_results

from jido.indicators.figures import bubble_map, scatter_study
from jido.indicators.green_study import CountryTable, country_means, green_study
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
DRAWS = {"smoke": 100, "cpu": 2000, "full": 20_000}
GREEN, YEARS = "peak_weight_2020", (2018, 2020)
SCORES = ["ladder_score", "log_gdp_per_capita", "social_support"]
SCAN = [(GREEN, span) for span in (YEARS, (2018, 2021), (2019, 2021), (2020, 2020))]
SCAN += [(f"peak_weight_{year}", YEARS) for year in (2010, 2015, 2021)]
SCAN += [(f"{name}_2020", YEARS) for name in ("annual_weight_avg", "peak_NDVI", "annual_avg")]
"""NDVI and years of the report; the first is the protocol, the others tell how much hangs on it."""

ODD, GULF = ("Venezuela",), ("Bahrain", "Kuwait", "Saudi Arabia", "United Arab Emirates")
"""The report has 288 US$ a head for Venezuela; the Gulf has the least green of the rich."""

LABELS = {"colour_name": "urban NDVI, peak of 2020", "size_name": "happiness (0 to 10), 2018-2020"}
SHOWN = ("Finland", "South Korea", "Bahrain", "Singapore", "Costa Rica", "India", "Venezuela")


def load(data: Path, *, mend: bool, green: str = GREEN, years: tuple[int, int] = YEARS) -> pd.DataFrame:
    """A row per country of the cities' file, or of the report in those years, by name."""
    cities, report = (pd.read_csv(data / f"{name}.csv") for name in ("lancet_greenspace", "whr_all"))
    names = pd.read_csv(HERE / "country_names.csv")
    for one in names.itertuples() if mend else ():
        cities.loc[cities[one.column] == one.written, "Country"] = one.report
    means = country_means(cities[green].to_numpy(), cities["Country"].to_numpy(dtype=str))
    by = report[report["year"].between(*years)].groupby("country_name")
    found = by[[*SCORES, "longitude", "latitude"]].mean().join(by["region_whr"].first())
    table = found.join(pd.DataFrame({"green": means.value}, index=means.names), how="outer")
    table.update(names.set_index("report")[["longitude", "latitude"]].dropna())
    return table


def countries(frame: pd.DataFrame, *, without: tuple[str, ...] = (), groups: bool = False) -> CountryTable:
    """Countries in both files, as the study takes them."""
    both = frame.dropna(subset=["green", "ladder_score"]).drop(index=list(without))
    happiness, log_gdp, support, green = both[[*SCORES, "green"]].to_numpy(dtype=float).T
    names, region = (np.array(part, dtype=str) for part in (both.index, both["region_whr"]))
    return CountryTable(names, happiness, green, np.exp(log_gdp), support, groups=(names, region)[groups])


def samples(written: pd.DataFrame, joined: pd.DataFrame) -> dict[str, tuple[CountryTable, int]]:
    """Name -> countries, and how many of them are the rich."""
    whole = countries(joined)
    return {
        "as written": (countries(written), 30),
        "joined": (whole, 30),
        "joined, richer half": (whole, int(whole.complete.sum()) // 2),
        "joined, the 60 richest": (whole.select(whole.richest(60)), 30),
        "joined, without Venezuela": (countries(joined, without=ODD), 30),
        "joined, without Venezuela and four Gulf states": (countries(joined, without=ODD + GULF), 30),
        "joined, parts of the world redrawn": (countries(joined, groups=True), 30),
    }


def choice(data: Path, green: str, years: tuple[int, int]) -> dict[str, Any]:
    """Correlations with happiness for a column and years, names as written."""
    both = load(data, mend=False, green=green, years=years).dropna(subset=["green", "ladder_score"])
    found = both[["green", *SCORES[1:]]].corrwith(both["ladder_score"]).round(3)
    return {"NDVI": green, "report": f"{years[0]}-{years[1]}", "countries": len(both), **found.to_dict()}


def split_line(row: dict[str, Any]) -> dict[str, Any]:
    """Slopes of each half in standard deviations, differences in points a unit of logarithm."""
    line = {"sample": row["sample"], "rich": row["richest"], "others": row["countries"] - row["richest"]}
    for side in ("rich", "others"):
        for one in row[side]["model"]["coefficients"]:
            line[f"{side}: beta of {one['name']}"] = text(one["standardised"], digits=2)
    return line | {f"slope of {key}, gap": text(one, digits=2) for key, one in row["difference"].items()}


def rest_line(row: dict[str, Any]) -> dict[str, Any]:
    """Correlations, split point, mediation and moderation."""
    r = {f"r, {name}": one["pearson"] for name, one in row["correlations"].items()}
    ways = {"a b": row["mediation"]["indirect"], "a b given log gdp": row["mediation_given_gdp"]["indirect"]}
    r |= ways | {"log green x log gdp": row["moderation"]["interaction"]}
    split = {"split, US$": text(row["threshold_gdp"], digits=0), "p": f"{row['threshold']['p']:.4f}"}
    return {"sample": row["sample"]} | {name: text(one) for name, one in r.items()} | split


def markdown(lines: list[dict[str, Any]]) -> str:
    """A table of rows with the same columns."""
    rows = [list(lines[0]), ["---"] * len(lines[0]), *(line.values() for line in lines)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def main() -> None:
    """Run the samples, draw the pictures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=tuple(DRAWS), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="of the draws; the tables show the first")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/green_happiness")
    parser.add_argument("--out", type=Path, default=Path("runs/green_happiness"))
    parser.add_argument("--outlines", type=Path, help="file of countries to draw beneath the bubbles")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out, draws = args.out / args.preset, DRAWS[args.preset]
    written, joined = (load(args.data, mend=mend) for mend in (False, True))
    kept, asked, rows = Rows(out / "rows.jsonl"), samples(written, joined), []
    for seed in map(int, args.seeds.split(",")):
        for name, (table, rich) in asked.items():
            facts = {"sample": name, "richest": rich, "draws": draws, "seed": seed}
            if (found := kept.get(facts)) is None:
                found = kept.add(facts, green_study(table, richest=rich, draws=draws, seed=seed).to_dict())
            rows.append(found)
    land = None if args.outlines is None else geopandas.read_file(args.outlines).to_crs(4326).geometry
    places = joined[["longitude", "latitude", "green", "ladder_score"]].to_numpy().T
    bubble_map(*places, out / "map.png", outlines=land, **LABELS)
    scatter_study(countries(joined), out / "lines.png", green_name=LABELS["colour_name"], label=SHOWN)
    lost = {"report": "ladder_score", "file of cities": "green"}
    words = [f"Not in the {one}: {', '.join(joined.index[joined[key].isna()])}." for one, key in lost.items()]
    ends = [[one[end] for one in row["difference"].values() for end in ("lower", "upper")] for row in rows]
    moved = np.ptp(np.array(ends, dtype=float).reshape(-1, len(asked), 4)[:, :-1], axis=0).max()
    words += [f"Seeds {args.seeds} move the ends of the differences by {moved:.2f} at most."]
    words += [f"`python experiments/green_happiness.py --preset {args.preset} --seeds {args.seeds}`"]
    choices, first = [choice(args.data, *one) for one in SCAN], rows[: len(asked)]
    tables = [choices, [split_line(row) for row in first], [rest_line(row) for row in first]]
    printed = "\n\n".join([*map(markdown, tables), *words])
    print(json.dumps({"choices": choices, "rows": rows}) if args.json else printed)
    if args.preset != "smoke":
        write_results("green_happiness", printed)


if __name__ == "__main__":
    main()
