"""Flooded ground, or damaged buildings, by squares of pixels: for images that have no place on Earth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jido.indicators.flood import built_shares, counted, flood_sheet, require_fit
from jido.indicators.sheet import MethodSheet
from jido.indicators.table import ROUNDING
from jido.io.cell_table import write_rows
from jido.io.files import json_text, replacing_together
from jido.stats.binary import cell_shares
from jido.stats.event_shares import EventShares

COLUMNS = ("value", "lower", "upper", "coverage", "n", "mapped")


@dataclass(frozen=True, eq=False)
class PixelCells:
    """Squares of an image that has no place; arrays (R, C), the upper left cell first.

    Args:
        value: share flooded (damaged); NaN = empty.
        lower: of the interval; NaN where none is claimed.
        upper: of the interval.
        coverage: share of the cell (of its buildings) that was seen.
        n: pixels seen, counted by what is built of them where shares are of buildings.
        mapped: the share that the map says.
        side: of a cell in pixels.
        sheet: how they were measured.
        shares: what held-out events say, ``None`` without.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    coverage: np.ndarray
    n: np.ndarray
    mapped: np.ndarray
    side: int
    sheet: MethodSheet
    shares: EventShares | None = None

    def whole(self) -> dict[str, float]:
        """Value and interval of the image as a whole: of all its pixels (buildings) in cells that were seen.

        What the event errs is common to all cells: :meth:`~jido.stats.event_shares.EventShares.total`.
        """
        seen = np.isfinite(self.mapped)
        if not seen.any():
            return dict.fromkeys(("value", "lower", "upper"), float("nan"))
        p, n = self.mapped[seen], self.n[seen]
        weight = n / self.coverage[seen]
        if self.shares is None:
            return {"value": float(weight @ p / weight.sum()), "lower": np.nan, "upper": np.nan}
        value, lower, upper, _ = self.shares.total(p, weight / weight.sum(), n, level=self.sheet.level)
        return {"value": value, "lower": lower, "upper": upper}

    def rows(self, *, name: str = "") -> list[Mapping[str, object]]:
        """A row per cell: id ``NAME/r3c12``, row, col and :data:`COLUMNS`."""
        before = f"{name}/" if name else ""
        return [
            {"id": f"{before}r{r}c{c}", "row": r, "col": c}
            | {column: float(getattr(self, column)[r, c]) for column in COLUMNS}
            for r, c in np.ndindex(*self.value.shape)
        ]

    def write(self, stem: str | Path, *, name: str = "") -> list[Path]:
        """``STEM.csv``, in which what is NaN is left empty, and the method sheet; all of them or none.

        Raises:
            OutputError: when the place cannot be written.
        """
        stem = Path(stem)
        files = [stem.with_name(f"{stem.name}.{end}") for end in ("csv", "method.json", "method.md")]
        with replacing_together(*files) as (table, facts, page):
            write_rows(self.rows(name=name), table)
            facts.write_text(json_text(self.sheet.to_dict(), indent=2) + "\n", encoding="utf-8")
            page.write_text(self.sheet.to_markdown(), encoding="utf-8")
        return files


def pixel_cells(
    plane: np.ndarray,
    side: int,
    *,
    shares: EventShares | None = None,
    buildings: np.ndarray | None = None,
    threshold: float | None = None,
    min_coverage: float = 0.5,
    level: float = 0.95,
    dates: Sequence[str] = (),
    bands: Sequence[str] = ("target",),
    indicator: str = "",
    model: str = "unknown",
) -> PixelCells:
    """As :func:`~jido.indicators.flood.flood_table` for squares of an image without a place.

    Args:
        plane: (Y, X) probability or class 0/1 of the target; NaN = not seen.
        side: of a cell in pixels; those at the right and lower edge may be cut.
        shares: what held-out events say of cells; no interval is claimed without.
        buildings: (Y, X) share of each pixel that is built.
        threshold: as :func:`~jido.indicators.flood.require_fit`.
        min_coverage: share of the cell (of its buildings) that has to be seen.
        level: of the intervals.
        dates: of the images, ISO, the one before the event first.
        bands: of the images, for the method sheet.
        indicator: its name; ``flooded ground`` or ``damaged buildings`` without.
        model: name of the package.

    Raises:
        JidoError: when something does not fit.
    """
    threshold = require_fit(shares, threshold)
    built = None if buildings is None else built_shares(buildings)
    p, coverage, n = cell_shares(counted(plane, threshold), side, weights=built)
    p = np.where(coverage < min_coverage - ROUNDING, np.nan, np.clip(p, 0, 1))
    value, lower, upper = p, np.full(p.shape, np.nan), np.full(p.shape, np.nan)
    if shares is not None:
        value, lower, upper, _ = shares.interval(p, n, level=level)
    sheet = flood_sheet(
        f"squares of {side} x {side} pixels", shares, threshold, buildings=buildings is not None,
        min_coverage=min_coverage, level=level, dates=dates, bands=bands, indicator=indicator, model=model,
    )  # fmt: skip
    return PixelCells(value, lower, upper, coverage, n, p, int(side), sheet, shares)
