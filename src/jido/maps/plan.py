"""How a scene is cut into tiles and tasks: one lattice, whoever works on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil

import numpy as np

from jido.errors import ModelError
from jido.geo import Window
from jido.methods import Model

ROWS = 2
"""Rows of tiles in a task, whatever the number of workers: what is done again after a stop."""

LARGEST = 4096
"""Pixels along a tile, at most: what a laptop's memory takes."""


@dataclass(frozen=True)
class Plan:
    """Cores of tiles overlap by ``overlap`` cells; core ``i`` starts at cell ``i * (core - overlap)``.

    A task is :data:`ROWS` rows of tiles. Two tasks share the ``overlap`` rows between them, their
    *seam*; all other rows of a task are its own.

    Args:
        shape: rows and columns of the map, in cells.
        stride: pixels per cell.
        halo: pixels read around a core.
        core: side in cells of the part of a tile that has a say in the map.
        overlap: cells that neighbouring cores share, blended by a taper: 0 to half a core, so that
            no cell lies in more than two cores along an axis.
        batch: tiles predicted together.

    Raises:
        ModelError: when a length is out of range.
    """

    shape: tuple[int, int]
    stride: int = 1
    halo: int = 0
    core: int = 256
    overlap: int = 0
    batch: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= self.core // 2:
            raise ModelError(
                f"An overlap of {self.overlap * self.stride} pixels is out of range for tiles of {self.tile} "
                f"pixels: give --overlap 0 to {self.core // 2 * self.stride}."
            )

    @classmethod
    def of(
        cls,
        model: Model,
        shape: tuple[int, int],
        *,
        tile: int | None = None,
        overlap: int | None = None,
    ) -> Plan:
        """The plan for a map of ``shape`` cells; ``tile`` and ``overlap`` in pixels overrule the model's."""
        stride, halo = model.stride, model.halo
        side = model.tile if tile is None else tile
        if not stride + 2 * halo <= side <= LARGEST:
            raise ModelError(
                f"A tile of {side} pixels is too {'small' if side < LARGEST else 'large'}: give --tile "
                f"{stride + 2 * halo} to {LARGEST}."
            )
        core = (side - 2 * halo) // stride
        own = min(model.overlap // stride, core // 2)  # as far as a tile of another size allows
        cells = own if overlap is None else overlap // stride
        return cls(shape, stride=stride, halo=halo, core=core, overlap=cells, batch=model.batch)

    @property
    def tile(self) -> int:
        """Side in pixels of what is read for a tile, halo included."""
        return self.core * self.stride + 2 * self.halo

    @property
    def step(self) -> int:
        """Cells from the start of one core to that of the next."""
        return self.core - self.overlap

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, cols = (max(1, ceil((n - self.overlap) / self.step)) for n in self.shape)
        return rows, cols

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return ceil(self.tiles[0] / ROWS)

    def tile_rows(self, task: int) -> range:
        """Rows of tiles of a task."""
        return range(task * ROWS, min((task + 1) * ROWS, self.tiles[0]))

    def start(self, row: int) -> int:
        """First map row of a row of tiles; the height of the map behind the last one."""
        return row * self.step if row < self.tiles[0] else self.shape[0]

    def core_window(self, row: int, col: int) -> Window:
        """The core of a tile in cells, cut at the edge of the map."""
        y, x = row * self.step, col * self.step
        height, width = self.shape
        return slice(y, min(y + self.core, height)), slice(x, min(x + self.core, width))

    def own_window(self, row: int, col: int) -> Window:
        """The cells of a core that no later tile starts on, inside the core: each cell has one owner."""
        rows, cols = self.core_window(row, col)
        last_row, last_col = row + 1 == self.tiles[0], col + 1 == self.tiles[1]
        return (
            slice(0, rows.stop - rows.start if last_row else self.step),
            slice(0, cols.stop - cols.start if last_col else self.step),
        )

    def taper(self) -> np.ndarray:
        """Weights (core, core) float32, above 0: rising over the overlap, 1 in the middle."""
        ramp = np.minimum(np.arange(1, self.core + 1), self.overlap + 1) / (self.overlap + 1)
        side = np.minimum(ramp, ramp[::-1]).astype(np.float32)
        return np.outer(side, side)

    def to_dict(self) -> dict[str, object]:
        """All settings, for the record of a run."""
        return asdict(self) | {"rows": ROWS}
