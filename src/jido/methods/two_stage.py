"""Two-stage U-Net: sparse targets that are not missed, from a net's own accumulated errors.

Ahn, Shin and Choi 2025 (ginseng fields in aerial images, 2.2 % of the pixels). Stage 1 trains on
the target until it hardly errs on its training tiles, and goes on while everything that it gets
wrong there is accumulated in an error mask. Stage 2 trains a net with one output more, which learns
the error mask; the prediction is the union of both. Beyond the paper: misses and false alarms apart
and with a sign, errors collected on tiles that the net has not seen, outlines left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from jido.errors import ModelError
from jido.io import Progress
from jido.labels import Folds, group_kfold
from jido.methods.errors import ErrorMask, without_rim
from jido.methods.settings import read_settings
from jido.methods.stage import Data, Stage, StageConfig

if TYPE_CHECKING:
    from jido.nets.blocks import Net
    from jido.train import Learner


class Case(NamedTuple):
    """A case of the paper: errors of the epochs after ``onset``, up to ``until``.

    ``branch``: where the accumulation goes on after epoch 200 from the checkpoint of that epoch; A and
    B draw other tiles from there.
    """

    onset: int
    until: int
    branch: str = ""
    branch_at: int | None = None


CASES = {
    "A_100-200": Case(100, 200),
    "A_100-250": Case(100, 250, "A", 200),
    "B_100-250": Case(100, 250, "B", 200),
    "B_100-300": Case(100, 300, "B", 200),
}


class TwoStageConfig(StageConfig):
    """Settings of a training; the defaults are the paper's, case B_100-250.

    ``full`` on 8,436 tiles: 250 + 400 epochs, hours on one GPU; claimed IoU .70 -> .79. ``cpu`` on
    430 tiles of 256 pixels: 72 epochs, a quarter of an hour on 2 quiet cores.
    """

    stages: Literal[1, 2] = 2
    tile: PositiveInt = Field(256, description="side of the tiles in pixels, a multiple of 8")

    onset: PositiveInt = Field(100, description="epochs of stage 1 before errors are collected")
    until: PositiveInt = Field(250, description="last epoch of stage 1")
    branch: Literal["", "A", "B"] = "B"
    branch_at: PositiveInt | None = Field(200, description="epoch from which the branch goes on")
    out_of_fold: NonNegativeInt = Field(0, description="folds; errors on tiles that a net has not seen")
    rim: NonNegativeInt = Field(0, description="pixels on both sides of an outline whose errors do not count")

    epochs: PositiveInt = Field(400, description="of stage 2")
    start: Literal["scratch", "stage 1"] = Field("scratch", description="weights with which stage 2 begins")
    recall: float | None = Field(None, gt=0, le=1, description="of validation pixels; none: the best IoU")

    @model_validator(mode="after")
    def _possible(self) -> TwoStageConfig:
        if self.onset >= self.until:
            raise ModelError(f"Errors are collected from epoch {self.onset} on: let stage 1 go beyond it.")
        if self.branch and not (self.branch_at and self.onset <= self.branch_at < self.until):
            raise ModelError("A branch begins at an epoch after the onset and before the end of stage 1.")
        return self

    def case(self, name: str, cases: Mapping[str, Case] = CASES) -> TwoStageConfig:
        """These settings with the epochs of a case of the paper, or of others.

        Raises:
            ModelError: for another name.
        """
        if name not in cases:
            raise ModelError(f"There is no case {name!r}: use one of {', '.join(cases)}.")
        return self.model_copy(update=cases[name]._asdict())


PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "width": 4,
        "depth": 2,
        "batch": 8,
        "tile": 128,
        "onset": 2,
        "until": 3,
        "epochs": 2,
        "branch": "",
        "passes": 1,
        "tiles_per_epoch": 64,
    },
    "cpu": {
        "width": 16,
        "batch": 8,
        "tile": 128,  # four times the steps for the same time, and a small net needs steps
        "onset": 34,
        "until": 38,
        "epochs": 34,
        "branch": "",
        "passes": 1,
        "tiles_per_epoch": 704,
    },
    "full": {},
}
"""What differs from the defaults."""


def load_config(
    path: str | Path | None = None,
    *,
    preset: str = "cpu",
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> TwoStageConfig:
    """``defaults``, overruled by a preset, overruled by a TOML file, overruled by what is ``given``.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    return read_settings(TwoStageConfig, path, PRESETS[preset], given=given, **defaults)


Factory = Callable[[int, int], "Net"]
"""Number of bands, number of outputs -> a net with fresh weights."""


def net_factory(config: TwoStageConfig) -> Factory:
    """The net that the settings name."""
    from jido.nets import build_net

    def build(bands: int, outputs: int) -> Net:
        return build_net(
            config.net, in_channels=bands, out_channels=outputs, width=config.width, depth=config.depth
        )

    return build


def require_net(config: TwoStageConfig, side: int) -> None:
    """Refuse settings with which no training can begin, before tiles are cut.

    Raises:
        ModelError: without torch, for a net or loss that does not exist, and for tiles of ``side`` pixels
            that the net cannot take.
    """
    net = net_factory(config)(1, 1)
    from jido.losses import LOSSES

    if config.loss not in LOSSES:
        raise ModelError(f"There is no loss {config.loss!r}: use one of {', '.join(LOSSES)}.")
    if side % (least := lcm(net.divisor, 8)):  # 8 pixels of a mask are a byte
        raise ModelError(
            f"Tiles of {side} pixels do not suit {config.depth} halvings: give a multiple of {least}."
        )


def require_cases(config: TwoStageConfig, cases: Mapping[str, Case] = CASES) -> None:
    """Refuse what cannot be trained as several cases in one run.

    Raises:
        ModelError: for one stage, and for cases that have no stage 1 in common.
    """
    if config.stages == 1:
        raise ModelError("All cases in one run are cases of stage 2: leave out --stages 1, or give one case.")
    onsets = {case.onset for case in cases.values()}
    forks = {case.branch_at for case in cases.values() if case.branch}
    if len(onsets) != 1 or len(forks) > 1:
        raise ModelError("Cases of one run share stage 1: give them one onset and one epoch of branching.")


@dataclass(frozen=True, eq=False)
class TwoStage:
    """The method on some tiles: what it does, step by step.

    Args:
        data: the tiles.
        config: the settings.
        work: folder of the checkpoints; a training that was cut off goes on from there.
        factory: of the nets; the one that the settings name without it.
        progress: told the epochs of every stage.
    """

    data: Data
    config: TwoStageConfig
    work: Path
    factory: Factory | None = None
    progress: Progress | None = None

    def stage_one(self, *, collect: bool = True, until: int | None = None) -> Stage:
        """Stage 1 to its last epoch, with its branch if it has one.

        Args:
            collect: accumulate errors after the onset; without it this is the plain U-Net.
            until: another last epoch.
        """
        config = self.config
        until, onset = until or config.until, config.onset if collect else None
        trunk = self.stage("stage 1" if collect else "baseline", number=1)
        if not collect:
            self._begin_with_stage_one(trunk, until)
        if not (collect and config.branch and config.branch_at):
            return trunk.run(until, collect_from=onset, work=self.work, progress=self.progress)
        trunk.run(config.branch_at, collect_from=onset, work=self.work, progress=self.progress)
        branch = self.stage(config.branch, number=1, stream=config.branch)
        branch.restore(trunk.checkpoint(self.work), trunk.key(onset))
        return branch.run(until, collect_from=onset, work=self.work, progress=self.progress)

    def _begin_with_stage_one(self, baseline: Stage, until: int) -> None:
        """Spare a baseline the epochs that stage 1 has behind it: collecting changes no weight."""
        trunk = self.stage("stage 1", number=1)
        path = trunk.checkpoint(self.work)
        if path.exists() and not baseline.checkpoint(self.work).exists():
            baseline.restore(path, trunk.key(self.config.onset), until=until)

    def folds(self) -> Folds:
        """Folds of the training tiles, groups kept whole.

        Raises:
            FoldsError: when there are too few groups.
        """
        tiles, train, config = self.data.tiles, self.data.train, self.config
        return group_kfold(
            tiles.group[train],
            tiles.positive(config.positive_share)[train],
            k=config.out_of_fold,
            seed=config.seed,
        )

    def out_of_fold(self) -> ErrorMask:
        """Errors on tiles that a net has not seen: a stage 1 for each fold of the training groups."""
        config, train = self.config, self.data.train
        errors = ErrorMask(self.data.tiles.masks)
        for number, (seen, held) in enumerate(self.folds(), start=1):
            name = f"fold {number}"
            stage = self.stage(name, number=1, stream=name, train=train[seen], collected=train[held])
            stage.run(config.until, collect_from=config.onset, work=self.work, progress=self.progress)
            errors.bits |= stage.errors.bits
        return errors

    def stage_two(self, first: Stage, errors: ErrorMask | None = None, *, name: str = "stage 2") -> Stage:
        """Stage 2 on the errors of stage 1, or on others.

        Args:
            first: stage 1.
            errors: accumulated errors; those of stage 1 without them.
            name: of the run in the history.
        """
        config, data = self.config, self.data
        found = errors or first.errors
        bits = without_rim(found.bits, data.tiles, width=config.rim)
        targets = (data.tiles.masks, *(found.of(head, bits) for head in config.heads))
        second = self.stage(name, number=2, stream=f"stage 2 from {config.start}", targets=targets)
        if config.start == "stage 1":
            second.learner.put(first.learner.weights(), grown=True)
        return second.run(config.epochs, work=self.work, progress=self.progress)

    def stage(
        self,
        name: str,
        *,
        number: int,
        stream: str = "",
        train: np.ndarray | None = None,
        collected: np.ndarray | None = None,
        targets: tuple[np.ndarray, ...] = (),
    ) -> Stage:
        """A stage that has not begun, with a fresh net; arguments as those of :class:`Stage`."""
        tiles = self.data.tiles
        targets = targets or (tiles.masks,)
        return Stage(
            name=name,
            number=number,
            stream=stream,
            learner=self._learner(number, len(targets)),
            data=self.data,
            config=self.config,
            train=self.data.train if train is None else train,
            collected=self.data.train if collected is None else collected,
            targets=targets,
            errors=ErrorMask(tiles.masks),
        )

    def _learner(self, number: int, outputs: int) -> Learner:
        """A fresh net with its loss and its optimiser; its first weights depend on the seed alone."""
        from jido.losses import LOSSES
        from jido.train import Learner, seeded

        config = self.config
        with seeded(10 * config.seed + number):
            net = (self.factory or net_factory(config))(len(self.data.tiles.bands), outputs)
        return Learner(
            net, LOSSES[config.loss](), learning_rate=config.learning_rate, precision=config.precision
        )
