"""What somebody's file says of a target: where it is, or which classes are where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jido.errors import LabelsError
from jido.geo import lattice
from jido.io.masks import WINDOW, MaskFile, MaskValues, Target
from jido.io.vectors import names_classes, read_labels
from jido.labels import ClassScheme, Labels

RASTERS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".img", ".vrt")
"""Suffixes of files that hold rasters."""

MANY = 3
"""Different values that are enough to know what a raster is not."""


def read_target(
    path: str | Path,
    scheme: ClassScheme,
    *,
    layer: str | None = None,
    crs: str | None = None,
    target: Sequence[str] = (),
) -> Labels | Path | None:
    """The target of a scheme of two classes, as it stands in a file that knows nothing else.

    Args:
        path: polygons, or a raster.
        scheme: the two classes, the target last.
        layer: layer of the polygons; a raster with one holds labels.
        crs: CRS of polygons that carry none, ``EPSG:32649``.
        target: values or colours of the target; then a raster is a mask, whatever it holds.

    Returns:
        Labels of the target where polygons have no class; the path where the file is a mask; ``None``
        where it tells the classes of the scheme apart, as :func:`~jido.io.read_labels` reads them (a
        raster: with the codes of both).

    Raises:
        LabelsError: when the file is missing or no label file.
        ImageError: when it is a raster that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise LabelsError(f"{path} does not exist.")
    if path.suffix.lower() not in RASTERS:
        if names_classes(path, scheme, layer=layer):
            return None
        return read_labels(path, scheme=scheme, layer=layer, crs=crs, one_class=True)
    if target:
        return path
    return None if layer or _codes(path, by_value=True) == set(scheme.codes) else path


def mask_target(path: str | Path, target: Sequence[str] = ()) -> Target:
    """What is target in one mask: as in training, but here a mask may be all target or all background.

    Args:
        path: the mask.
        target: values (``"3"``, ``"1,2"``) or colours (``"#FF0000"``) of the target.

    Raises:
        ImageError: when the mask cannot be read.
        LabelsError: when nobody can tell which of its values is the target.
    """
    codes = _codes(path)
    if len(codes) < (1 if target else 2):
        return Target(frozenset(codes), None, False, "")
    values = MaskValues(target)
    values.add(Path(path))
    return values.target()


def _codes(path: str | Path, *, by_value: bool = False) -> set[int | float]:
    """Different codes in a mask, 0 aside; no more than are needed to tell what it is."""
    found: set[int | float] = set()
    with MaskFile(path, by_value=by_value) as file:
        for tile in lattice(file.shape, tile=WINDOW):
            codes, known = file.codes(tile.core)
            found.update(np.unique(codes[known & (codes != 0)]).tolist())
            if len(found) >= MANY:
                break
    return found
