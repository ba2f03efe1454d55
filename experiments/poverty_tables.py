"""Poverty from images, the part without images: published predictions, histograms, night lights, intervals.

python experiments/poverty_tables.py [--preset smoke|cpu] [--seeds 0] [--data DIR] [--out DIR] [--json]

Published predictions of 15 countries (Yeh et al. 2020) are judged by our code. What we fit ourselves chooses
its penalty, or its number of neighbours, inside the training part; alpha 1000 is the reference's own. Night
light was seen by two sensors (DMSP before 2012, then VIIRS): `by sensor` compares like with like. An aim is
reached within .003, within .005 where it has two digits. Intervals redraw the groups. cpu: a minute on one
core, nothing is kept; smoke takes every fifth row. The seed is of inner and plain folds and of redrawing.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from rows import write_results
from sklearn.linear_model import Ridge

from jido.labels.folds import group_kfold
from jido.stats.conformal import group_conformal
from jido.stats.intervals import figure
from jido.stats.regression import Resampling
from jido.stats.ridge import Nested, nested_constant, nested_neighbours, nested_ridge
from jido.stats.survey import agreement, agreement_inside, mean_agreement, squared_pearson
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
FOLDS = {"inc": "in country", "ooc": "out of country"}
MODELS = {  # name, aim in and out of country
    "knn_nl_mean_scalar": ("k-NN on one night light", 0.686, 0.680),
    "ridge_ms_hist": ("ridge on MS histograms", 0.379, None),
    "ridge_nl_hist": ("ridge on NL histograms", None, None),
    "resnet18_ms": ("ResNet MS", 0.688, 0.628),
    "resnet18_nl": ("ResNet NL", 0.695, 0.685),
    "resnet18_ms_nl_concat": ("ResNet MS+NL", 0.717, 0.683),
}
KEPT = {"ResNet MS": (0.492, 0.529, 0.583, 0.611, 0.624), "ResNet NL": (0.588, 0.617, 0.654, 0.664, 0.661)}
LEVELS = (0.5, 0.8, 0.9)
FLOOR = "k-NN on one night light, out of country, published"


class Tables:
    """Rows of the tables, as they are found."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.claims: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []

    def claim(self, what: str, aim: Any, measured: Any, note: str = "", *, near: float = 0.003) -> None:
        """Published figures beside ours."""
        aims, ours = (np.atleast_1d(part).astype(float) for part in (aim, measured))
        reached = "yes" if (np.abs(ours - aims) <= near).all() else "no"
        line = {"aim": " ".join(f"{a:.3g}" for a in aims), "measured": " ".join(f"{a:.3f}" for a in ours)}
        self.claims.append({"figure": what, **line, "reached": reached, "note": note})

    def judge(
        self,
        what: str,
        y: np.ndarray,
        found: Nested | np.ndarray,
        groups: np.ndarray,
        *,
        country: np.ndarray | None = None,
        urban: np.ndarray | None = None,
    ) -> np.ndarray:
        """Figures of predictions: pooled, rural, urban, and mean of the countries' own; gives them back."""
        predicted = found.predicted if isinstance(found, Nested) else found
        redrawn = Resampling(groups=groups, seed=self.seed)
        pooled = agreement(y, predicted, resampling=redrawn)
        line: dict[str, Any] = {"run": what, "rows": pooled.n, "groups": pooled.groups}
        line |= {"r": pooled.pearson["value"], "r²": pooled.squared_pearson, "R²": pooled.r_squared}
        parts = {} if urban is None else agreement_inside(y, predicted, urban, resampling=redrawn)
        for name, part in (("rural", parts.get("False")), ("urban", parts.get("True"))):
            line |= {f"r² {name}": part and part.squared_pearson, f"R² {name}": part and part.r_squared}
        mean = (
            None if country is None else mean_agreement(y, predicted, resampling=Resampling(groups=country))
        )
        line["r², mean of countries"] = mean and mean.squared_pearson
        line["chosen"] = ""
        if isinstance(found, Nested) and len(found.tried) > 1:
            edge = ", an end of the range" if found.at_edge else ""
            line["chosen"] = f"{found.chosen.min():g} to {found.chosen.max():g}{edge}"
        self.runs.append(line)
        return predicted


def fifteen(data: pd.DataFrame, tables: Tables) -> dict[str, np.ndarray]:
    """Published predictions of 15 countries and our own floors; gives back those by sensor.

    Those under the name of a country come from models that saw neither it nor the country they are for.
    """
    names = ("label", "nl_mean", "urban", "country", "fold")
    y, light, urban, country, fold = (data[name].to_numpy() for name in names)
    sensor, found = (data["year"] >= 2012).to_numpy(), {}
    for key, labels in (("inc", fold), ("ooc", country)):
        for model, (name, *aims) in MODELS.items():
            predicted = data[f"{key}_{model}"].to_numpy()
            tables.judge(
                f"{name}, {FOLDS[key]}, published", y, predicted, country, country=country, urban=urban
            )
            if aim := dict(zip(FOLDS, aims, strict=True))[key]:
                tables.claim(f"{name}, {FOLDS[key]}, 15 countries", aim, squared_pearson(y, predicted))
        tables.judge(
            f"constant, {FOLDS[key]}, ours",
            y,
            nested_constant(y, labels),
            country,
            country=country,
            urban=urban,
        )
        for name, kinds in (("", None), (" by sensor", sensor)):
            made = nested_neighbours(light, y, labels, kinds=kinds, seed=tables.seed)
            what = f"k-NN on nl_mean{name}, {FOLDS[key]}, ours"
            found[key] = tables.judge(what, y, made, country, country=country, urban=urban)
        theirs = data[f"{key}_knn_nl_mean_scalar"].to_numpy()
        note = f"the column holds bytes; r² with the published k-NN {squared_pearson(theirs, found[key]):.2f}"
        aim = MODELS["knn_nl_mean_scalar"][1 if key == "inc" else 2]
        tables.claim(what, aim, squared_pearson(y, found[key]), note)
    both = data["inc_resnet18_ms_nl_concat"].to_numpy()
    for name, part, aim in (("rural", ~urban, 0.40), ("urban", urban, 0.52)):
        r2 = squared_pearson(y[part], both[part])
        tables.claim(f"ResNet MS+NL, in country, 15 countries, {name}", aim, r2, near=0.005)
    for one in np.unique(country):
        rest = country != one
        made = nested_neighbours(light[rest], y[rest], country[rest], kinds=sensor[rest], neighbours=[128])
        found[one] = np.full(len(y), np.nan)
        found[one][rest] = made.predicted
    return found


def damped(x: np.ndarray, y: np.ndarray, fold: np.ndarray, *, alpha: float, add: float) -> np.ndarray:
    """Ridge whose standard deviations are larger by a little, so that rare bins weigh less."""
    found = np.empty(len(y))
    for one in np.unique(fold):
        test = fold == one
        z = (x - x[~test].mean(axis=0)) / (x[~test].std(axis=0) + add)
        found[test] = Ridge(alpha=alpha).fit(z[~test], y[~test]).predict(z[test])
    return found


def histograms(folder: Path, step: int, tables: Tables) -> pd.DataFrame:
    """LSMS: ridge on eight bands; gives back the rows with held-out predictions from square roots."""
    labels = pd.read_csv(folder / "lsms_labels.csv")[::step]
    shares = np.load(folder / "lsms_image_hists.npz")["image_hists"][::step].reshape(len(labels), -1)
    shares = shares / (224 * 224)
    y, fold, country = (labels[name].to_numpy() for name in ("asset_index", "fold", "country"))
    light, sensor = labels["nls_mean"].to_numpy(), (labels["year"] >= 2012).to_numpy()
    place = labels.groupby(["lat", "lon"]).ngroup().to_numpy()
    plain = np.random.default_rng(tables.seed).permutation(len(y)) % 5
    fixed, leaks = (nested_ridge(shares, y, one, alphas=[1000]) for one in (fold, plain))
    tables.judge("LSMS: ridge on shares of pixels, given folds, alpha 1000", y, fixed, place, country=country)
    tables.judge("LSMS: the same, plain folds (leak)", y, leaks, place, country=country)
    for name, groups, drawn in (("given folds", fold, place), ("out of country", country, country)):
        made = nested_constant(y, groups)
        tables.judge(f"LSMS: constant, {name}", y, made, drawn, country=country)
        made = nested_neighbours(light, y, groups, kinds=sensor, seed=tables.seed)
        tables.judge(f"LSMS: k-NN on nls_mean by sensor, {name}", y, made, drawn, country=country)
        made = nested_ridge(shares, y, groups, seed=tables.seed)
        tables.judge(f"LSMS: ridge on shares of pixels, {name}", y, made, drawn, country=country)
        made = nested_ridge(np.sqrt(shares), y, groups, seed=tables.seed)
        roots = tables.judge(f"LSMS: ridge on their square roots, {name}", y, made, drawn, country=country)
        if name == "given folds":
            labels["held_out"] = roots
    what, by_fold = "LSMS histograms, ridge, given folds, alpha 1000", Resampling(groups=fold)
    tables.claim(
        what, 0.447, squared_pearson(y, fixed.predicted), "pooled; hangs on bins that few images fill"
    )
    mean = mean_agreement(y, fixed.predicted, resampling=by_fold).squared_pearson["value"]
    tables.claim(what, 0.447, mean, "mean of the five folds")
    more = damped(shares, y, fold, alpha=1000, add=1e-6)
    tables.claim(what, 0.447, squared_pearson(y, more), "1e-6 added to standard deviations of shares")
    r2 = squared_pearson(y, leaks.predicted)
    tables.claim("LSMS histograms, ridge, plain 5-fold, alpha 1000", 0.30, r2, near=0.005)
    return labels


def places(folder: Path, labels: pd.DataFrame, step: int, tables: Tables) -> None:
    """Rwanda's night light, Uganda's consumption where LSMS has an image of the place, human development."""
    rwanda = pd.read_csv(folder / "rwanda_dhs_nightlights.csv")
    r = rwanda["nl_mean"].corr(rwanda["wlthindf"])
    tables.claim("Rwanda, r of mean night light and wealth", 0.861, r)
    uganda = pd.read_csv(folder / "UgandaConsumption_cluster.csv").round({"lat": 3, "lon": 3})
    seen = labels.query("country == 'uganda' and year >= 2012").round({"lat": 3, "lon": 3})
    seen = seen.groupby(["lat", "lon"])[["nls_mean", "held_out"]].mean().reset_index()
    rows = uganda.merge(seen, on=["lat", "lon"])
    cost, urban = np.log(rows["pc_cons"].to_numpy()), rows["urban"].to_numpy() == 1
    blocks = rows.groupby([np.floor(2 * rows[name]) for name in ("lat", "lon")]).ngroup().to_numpy()
    fold = group_kfold(blocks, np.zeros(len(rows)), k=5, seed=tables.seed).fold
    options: dict[str, Any] = {"groups": blocks, "seed": tables.seed}
    for name, x in (("urban or not", urban[:, None]), ("LSMS ridge", rows[["held_out"]].to_numpy())):
        made = nested_ridge(x, cost, fold, alphas=[1], **options)
        tables.judge(f"Uganda: log consumption, {name}, blocks out", cost, made, blocks, urban=urban)
    made = nested_neighbours(rows["nls_mean"].to_numpy(), cost, fold, **options)
    tables.judge("Uganda: log consumption, k-NN on nls_mean, blocks out", cost, made, blocks, urban=urban)
    bins = pd.read_csv(folder / "hdi_region_nightlight_bins.csv.gz")
    regions = pd.read_csv(folder / "hdi_regions.csv.gz").merge(bins, on="GDLCODE")[::step]
    y, country = regions["Sub-national HDI"].to_numpy(), regions["ISO_Code"].to_numpy()
    shares = regions.filter(like="perc_pixels").to_numpy()
    tables.judge("HDI: constant, out of country", y, nested_constant(y, country), country, country=country)
    made = nested_neighbours(shares[:, 0], y, country, seed=tables.seed)
    tables.judge(
        "HDI: k-NN on the share of the darkest bin, out of country", y, made, country, country=country
    )
    for name, x in (("night-light bins", shares), ("their square roots", np.sqrt(shares))):
        made = nested_ridge(x, y, country, seed=tables.seed)
        tables.judge(f"HDI: ridge on {name}, out of country", y, made, country, country=country)


def covered(data: pd.DataFrame, own: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """What intervals hold in a country that is held out, by level and way to calibrate them."""
    y, urban, country = (data[name].to_numpy() for name in ("label", "urban", "country"))
    names, rows = np.unique(country), []
    inside, outside = (data[f"{key}_resnet18_ms_nl_concat"].to_numpy() for key in FOLDS)
    published = {"inc": inside, "ooc": outside} | dict.fromkeys(names, outside)
    ways = ("countries", "rows", "rows, in country")
    for (model, of), level, way in product(
        {"ResNet MS+NL, published": published, "k-NN by sensor, ours": own}.items(), LEVELS, ways
    ):
        widths, hits = [], np.zeros(len(y), dtype=bool)
        for one in names:
            rest = country != one
            error = (y - of["inc" if way.endswith("in country") else one])[rest]
            if way == "countries":
                widths.append(group_conformal(error, country[rest], level=level))
            else:
                widths.append(float(np.quantile(np.abs(error), level, method="higher")))
            hits[~rest] = np.abs(y - of["ooc"])[~rest] <= widths[-1]
        share = pd.Series(hits).groupby(country).mean()
        line = {"predictions": model, "level": level, "residuals pooled by": way}
        line |= {"half width": np.mean(widths), "inside": share.mean(), "least": share.min()}
        line |= {"most": share.max(), "countries below": f"{(share < level).sum()} of {len(share)}"}
        line |= {"inside, rural": hits[~urban].mean(), "inside, urban": hits[urban].mean()}
        rows.append(line | {"countries": share.round(4).to_dict()})
    return rows


def label_shares(folder: Path, data: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """r² against the share of labels, as published: means of seeds and of the 15 countries' own."""
    table = pd.read_csv(folder / "r2_keep.csv.gz").replace({"model": {"Resnet-18": "ResNet"}}, regex=True)
    pooled = table["country"] == "overall"
    overall, wide = (
        rows.pivot_table(index="model", columns="keep_frac", values="r2", aggfunc="mean")
        for rows in (table[pooled], table[~pooled])
    )
    for model, aims in KEPT.items():
        what = f"{model}, published, 5/10/25/50/100 % of the labels"
        tables.claim(what, aims, overall.loc[model], "read, not judged anew")
    y, countries = data["label"].to_numpy(), Resampling(groups=data["country"].to_numpy())
    for model, column in (("ResNet NL", "resnet18_nl"), ("ResNet MS+NL concat", "resnet18_ms_nl_concat")):
        ours = mean_agreement(y, data[f"ooc_{column}"].to_numpy(), resampling=countries)
        what, note = f"{model}, out of country, mean of 15 countries", "aim: the table of label shares, 100 %"
        tables.claim(what, wide.loc[model, 1.0], ours.squared_pearson["value"], note)
    return wide


def picture(wide: pd.DataFrame, floor: float, rows: list[dict[str, Any]], path: Path) -> None:
    """Label shares beside the night-light floor; what intervals of level .8 hold in each country."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), constrained_layout=True)
    shares = [f"{share:.0%}" for share in wide.columns]
    for model in ("ResNet MS", "ResNet NL", "ResNet MS+NL concat", "ResNet RGB"):
        left.plot(shares, wide.loc[model], marker="o", label=model)
    left.axhline(floor, color="0.4", ls="--", label="k-NN on one night light, all labels")
    left.set(xlabel="share of the training labels", ylabel="r², out of country, mean of 15 countries")
    left.legend(frameon=False)
    chosen = [row for row in rows if row["level"] == 0.8 and row["predictions"].startswith("ResNet")]
    for row, marker in zip(chosen, "o+x", strict=True):
        held = pd.Series(row["countries"])
        right.plot(held, range(len(held)), marker, label=f"{row['residuals pooled by']}, {row['inside']:.3f}")
    right.axvline(0.8, color="0.4", ls="--")
    right.set(yticks=range(len(held)), xlabel="share of clusters inside: ResNet MS+NL, level 0.8")
    right.set_yticklabels([name.replace("_", " ") for name in held.index])
    right.legend(title="residuals pooled by, mean", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    drawn.savefig(path, dpi=110)
    plt.close(drawn)


def cell(value: Any) -> str:
    """A figure with its interval, a number with three digits, or the word itself."""
    if isinstance(value, dict):
        return text(figure(**{name: np.nan if end is None else end for name, end in value.items()}))
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def markdown(lines: list[dict[str, Any]]) -> str:
    """A table of rows with the same columns."""
    names = [name for name in lines[0] if name != "countries"]
    rows = [names, ["---"] * len(names), *([cell(line[name]) for name in names] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Run everything, draw the picture, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=("smoke", "cpu"), default="cpu")
    parser.add_argument("--seeds", default="0", help="one number")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/poverty_tables")
    parser.add_argument("--out", type=Path, default=Path("runs/poverty_tables"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    step, tables, folder = 5 if args.preset == "smoke" else 1, Tables(int(args.seeds)), args.out / args.preset
    folder.mkdir(parents=True, exist_ok=True)
    data = pd.read_csv(args.data / "dhs_model_predictions_15.csv.gz")[::step]
    intervals = covered(data, fifteen(data, tables))
    places(args.data, histograms(args.data, step, tables), step, tables)
    wide = label_shares(args.data, data, tables)
    jean = {"figure": "Jean et al. 2016, r² of assets, 5 countries", "aim": "0.55 to 0.75"}
    jean |= {"measured": "–", "reached": "no", "note": "not confirmed: images not at hand"}
    floor = next(run["r², mean of countries"] for run in tables.runs if run["run"] == FLOOR)["value"]
    picture(wide, floor, intervals, folder / "poverty_tables.png")
    found = {"claims": [*tables.claims, jean], "runs": tables.runs, "intervals": intervals}
    (folder / "tables.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    printed = "\n\n".join(markdown(lines) for lines in found.values())
    printed += f"\n\n`python experiments/poverty_tables.py --preset {args.preset} --seeds {args.seeds}`"
    print(json.dumps(found) if args.json else printed)
    if args.preset != "smoke":
        write_results("poverty-tables", printed)


if __name__ == "__main__":
    main()
