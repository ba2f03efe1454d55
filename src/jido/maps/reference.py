"""What a map is compared with, as it stands in files: a sample, labels, or a target and all the rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import shapely

from jido.errors import LabelsError
from jido.io import read_classes, read_labels, read_target
from jido.io.design_sample import is_sample, read_sample
from jido.io.tables import column_names
from jido.io.target import RASTERS
from jido.labels import ClassScheme, Labels, Problem
from jido.labels.design_sample import DesignSample
from jido.maps.assess import assess, find_report
from jido.maps.assess_binary import assess_binary
from jido.maps.assess_sample import assess_sample, with_truth
from jido.maps.report import accuracy_sentence


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference that was read.

    Args:
        labels: a probability sample; labels of the classes of the map, or of its target; a path for a mask.
        complete: the two classes of the map where everything else is background; else ``None``.
        within: only cells inside these are judged.
        training: labels that the map was made from, besides those in its report.
        target: values or colours of the target in the mask.
        said: how the file was taken, where that is not plain.
    """

    labels: DesignSample | Labels | Path
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
        """What the reference says of a map, and the same in a sentence (``statement``).

        By :func:`jido.maps.assess_sample`, :func:`jido.maps.assess_binary` where the reference is complete,
        else :func:`jido.maps.assess`.
        """
        result = self._judge(path, band)
        return result | {"statement": accuracy_sentence(result)}

    def _judge(self, path: str | Path, band: int) -> dict[str, Any]:
        if isinstance(self.labels, DesignSample):
            return assess_sample(path, self.labels, training=self.training, band=band)
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
    form: str | Path | None = None,
    truth: str | Path | None = None,
) -> Reference:
    """Read what the map ``path`` is to be compared with.

    A file of ``jido sample`` is a probability sample, and only that: points without their chances are not.
    On a map of two classes polygons without a class are all target, and everything outside them is
    background; so it is where all polygons are of the target. So is the rest of a mask, which is any
    raster that does not hold the codes of both classes. All other files are labels of the classes of the
    map.

    Args:
        path: the map; its report tells its classes, the 17 Local Climate Zones where none does.
        reference: a sample of ``jido sample``, a file of labels, or a mask.
        within: file of polygons to judge in; only for polygons of the target, and masks.
        training: file of the labels the map was made from.
        layer: layer or band of the reference.
        class_field: column of its classes.
        group_field: column of its groups.
        crs: CRS of files that carry none.
        target: values or colours of the target, where the reference is a mask and nobody can tell.
        form: CSV form of a sample with its labels, where it is not called as the sample is.
        truth: class raster that labels the points of a sample in the place of people.

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
    if form or truth or is_sample(reference) or _is_form(Path(reference)):
        if within or target or layer or class_field or group_field:
            raise LabelsError(
                f"{reference} is a probability sample, which knows its classes and its place: leave out "
                "--within, --target, --layer, --class-field and --group-field."
            )
        sample = read_sample(reference, form=form)
        return Reference(with_truth(sample, truth) if truth else sample, training=learned)
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


def _is_form(path: Path) -> bool:
    """Whether a table is the form of a sample, also where its GeoPackage is lost."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with suppress(LabelsError):  # whoever reads the labels has the better words
        return {"id", "label_1", "confidence_1"} <= {name.lower() for name in column_names(path)}
    return False


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
