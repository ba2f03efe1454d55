"""A probability sample of a map: points whose chances are known, and what people said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo import CRS

from jido.errors import LabelsError
from jido.labels.scheme import ClassScheme

CONFIDENCES = ("high", "medium", "low")
"""How sure an interpreter may be."""

INTERPRETERS = 2
"""Who label every point, without seeing what the other one said."""


@dataclass(frozen=True)
class Stratum:
    """A part of the map that was sampled apart.

    Args:
        name: of the class, of the zone, or ``all``.
        cells: N_h, mapped cells in it.
        drawn: n_h, cells drawn from it.
        km2: its area on the ground; ``None`` where the map has no place on Earth.
    """

    name: str
    cells: int
    drawn: int
    km2: float | None


@dataclass(frozen=True, eq=False)
class DesignSample:
    """A probability sample of a map's cells, and what people said of them where they did.

    Args:
        facts: how it was drawn, JSON-ready: ``jido``, ``made``, ``map`` (name), ``sha256`` (of the map
            file), ``band``, ``grid`` (``crs``, ``shape``, ``transform`` of the map), ``kind`` (``simple``,
            ``stratified``, ``clusters``), ``cells`` (mapped ones that could be drawn), ``allocation``,
            ``seed``, ``within`` (name of a file of polygons, or ``None``), ``cluster`` (``side`` in cells,
            ``clusters`` that there are, ``drawn``, ``per_cluster``, ``sizes``: cells of each drawn one; or
            ``None``), ``plan`` (what was anticipated) and ``notes`` (sentences).
        strata: all of them, also those from which nothing was drawn.
        id: (n,) number of each point, from 1 in an order that tells nothing.
        cell: (n, 2) row and column on the map.
        xy: (n, 2) centre of the cell in the CRS of the map.
        stratum: (n,) place in ``strata``.
        cluster: (n,) place among the drawn clusters; -1 where there are none.
        codes: (n, 2) class code by each interpreter, -1 where nothing was said.
        confidence: (n, 2) one of :data:`CONFIDENCES`, or empty text.
        note: (n,) text.
        scheme: the classes.
        crs: of the map, ``None`` where it has no place on Earth.

    Raises:
        LabelsError: when lengths differ, an id occurs twice, a place lies outside, or a code is no class.
    """

    facts: dict[str, Any]
    strata: tuple[Stratum, ...]
    id: np.ndarray
    cell: np.ndarray
    xy: np.ndarray
    stratum: np.ndarray
    cluster: np.ndarray
    codes: np.ndarray
    confidence: np.ndarray
    note: np.ndarray
    scheme: ClassScheme
    crs: CRS | None

    def __post_init__(self) -> None:
        n, pair = len(self.id), (len(self.id), INTERPRETERS)
        shapes = {"cell": (n, 2), "xy": (n, 2), "stratum": (n,), "cluster": (n,), "codes": pair,
                  "confidence": pair, "note": (n,)}  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise LabelsError(
                    f"A sample of {n} points needs {name} of shape {shape}, not {getattr(self, name).shape}."
                )
        if not n or len(np.unique(self.id)) < n:
            raise LabelsError("A sample needs points, each with an id of its own.")
        if self.stratum.min() < 0 or self.stratum.max() >= len(self.strata):
            raise LabelsError(f"Points lie in strata 0 to {len(self.strata) - 1}, one of these does not.")
        unknown = set(np.unique(self.codes).tolist()) - {-1, *self.scheme.codes}
        if unknown:
            raise LabelsError(f"Codes {sorted(unknown)} are not in the class scheme {self.scheme.name!r}.")

    def __len__(self) -> int:
        return len(self.id)

    @property
    def kind(self) -> str:
        """``simple``, ``stratified`` or ``clusters``."""
        return str(self.facts["kind"])

    @property
    def labelled(self) -> np.ndarray:
        """Bool (n,): points of which at least one interpreter said something."""
        return np.any(self.codes >= 0, axis=1)

    @property
    def cluster_sizes(self) -> np.ndarray:
        """Cells (m,) int64 that could be drawn in each drawn cluster; empty where there are none."""
        cluster = self.facts["cluster"]
        return np.array(cluster["sizes"] if cluster else [], dtype=np.int64)

    @property
    def inclusion(self) -> np.ndarray:
        """Inclusion probability (n,) of each point.

        n_h / N_h in a stratum; (m / M) (m_i / M_i) where m of M clusters were drawn, and m_i of the M_i
        cells of this one.
        """
        cluster = self.facts["cluster"]
        if not cluster:
            return np.array([s.drawn / s.cells for s in self.strata])[self.stratum]
        sizes = self.cluster_sizes
        within = np.bincount(self.cluster, minlength=len(sizes)) / sizes
        return cluster["drawn"] / cluster["clusters"] * within[self.cluster]
