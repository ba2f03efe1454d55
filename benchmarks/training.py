"""What training costs: whole steps against forward and backward passes alone, and bf16 against fp32.

``python benchmarks/training.py [--json]`` prints, for segmentation and for scenes, ``step_ratio``: speed of
epochs as they are trained (batches drawn, read, turned, normalised; optimiser, mean of weights) over
that of forward and backward passes alone on one batch in memory. Also ms per tile in both precisions.
Interleaved, medians of five; on a quiet machine. ``--archives a.zip b.zip`` also times a cold start: from
nothing loaded, through every image read and decoded, to the first step done.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 5
STEPS, SIDE, BATCH, WIDTH = 12, 256, 8, 16
SCENES, SCENE_SIDE = 128 * 10, 64


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def passes(training: Any, batch: tuple[Any, Any], steps: int) -> None:
    """Forward and backward passes on one batch in memory, and nothing else."""
    import torch

    learner = training.learner
    images, targets = batch[0].contiguous(memory_format=torch.channels_last), batch[1]
    learner.net.train()
    for _ in range(steps):
        learner.net.zero_grad(set_to_none=True)
        with learner.fabric.autocast():
            logits = learner.net(images)
        learner.loss(logits.float(), targets).backward()


def epoch(training: Any) -> None:
    """An epoch as it is trained."""
    for images, targets in training.batches(2):
        training.learner.step(images, targets)


def compared(trainings: dict[str, Any], steps: int) -> dict[str, tuple[float, float]]:
    """Median seconds of the passes alone and of an epoch, for each training."""
    fixed = {name: next(training.batches(1)) for name, training in trainings.items()}
    for name, training in trainings.items():
        passes(training, fixed[name], steps)
        epoch(training)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in trainings}
    for _ in range(RUNS):
        for name, training in trainings.items():
            alone = seconds(lambda one=training, batch=fixed[name]: passes(one, batch, steps))
            taken[name].append((alone, seconds(lambda one=training: epoch(one))))
    return {
        name: (statistics.median(a for a, _ in times), statistics.median(b for _, b in times))
        for name, times in taken.items()
    }


def segmentation(folder: Path) -> dict[str, float]:
    """Figures of the U-Net of ``jido segment train --preset cpu`` on tiles of 256 pixels."""
    from jido.data.cutting import cut_tiles
    from jido.data.fields import simulate_fields, write_fields
    from jido.io import read_labels
    from jido.labels import binary_scheme
    from jido.methods.stage import Data
    from jido.methods.two_stage import TwoStage, TwoStageConfig

    image, labels = write_fields(simulate_fields(shape=(2048, 2048)), folder)
    polygons = read_labels(labels, scheme=binary_scheme("field"), one_class=True)
    tiles = cut_tiles([image], labels=polygons, work=folder, side=SIDE)
    data = Data(tiles, np.arange(len(tiles) - 8), np.arange(len(tiles) - 8, len(tiles)))
    stages = {}
    for precision in ("bf16", "fp32"):
        config = TwoStageConfig(
            width=WIDTH, batch=BATCH, precision=precision, tiles_per_epoch=STEPS * BATCH, branch=""
        )
        stages[precision] = TwoStage(data, config, folder).stage("stage 1", number=1)
    taken, count = compared(stages, STEPS), STEPS * BATCH
    return {
        "step_ratio": round(taken["bf16"][0] / taken["bf16"][1], 3),
        "bf16_ms_per_tile": round(1e3 * taken["bf16"][1] / count, 1),
        "fp32_ms_per_tile": round(1e3 * taken["fp32"][1] / count, 1),
        "bf16_speedup": round(taken["fp32"][1] / taken["bf16"][1], 2),
    }


def scenes() -> dict[str, float]:
    """Figures of the compact scene net on images of 64 pixels."""
    from jido.data.chips import Chips
    from jido.geo import Band
    from jido.methods.scene import SceneData, SceneTraining
    from jido.methods.scene_config import load_scene_config

    images = np.random.default_rng(0).integers(0, 255, (SCENES, 3, SCENE_SIDE, SCENE_SIDE), dtype=np.uint8)
    bands = tuple(Band(name) for name in ("red", "green", "blue"))
    label, classes = np.arange(SCENES) % 10, tuple("abcdefghij")
    chips = Chips(images, label, label.astype(str), classes, bands)
    data = SceneData(chips, np.arange(SCENES), np.arange(0))
    ways: dict[str, dict[str, Any]] = {
        "adamw": {"optimiser": "adamw", "learning_rate": 1e-3},
        "sgd": {"optimiser": "sgd"},
        "muon": {},
        "muon_fp32": {"precision": "fp32"},
    }
    trainings = {name: SceneTraining(data, load_scene_config(given=given)) for name, given in ways.items()}
    taken = compared(trainings, SCENES // 128)
    ratios = {
        f"scene_step_ratio_{name}": round(taken[name][0] / taken[name][1], 3) for name in list(ways)[:3]
    }
    return ratios | {
        "scene_bf16_ms_per_image": round(1e3 * taken["muon"][1] / SCENES, 3),
        "scene_bf16_speedup": round(taken["muon_fp32"][1] / taken["muon"][1], 2),
    }


def cold_start(archives: list[Path]) -> dict[str, float]:
    """Seconds from nothing loaded to the first step of a scene training; ``archives``: folder per class."""
    start = time.perf_counter()
    from jido.data.chip_reading import read_chips
    from jido.methods.scene import SceneData, SceneTraining
    from jido.methods.scene_config import load_scene_config

    chips = read_chips(archives)
    read = time.perf_counter()
    training = SceneTraining(SceneData(chips, np.arange(len(chips)), np.arange(0)), load_scene_config())
    training.learner.step(*next(training.batches(1)))
    return {
        "cold_start_images": len(chips),
        "cold_start_reading_s": round(read - start, 1),
        "cold_start_s": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--archives", type=Path, nargs="+", help="archives of images for a cold start")
    args = parser.parse_args()
    first = cold_start(args.archives) if args.archives else {}
    with tempfile.TemporaryDirectory() as folder:
        found = first | segmentation(Path(folder)) | scenes()
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:26s} {value}")


if __name__ == "__main__":
    main()
