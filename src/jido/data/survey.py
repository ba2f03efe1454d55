"""Survey clusters: where they are, what was measured there, and which tiles stand for each of them.

The published places of clusters are displaced on purpose: up to 2 km in towns, up to 5 km elsewhere, one
rural cluster in a hundred up to 10 km (Demographic and Health Surveys). So a cluster is described by the mean
over a window, never by the tile under its point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from jido.data.places import EARTH_M, LATITUDE, LONGITUDE
from jido.errors import LabelsError
from jido.io.tables import column_names, require_column

URBAN, COUNTRY = ("urban", "urban_rural", "urban_rura"), ("country", "country_code", "dhscc", "cc")
"""What the columns that a survey may lack are called."""

TOWN, LAND = ("1", "1.0", "u", "urban", "true", "yes"), ("0", "0.0", "r", "rural", "false", "no")
"""How tables say that a cluster is urban, and that it is not."""

URBAN_M, RURAL_M = 2000.0, 5000.0
"""How far clusters are displaced: what a window reaches, in metres."""

SHOWN = 3
"""Clusters that a sentence names, at most."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a survey found in n clusters.

    Args:
        lonlat: (n, 2) longitude and latitude in degrees (WGS 84), displaced.
        value: (n,) float64, the target.
        urban: (n,) bool; ``None`` where nobody says.
        country: (n,) text; ``None`` where nobody says.
        row: (n,) line of the file, the header being 1.
        notes: what was left out, a sentence each.
    """

    lonlat: np.ndarray
    value: np.ndarray
    urban: np.ndarray | None
    country: np.ndarray | None
    row: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.value)

    def subset(self, which: np.ndarray, *, notes: Sequence[str] = ()) -> Survey:
        """Some of the clusters, by mask or place, with further notes."""
        urban, country = (None if part is None else part[which] for part in (self.urban, self.country))
        told = (*self.notes, *notes)
        return Survey(self.lonlat[which], self.value[which], urban, country, self.row[which], told)


def read_survey(path: str | Path, target: str) -> Survey:
    """Clusters of a survey from a table.

    Clusters without a value, and those at 0, 0 (which says that the place is not known), are left out.

    Args:
        path: CSV, separated by comma, semicolon or tab; ``.csv.gz`` too. Columns of latitude and longitude
            (:data:`~jido.data.places.LATITUDE`), the target, perhaps :data:`URBAN` and :data:`COUNTRY`.
        target: column of the target, in any case.

    Raises:
        LabelsError: when the table cannot be read, lacks a column or any cluster, or a cell makes no sense.
    """
    path = Path(path)
    names = {name.lower(): name for name in column_names(path)}
    wanted = [require_column(path, asked) for asked in (LONGITUDE, LATITUDE, (target,))]
    more = [next((names[name] for name in asked if name in names), None) for asked in (URBAN, COUNTRY)]
    cells = _cells(path, [name for name in (*wanted, *more) if name])
    lon, lat, value = (_numbers(path, name, cells[name]) for name in wanted)
    _require_places(path, lon, lat)
    urban = None if more[0] is None else _urban(path, more[0], cells[more[0]])
    country = None if more[1] is None else np.array(cells[more[1]])
    placed, known = ~((lon == 0) & (lat == 0)), np.isfinite(value)
    notes = [f"{n:,} clusters {why} are left out." for n, why in (
        (np.count_nonzero(~placed), "at longitude 0, latitude 0"),
        (np.count_nonzero(placed & ~known), f"without a {wanted[2]}"),
    ) if n]  # fmt: skip
    kept = placed & known
    if not kept.any():
        raise LabelsError(f"{path} tells {wanted[2]!r} of no cluster with a place: give another column.")
    found = Survey(np.stack([lon, lat], axis=1), value, urban, country, np.arange(2, len(value) + 2))
    return found.subset(kept, notes=notes)


def _cells(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    import pandas

    frame = pandas.read_csv(
        path, sep=None, engine="python", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    frame.columns = frame.columns.str.strip()
    return {name: frame[name].str.strip().tolist() for name in names}


def _numbers(path: Path, name: str, cells: Sequence[str]) -> np.ndarray:
    """Numbers (n,), NaN for empty cells and the usual words for nothing."""
    found = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell.lower() in ("", "na", "nan", "null", "none"):
            continue
        try:
            found[i] = float(cell)
        except ValueError:
            found[i] = np.inf
        if np.isinf(found[i]):
            raise LabelsError(f"{path} has {cell!r} in column {name!r}, line {i + 2}: give a number there.")
    return found


def _require_places(path: Path, lon: np.ndarray, lat: np.ndarray) -> None:
    wrong = ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90))  # nothing is wrong too
    if wrong.any():
        i = int(np.argmax(wrong))
        raise LabelsError(
            f"{path} says that the cluster in line {i + 2} lies at longitude {lon[i]:g} and latitude "
            f"{lat[i]:g}: give degrees (WGS 84) of every cluster."
        )


def _urban(path: Path, name: str, cells: Sequence[str]) -> np.ndarray:
    for i, cell in enumerate(cells):
        if cell.lower() not in TOWN + LAND:
            raise LabelsError(
                f"{path} has {cell!r} in column {name!r}, line {i + 2}: write 1 or urban, 0 or rural."
            )
    return np.array([cell.lower() in TOWN for cell in cells], dtype=bool)


# -- windows -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Windows:
    """Which tiles stand for which clusters.

    Args:
        weights: (m, N) sparse float64; a row for each cluster inside the imagery, which adds to 1.
        inside: (m,) places of these clusters among all.
        notes: which clusters were left out, a sentence.
    """

    weights: csr_array
    inside: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def tiles(self) -> np.ndarray:
        """Number of tiles (m,) in each window."""
        return np.diff(self.weights.indptr)

    def averaged(self, features: np.ndarray) -> np.ndarray:
        """Means (m, ...) float64 over the windows of something that every tile has, (N, ...).

        NaN in a tile is NaN in every window with the tile.
        """
        flat = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
        return (self.weights @ flat).reshape(len(self.inside), *features.shape[1:])


def window_weights(
    clusters: np.ndarray,
    tiles: np.ndarray,
    *,
    urban: np.ndarray | None = None,
    urban_m: float = URBAN_M,
    rural_m: float = RURAL_M,
    tile_m: float = 0.0,
) -> Windows:
    """The mean over the tiles whose middle lies within a cluster's displacement.

    Jean et al. 2016 (doi 10.1126/science.aaf7894) average a box of 10 km; here towns have a smaller window,
    as they are displaced less. The one rural cluster in a hundred that was moved further is not caught.

    Args:
        clusters: (n, 2) longitude and latitude in degrees.
        tiles: (N, 2) of the middles of the tiles, NaN where unknown.
        urban: (n,) bool; without it every window has the rural radius.
        urban_m: radius of an urban window in metres.
        rural_m: radius of the others.
        tile_m: side of a tile; a window holds the tile that its middle lies in at least.

    Raises:
        LabelsError: when no cluster lies inside the imagery.
    """
    from sklearn.neighbors import BallTree

    known = np.flatnonzero(np.isfinite(tiles).all(axis=1))
    town = np.zeros(len(clusters), dtype=bool) if urban is None else urban
    reach = np.maximum(np.where(town, urban_m, rural_m), tile_m / 2**0.5)
    found = [np.empty(0, dtype=np.int64)] * len(clusters)
    if len(known):
        tree = BallTree(np.radians(tiles[known, ::-1]), metric="haversine")
        found = tree.query_radius(np.radians(clusters[:, ::-1]), reach / EARTH_M, sort_results=False)
    count = np.array([len(some) for some in found])
    inside = np.flatnonzero(count)
    if not len(inside):
        raise LabelsError(
            f"None of the {len(clusters):,} clusters has a tile within {reach.max() / 1000:g} km: give "
            "images of the places of the survey."
        )
    at = known[np.concatenate([np.sort(found[i]) for i in inside])]
    ends = np.concatenate([[0], np.cumsum(count[inside])])
    share = np.repeat(1 / count[inside], count[inside])
    weights = csr_array((share, at, ends), shape=(len(inside), len(tiles)))
    return Windows(weights, inside, _outside(clusters, np.flatnonzero(count == 0)))


def _outside(clusters: np.ndarray, lost: np.ndarray) -> tuple[str, ...]:
    if not len(lost):
        return ()
    named = "; ".join(f"{clusters[i, 0]:.3f}, {clusters[i, 1]:.3f}" for i in lost[:SHOWN])
    more = f" and {len(lost) - SHOWN:,} more" if len(lost) > SHOWN else ""
    return (
        f"{len(lost):,} of {len(clusters):,} clusters lie outside the imagery and are left out (longitude, "
        f"latitude): {named}{more}.",
    )
