"""Urban, rural or uninhabited: 600 tiles with soft labels, in held-out folds, beside a hand-made floor.

python experiments/poverty_classes.py [--preset smoke|cpu] [--seeds 0,1,2] [--encoder MODEL] [--compact]

Tiles of Ahn et al. 2023 (Nature Communications, s41467-023-42122-8), labelled by four people; 5 folds a
seed, the same for all arms. Judged against the largest share; ``cross entropy`` against the shares. Without a
label: the cluster and grid tiles, but for those that are the same as a labelled one. Held-out tiles are not
among them. Floor: colours and simple texture, logistic regression. --encoder: a package of ``jido scene
train`` on EuroSAT, other people's labels. --compact: also a net that learns to see, on tiles of 64 pixels,
one seed. Settings were chosen on folds of seeds 10 to 12 of the same tiles. cpu: 15 minutes on one core, 6
more with --compact; finished rows are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Rows, mean_table, write_results
from scipy import ndimage

from jido.data.chips import Chips
from jido.data.score_tiles import read_tiles
from jido.methods import load_model
from jido.methods.label_learners import linear_probe
from jido.methods.tile_classes import evaluated, look, tile_folds
from jido.methods.tile_classes_config import TileClassesConfig, load_tile_classes_config
from jido.methods.tile_classes_labels import CLASSES, read_labels
from jido.methods.tile_classes_net import MeanTeacher, judging_net, sharpened
from jido.methods.tile_classes_seen import Looking
from jido.methods.tile_features import averaged
from jido.nets import build_net
from jido.stats.paired import crossed_figure
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
FLOOR, COMPACT, OURS, ENCODED = "floor", "compact net, 64 pixels", "both heads (default)", " + EuroSAT"
ARMS: dict[str, dict[str, Any]] = {
    FLOOR: {},
    "texture, logistic regression, largest share": {"use": "linear", "sharpened": 1.0, "views": 1},
    "texture, logistic regression": {"use": "linear"},
    "texture, mean teacher": {"use": "net"},
    OURS: {},
    "both, no consistency": {"consistency": 0.0},
    "both, shares alone": {"sharpened": 0.0},
    "both, largest share alone": {"sharpened": 1.0},
    f"mean teacher{ENCODED}": {"use": "net"},
    f"both{ENCODED}": {},
    COMPACT: {"learning_rate": 2e-3},
}
SMALL = 64
Learn = Callable[[np.ndarray, np.ndarray], np.ndarray]
FIGURES = ("accuracy", "macro F1", *(f"F1 {name}" for name in CLASSES), "cross entropy", "ECE")
ANNOTATORS, DRAWS = 4, 500


def simple(image: np.ndarray) -> np.ndarray:
    """Colours and simple texture of a tile (3, S, S): quantiles, gradients, local spread, correlations."""
    values = image.astype(np.float32) / 255
    grey = values.mean(0)
    steep = np.hypot(*np.gradient(grey))
    found = [
        np.concatenate([v.mean()[None], v.std()[None], np.percentile(v, (5, 25, 50, 75, 95))]) for v in values
    ]
    found.append(np.array([steep.mean(), steep.std(), np.abs(ndimage.laplace(grey)).mean()]))
    found.append(np.percentile(steep, (50, 90, 99)))
    for side in (3, 9, 27):
        variance = ndimage.uniform_filter(grey**2, side) - ndimage.uniform_filter(grey, side) ** 2
        spread = np.sqrt(np.maximum(variance, 0))
        found.append(np.array([spread.mean(), spread.std()]))
    found.append(np.nan_to_num(np.corrcoef(values.reshape(3, -1)))[np.triu_indices(3, 1)])
    return np.concatenate(found)


class Bench:
    """Tiles, labels, and what was seen of them; nothing is looked at before it is needed."""

    def __init__(self, data: Path, work: Path, encoder: Path | None, preset: str) -> None:
        self.chips = joined(data)
        self.labels = read_labels([data / "nk_annotation/labeling_result.csv"], self.chips.name.tolist())
        if preset == "smoke":
            self.labels = self.labels.subset(np.arange(0, len(self.labels), 10))
            kept = [self.labels.places(self.chips.name), np.arange(len(self.chips))[-30:]]
            self.chips = self.chips.subset(np.concatenate(kept))
        self.places = self.labels.places(self.chips.name)
        self.work, self.preset, self.encoder = work, preset, encoder
        self.seen: dict[bool, Any] = {}

    def row(self, arm: str, seed: int) -> dict[str, Any]:
        """Figures of the held-out tiles."""
        begun = time.process_time()
        config = load_tile_classes_config(preset=self.preset, given=ARMS[arm], seed=seed)
        learn = {FLOOR: self.floor, COMPACT: self.compact}.get(arm, partial(self.ours, arm))(config)
        said = np.empty(self.labels.share.shape)
        folds = tile_folds(self.chips, self.labels, k=5, seed=seed)
        for train, test in folds:
            said[test] = learn(train, test)
        found = evaluated(said, self.labels, folds)
        values = [found["metrics"][name]["value"] for name in ("oa", "f1_macro")]
        values += [row["f1"]["value"] for row in found["per_class"]]
        figures = dict(
            zip(FIGURES, [*values, found["cross_entropy"], found["calibration"]["ece"]], strict=True)
        )
        right = (said.argmax(1) == self.labels.label).astype(int).tolist()
        return figures | {"right": right, "cpu_s": round(time.process_time() - begun, 1)}

    def told(self, rows: list[dict[str, Any]]) -> str:
        """Differences from the floor, tile by tile, and what people agree on."""
        right = {arm: np.array([row["right"] for row in rows if row["arm"] == arm]) for arm in ARMS}
        each = np.ones(len(self.labels))
        more = [
            f"{arm}: {text(crossed_figure(right[arm] - right[FLOOR], each, lowest=-1))}"
            for arm in (OURS, f"both{ENCODED}")
            if len(right[arm])
        ]
        rng, share = np.random.default_rng(0), self.labels.share
        drawn = [rng.multinomial(ANNOTATORS, share).argmax(1) == self.labels.label for _ in range(DRAWS)]
        return (
            f"Accuracy above the floor, paired by tile, 95 % over tiles and seeds: {'; '.join(more)}. One "
            f"annotator names the class in {self.labels.agreement:.3f} of the tiles; {ANNOTATORS} new ones "
            f"drawn from the shares name it in {np.mean(drawn):.3f}; {self.labels.ties} tiles have no single "
            "largest share."
        )

    def floor(self, config: TileClassesConfig) -> Learn:
        """Logistic regression on simple features, its penalty chosen inside."""
        found = np.stack([simple(image) for image in self.chips.images[self.places]])
        learner = linear_probe(found, num_classes=3, strengths=(0.1, 0.3, 1, 3, 10))
        return lambda train, test: learner(train, self.labels.label[train], test, config.seed)

    def ours(self, arm: str, config: TileClassesConfig) -> Learn:
        """Heads on what is seen, by texture alone or by an encoder, too."""
        by = arm.endswith(ENCODED)
        if by not in self.seen:
            views = load_tile_classes_config(preset=self.preset)
            model: Any = load_model(self.encoder) if by and self.encoder else None
            self.seen[by] = look(self.chips, self.places, views, work=self.work, encoder=model)
        looked, n = self.seen[by], len(self.labels)
        share = np.concatenate([self.labels.share, np.full((len(looked.which) - n, 3), np.nan)])

        def learn(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            kept = np.concatenate([train, np.arange(n, len(share))])
            net = judging_net(looked.net, looked.seen[: config.views, kept], share[kept], config)
            with torch.inference_mode():
                vectors = net.features.standard(torch.from_numpy(looked.seen[0, test]))
                return net.head(vectors[..., None, None]).exp().numpy()

        return learn

    def compact(self, config: TileClassesConfig) -> Learn:
        """A compact net whose convolutions learn as well, by the same mean teacher."""
        small = averaged(self.chips, SMALL)
        target = np.full((len(small), 3), np.nan)
        target[self.places] = self.labels.share

        def learn(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            kept = np.setdiff1d(np.arange(len(small)), self.places[test])
            net: Any = build_net("compact", in_channels=3, out_channels=3, width=16, stages=3)
            looking = Looking(net, small, small.moments(kept), config, self.work)

            def draw(which: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
                return looking.drawn(kept[which], 1, torch.Generator().manual_seed(int(rng.integers(2**31))))

            taught = MeanTeacher(
                net, draw, sharpened(target[kept], config.sharpened), config, config.seed
            ).run()
            with torch.inference_mode():
                return taught(looking.drawn(self.places[test], 0, None)).softmax(1).numpy()

        return learn


def joined(data: Path) -> Chips:
    """The labelled tiles, then cluster and grid tiles without those that are the same as a labelled one."""
    with (data / "duplicate_tiles.csv").open(encoding="utf-8") as file:
        twins = {row["tile_b"].removesuffix(".jpg") for row in csv.DictReader(file)}
    folders = ("nk_annotation/gis", "cluster_nk_11_11", "nk_2016", "nk_2017")
    parts = [read_tiles(data / folder).chips for folder in folders]
    names = [
        chips.name if i == 0 else [f"{folders[i]}/{name}" for name in chips.name]
        for i, chips in enumerate(parts)
    ]
    name, images = np.concatenate(names), np.concatenate([chips.images for chips in parts])
    chips = replace(parts[0], images=images, name=name, label=np.full(len(name), -1), lonlat=None)
    return chips.subset(~np.isin(name, list(twins)))


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("smoke", "cpu"), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--encoder", type=Path, help="package of jido scene train on EuroSAT")
    parser.add_argument("--compact", action="store_true", help="also a net that learns to see")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/siscore")
    parser.add_argument("--out", type=Path, default=Path("runs/poverty_classes"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out, seeds = args.out / args.preset, [int(seed) for seed in args.seeds.split(",")]
    rows = Rows(out / "rows.jsonl")
    bench, found = Bench(args.data, out, args.encoder, args.preset), []
    for arm in ARMS:
        if (ENCODED in arm and not args.encoder) or (arm == COMPACT and not args.compact):
            continue
        for seed in seeds[:1] if arm == COMPACT else seeds:
            facts = {"arm": arm, "seed": seed, "preset": args.preset}
            found.append(rows.get(facts) or rows.add(facts, bench.row(arm, seed)))
    told = f"{mean_table(found, ('arm',), FIGURES)}\n\n{bench.told(found)}"
    print(json.dumps({"rows": found}) if args.json else told)
    if args.preset != "smoke":
        more = " --encoder eurosat" * bool(args.encoder) + " --compact" * args.compact
        command = f"`python experiments/poverty_classes.py --seeds {args.seeds}{more}`"
        write_results("poverty-classes", f"{told}\n\n{command}")


if __name__ == "__main__":
    main()
