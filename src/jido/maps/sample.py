"""A probability sample of the cells of a map: the ground of every accuracy that is claimed for all of it."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jido.errors import ImageError, JidoError, LabelsError
from jido.io import ClassMap, Progress, file_sha256, read_labels
from jido.labels import ClassScheme, Labels
from jido.labels.design_sample import INTERPRETERS, DesignSample, Stratum
from jido.maps.assess import find_report
from jido.maps.reference import find_scheme
from jido.maps.sample_cells import Cells, Counted, Strip, count_cells, pick, zones_of
from jido.maps.sample_plan import Wish, held_out, make_plan
from jido.stats.design import Rule
from jido.stats.design_plan import TWO

SQUARE = 256
"""Side of the squares that are counted where no clusters are asked for."""


@dataclass(frozen=True)
class Clusters:
    """Two stages: squares are drawn, then cells inside each.

    Args:
        side: of a square in cells.
        cells: drawn in each; all where it has fewer.
    """

    side: int
    cells: int

    def __post_init__(self) -> None:
        if self.side < TWO or not 1 <= self.cells <= self.side**2:
            raise JidoError(
                f"Squares of {self.side} cells a side with {self.cells} drawn in each cannot be: give a side "
                "of 2 or more, and 1 to side x side cells."
            )


def draw_sample(
    path: str | Path,
    *,
    n: int | None = None,
    se: float | None = None,
    strata: str | Path = "class",
    strata_field: str | None = None,
    allocation: Rule | Mapping[str, int] = "proportional",
    least: int | None = None,
    accuracies: Mapping[str, float] | None = None,
    clusters: Clusters | None = None,
    classes: Mapping[int, str] | ClassScheme | None = None,
    band: int | None = None,
    within: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DesignSample:
    """Draw cells of a map with known chances: stratified, simple random, or in clusters.

    Two passes over the map by strips: memory grows with its width, not with its height. Cells without data
    and with code 0 are not mapped, and no figure of the sample speaks of them.

    Args:
        path: a class map.
        n: points in all; with ``clusters`` as many squares as they fill, the last one too.
        se: or the standard error of overall accuracy that is wished.
        strata: ``class``, ``none`` (a simple random sample), or a file: a raster of whole numbers on the
            cells of the map, or polygons. What it says nothing of is the stratum ``outside``.
        strata_field: column of the names of the strata in a file of polygons.
        allocation: how points are shared out, see :func:`~jido.stats.design.allocate`; or points by stratum.
        least: points that each stratum gets at least, see :func:`~jido.stats.design_plan.planned`.
        accuracies: user's accuracies to anticipate, by name of the stratum; those of held-out groups in the
            report of the map where none are given, else 0.8.
        clusters: squares and cells in each; strata are left out then.
        classes: what the codes of the map mean, where its report does not say.
        band: of the classes, see :class:`~jido.io.ClassMap`.
        within: file of polygons to draw in.
        seed: of the draw; the same seed on the same map draws the same cells.
        progress: told how far it is.

    Returns:
        The sample, unlabelled: :func:`~jido.io.design_sample.write_sample` writes it with its forms.

    Raises:
        ImageError: when the map cannot be read, is no class map, or nobody knows its classes.
        LabelsError: when strata or polygons cannot be read or do not fit.
        JidoError: when n points cannot be drawn so.
    """
    wish = Wish(n, se, allocation, least, accuracies or {})
    if clusters and se is not None:
        raise JidoError(
            "How alike cells of a cluster err is not known beforehand: give n and no standard error."
        )
    if clusters and (strata not in ("class", "none") or (allocation, least) != ("proportional", None)):
        raise JidoError("Clusters are drawn from the whole map: leave out strata, allocation and the least.")
    with ClassMap(path, band=band) as source:
        scheme = _scheme(source, classes)
        _require_apart(scheme.labels, "classes")
        inside = _inside(within, scheme, source)
        kind = "none" if clusters else strata
        with zones_of(kind, scheme, source.grid, field=strata_field) as zones:
            cells = Cells(source, scheme, zones, inside, progress)
            counted = count_cells(cells, side=clusters.side if clusters else SQUARE)
            if not counted.classes.any():
                raise ImageError(
                    f"{path} has no mapped cell to draw from{f' in {within}' if within else ''}."
                )
            rng = np.random.default_rng(seed)
            if clusters:
                drawn = _in_clusters(cells, counted, clusters, n or 0, rng)
            else:
                drawn = _by_strata(cells, counted, wish, classes=strata == "class", rng=rng)
        facts = _map_facts(source, seed=seed, within=within) | {"cells": int(counted.classes.sum())}
        if counted.zeros:
            drawn.facts["notes"].append(
                f"{counted.zeros:,} cells hold the code 0, which is no class: no figure of the sample speaks "
                "of them; give them another code if they are one."
            )
        return _assembled(drawn, facts, scheme, source, rng)


def _map_facts(source: ClassMap, *, seed: int, within: str | Path | None) -> dict[str, Any]:
    """What the sample was drawn from, JSON-ready."""
    return {
        "jido": importlib.metadata.version("jido"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "map": source.path.name,
        "sha256": file_sha256(source.path),
        "band": source.band,
        "grid": {
            "crs": str(source.grid.crs) if source.grid.crs else None,
            "shape": tuple(source.grid.shape),
            "transform": list(source.grid.affine)[:6],
        },
        "seed": seed,
        "within": Path(within).name if within else None,
    }


class _Drawn(NamedTuple):
    """Cells (n, 2) in the order of the map, stratum and cluster (n,) of each, all strata, further facts."""

    cell: np.ndarray
    stratum: np.ndarray
    cluster: np.ndarray
    strata: tuple[Stratum, ...]
    facts: dict[str, Any]


def _require_apart(names: Sequence[str], what: str) -> None:
    """Forms and files know classes and strata by their names, in any case."""
    number = Counter(name.casefold() for name in names)
    if twice := [name for name in names if number[name.casefold()] > 1]:
        raise LabelsError(f"Two {what} are called {twice[0]!r}: give each a name of its own.")


def _scheme(source: ClassMap, classes: Mapping[int, str] | ClassScheme | None) -> ClassScheme:
    """The classes that a person names, else those of the report, else those beside the map."""
    if isinstance(classes, ClassScheme):
        return classes
    named = [asdict(cls) for cls in source.classes]
    if classes:
        named = [asdict(replace(source.land_class(k), label=v, name=v)) for k, v in classes.items()]
    elif found := find_scheme(source.path):
        return found
    if not named:
        raise ImageError(
            f"{source.path} does not say what its classes are called, and interpreters have to know: give "
            "--classes 10=forest,20=water, or lcz."
        )
    return ClassScheme.from_dict({"name": "classes", "classes": named, "weights": None, "built": []})


def _inside(within: str | Path | None, scheme: ClassScheme, source: ClassMap) -> Labels | None:
    """The polygons to draw in, in the CRS of the map."""
    if within is None:
        return None
    return read_labels(within, scheme=scheme, one_class=True).to_crs(source.grid.crs)


def _by_strata(
    cells: Cells, counted: Counted, wish: Wish, *, classes: bool, rng: np.random.Generator
) -> _Drawn:
    """A simple random sample of every stratum that has cells."""
    there = np.flatnonzero(counted.zones)
    names, sizes = [cells.zones.name(k) for k in there.tolist()], counted.zones[there]
    _require_apart(names, "strata")
    plan = make_plan(
        wish,
        names,
        sizes,
        held=held_out(find_report(cells.source.path), cells.scheme),
        mapped={
            name: count
            for name, count in zip(cells.scheme.labels, counted.classes.tolist(), strict=True)
            if count
        },
        classes=classes,
    )
    place = np.full(cells.zones.count + 1, -1)  # the last one is that of cells that are not drawn from
    place[there] = np.arange(len(there))
    ranks = [_ranks(size, k, rng) for size, k in zip(sizes.tolist(), plan.drawn.tolist(), strict=True)]
    cell, stratum = pick(cells, ranks, lambda strip: place[strip.zone])
    km2 = [None] * len(there) if counted.km2 is None else counted.km2[there].tolist()
    rows = zip(names, sizes.tolist(), plan.drawn.tolist(), km2, strict=True)
    given = not isinstance(wish.allocation, str)
    facts = {
        "kind": "stratified" if len(there) > 1 else "simple",
        "allocation": "given" if given else wish.allocation,
        "cluster": None,
        "plan": plan.to_dict(names),
        "notes": list(plan.notes),
    }
    return _Drawn(cell, stratum, np.full(len(cell), -1), tuple(Stratum(*row) for row in rows), facts)


def _in_clusters(
    cells: Cells, counted: Counted, clusters: Clusters, n: int, rng: np.random.Generator
) -> _Drawn:
    """Squares that have mapped cells, with equal chances, and cells of each."""
    there = np.flatnonzero(counted.squares)
    m = -(-n // clusters.cells)
    if not TWO <= m <= len(there):
        raise JidoError(
            f"{n} points with {clusters.cells} in each square are {m} squares, and the map has {len(there)} "
            f"of {clusters.side} x {clusters.side} cells: draw 2 or more, and no more than there are."
        )
    chosen = np.sort(rng.choice(there, m, replace=False))
    sizes = counted.squares.ravel()[chosen]
    ranks = [_ranks(size, min(size, clusters.cells), rng) for size in sizes.tolist()]
    place = np.full(counted.squares.size, -1)
    place[chosen] = np.arange(m)

    def numbered(strip: Strip) -> np.ndarray:
        row, col = (
            np.arange(n) // clusters.side for n in (strip.top + len(strip.place), strip.place.shape[1])
        )
        square = row[strip.top :, None] * counted.squares.shape[1] + col
        return np.where(strip.place >= 0, place[square], -1)

    cell, cluster = pick(cells, ranks, numbered)
    total = int(counted.zones.sum())
    km2 = None if counted.km2 is None else float(counted.km2.sum())
    short = np.count_nonzero(sizes < clusters.cells)
    note = f"{short} of {m} squares hold fewer than {clusters.cells} mapped cells: all of these were drawn."
    facts = {
        "kind": "clusters",
        "allocation": f"{clusters.cells} cells in each square",
        "cluster": {
            "side": clusters.side,
            "clusters": len(there),
            "drawn": m,
            "per_cluster": clusters.cells,
            "sizes": sizes.tolist(),
        },
        "plan": None,
        "notes": [note] if short else [],
    }
    strata = (Stratum("all", total, len(cell), km2),)
    return _Drawn(cell, np.zeros(len(cell), np.int64), cluster, strata, facts)


def _ranks(size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """So many different numbers below size, sorted."""
    return np.sort(rng.choice(size, n, replace=False, shuffle=False))


def _assembled(
    drawn: _Drawn, facts: dict[str, Any], scheme: ClassScheme, source: ClassMap, rng: np.random.Generator
) -> DesignSample:
    """The sample in an order that tells nothing of strata and clusters."""
    n = len(drawn.cell)
    order = rng.permutation(n)
    cell = drawn.cell[order]
    return DesignSample(
        facts=facts | drawn.facts,
        strata=drawn.strata,
        id=np.arange(1, n + 1),
        cell=cell,
        xy=np.column_stack(source.grid.affine * tuple(cell[:, ::-1].T + 0.5)),
        stratum=drawn.stratum[order],
        cluster=drawn.cluster[order],
        codes=np.full((n, INTERPRETERS), -1),
        confidence=np.full((n, INTERPRETERS), "", dtype=object),
        note=np.full(n, "", dtype=object),
        scheme=scheme,
        crs=source.grid.crs,
    )
