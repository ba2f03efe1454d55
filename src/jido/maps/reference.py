"""What a map is compared with, as it stands in files: labels with classes, or a target and all the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import shapely

from jido.errors import LabelsError
from jido.io import read_classes, read_labels, read_target
from jido.io.target import RASTERS
from jido.labels import ClassScheme, Labels, Problem
from jido.maps.assess import assess, find_report
from jido.maps.assess_binary import assess_binary


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference that was read.

    Args:
        labels: labels of the classes of the map, or of its target; a path for a mask.
        complete: the two classes of the map where everything else is background; else ``None``.
        within: only cells inside these are judged.
        training: labels that the map was made from, besides those in its report.
        target: values or colours of the target in the mask.
        said: how the file was taken, where that is not plain.
    """

    labels: Labels | Path
    complete: ClassScheme | None = None
    within: Labels | None = None
    training: Labels | None = None
    target: tuple[str, ...] = ()
    said: tuple[Problem, ...] = ()

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What the reader repaired, and how it took the file."""
        return (*(self.labels.notes if isinstance(self.labels, Labels) else ()), *self.said)

    def judge(self, path: str | Path, *, band: int = 1) -> dict[str, Any]:
        """:func:`jido.maps.assess` of a map, or :func:`jido.maps.assess_binary` where it is complete."""
        if self.complete is not None:
            return assess_binary(
                path,
                self.labels,
                self.complete,
                within=self.within,
                training=self.training,
                band=band,
                target=self.target,
            )
        if isinstance(self.labels, Labels):
            return assess(path, self.labels, training=self.training, band=band)
        raise LabelsError(f"{self.labels} is a mask and needs the two classes of the map: give both.")


def find_scheme(path: str | Path) -> ClassScheme | None:
    """The classes of a map as its report tells them; without one those beside it, where they are two."""
    facts = find_report(path)
    if facts and "scheme" in facts:
        return ClassScheme.from_dict(facts["scheme"])
    named = [asdict(cls) for cls in read_classes(Path(path)).values()]
    if len(named) != 2:
        return None
    return ClassScheme.from_dict({"name": "binary", "classes": named, "weights": None, "built": []})


def read_reference(
    path: str | Path,
    reference: str | Path,
    *,
    within: str | Path | None = None,
    training: str | Path | None = None,
    layer: str | None = None,
    class_field: str | None = None,
    group_field: str | None = None,
    crs: str | None = None,
    target: Sequence[str] = (),
) -> Reference:
    """Read what the map ``path`` is to be compared with.

    On a map of two classes polygons without a class are all target, and everything outside them is
    background; so it is where all polygons are of the target. So is the rest of a mask, which is any
    raster that does not hold the codes of both classes. All other files are labels of the classes of the
    map.

    Args:
        path: the map; its report tells its classes, the 17 Local Climate Zones where none does.
        reference: file of labels, or a mask.
        within: file of polygons to judge in; only for polygons of the target, and masks.
        training: file of the labels the map was made from.
        layer: layer or band of the reference.
        class_field: column of its classes.
        group_field: column of its groups.
        crs: CRS of files that carry none.
        target: values or colours of the target, where the reference is a mask and nobody can tell.

    Raises:
        LabelsError: when one of the files cannot be read, or an option does not go with the reference.
    """
    scheme = find_scheme(path)
    binary = scheme if scheme is not None and len(scheme.classes) == 2 else None

    def places(file: str | Path) -> Labels:
        """Labels whose classes do not matter."""
        found = read_target(file, binary, crs=crs) if binary else None
        return found if isinstance(found, Labels) else read_labels(file, scheme=scheme, crs=crs)

    learned = places(training) if training else None
    place = None
    if binary and not class_field:
        place = read_target(reference, binary, layer=layer, crs=crs, target=target)
    said: tuple[Problem, ...] = ()
    if place is None:
        found = read_labels(
            reference, scheme=scheme, layer=layer, class_field=class_field, group_field=group_field, crs=crs
        )
        if binary is None or not _knows_target_alone(Path(reference), found):
            if within or target:
                raise LabelsError(
                    f"{reference} is no mask and no polygons of the target alone on a map of two classes: "
                    "leave out --within and --target."
                )
            return Reference(found, training=learned)
        place, said = found, (_everything_else(Path(reference), binary),)
    if target and isinstance(place, Labels):
        raise LabelsError(f"{reference} holds polygons: leave out --target, which names values of a mask.")
    judged = places(within) if within else None
    return Reference(place, binary, judged, learned, tuple(target), said)


def _knows_target_alone(path: Path, labels: Labels) -> bool:
    """Whether all features of a vector file are polygons of the target."""
    polygons = path.suffix.lower() not in RASTERS and (shapely.get_dimensions(labels.geometry) == 2).all()
    unsure = any(note.code == "no-class" for note in labels.notes)  # these may be anything
    return bool(polygons and not unsure and (labels.codes == labels.scheme.codes[-1]).all())


def _everything_else(path: Path, scheme: ClassScheme) -> Problem:
    other, target = scheme.labels
    message = (
        f"{path} knows {target} alone, so everything outside its polygons counts as {other}; add polygons of "
        f"{other} to judge inside polygons only."
    )
    return Problem("warning", "target-alone", message)
