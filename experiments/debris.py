"""Floating debris from MARIDA's spectra: scenes held out, naive Bayes as published against ours.

python experiments/debris.py [--preset smoke|cpu] [--seeds 0,1,2] [--data DIR] [--out DIR] [--json]

Debris against all other materials on mean spectra of 44 scenes, every scene judged by models that saw none of
it; penalty, noise and calibration are chosen inside the training folds. Intervals redraw scenes, figures are
means over seeds (folds and noise). The single pixels name no scene: those rows leak and say so. cpu: about
six minutes on one core; finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import Rows, write_results

from jido.data.floating import Floating, simulate_floating
from jido.data.spectra import Spectra, read_spectra
from jido.labels import Folds
from jido.methods.debris import DebrisConfig, DebrisModel, held_out, is_land, rows_of, scene_folds
from jido.methods.debris_train import train_debris
from jido.stats import accept_threshold, f1_macro, overall_accuracy, producers_accuracy
from jido.stats.abstention import group_accept_threshold, group_error
from jido.stats.binary import average_precision, score_histogram
from jido.stats.confusion import confusion_by_group
from jido.stats.intervals import Figure, bootstrap_figures
from jido.stats.words import text

HERE = Path(__file__).resolve().parent
TARGET = "Marine Debris"
PAPER = {"learner": "naive", "calibrate": False}
METHODS: dict[str, dict[str, Any]] = {
    "naive Bayes (NDVI, FDI), likeliest of 15 materials": PAPER,
    "naive Bayes (NDVI, FDI), debris or not": PAPER,
    "naive Bayes (NDVI, FDI), calibrated": {"learner": "naive"},
    "ours: logistic, 11 bands + indices": {},
}
TWO, LAST = "naive Bayes (NDVI, FDI), debris or not", "ours: logistic, 11 bands + indices"
FIVE = {
    "Marine Water": "seawater", "Dense Sargassum": "seaweed", "Sparse Sargassum": "seaweed",
    "Natural Organic Material": "timber", TARGET: TARGET, "Foam": "foam",
}  # fmt: skip
"""MARIDA's classes under the five materials of Biermann et al. 2020; timber is what comes nearest."""

RESPLITS = 200


class Study:
    """Held-out probabilities of one table and kind of fold after another, kept on disk."""

    def __init__(self, out: Path, table: Spectra, small: bool) -> None:
        self.rows, self.table, self.small = Rows(out / "held_out.jsonl"), table, small

    def held(
        self,
        what: str,
        spectra: Spectra,
        settings: dict[str, Any],
        *,
        seed: int,
        fold: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
        """Probabilities (n, K) of rows from models without their fold; materials; places of the true ones."""
        quick = {"folds": 3, "strengths": (10.0,), "noises": (0.001,), "copies": 1} if self.small else {}
        config = DebrisConfig(**{**settings, **quick, "seed": seed})
        names = tuple(np.unique(spectra.classes.astype(str)).tolist())
        rows = rows_of(spectra, names, TARGET, config)
        key = {"what": what, "config": config.model_dump(mode="json"), "rows": len(spectra)}
        done = self.rows.get(key)
        if done is None:
            folds = scene_folds(rows, leaks=spectra.scenes is None, k=config.folds, seed=seed)
            folds = folds if fold is None else Folds(fold, "given")
            done = self.rows.add(key, {"held": held_out(rows, folds, config).round(7).tolist()})
        return np.array(done["held"]), names, rows.material


def as_two(spectra: Spectra) -> Spectra:
    """Debris and everything else."""
    return replace(spectra, classes=np.where(spectra.classes == TARGET, TARGET, "other").astype(object))


def summed(
    counts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, level: float | None = 0.95
) -> tuple[list[Figure], list[Figure]]:
    """Figures of methods, and the last one's minus each other's, from counts (scenes, seeds, methods, ...).

    Means over seeds; intervals redraw scenes for all methods and seeds at once, so differences are paired.
    """

    def both(drawn: np.ndarray) -> np.ndarray:
        found = statistic(drawn).mean(axis=-2)
        return np.concatenate([found, found[..., -1:] - found[..., :-1]], axis=-1)

    many = counts.shape[2]
    size = 2 * many - 1
    ends = np.where(np.arange(size) < many, 0.0, -1.0), np.ones(size), np.full(size, len(counts))
    lowest, highest, carried = ends
    found = bootstrap_figures(
        counts, both, lowest=lowest, highest=highest, carried=carried, level=level, draws=1000
    )
    return found[:many], found[many:]


def against_others(study: Study, spectra: Spectra, seeds: list[int]) -> tuple[list[dict[str, Any]], Any]:
    """Macro-F1 and average precision, debris against the rest; and held-out probabilities by method."""
    truth, groups = spectra.classes == TARGET, np.unique(spectra.scenes, return_inverse=True)[1]
    matrices, histograms, kept = [], [], {}
    for name, settings in METHODS.items():
        said, answers = [], []
        for seed in seeds:
            table = as_two(spectra) if name == TWO else spectra
            found, names, _ = study.held(f"44 scenes {name == TWO}", table, settings, seed=seed)
            debris = names.index(TARGET)
            said.append(found[:, debris])
            likeliest = found.argmax(axis=1) == debris
            answers.append(likeliest if settings == PAPER else found[:, debris] >= 0.5)
        matrices.append([confusion_by_group(truth.astype(int), a.astype(int), groups, 2) for a in answers])
        histograms.append([by_scene(p, truth, groups) for p in said])
        kept[name] = said
    counts, scores = (np.moveaxis(np.array(part), (0, 1, 2), (2, 1, 0)) for part in (matrices, histograms))
    f1, f1_more = summed(counts, f1_macro)
    ap, ap_more = summed(scores, average_precision)
    lines = []
    for i, name in enumerate(METHODS):
        line = {"method": name, "macro-F1": text(f1[i]), "average precision": text(ap[i])}
        more = ("–", "–") if name == LAST else (text(f1_more[i]), text(ap_more[i]))
        lines.append(line | dict(zip(("ours - this, macro-F1", "ours - this, AP"), more, strict=True)))
    return lines, (kept, truth, groups)


def by_scene(said: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Histograms of scores (scenes, 2, bins)."""
    return np.stack([score_histogram(said[groups == g], truth[groups == g]) for g in range(groups.max() + 1)])


def splits(study: Study, spectra: Spectra, seeds: list[int]) -> list[dict[str, Any]]:
    """Ours with the scenes of one day kept together, and with rows at random, which leaks."""
    days = np.array([name.split(" ")[0] for name in spectra.scenes], dtype=object)
    truth, lines = spectra.classes == TARGET, []
    for what, table in (
        ("scenes kept whole", spectra),
        ("dates kept whole", replace(spectra, scenes=days)),
        ("rows at random, LEAKS", replace(spectra, scenes=None)),
    ):
        label = "44 scenes False" if table is spectra else what
        every = []
        for seed in seeds[:1]:
            found, names, _ = study.held(label, table, {}, seed=seed)
            said = found[:, names.index(TARGET)]
            counts = confusion_by_group(
                truth.astype(int), (said >= 0.5).astype(int), np.zeros(len(truth)), 2
            )[0]
            every.append((float(f1_macro(counts)), float(average_precision(score_histogram(said, truth)))))
        f1, ap = np.mean(every, axis=0)
        lines.append(
            {"folds (ours, first seed)": what, "macro-F1": f"{f1:.3f}", "average precision": f"{ap:.3f}"}
        )
    return lines


def five_materials(study: Study, spectra: Spectra, seeds: list[int]) -> list[dict[str, Any]]:
    """Accuracy over the five materials of the paper, and the share of debris that is found."""
    chosen = spectra.select(np.isin(spectra.classes, list(FIVE)))
    chosen = replace(chosen, classes=np.array([FIVE[name] for name in chosen.classes], dtype=object))
    matrices = []
    for settings in (PAPER, {}):
        of = []
        for seed in seeds:
            found, names, place = study.held("five materials", chosen, settings, seed=seed)
            of.append(confusion_by_group(place, found.argmax(axis=1), chosen.scenes, len(names)))
        matrices.append(of)
    counts = np.moveaxis(np.array(matrices), (0, 1, 2), (2, 1, 0))
    target = sorted(set(FIVE.values())).index(TARGET)
    accuracy, _ = summed(counts, overall_accuracy)
    recall, _ = summed(counts, lambda cm: producers_accuracy(cm)[..., target])
    published = {"five materials": "Biermann et al. 2020, published: other images, other correction"}
    lines = [{**published, "accuracy": "0.86", "debris found": "–"}]
    for name, one, two in zip(("naive Bayes (NDVI, FDI)", "ours"), accuracy, recall, strict=True):
        lines.append(
            {"five materials": f"{name}, scenes held out", "accuracy": text(one), "debris found": text(two)}
        )
    return lines


def pixels(study: Study, table: Spectra, seeds: list[int]) -> list[dict[str, Any]]:
    """Single pixels of four floating materials, whose scenes nobody knows: random folds, and runs of rows."""
    plain = {"strengths": (100.0,), "noises": (0.0,), "copies": 0, "calibrate": False, "folds": 5}
    place = np.arange(len(table))
    for name in np.unique(table.classes):  # within a class rows follow each other
        mine = np.flatnonzero(table.classes == name)
        place[mine] = np.arange(len(mine)) * 10 // len(mine) % 5
    lines = []
    for what, fold in (("random pixels, LEAKS", None), ("runs of rows, scenes unknown", place)):
        for name, settings in (("naive Bayes (NDVI, FDI)", PAPER | {"folds": 5}), ("ours", plain)):
            found = []
            for seed in seeds if fold is None else seeds[:1]:
                said, names, truth = study.held(f"pixels: {what}", table, settings, seed=seed, fold=fold)
                cm = confusion_by_group(truth, said.argmax(axis=1), np.zeros(len(truth)), len(names))[0]
                found.append((float(overall_accuracy(cm)), float(f1_macro(cm))))
            accuracy, f1 = np.mean(found, axis=0)
            line = {"6,592 pixels, 4 materials (OPTIMISTIC)": f"{name}, {what}"}
            lines.append(line | {"accuracy": f"{accuracy:.3f}", "macro-F1": f"{f1:.3f}"})
    return lines


def promises(
    kept: Mapping[str, list[np.ndarray]], truth: np.ndarray, groups: np.ndarray, *, resplits: int
) -> list[dict[str, Any]]:
    """Scenes redealt: a threshold from one half, judged on the other."""
    lines, scenes = [], np.unique(groups)
    for name in (TWO, LAST):
        for error, way in ((0.05, "by scene"), (0.1, "by scene"), (0.05, "by row, no promise")):
            rng, found = np.random.default_rng(0), []
            for turn in range(resplits):
                said = kept[name][turn % len(kept[name])]
                sure, right = np.maximum(said, 1 - said), (said >= 0.5) == truth
                half = np.isin(groups, rng.permutation(scenes)[: len(scenes) // 2])
                if way == "by scene":
                    below, _ = group_accept_threshold(sure[half], right[half], groups[half], error=error)
                else:
                    below, _ = accept_threshold(sure[half], right[half], error=error)
                answered = ~half & (sure >= below)
                wrong = (answered & ~right).sum() / max(answered.sum(), 1)
                single = [
                    group_error(sure[groups == g], right[groups == g], below) <= error
                    for g in np.unique(groups[~half])
                ]
                found.append((wrong <= error, wrong, np.mean(single), answered.sum() / (~half).sum()))
            kept_to, wrong, scene, share = np.mean(found, axis=0)
            lines.append({
                "method": name, "threshold": way, "promised error": f"{error:.2f}",
                "resplits that keep to it": f"{kept_to:.3f}", "mean realised error": f"{wrong:.3f}",
                "scenes that keep to it": f"{scene:.3f}", "share answered": f"{share:.3f}",
            })  # fmt: skip
    return lines


def simulated(study: Study, seed: int) -> list[dict[str, Any]]:
    """Maps of simulated scenes that nobody trained on, from pixels of other ones and from MARIDA."""
    count, mapped = (4, 2) if study.small else (24, 24)
    quick = {"learner": "spectra", "folds": 6, "noises": (0.0, 0.001), "seed": seed}
    lines = []
    for what, table, config in (
        (f"pixels of {count} other simulated scenes, ours", simulated_pixels(count), quick),
        ("the same, naive Bayes as published", simulated_pixels(count), quick | PAPER),
        ("MARIDA: another sea, another making, ours", study.table, quick),
    ):
        target = TARGET if table is study.table else "debris"
        model = replace(train_debris(table, config=DebrisConfig(**config), target=target), skips=True)
        found = [map_figures(model, simulate_floating(1000 + i)) for i in range(mapped)]
        hits, called, true, sure_hits, sure, unsure, seen = np.sum([one for one, _ in found], axis=0)
        held = np.concatenate([cells for _, cells in found])
        lines.append({
            "trained on": what,
            "precision": f"{hits / max(called, 1):.3f}", "recall": f"{hits / true:.3f}",
            "F1 of pixels": f"{2 * hits / (called + true):.3f}",
            "precision where sure": f"{sure_hits / sure:.3f}" if sure else "–",
            "recall where sure": f"{sure_hits / true:.3f}", "unsure": f"{unsure / seen:.3f}",
            "cells within bounds": f"{held[:, 1].mean():.3f}",
            "of those with debris": f"{held[held[:, 0] > 0, 1].mean():.3f}",
        })  # fmt: skip
    return lines


def simulated_pixels(scenes: int, *, of_each: int = 3) -> Spectra:
    """Some pixels of each class of simulated scenes."""
    values, classes, names = [], [], []
    for seed in range(scenes):
        scene, rng = simulate_floating(seed), np.random.default_rng(seed)
        for name in scene.names:
            at = rng.permutation(np.argwhere(scene.where(name)))[: of_each if name != "land" else 0]
            values += [scene.image.data[:, y, x].astype(float) for y, x in at]
            classes += [name] * len(at)
            names += [f"scene {seed}"] * len(at)
    text = (np.array(part, dtype=object) for part in (classes, names))
    return Spectra(np.array(values), scene.image.bands, *text, "simulated")


def map_figures(model: DebrisModel, scene: Floating, *, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Counts of pixels; and of cells of ``side`` pixels the true share and whether bounds hold it, (n, 2)."""
    land = is_land(scene.image.band("green"), scene.image.band("swir16"))
    said = np.where(land, np.nan, model.predict(scene.image.data[None])[0, 1])
    seen, truth, called = np.isfinite(said), scene.where("debris"), said >= 0.5
    sure = seen & (np.maximum(said, 1 - said) >= model.abstain_below)
    pairs = (called & truth, called, truth, called & sure & truth, called & sure, seen & ~sure, seen)
    cells = []
    for y in range(0, len(said), side):
        for x in range(0, len(said), side):
            here = np.s_[y : y + side, x : x + side]
            water = seen[here].sum()
            if water < side * side / 2:
                continue
            low, high = (called & sure)[here].sum(), (called | (seen & ~sure))[here].sum()
            true = (truth & seen)[here].sum()
            cells.append((true / water, low <= true <= high))
    return np.array([part.sum() for part in pairs]), np.array(cells, dtype=float)


def markdown(lines: list[dict[str, Any]]) -> str:
    """A table of rows with the same columns."""
    rows = [
        list(lines[0]),
        ["---"] * len(lines[0]),
        *([str(part) for part in line.values()] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Run everything, print the tables, write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=("smoke", "cpu"), default="cpu")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/marine_debris")
    parser.add_argument("--out", type=Path, default=Path("runs/debris"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    small = args.preset == "smoke"
    seeds = [int(seed) for seed in args.seeds.split(",")][: 1 if small else None]
    spectra = read_spectra(args.data / "marida_scene_mean_spectra.csv")
    study = Study(args.out / args.preset, spectra, small)
    single = read_spectra(args.data / "marida_pixels.csv.gz")
    lines, (kept, truth, groups) = against_others(study, spectra, seeds)
    found = {"debris": lines, "splits": splits(study, spectra, seeds)}
    found["five"] = five_materials(study, spectra, seeds)
    found["pixels"] = pixels(study, single.select(np.arange(0, len(single), 8)) if small else single, seeds)
    found["promises"] = promises(kept, truth, groups, resplits=20 if small else RESPLITS)
    found["simulated"] = simulated(study, seeds[0])
    printed = "\n\n".join(markdown(part) for part in found.values())
    printed += f"\n\n`python experiments/debris.py --preset {args.preset} --seeds {args.seeds}`"
    print(json.dumps(found) if args.json else printed)
    if not small:
        write_results("debris", printed)


if __name__ == "__main__":
    main()
