"""Tiles and vectors of poverty_clusters.py: what is clustered, and what nets have learned before."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from jido.data.chips import Chips
from jido.data.score_tiles import read_tiles
from jido.data.tile_clusters import KINDS, read_clusters
from jido.data.tiles import batches
from jido.methods.classify import scene_model
from jido.methods.cluster_start import shrunk
from jido.methods.grouping import k_means_labels
from jido.methods.pretrain import pretrain_chips
from jido.methods.random_features import draw_filters, random_features
from jido.methods.scene import SceneTraining
from jido.methods.scene_config import load_scene_config
from jido.methods.scene_data import SceneData
from jido.methods.selfsup import PretrainConfig
from jido.methods.tile_clusters import cluster_features, cluster_tiles, load_cluster_config

SIDE, LUMA = 64, np.array([0.299, 0.587, 0.114])
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 1, "pretrain": 1, "classes": 1, "width": 8},
    "cpu": {"epochs": None, "pretrain": 12, "classes": 50, "width": 32},
}
"""Epochs of deep clustering (``None``: the default), of SimCLR and of three classes; width of the encoder."""
FIXED = ("two numbers", "colour histograms", "random filters")
NETS = ("random net", "three-class net", "SimCLR net")
PLAIN = "two numbers, not whitened"
ARMS = (PLAIN, *FIXED, *NETS, *(f"deep, from {name}" for name in NETS[:2]))


def small(chips: Chips) -> Chips:
    """Tiles averaged to 64 pixels."""
    some = [
        shrunk(chips.images[which].astype(np.float32), SIDE) for which in batches(np.arange(len(chips)), 128)
    ]
    return replace(chips, images=np.concatenate(some).round().astype(np.uint8))


def hand_made(chips: Chips, arm: str, seed: int) -> np.ndarray:
    """Mean and spread of the grey of each tile; shares of 16 steps of each colour; or random filters."""
    if arm in (PLAIN, FIXED[0]):
        grey = np.tensordot(chips.images.astype(np.float64), LUMA, (1, 0))
        return np.stack([grey.mean((1, 2)), grey.std((1, 2))], axis=1)
    if arm == FIXED[2]:
        return np.sqrt(random_features(chips, draw_filters(chips, count=256, seed=seed)))
    bins = chips.images.astype(np.int64) // 16
    return np.stack([(bins == step).mean((2, 3)) for step in range(16)], axis=2).reshape(len(chips), -1)


class Bench:
    """Tiles, and what nets begin with.

    Half of the annotated tiles teach the three-class net; the inhabited ones of the other half stand beside
    the tiles of the published clusters, and of what people said of them nets are told urban or rural alone.

    Args:
        data: folder of the published set.
        preset: what is spent.
    """

    def __init__(self, data: Path, preset: str) -> None:
        self.spent, self.preset = PRESETS[preset], preset
        tiles = small(read_tiles(data / "cluster_nk_11_11").chips)
        self.shipped = read_clusters(data / "cluster_nk_11_11").cluster_of(tiles.name).astype(int)
        with (data / "duplicate_tiles.csv").open(encoding="utf-8") as file:
            twice = {
                Path(row["tile_a"]).stem for row in csv.DictReader(file) if "annotation" in row["tile_a"]
            }
        with (data / "nk_annotation/labeling_result.csv").open(encoding="utf-8") as file:
            said = {row["image_id"]: [float(row[kind]) for kind in KINDS] for row in csv.DictReader(file)}
        people = small(read_tiles(data / "nk_annotation/gis").chips)
        people = people.subset(np.array([name not in twice for name in people.name]))
        share = np.array([said[name] for name in people.name])
        people = replace(people, label=share.argmax(1), classes=KINDS)
        self.taught = people.subset(np.arange(len(people)) % 2 == 0)
        beside = (np.arange(len(people)) % 2 == 1) & (people.label < 2)
        images = [tiles.images, people.images[beside]]
        kinds = np.where(self.shipped < 11, "urban", "rural")
        self.kinds = np.concatenate([kinds, np.array(KINDS)[people.label[beside]]])
        names = np.array([f"t{i}" for i in range(len(self.kinds))])
        none = np.full(len(names), -1)
        self.chips = replace(tiles, images=np.concatenate(images), label=none, name=names)
        self.urban = np.concatenate([np.full(len(tiles), np.nan), share[beside, 0]])
        grid = [small(read_tiles(data / f"nk_{year}").chips).images for year in (2016, 2017)]
        every = np.concatenate([tiles.images, people.images, *grid])
        self.all = replace(self.chips, images=every, label=np.full(len(every), -1))

    def start(self, net: str, seed: int) -> Any:
        """What a net has learned before it sees clusters; labels are those of other tiles."""
        with tempfile.TemporaryDirectory() as work:
            if net == NETS[1]:
                every = np.arange(len(self.taught))
                config = load_scene_config(
                    given={"epochs": self.spent["classes"], "least_steps": 0, "seed": seed}
                )
                data = SceneData(self.taught, every, every[:0])
                return scene_model(SceneTraining(data, config).run(Path(work)), {})
            if net == NETS[2]:
                config = PretrainConfig(
                    method="simclr",
                    epochs=self.spent["pretrain"],
                    batch=128,
                    learning_rate=1e-3,
                    encoder={"width": self.spent["width"], "kernels": 1},
                    seed=seed,
                )
                return pretrain_chips(self.all, config, work=Path(work))
        return None

    def vectors(self, arm: str, seed: int, start: Any) -> np.ndarray:
        """What an arm says of the tiles."""
        if arm in (PLAIN, *FIXED):
            return hand_made(self.chips, arm, seed)
        given = {"seed": seed, "epochs": self.spent["epochs"] if arm.startswith("deep") else 0}
        given = {name: value for name, value in given.items() if value is not None}
        config = load_cluster_config(preset=self.preset, given=given)
        return cluster_tiles(self.chips, self.kinds, config=config, start=start).features

    def judged(self, arm: str, vectors: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
        """Figures of each kind, and the clusters of the published tiles."""
        found: dict[str, dict[str, Any]] = {}
        n = len(self.shipped)
        if arm == PLAIN:
            for kind in ("urban", "rural"):
                mine = np.flatnonzero(self.kinds[:n] == kind)
                label, _ = k_means_labels(vectors[mine], 11, starts=10, seed=seed)
                found[kind] = self._figures(mine, label)
            return found
        for name, given in (("own k", {}), ("k=11", {"k_urban": 11, "k_rural": 11})):
            config = load_cluster_config(given={"seed": seed, **given})
            result = cluster_features(vectors[:n], self.chips.name[:n], self.kinds[:n], config=config)
            for kind in ("urban", "rural"):
                mine = np.flatnonzero(self.kinds[:n] == kind)
                figures = self._figures(mine, result.clusters.cluster[mine].astype(int))
                if name == "own k":
                    told = {"ARI own k": figures["ARI k=11"], "clusters own k": figures["clusters k=11"]}
                    tried = result.silhouettes[kind]
                    figures = told | {"own k": result.k[kind], "silhouette": max(tried.values())}
                found.setdefault(kind, {}).update(figures)
        both = cluster_features(vectors, self.chips.name, self.kinds, config=config).clusters.cluster
        mine = (self.kinds == "rural") & np.isfinite(self.urban)
        found["rural"]["urban share"] = explained(self.urban[mine], both[mine], adjusted=True)
        return found

    def _figures(self, mine: np.ndarray, cluster: np.ndarray) -> dict[str, Any]:
        """Of clusters (n,) of the published tiles at these places."""
        shipped = self.shipped[mine]
        grey = np.tensordot(self.chips.images[mine].astype(np.float64), LUMA, (1, 0)).mean((1, 2))
        return {
            "ARI k=11": adjusted_rand_score(shipped, cluster),
            "NMI k=11": normalized_mutual_info_score(shipped, cluster),
            "clusters k=11": cluster.tolist(),
            "brightness": explained(grey, cluster),
            "brightness, shipped": explained(grey, shipped),
        }


def explained(values: np.ndarray, cluster: np.ndarray, *, adjusted: bool = False) -> float:
    """Share of the variance of values (n,) that lies between clusters (n,); adjusted: 0 by chance."""
    means = {one: values[cluster == one].mean() for one in np.unique(cluster)}
    within = ((values - np.array([means[one] for one in cluster])) ** 2).sum()
    n, k = len(values), len(means)
    degrees = (n - 1) / (n - k) if adjusted else 1.0
    return float(1 - within / ((values - values.mean()) ** 2).sum() * degrees)
