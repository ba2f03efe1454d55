"""A score of development from experts' orders alone, against floor area that it has never seen.

python experiments/poverty.py [--preset smoke|cpu] [--seeds 0,1,2] [--data DIR] [--out DIR] [--json]

The published tiles, clusters and experts of Ahn et al. 2023 (Nature Communications, s41467-023-42122-8): 440
tiles in 22 clusters, ten experts, and the tiles that people called uninhabited as a 23rd. Scored are the 106
grid tiles of 2016 and of 2017; floor area is of 2014. All settings were chosen on clusters that were held out
(``unseen``, and in RESULTS.md), never by floor area. Differences from the published score are paired, their
intervals over blocks of 3 x 3 tiles. Other parts: poverty_tables.py, poverty_transfer.py, poverty_classes.py,
poverty_clusters.py, orders.py. cpu: about 25 minutes on one core; finished rows are kept.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, mean_table, write_results
from scipy.stats import spearmanr

from jido.data.chips import Chips
from jido.data.orders import with_uninhabited
from jido.data.score_tiles import parse_tile_id, read_tiles
from jido.data.tile_clusters import Clusters
from jido.methods.siscore import PRESETS, SiscoreConfig, train_score
from jido.methods.tile_clusters import cluster_tiles, load_cluster_config
from jido.methods.tile_features import random_tile_features
from jido.stats.experts import combine
from jido.stats.ordering import order_from_values, parse_chains, parse_relations
from jido.stats.partial_order import Order, weak_order

HERE = Path(__file__).resolve().parent
YEARS = (2016, 2017)
BLOCK, DRAWS = 3, 2000
"""Tiles in a row that are drawn together, and draws of the bootstrap."""
SMALL = 64
"""Pixels of tiles that a whole net learns from."""
FIGURES = ("2016", "2016 built", "2017", "2017 built", "same place", "unseen")


class Bench:
    """Tiles, clusters, experts, and the truth that only judges."""

    def __init__(self, data: Path, preset: str) -> None:
        self.data, self.preset = data, preset
        self._described: dict[tuple[int, int], list[np.ndarray]] = {}
        self.tiles, self.clusters = self._training()
        self.grid = {year: read_tiles(data / f"nk_{year}", ids_at_zoom=14).chips for year in YEARS}
        names = [str(i) for i in range(22)]
        text = (data / "POG_annotation/POG_collection.txt").read_text(encoding="utf-8")
        self.experts = parse_chains(text, names=names)
        with gzip.open(data / "tables/NK_gt_stats_2016_2017.csv.gz", "rt", encoding="utf-8") as file:
            self.truth = {row["y_x"]: row for row in csv.DictReader(file)}

    def _training(self) -> tuple[Chips, Clusters]:
        """Cluster tiles, and the uninhabited annotated ones as cluster 22; none that is also elsewhere."""
        with (self.data / "duplicate_tiles.csv").open(encoding="utf-8") as file:
            twice = [(Path(row["tile_a"]), Path(row["tile_b"])) for row in csv.DictReader(file)]
        annotated_twice = {a.stem for a, _ in twice if "nk_annotation" in a.parts}
        grid_twice = {f"{b.parent.name}/{b.stem}" for a, b in twice if "nk_2017" in a.parts}
        inner = read_tiles(self.data / "cluster_nk_11_11").chips
        inner = inner.subset(np.array([name not in grid_twice for name in inner.name]))
        with (self.data / "nk_annotation/labeling_result.csv").open(encoding="utf-8") as file:
            empty = {row["image_id"] for row in csv.DictReader(file) if float(row["uninhabited"]) == 1}
        outer = read_tiles(self.data / "nk_annotation/gis").chips
        outer = outer.subset(np.array([n in empty - annotated_twice for n in outer.name]))
        name = np.concatenate([inner.name, np.array([f"22/{n}" for n in outer.name])])
        cluster = np.array([n.partition("/")[0] for n in name])
        kind = np.where(cluster == "22", "uninhabited", np.where(cluster.astype(int) < 11, "urban", "rural"))
        images = np.concatenate([np.asarray(inner.images), np.asarray(outer.images)])
        chips = replace(inner, images=images, name=name, label=np.full(len(name), -1), lonlat=None)
        return chips, Clusters(name, cluster, kind)

    def described(self, config: SiscoreConfig) -> list[np.ndarray]:
        """Random features of the training tiles and of the grid tiles of each year."""
        key = config.filters, config.seed
        if key not in self._described:
            features = random_tile_features(
                self.tiles, count=config.filters, side=config.side, seed=config.seed
            )
            self._described[key] = [features.of(chips) for chips in (self.tiles, *self.grid.values())]
        return self._described[key]

    def score(self, said: dict[int, np.ndarray], unseen: float | None) -> dict[str, Any]:
        """Spearman of the scores of each year with floor area, the published one's, and between years."""
        figures: dict[str, Any] = {"unseen": unseen}
        for year, chips in self.grid.items():
            rows = [self.truth[name] for name in chips.name]
            area = np.array([float(row["FA2014"]) for row in rows])
            published = np.array([float(row[f"year{year}"]) for row in rows])
            for part, chosen in (("", area >= 0), (" built", area > 0)):
                ours, theirs = (spearmanr(s[chosen], area[chosen])[0] for s in (said[year], published))
                figures |= {f"{year}{part}": float(ours), f"{year}{part}, published": float(theirs)}
                columns = [part[chosen] for part in (said[year], published, area)]
                figures[f"{year}{part}, difference"] = _paired(*columns, blocks=_blocks(chips.name[chosen]))
        both = sorted(set(self.grid[2016].name) & set(self.grid[2017].name))
        at = [[chips.name.tolist().index(name) for name in both] for chips in self.grid.values()]
        pairs = [said[year][rows] for year, rows in zip(YEARS, at, strict=True)]
        return figures | {"same place": float(spearmanr(*pairs)[0])}


def _blocks(names: np.ndarray) -> np.ndarray:
    """Number of the block of 3 x 3 tiles of each grid tile."""
    place = np.array([parse_tile_id(str(name)) for name in names]) // BLOCK
    return np.unique(place, axis=0, return_inverse=True)[1].ravel()


def _paired(ours: np.ndarray, theirs: np.ndarray, area: np.ndarray, *, blocks: np.ndarray) -> list[float]:
    """Difference of the two Spearman correlations, and its 95 % bootstrap interval over blocks."""
    rng, count = np.random.default_rng(0), blocks.max() + 1

    def difference(rows: np.ndarray) -> float:
        return float(spearmanr(ours[rows], area[rows])[0] - spearmanr(theirs[rows], area[rows])[0])

    places = [np.flatnonzero(blocks == i) for i in range(count)]
    draws = [
        difference(np.concatenate([places[i] for i in rng.integers(count, size=count)])) for _ in range(DRAWS)
    ]
    return [difference(np.arange(len(area))), *np.quantile(draws, (0.025, 0.975)).tolist()]


# -- arms --------------------------------------------------------------------------------------


def ensemble(
    bench: Bench, seed: int, *, orders: Sequence[Order] = (), clusters: Clusters | None = None, **changed: Any
) -> dict[str, Any]:
    """Random features and the ensemble, as ``jido score train`` does it."""
    config = SiscoreConfig(**{**PRESETS[bench.preset], "seed": seed, **changed})
    learned, *grid = bench.described(config)
    made = train_score(
        learned,
        bench.tiles.name.tolist(),
        clusters or bench.clusters,
        orders or bench.experts,
        config=config,
    )
    heard = made.agreement[np.isfinite(made.agreement)]
    said = [made.ensemble.members(features).mean(0) for features in grid]
    return bench.score(dict(zip(YEARS, said, strict=True)), float(heard.mean()) if len(heard) else None)


def combined(bench: Bench, seed: int) -> dict[str, Any]:
    """All experts as one order: members do not draw experts."""
    return ensemble(bench, seed, orders=[combine(bench.experts).order()])


def authors(bench: Bench, seed: int) -> dict[str, Any]:
    """The order that the paper's authors combined."""
    text = (bench.data / "graph_config/nk.txt").read_text(encoding="utf-8")
    return ensemble(bench, seed, orders=[parse_relations(text)])


def inhabited(bench: Bench, seed: int) -> dict[str, Any]:
    """Without uninhabited tiles."""
    kept = np.flatnonzero(bench.clusters.kind != "uninhabited")
    part = Clusters(*(getattr(bench.clusters, name)[kept] for name in ("ids", "cluster", "kind")))
    return ensemble(bench, seed, clusters=part)


def reversed_experts(bench: Bench, seed: int) -> dict[str, Any]:
    """Three experts, drawn by the seed, have it upside down."""
    wrong = np.random.default_rng(seed).choice(10, 3, replace=False)
    orders = [weak_order(one.groups[::-1]) if i in wrong else one for i, one in enumerate(bench.experts)]
    return ensemble(bench, seed, orders=orders)


def own_clusters(bench: Bench, seed: int) -> dict[str, Any]:
    """Clusters of our own of the same tiles; an expert's place of a tile's shipped cluster orders them."""
    config = load_cluster_config(None, preset=bench.preset, given={"seed": seed})
    work = HERE.parent / f"runs/poverty/work-{bench.preset}-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    found = cluster_tiles(bench.tiles, bench.clusters.kind, config=config, work=work).clusters
    shipped = bench.clusters.cluster_of(found.ids)
    orders = []
    for expert in bench.experts:
        place = expert.levels
        values = {
            name: np.array([place[one] for one in shipped[found.members(name)] if one in place], dtype=float)
            for name in found.names
        }
        orders.append(order_from_values(values, equals=True))
    return ensemble(bench, seed, orders=orders, clusters=found) | {"clusters": len(found.names)}


def whole_net(bench: Bench, seed: int) -> dict[str, Any]:
    """As in the paper, one net from tiles to the score, trained as a whole; from scratch, at 64 pixels."""
    import torch

    from jido.losses.ranking import SoftRankLoss, limited
    from jido.methods.cluster_start import shrunk
    from jido.nets import build_net
    from jido.train import Learner, seeded, triangle, turned_and_shifted
    from jido.train import train as run

    epochs, steps, tiles = (40, 10, 10) if bench.preset == "cpu" else (1, 2, 4)
    order = with_uninhabited(combine(bench.experts).order(), bench.clusters)
    small = torch.from_numpy(shrunk(np.asarray(bench.tiles.images, np.float32), SMALL))
    mean, sd = small.mean((0, 2, 3))[:, None, None], small.std((0, 2, 3))[:, None, None]
    rank = SoftRankLoss()

    class Loss(torch.nn.Module):
        def forward(self, logits: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
            return rank(limited(logits.float()), place)

    with seeded(seed):
        net = build_net("compact", in_channels=3, out_channels=1)
        torch.nn.init.constant_(net.head[-1].bias, 0.5)  # type: ignore[index, union-attr, arg-type]
    learner = Learner(
        net, Loss(), learning_rate=2e-3, schedule=lambda step: triangle(step / (epochs * steps))
    )

    def batches(epoch: int) -> Any:
        rng, turns = np.random.default_rng((seed, epoch)), torch.Generator().manual_seed(seed * 1000 + epoch)
        for _ in range(steps):
            path = order.sample_path(rng)
            drawn = [
                rng.choice(bench.clusters.members(group[rng.integers(len(group))]), tiles) for group in path
            ]
            images = turned_and_shifted(small[np.concatenate(drawn)], shift=8, generator=turns)
            yield (images - mean) / sd, torch.arange(len(path)).repeat_interleave(tiles)

    run(learner, batches, until=epochs, seed=seed)

    def say(chips: Chips) -> np.ndarray:
        images = torch.from_numpy(shrunk(np.asarray(chips.images, np.float32), SMALL))
        return learner.logits((images - mean) / sd)[:, 0].numpy()

    return bench.score({year: say(chips) for year, chips in bench.grid.items()}, None)


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    "(i) shipped clusters, ten experts": ensemble,
    "one combined order": combined,
    "the authors' order": authors,
    "three experts reversed": reversed_experts,
    "without uninhabited tiles": inhabited,
    "one whole net, as the paper": whole_net,
    "(ii) own clusters": own_clusters,
}


def judged(rows: list[dict[str, Any]]) -> str:
    """Ours beside the published score, with paired intervals, mean over seeds."""
    lines = ["| arm | tiles | ours | published | difference [95 %] |", "|---|---|---|---|---|"]
    for arm in [name for name in ARMS if name.startswith("(")]:
        mine = [row for row in rows if row["arm"] == arm]
        for part in FIGURES[:4] if mine else ():
            ours = np.mean([row[part] for row in mine])
            gap = np.mean([row[f"{part}, difference"] for row in mine], axis=0)
            theirs = mine[0][f"{part}, published"]
            lines.append(
                f"| {arm} | {part} | {ours:.3f} | {theirs:.3f} | {gap[0]:+.3f} "
                f"[{gap[1]:+.3f}, {gap[2]:+.3f}] |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("smoke", "cpu"), default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/siscore")
    parser.add_argument("--out", type=Path, default=Path("runs/poverty"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bench, kept = Bench(args.data, args.preset), Rows(args.out / args.preset / "rows.jsonl")
    rows = []
    for seed in map(int, args.seeds.split(",")):
        for arm, run in ARMS.items():
            facts = {"arm": arm, "seed": seed, "preset": args.preset, "tiles": len(bench.tiles)}
            if (row := kept.get(facts)) is None:
                begun = time.perf_counter()
                found = run(bench, seed)
                row = kept.add(facts, found | {"seconds": time.perf_counter() - begun})
            rows.append(row)
    text = f"{mean_table(rows, ('arm',), (*FIGURES, 'seconds'))}\n\n{judged(rows)}"
    print(json.dumps({"rows": rows}) if args.json else text)
    if args.preset != "smoke":
        command = f"`python experiments/poverty.py --preset {args.preset} --seeds {args.seeds}`"
        write_results("poverty", f"{text}\n\n{command}; one core, beside other work.")


if __name__ == "__main__":
    main()
