"""Heat by Local Climate Zone in Hong Kong: four dates, polygons beside a map.

python experiments/heat_hongkong.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--data DIR] [--json]

Brightness temperature of Landsat-8 B10, each class minus LCZ A and D, with intervals over polygons and, for
maps, over blocks. Arms: polygons without clouds (B2 above 20,000, and the pixels beside); with them; maps of
Jido's forest, from 70 % of the polygons, a draw a seed, without the thermal bands; and with them: such a map
has seen what it is to be judged by. cpu: 3 draws, about 5 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, write_results

import jido
from jido.geo import Band, Raster, Window
from jido.indicators.heat import Image, class_heat, thermal
from jido.indicators.heat_figures import draw_classes, heat_rows
from jido.labels import few_labels
from jido.methods.cells import Samples, cell_features
from jido.methods.forest import ForestConfig, fit_forest, probabilities

HERE = Path(__file__).resolve().parent
PRESETS = {"smoke": (1, 10), "cpu": (3, 300), "full": (10, 1000)}  # draws, trees
ARMS = ("polygons", "polygons, clouds kept", "map", "map that saw the heat")
CLOUD = 20_000
CLAIMED, LOW, HIGH = ("3", "8", "10"), 4.8, 7.5


def class_map(files: list[Path], labels: jido.Labels, arm: str, config: ForestConfig) -> tuple[Raster, float]:
    """A map from a draw of 70 % of the polygons, and its accuracy on the pixels of the others."""
    with jido.Scene(files) as scene:
        image = scene.read()
    kept = [
        i for i, band in enumerate(image.bands) if arm != "map" or not band.common_name.startswith("lwir")
    ]
    planes = cell_features(image.data[kept], [image.bands[i] for i in kept], config, 1)
    burned = labels.burn(image.geobox).item
    at = np.nonzero((burned >= 0) & image.valid)
    item, truth = burned[at], labels.scheme.index(labels.codes[burned[at]])
    samples = Samples(planes[:, *at].T, y=truth, item=item, group=labels.groups[item], xy=np.stack(at, 1))
    train = few_labels(samples.group, samples.y, fraction=0.7, seed=config.seed)
    forest = fit_forest(samples, np.flatnonzero(train), config)
    place = np.full(tuple(image.geobox.shape), -1)
    place[image.valid] = probabilities(forest, planes[:, image.valid].T, 17).argmax(1)
    codes = np.array([*labels.scheme.codes, 0], dtype=np.float32)  # the last one where there is no data
    return Raster(codes[place][None], (Band("lcz"),), image.geobox), float(
        (place[at] == truth)[~train].mean()
    )


def measure(files: list[Path], arm: str, *, trees: int, seed: int) -> dict[str, Any]:
    """All rows of an arm against A and against D."""
    start = time.perf_counter()
    labels = jido.read_labels(files[0].parent / "hong_kong_lcz.gpkg")
    zones: jido.Labels | Image = labels
    facts: dict[str, Any] = {}
    if arm.startswith("map"):
        zones, facts["oa"] = class_map(files, labels, arm, ForestConfig(trees=trees, seed=seed))
    with ExitStack() as stack:
        images = {}
        for path in files:
            scene = stack.enter_context(jido.Scene([path]))

            def clear(window: Window, scene: jido.Scene = scene) -> np.ndarray:
                return ~(scene.pixels(window, ["B2"])[0] > CLOUD)

            images[path.stem.split("_")[1]] = thermal(scene, clear=None if "kept" in arm else clear)
        heat = class_heat(images, zones)
    facts |= {"groups_are": heat.unit, "seconds": round(time.perf_counter() - start, 1)}
    return facts | {ref: heat_rows(heat, reference=ref) for ref in "AD"}


def shown(row: dict[str, Any] | None) -> str:
    """``5.1 (4.6 to 5.6)``, and the number of groups and pixels."""
    if row is None or row["difference"]["value"] is None:
        return "-"
    value, lower, upper = row["difference"].values()
    bounds = "" if lower is None else f" ({lower:.1f} to {upper:.1f})"
    return f"{value:.1f}{bounds}; {row['groups']}, {row['pixels']}"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: the claim by date, then all classes; of maps the first draw, and how far all go apart."""
    keys = ((row, ref, one) for row in rows for ref in "AD" for one in row[ref])
    found = {(row["arm"], row["seed"], ref, one["date"], one["class"]): one for row, ref, one in keys}
    seeds = [row["seed"] for row in rows if row["arm"] == "map"]
    dates, classes = (list(dict.fromkeys(one[name] for one in rows[0]["A"])) for name in ("date", "class"))
    head = [*ARMS[:3], f"map, {len(seeds)} draws", ARMS[3]]
    lines = []
    for ref, chosen, when in [("A", CLAIMED, dates[:-1]), *((ref, classes, dates[-1:]) for ref in "AD")]:
        lines += ["", f"| date | minus {ref} | {' | '.join(head)} |", "|---" * 7 + "|"]
        for date, label in ((date, label) for date in when for label in chosen if label != ref):
            drawn = [found.get(("map", seed, ref, date, label)) for seed in seeds]
            values = [one["difference"]["value"] for one in drawn if one]
            first = [found.get((arm, seeds[0] if "map" in arm else 0, ref, date, label)) for arm in ARMS]
            cells = [shown(one) for one in first]
            cells.insert(3, f"{min(values):.1f} to {max(values):.1f}" if values else "-")
            lines.append(f"| {date} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines[1:])


def words(rows: list[dict[str, Any]]) -> str:
    """How often the claim holds, and how good the maps are."""
    parts = []
    for row in rows:
        claimed = [one for one in row["A"] if one["class"] in CLAIMED and one["date"] != "all dates"]
        inside = sum(LOW <= one["difference"]["value"] <= HIGH for one in claimed)
        oa = f", OA on held-out polygons {row['oa']:.2f}" if "oa" in row else ""
        parts.append(f"{row['arm']} {row['seed']}: {inside} of {len(claimed)} ({row['groups_are']}{oa})")
    return f"LCZ 3, 8, 10 minus A within {LOW} to {HIGH} K on a date:\n\n- " + "\n- ".join(parts)


def main() -> None:
    """Run the arms, draw the figure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", help="comma-separated draws of the map; those of the preset without it")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/lcz_hongkong")
    parser.add_argument("--out", type=Path, default=Path("runs/heat_hongkong"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    draws, trees = PRESETS[args.preset]
    seeds = [int(s) for s in args.seeds.split(",")] if args.seeds else list(range(draws))
    files, done, rows = sorted(args.data.glob("landsat8_*.tif")), Rows(args.out / "rows.jsonl"), []
    for arm in ARMS:
        for seed in seeds if arm.startswith("map") else [0]:
            settings = {"arm": arm, "seed": seed, "trees": trees if arm.startswith("map") else 0}
            rows.append(done.get(settings) or done.add(settings, measure(files, arm, trees=trees, seed=seed)))
    tables = {row["arm"]: row["A"] for row in reversed(rows) if row["arm"] in ("polygons", "map")}
    draw_classes({arm: tables[arm] for arm in ("polygons", "map")}, args.out / "heat.png", of="difference")
    text = f"{words(rows)}\n\n{table(rows)}"
    print(json.dumps({"rows": rows}) if args.json else text)
    if args.preset != "smoke" and not args.seeds:
        command = f"`python experiments/heat_hongkong.py --preset {args.preset}`"
        write_results("heat_hongkong", f"{text}\n\n{command}; seeds 0-{draws - 1}; {platform.machine()}.")


if __name__ == "__main__":
    main()
