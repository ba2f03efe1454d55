"""A simulated city and its countryside: Sentinel-1, Sentinel-2, the true Local Climate Zones.

Made for tests, tutorials and experiments that need the truth everywhere. Smooth random fields
become an LCZ map of 100 m cells; each 10 m pixel gets surface covers after its LCZ; covers become
reflectance by linear mixing and backscatter by adding powers. What makes maps of real cities hard
is simulated on purpose: neighbourhoods of 300 m to 1500 m deviate together, so the pixels of one
polygon are alike and two polygons of a class are not; noise and speckle are correlated in space;
and every city has its own roofs, season, soil and atmosphere. Never a substitute for real images:
the accuracy of a method here says nothing of its accuracy anywhere else.

Sources: covers, heights: Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1, and the urban canopy
table of w2w (Demuzere et al. 2022, doi 10.21105/joss.04432), completed by plausible surface mixes.
Spectra and backscatter: round values, typical of the surfaces at 10 m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from odc.geo.crs import norm_crs_or_error
from odc.geo.geobox import GeoBox
from scipy import ndimage

from jido.data.polygons import draw, outline, untouched
from jido.data.surfaces import OPTICAL, PIXELS, backscatter, bands, covers_of, field, reflectance
from jido.geo import Raster
from jido.labels import Labels, lcz_scheme


@dataclass(frozen=True, eq=False)
class City:
    """A simulated city and countryside, known everywhere.

    Args:
        radar: backscatter VV, VH in dB, 10 m.
        optical: reflectance (0..1) of B02 B03 B04 B05 B06 B07 B08 B8A B11 B12, 10 m.
        lcz: uint8 (Y, X), the true LCZ of each 100 m cell, codes 1..17; a city lacks two of them.
        grid: the 100 m cells; ``radar`` and ``optical`` have ten pixels a side in each.
    """

    radar: Raster
    optical: Raster
    lcz: np.ndarray
    grid: GeoBox

    def polygons(self, n: int, *, seed: int, avoid: Labels | None = None) -> Labels:
        """Training polygons as a person picks them: pure, irregular, some of every class.

        A class at a time gets one polygon until ``n`` are drawn or a class has no room left, so
        classes have equal numbers as far as their area allows. Classes that have no room for 3
        are left out when ``n`` is enough for 3 of each. Another seed with ``avoid`` gives new
        polygons of the same city by the same procedure.

        Args:
            n: number of polygons.
            seed: of the draw.
            avoid: polygons drawn before; no new one overlaps them.

        Returns:
            ``n`` polygons of 5 to 60 cells of one class; they may touch but do not overlap;
            the group is the number of the polygon.

        Raises:
            LabelsError: when ``n`` is below 1 or the city has no room for so many.
        """
        free = np.ones(self.lcz.shape, dtype=bool) if avoid is None else untouched(self.grid, avoid)
        drawn = draw(self.lcz, free, n, np.random.default_rng(seed))
        return Labels(
            geometry=np.array([outline(self.grid, cells) for _, cells in drawn], dtype=object),
            codes=np.array([code for code, _ in drawn], dtype=np.uint8),
            groups=np.arange(n),
            crs=norm_crs_or_error(self.grid.crs),
            scheme=lcz_scheme(),
        )


def simulate_city(seed: int, *, cells: int = 128) -> City:
    """A city of ``cells`` x ``cells`` cells of 100 m; the same seed gives the same city.

    Args:
        seed: of everything; another seed is another city, with other roofs, season and air.
        cells: side of the square in cells, at least 32. 128 cells take 3 seconds and 0.5 GB.

    Raises:
        ValueError: when ``cells`` is below 32.
    """
    if cells < 32:
        raise ValueError(f"A city needs at least 32 x 32 cells, not {cells}.")
    rng = np.random.default_rng(seed)
    lcz = land_use(rng, cells)
    covers, height = covers_of(rng, lcz)
    # a UTM zone per seed, so that two cities do not lie on each other
    left, top, crs = 500_000, 5_600_000, f"EPSG:{32601 + (31 + seed) % 60}"
    box = (left, top - 100 * cells, left + 100 * cells, top)
    fine = GeoBox.from_bbox(box, crs, shape=(PIXELS * cells, PIXELS * cells), tight=True)
    return City(
        radar=Raster(backscatter(rng, covers, height), bands("sentinel-1", ("VV", "VH")), fine),
        optical=Raster(reflectance(rng, covers, height), bands("sentinel-2", OPTICAL), fine),
        lcz=lcz,
        grid=GeoBox.from_bbox(box, crs, shape=(cells, cells), tight=True),
    )


# --- land use -------------------------------------------------------------------------------------


def land_use(rng: np.random.Generator, cells: int, *, wet: np.ndarray | None = None) -> np.ndarray:
    """The LCZ map, uint8 (cells, cells): zones around centres, water through and beside them.

    ``wet`` (cells, cells) tells where water is; without it there are a sea or lakes and a river.
    """
    lcz = np.zeros((cells, cells), dtype=np.uint8)
    lacking = (rng.choice([1, 4, 7, 10]), rng.choice([13, 15, 16]))  # no city has them all
    urban = _urbanity(rng, cells)
    tall = field(rng, cells, 4) + urban

    def assign(where: np.ndarray, field: np.ndarray, shares: Mapping[int, float]) -> None:
        """Codes by the rank of the field, from its lowest to its highest values."""
        drawn = [0 if c in lacking else s * rng.lognormal(0, 0.2) for c, s in shares.items()]
        rank = field[where].argsort().argsort() / max(where.sum(), 1)
        lcz[where] = np.array(list(shares))[np.searchsorted(np.cumsum(drawn) / sum(drawn), rank, "right")]

    # 101 to 107 stand for zones that are divided below
    assign(lcz == 0, urban, {101: 46, 102: 13, 103: 25, 104: 16})
    assign(lcz == 101, field(rng, cells, 5), {105: 24, 106: 40, 107: 36})
    assign(lcz == 102, field(rng, cells, 4), {9: 70, 7: 30})
    assign((lcz == 103) & (field(rng, cells, 4) > 0.6), field(rng, cells, 4), {8: 60, 10: 40})
    assign(lcz == 103, tall, {6: 45, 5: 30, 4: 25})
    assign(lcz == 104, tall, {3: 38, 2: 35, 1: 27})
    assign(lcz == 105, field(rng, cells, 4), {16: 60, 15: 40})
    assign(lcz == 106, field(rng, cells, 4), {14: 60, 13: 40})
    assign(lcz == 107, field(rng, cells, 4), {12: 45, 11: 55})
    lcz[_wet(rng, cells) if wet is None else wet] = 17
    return _without_slivers(lcz)


def _urbanity(rng: np.random.Generator, cells: int) -> np.ndarray:
    """High at one to three centres, low far from them; (cells, cells)."""
    y, x = np.mgrid[:cells, :cells] / cells
    centres = rng.uniform(0.25, 0.75, (rng.integers(1, 4), 2))
    away = np.min([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=0)
    return 0.45 * field(rng, cells, 4) - 4 * away


def _wet(rng: np.random.Generator, cells: int) -> np.ndarray:
    """A sea or lakes, 7 % of the cells, and one winding river, about 200 m wide."""
    relief = field(rng, cells, cells / 10) + 0.25 * field(rng, cells, cells / 40)
    across = np.tensordot(rng.choice([-1, 1], 2), np.mgrid[:cells, :cells], axes=1) / cells
    course = np.abs(across - across.mean() + 0.15 * field(rng, cells, cells / 12))
    return (relief < np.quantile(relief, 0.07)) | (course < np.quantile(course, 2.2 / cells))


def _without_slivers(lcz: np.ndarray) -> np.ndarray:
    """Each cell takes the class that prevails around it."""
    codes = np.unique(lcz)
    votes = [ndimage.gaussian_filter((lcz == code).astype(np.float32), 0.7) for code in codes]
    return codes[np.argmax(votes, axis=0)]
