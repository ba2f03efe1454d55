"""Floods from before and after: OMBRIA's pairs, simulated events, and two scenes of damaged buildings.

python experiments/flood.py [--preset smoke|cpu|full] [--seeds 0,1,2] [--parts ombria,blocks,events,damage]
    [--data DIR] [--json]

ombria: 72 pairs to learn from, 40 to judge once; threshold .5 for all. blocks: the 72 in four blocks of
neighbouring numbers, each judged by the others: events are not named there. events: simulated floods, an
event left out against a split in which every event is on both sides, the same number of pixels to learn
from. damage: two scenes of xBD, each by the other, and halves of the flooded one. Settings were chosen on two
random folds of the 72 pairs. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, write_results

from jido.data.cutting import cut_tiles
from jido.data.floods import FLOODS, simulate_flood
from jido.data.tiles import Tiles, packed
from jido.geo import unique_names
from jido.labels import Folds, binary_scheme
from jido.methods.change import HeldOut, cell_f1, fit_change, held_out, judge_change
from jido.methods.change_config import ChangeConfig, load_change_config
from jido.stats.binary import binary_figures, binary_summary, counts_at
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
SCHEME = binary_scheme("flooded")
PIXELS: dict[str, Any] = {"radii": (), "method": "boosting"}
NET: dict[str, Any] = {"method": "net", "views": True}
ARMS: dict[str, dict[str, Any]] = {
    "pixels, after": {**PIXELS, "dates": "after"},
    "pixels, both": PIXELS,
    "boosting, after": {"dates": "after"},
    "boosting, both": {},
    "net, after": {**NET, "dates": "after"},
    "net, both": NET,
    "net for cells, both": {"method": "cells", "views": True},
}
BLOCKED = ("pixels, both", "boosting, after", "boosting, both")
QUICK: dict[str, Any] = {"trees": 60, "pixels": 100_000}
EVENTS: dict[str, dict[str, Any]] = {
    "MNDWI, threshold": {"method": "index", **QUICK},
    "pixels, after": {**PIXELS, "dates": "after", **QUICK},
    "pixels, both": {**PIXELS, **QUICK},
    "boosting, both": QUICK,
    "boosting, both, a date's bands set to one mean and spread": {"levelled": True, **QUICK},
    "boosting, both, with radar": {"radar": True, **QUICK},
}
HEADS = {
    "ombria": "OMBRIA: 72 pairs to learn from, 40 to judge",
    "blocks": "OMBRIA, events unknown: four blocks of neighbouring numbers among the 72",
    "events": "Simulated floods, eight events",
    "damage": "xBD, two scenes: major damage and destroyed",
}
OTHER = "the scene without damage, by the flooded one"
ENDS = ("pre_original.webp", "post_original.webp", "mask.png")
FIGURES = ("IoU", "mean IoU", "F1", "cell F1")
PER_TILE = 128


def ombria(data: Path, part: str, work: Path, limit: int | None = None) -> Tiles:
    """Pairs with masks, each an event of its own."""
    folder = data / "flood_ombria" / part
    tiles = cut_tiles(
        [folder / "BEFORE"], after=[folder / "AFTER"], masks=[folder / "MASK"], work=work / part, side=256
    )
    return tiles if limit is None else tiles.subset(np.arange(limit))


def figures(held: HeldOut, config: ChangeConfig, *, cells: bool) -> dict[str, Any]:
    """IoU of the flood, mean over flood and rest, F1 and F1 of cells of 16 x 16 pixels; pooled pixels."""
    counts = counts_at(held.histograms(config.least), 0.5)
    _, fp, fn, tn = counts.sum(0)
    said, true, _, _ = held.cells(0.5)
    of = np.broadcast_to(held.event[:, None, None], said.shape)
    found: dict[str, Any] = {"cell F1": cell_f1(said, true, of, least=config.least, level=None)["value"]}
    if cells:
        return found
    iou = float(binary_summary(counts.sum(0))["iou"])
    found |= {"IoU": iou, "mean IoU": float((iou + tn / (tn + fp + fn)) / 2), "F1": 2 * iou / (1 + iou)}
    return found | {"interval": binary_figures(counts)["iou"]}


class Bench:
    """What all rows share."""

    def __init__(self, data: Path, rows: Rows, preset: str, seeds: list[int], work: Path) -> None:
        self.data, self.rows, self.preset, self.seeds, self.work = data, rows, preset, seeds, work
        self.smoke = preset == "smoke"

    def config(self, seed: int, given: dict[str, Any]) -> ChangeConfig:
        """Settings of an arm; the full preset makes nets larger and leaves the ways as they are."""
        return load_change_config(preset=self.preset, **{"method": "boosting", **given, "seed": seed})

    def row(self, facts: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A finished row, or a new one with the seconds of CPU that it took."""
        found = self.rows.get(facts)
        if found is None:
            begun = time.process_time()
            made = make()
            found = self.rows.add(facts, made | {"cpu_s": round(time.process_time() - begun, 1)})
        return found

    def ombria(self) -> list[dict[str, Any]]:
        """Trained on the training pairs, judged on the test pairs."""
        limit = 4 if self.smoke else None
        train, test = (ombria(self.data, part, self.work, limit) for part in ("train", "test"))

        def make(config: ChangeConfig) -> dict[str, Any]:
            model = fit_change(train, np.arange(len(train)), config, scheme=SCHEME)
            held = judge_change(model, test, np.arange(len(test)), config)
            return figures(held, config, cells=config.method == "cells")

        found = []
        for arm, given in ARMS.items():
            for seed in self.seeds:
                facts = {"part": "ombria", "arm": arm, "seed": seed, "preset": self.preset}
                found.append(self.row(facts, partial(make, self.config(seed, given))))
        return found

    def blocks(self) -> list[dict[str, Any]]:
        """The training pairs in four blocks of neighbouring numbers."""
        tiles = ombria(self.data, "train", self.work, 8 if self.smoke else None)
        fold = np.arange(len(tiles)) * 4 // len(tiles)

        def make(config: ChangeConfig) -> dict[str, Any]:
            return figures(_by_fold(tiles, fold, config), config, cells=False)

        return [
            self.row(
                {"part": "blocks", "arm": arm, "seed": seed, "preset": self.preset},
                partial(make, self.config(seed, ARMS[arm])),
            )
            for arm in BLOCKED
            for seed in self.seeds
        ]

    def events(self) -> list[dict[str, Any]]:
        """Simulated floods: an event left out, and every event on both sides."""
        stock: dict[bool, Tiles] = {}
        names = dict(list(FLOODS.items())[: 3 if self.smoke else None])

        def make(split: str, config: ChangeConfig, *, levelled: bool, radar: bool) -> dict[str, Any]:
            if radar not in stock:
                stock[radar] = simulated(names, cells=32, radar=radar)
            tiles = _levelled(stock[radar]) if levelled else stock[radar]
            number = np.unique(tiles.group, return_inverse=True)[1]
            fold = number if split == "event out" else _checks(tiles, len(names), config.seed)
            held = _by_fold(tiles, fold, config)
            found = figures(held, config, cells=False)
            counts = counts_at(held.histograms(config.least), 0.5)
            found["IoU of events, mean"] = float(np.mean(binary_summary(counts)["iou"]))
            return found

        found = []
        for arm, given in EVENTS.items():
            how = {key: bool(given.get(key)) for key in ("levelled", "radar")}
            settings = {key: value for key, value in given.items() if key not in how}
            for split in ("mixed", "event out"):
                for seed in self.seeds:
                    facts = {
                        "part": "events",
                        "arm": arm,
                        "split": split,
                        "seed": seed,
                        "preset": self.preset,
                    }
                    config = self.config(seed, settings)
                    found.append(self.row(facts, partial(make, split, config, **how)))
        return found

    def damage(self) -> list[dict[str, Any]]:
        """Two scenes of xBD: halves of the flooded one by each other, and the one without damage by it."""
        folder, names = (
            self.data / "damage_xbd",
            ("hurricane-florence_00000018", "guatemala-volcano_00000000"),
        )
        tiles = damaged(folder, names, self.work)

        def make(which: str, config: ChangeConfig) -> dict[str, Any]:
            flooded = tiles.source == tiles.source[tiles.shares().argmax()]
            if which == OTHER:
                model = fit_change(tiles, np.flatnonzero(flooded), config, scheme=SCHEME)
                said = judge_change(model, tiles, np.flatnonzero(~flooded), config).score
                return {"called damaged": float((said[np.isfinite(said)] >= 0.5).mean())}
            half = tiles.subset(np.flatnonzero(flooded))
            return figures(_by_fold(half, (half.place[:, 1] >= 512) * 1, config), config, cells=False)

        return [
            self.row(
                {"part": "damage", "arm": which, "seed": seed, "preset": self.preset},
                partial(make, which, self.config(seed, {})),
            )
            for which in ("halves of the flooded scene", OTHER)
            for seed in self.seeds
        ]


def _by_fold(tiles: Tiles, fold: np.ndarray, config: ChangeConfig) -> HeldOut:
    """Every tile as it is seen by a model of the other folds."""
    return held_out(tiles, Folds(fold, "as given"), config, scheme=SCHEME)


def _checks(tiles: Tiles, k: int, seed: int) -> np.ndarray:
    """As many folds as events, with tiles of every event in each."""
    rng, fold = np.random.default_rng(seed), np.empty(len(tiles), dtype=np.int64)
    for name in np.unique(tiles.group):
        here = np.flatnonzero(tiles.group == name)
        fold[rng.permutation(here)] = np.arange(len(here)) % k
    return fold


def simulated(names: dict[str, int], *, cells: int, radar: bool) -> Tiles:
    """Tiles of simulated floods, each its own event."""
    images, masks, events, bands = [], [], [], ()
    for name, seed in names.items():
        flood = simulate_flood(seed, cells=cells)
        dates = [[flood.before, flood.after], [flood.radar_before, flood.radar_after]][: 1 + radar]
        pairs = [np.concatenate([pair[date].data for pair in dates]) for date in (0, 1)]
        bands = unique_names([[band for pair in dates for band in pair[date].bands] for date in (0, 1)])
        stack = np.concatenate(pairs)
        side = min(PER_TILE, stack.shape[1])
        for y in range(0, stack.shape[1] - side + 1, side):
            for x in range(0, stack.shape[2] - side + 1, side):
                images.append(stack[:, y : y + side, x : x + side])
                masks.append(flood.flooded[y : y + side, x : x + side])
                events.append(name)
    n = len(images)
    return Tiles(
        images=np.stack(images).astype(np.float32),
        masks=packed(np.stack(masks)),
        valid=None,
        source=np.array(events),
        place=np.zeros((n, 2), dtype=np.int64),
        group=np.array(events),
        bands=bands,
        pixel_m=(10.0, 10.0),
    )


def _levelled(tiles: Tiles) -> Tiles:
    """Each band of each date of an event with mean 0 and spread 1: season and light differ by event."""
    images = np.array(tiles.images)
    for name in np.unique(tiles.group):
        here = tiles.group == name
        mean, sd = (getattr(images[here], what)(axis=(0, 2, 3), keepdims=True) for what in ("mean", "std"))
        images[here] = (images[here] - mean) / sd
    return replace(tiles, images=images)


def damaged(folder: Path, names: tuple[str, ...], work: Path) -> Tiles:
    """Tiles of two scenes; major damage and destroyed are the target."""
    before, after, masks = ([folder / f"{name}_{end}" for name in names] for end in ENDS)
    return cut_tiles(before, after=after, masks=masks, target=("3", "4"), work=work / "damage", side=256)


def told(found: dict[str, list[dict[str, Any]]]) -> str:
    """Tables, a heading for each part."""
    parts = []
    for part, rows in found.items():
        by = ("arm", "split") if part == "events" else ("arm",)
        named = [
            name
            for name in (*FIGURES, "IoU of events, mean", "called damaged", "cpu_s")
            if any(name in row for row in rows)
        ]
        table = mean_table(rows, by, named) if named else ""
        intervals = [
            f"{row['arm']} {text(row['interval'])}"
            for row in rows
            if part == "ombria" and "interval" in row and row["seed"] == 0
        ]
        more = f"\n\nIoU over pairs, seed 0: {'; '.join(intervals)}." if intervals else ""
        parts.append(f"{HEADS[part]}\n\n{table}{more}")
    return "\n\n".join(parts)


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("smoke", "cpu", "full"), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--parts", default=",".join(HEADS), help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data")
    parser.add_argument("--out", type=Path, default=Path("runs/flood"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out, seeds = args.out / args.preset, [int(seed) for seed in args.seeds.split(",")]
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args.data, Rows(out / "rows.jsonl"), args.preset, seeds, Path(work))
        found = {part: getattr(bench, part)() for part in args.parts.split(",")}
    tables = told(found)
    print(json.dumps(found) if args.json else tables)
    if args.preset == "cpu" and args.parts == ",".join(HEADS):
        minutes = sum(row["cpu_s"] for rows in found.values() for row in rows) / 60
        command = f"`python experiments/flood.py --preset {args.preset} --seeds {args.seeds}`"
        write_results("flood", f"{tables}\n\n{command}; {minutes:.0f} minutes of one core.")


if __name__ == "__main__":
    main()
