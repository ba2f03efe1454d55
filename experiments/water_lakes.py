"""81 lakes, 2000-2020: trends, change against 2000-2004 (SDG 6.6.1), and what a forecast of a year is worth.

python experiments/water_lakes.py [--preset smoke|cpu|full] [--seeds 0] [--data DIR] [--last 2020] [--json]

Permanent and seasonal water and their sum (the names of the table's two areas are inferred). A method
forecasts a year from the years before it; the methods' constants were settled on forecasts of 2006-2012, and
those of 2013-2020 looked at once. Errors count in units of each lake's mean yearly step up to 2012: no large
lake decides more than a pond. `chosen` takes in every year the method that did best until then. All presets
take seconds and keep nothing; smoke takes every seventh lake. The seed is that of redrawing lakes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rows import write_results
from scipy.stats import false_discovery_control

from jido.indicators.water_figures import draw_lake
from jido.indicators.water_series import Observations, water_series
from jido.stats import Figure
from jido.stats.forecast import backtest, coverage, forecast, skill
from jido.stats.trend import change_since, trend
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
FIRST, TESTED = 4, 8  # column of the first year forecast; the last years, of which the skill is told
NAMES = ["x5_seasonal_km2", "x6_permanent_km2"]
SHOWN = {"water": "water", "method": "method", "series": "lakes", "mae": "skill, MAE", "rmse": "skill, RMSE",
         "each": "skill, each lake alike", "mae_by_series": "MAE, lakes redrawn",
         "mae_by_country": "MAE, by country", "0.8": "in 80 %", "0.95": "in 95 %"}  # fmt: skip


def load(data: Path, last: int, preset: str) -> tuple[np.ndarray, pd.Series, dict[str, np.ndarray]]:
    """Years (T,), country of each lake, and areas in km² (lakes, T) by kind."""
    table = pd.read_csv(data / "lakes_yearly_area.csv").query("year <= @last")
    wide = table.pivot_table(index="hylak_id", columns="year", values=NAMES)
    some = slice(None, None, 7 if preset == "smoke" else None)
    seasonal, permanent = (wide[name].to_numpy()[some] for name in NAMES)
    kinds = {"all water": permanent + seasonal, "permanent": permanent, "seasonal": seasonal}
    return np.unique(table.year), table.groupby("hylak_id").country.first().iloc[some], kinds


def trends(years: np.ndarray, area: np.ndarray, lakes: pd.Index, file: Path) -> dict[str, Any]:
    """Lakes that shrink / grow at 5 %: each by itself, and with their false discoveries held at 5 %."""
    counts: dict[str, Any] = {"lakes": len(area)}
    for correction in ("none", "lag1"):
        found = pd.DataFrame([asdict(trend(years, one, correction=correction)) for one in area], index=lakes)
        tests = {"alone": found.p} | {m: false_discovery_control(found.p, method=m) for m in ("bh", "by")}
        for kind, p in tests.items():
            sides = [int(((p < 0.05) & (sign * found.s > 0)).sum()) for sign in (-1, 1)]
            counts[f"{correction}, {kind}"] = f"{sides[0]} / {sides[1]}"
        found.to_csv(file.with_name(f"{file.stem}_{correction}.csv"))
    return counts | {"median slope, % a year": f"{np.median(100 * found.slope / area.mean(axis=1)):.3f}"}


def changes(years: np.ndarray, area: np.ndarray) -> dict[str, Any]:
    """Per cent of the last five years against 2000-2004: of sums of lakes, and of each."""
    period = (int(years[-1]) - 4, int(years[-1]))
    rest = np.delete(area, area.mean(axis=1).argmax(), axis=0)
    found: dict[str, Any] = {}
    for name, some in {"all lakes": area, "without the largest": rest}.items():
        one = change_since(years, some.sum(axis=0), period=period)
        found[name] = text({"value": one.value, "lower": one.lower, "upper": one.upper}, digits=1)
    each = [change_since(years, one, period=period) for one in area]
    found["lakes with less / more"] = f"{sum(c.upper < 0 for c in each)} / {sum(c.lower > 0 for c in each)}"
    return found | {"no interval": sum(bool(np.isnan(c.lower)) for c in each)}


def backtests(area: np.ndarray, countries: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Skill and coverage of each method over the last years."""
    made = backtest(area, first=FIRST, lowest=0.0)
    first, rows = area.shape[1] - TESTED, []
    for method in made.forecasts:
        row = {"method": method, **asdict(skill(made, method, first=first, seed=seed))}
        row["mae_by_country"] = skill(made, method, first=first, groups=countries, seed=seed).mae
        row |= {str(level): coverage(made, method, level=level, first=first) for level in (0.8, 0.95)}
        rows.append(row)
    return [*rows[:-1], rows[-1] | {"method": "chosen: " + ", ".join(dict.fromkeys(made.choices[first:]))}]


def pictures(years: np.ndarray, area: np.ndarray, countries: pd.Series, folder: Path) -> None:
    """The year to come of all lakes as a table; the largest and the middle one as pictures."""
    ahead, n = forecast(area, lowest=0.0), len(years)
    table = pd.DataFrame({"forecast": ahead.value}, index=countries.index)
    table["lower_95"], table["upper_95"] = ahead.lower[0.95], ahead.upper[0.95]
    table.to_csv(folder / f"forecast_{years[-1] + 1}.csv")
    order = np.argsort(area.mean(axis=1))
    for row in map(int, (order[-1], order[len(order) // 2])):
        name, days = f"Lake {countries.index[row]}, {countries.iloc[row]}", [f"{y}-07-01" for y in years]
        unknown, whole = np.full(n, np.nan), np.ones(n)
        seen = Observations(np.array(days), np.full(n, name), area[row], unknown, whole, 0 * whole)
        series = water_series(seen, name)
        line = trend(series.years, series.value, correction="lag1")
        draw_lake(seen, series, folder / f"{countries.index[row]}.png", line=line, ahead=ahead, row=row)


def markdown(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """A line a row; figures with their intervals."""
    lines = [list(columns.values()), ["---"] * len(columns)]
    for row in rows:
        cells = [row[name] for name in columns]
        lines.append([text(Figure(**cell)) if isinstance(cell, dict) else str(cell) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("smoke", "cpu", "full"), default="cpu")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/water")
    parser.add_argument("--last", type=int, default=2020, help="year after which nothing is looked at")
    parser.add_argument("--out", type=Path, default=Path("runs/water_lakes"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    years, countries, kinds = load(args.data, args.last, args.preset)
    folder = args.out / args.preset
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {"trends": [], "changes": [], "backtests": []}
    for name, area in kinds.items():
        wet = area.any(axis=1)
        water, file = {"water": name}, folder / f"trends_{name.replace(' ', '_')}"
        found["trends"].append(water | trends(years, area[wet], countries.index[wet], file))
        found["changes"].append(water | changes(years, area[wet]))
        for seed in map(int, args.seeds.split(",")):
            rows = backtests(area[wet], countries.to_numpy()[wet], seed)
            found["backtests"] += [water | row | {"seed": seed} for row in rows]
    pictures(years, kinds["all water"], countries, folder)
    parts = [markdown(found[name], {key: key for key in found[name][0]}) for name in ("trends", "changes")]
    parts.append(markdown(found["backtests"], SHOWN))
    print(json.dumps(found) if args.json else "\n\n".join(parts))
    if args.preset != "smoke" and args.last == 2020:
        command = f"`python experiments/water_lakes.py --preset {args.preset} --seeds {args.seeds}`"
        machine = f"{os.cpu_count()} cores, {platform.machine()}"
        write_results("water_lakes", "\n\n".join([*parts, f"{command}; {machine}."]))


if __name__ == "__main__":
    main()
