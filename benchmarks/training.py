"""What training costs: a step with its batch against the step alone, bf16 against fp32.

``python benchmarks/training.py [--json]`` prints ``step_ratio`` (speed of epochs as they are trained,
batches drawn, read and normalised, over that of the same steps on one batch in memory), seconds per
tile in both precisions, and their ratio. Interleaved, medians of five; on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

STEPS, RUNS, SIDE, BATCH, WIDTH = 12, 5, 256, 8, 16


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(folder: Path) -> dict[str, float]:
    """All figures."""
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
    fixed = next(stages["bf16"].batches(1))

    def alone(precision: str) -> None:
        for _ in range(STEPS):
            stages[precision].learner.step(*fixed)

    def trained() -> None:
        for images, targets in stages["bf16"].batches(2):
            stages["bf16"].learner.step(images, targets)

    for precision in stages:
        alone(precision)
    taken = {name: [] for name in ("bf16", "trained", "fp32")}
    for _ in range(RUNS):
        taken["bf16"].append(seconds(lambda: alone("bf16")))
        taken["trained"].append(seconds(trained))
        taken["fp32"].append(seconds(lambda: alone("fp32")))
    per_tile = {name: statistics.median(times) / (STEPS * BATCH) for name, times in taken.items()}
    return {
        "step_ratio": round(per_tile["bf16"] / per_tile["trained"], 3),
        "bf16_ms_per_tile": round(1e3 * per_tile["bf16"], 1),
        "fp32_ms_per_tile": round(1e3 * per_tile["fp32"], 1),
        "bf16_speedup": round(per_tile["fp32"] / per_tile["bf16"], 2),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:20s} {value}")


if __name__ == "__main__":
    main()
