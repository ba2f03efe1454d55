"""Labels: what a person says is where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from jido.errors import LabelsError
from jido.labels.scheme import ClassScheme

if TYPE_CHECKING:
    import geopandas


class Problem(NamedTuple):
    """Something a reader or the lint has to say about labels.

    ``level``: ``repaired`` (mended on reading), ``warning`` (would harm training), ``error``.
    ``feature``: place of the feature in the file or in the labels, or ``None``.
    """

    level: Literal["error", "warning", "repaired"]
    code: str
    message: str
    feature: int | None = None


class Burned(NamedTuple):
    """Labels on a grid: ``codes`` uint8 (0 = none) and ``item`` int32 (-1 = none), both (y, x)."""

    codes: np.ndarray
    item: np.ndarray


@dataclass(frozen=True, eq=False)
class Labels:
    """Geometries, each with a class and a group, in one CRS.

    Args:
        geometry: (n,) shapely polygons or points.
        codes: (n,) class codes of the scheme.
        groups: (n,) what must not be split between training and test (polygon, city, event).
        crs: the CRS of the geometries.
        scheme: what the codes mean.
        notes: what the reader repaired.

    Raises:
        LabelsError: when the lengths differ or a code is not in the scheme.
    """

    geometry: np.ndarray
    codes: np.ndarray
    groups: np.ndarray
    crs: CRS
    scheme: ClassScheme
    notes: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.geometry), len(self.codes), len(self.groups)}
        if len(lengths) != 1:
            raise LabelsError(f"Labels need as many geometries as codes and groups, not {sorted(lengths)}.")
        unknown = sorted(set(np.asarray(self.codes).tolist()) - set(self.scheme.codes))
        if unknown:
            raise LabelsError(f"Codes {unknown} are not in the class scheme {self.scheme.name!r}.")

    def __len__(self) -> int:
        return len(self.geometry)

    def subset(self, keep: np.ndarray | Sequence[int]) -> Labels:
        """The labels at these places (index or mask)."""
        return replace(
            self, geometry=self.geometry[keep], codes=self.codes[keep], groups=self.groups[keep], notes=()
        )

    def to_crs(self, crs: CRS | None) -> Labels:
        """The same labels in another CRS.

        Raises:
            LabelsError: when it is ``None``, as that of a grid without CRS.
        """
        if crs is None:
            raise LabelsError("The grid has no CRS, so labels cannot be put on it: give it one first.")
        if crs == self.crs:
            return self
        move = self.crs.transformer_to_crs(crs, always_xy=True)
        moved = shapely.transform(self.geometry, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))
        return replace(self, geometry=moved, crs=crs)

    def burn(self, geobox: GeoBox) -> Burned:
        """Labels on the pixels of a grid.

        A pixel belongs to the polygon that holds its centre, or to the point inside it. Where
        items of one class overlap the first one has the pixel; where classes contradict each
        other nobody has it.
        """
        from rasterio.features import rasterize

        here = self.to_crs(geobox.crs)
        codes = np.zeros(tuple(geobox.shape), dtype=np.uint8)
        item = np.full(tuple(geobox.shape), -1, dtype=np.int32)
        contradicted = np.zeros(tuple(geobox.shape), dtype=bool)
        box = shapely.box(*geobox.boundingbox.bbox)
        inside = np.flatnonzero(shapely.intersects(here.geometry, box) & ~shapely.is_empty(here.geometry))
        order = np.unique(here.codes[inside])
        for code in order:
            mine = inside[here.codes[inside] == code]
            shapes = [(here.geometry[i], int(i) + 1) for i in mine[::-1]]
            burned = rasterize(shapes, out_shape=item.shape, transform=geobox.affine, fill=0, dtype=np.int32)
            hit = burned > 0
            contradicted |= hit & (codes > 0)
            codes[hit] = code
            item[hit] = burned[hit] - 1
        codes[contradicted] = 0
        item[contradicted] = -1
        return Burned(codes, item)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """One row per item: ``code``, ``label``, ``name``, ``group``, geometry."""
        import geopandas

        place = self.scheme.index(self.codes)
        classes = [self.scheme.classes[i] for i in place]
        return geopandas.GeoDataFrame(
            {
                "code": np.asarray(self.codes, dtype=np.int64),
                "label": [c.label for c in classes],
                "name": [c.name for c in classes],
                "group": [str(g) for g in self.groups],
            },
            geometry=list(self.geometry),
            crs=self.crs.proj,
        )
