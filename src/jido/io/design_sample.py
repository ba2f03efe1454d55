"""The file of a probability sample: a GeoPackage with its design inside, and forms to fill in beside it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from affine import Affine
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError

from jido.errors import LabelsError, OutputError
from jido.io.files import replacing, replacing_together, require_place
from jido.io.repair import is_null
from jido.io.sample_form import degrees, form_html, form_kml, form_rows
from jido.labels import ClassScheme
from jido.labels.design_sample import CONFIDENCES, INTERPRETERS, DesignSample, Stratum

LAYER, CHANCES, DESIGN = "sample", "chances", "design"
"""Layer of points, which tells interpreters nothing; table of strata and inclusion; table of facts."""


def sample_files(path: str | Path, *, placed: bool = True) -> list[Path]:
    """What a sample is written as: GeoPackage, CSV form, form to print, and KML where it has a place.

    Raises:
        OutputError: when the name does not end with ``.gpkg``, a file exists, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"A sample cannot be written as {path}: end the name with .gpkg.")
    files = [path, *(path.with_suffix(end) for end in (".csv", ".form.html", ".kml")[: 2 + placed])]
    for file in files:
        if file.exists():
            raise OutputError(
                f"{file} exists and may hold labels of interpreters: give another name with -o."
            )
    require_place(path)
    return files


def write_sample(sample: DesignSample, path: str | Path) -> list[Path]:
    """Write a sample and the forms for its interpreters; what stands there is never replaced.

    ``POINTS.gpkg`` holds the layer ``sample`` (points in the CRS of the map with ``id``, ``lon``, ``lat``,
    ``row``, ``col``, ``label_1``, ``confidence_1``, ``label_2``, ``confidence_2``, ``note``), the table
    ``chances`` (``id``, ``stratum``, ``inclusion``, ``cluster``: kept apart, because a stratum may tell the
    class of the map, which interpreters must not see) and the table ``design`` (``key``, ``value``: a row
    ``facts`` with JSON). ``POINTS.csv`` is the form for a spreadsheet, ``POINTS.kml`` shows every cell in
    a globe (not without a CRS), ``POINTS.form.html`` is to be printed.

    Args:
        sample: labelled or not.
        path: ending with ``.gpkg``.

    Returns:
        The files.

    Raises:
        OutputError: when one of the files exists, the suffix is another one, or the place cannot be written.
    """
    files = sample_files(path, placed=sample.crs is not None)
    with replacing_together(*files) as fresh:
        _write_package(sample, fresh[0])
        rows = form_rows(sample, _said(sample))
        fresh[1].write_text(rows, encoding="utf-8-sig", newline="")  # with its mark spreadsheets see UTF-8
        fresh[2].write_text(form_html(sample), encoding="utf-8")
        for file in fresh[3:]:
            file.write_text(form_kml(sample, name=Path(path).stem), encoding="utf-8")
    return files


def save_labels(sample: DesignSample, path: str | Path) -> None:
    """Write a sample with what was said of its points in place of the GeoPackage it was read from.

    The forms beside it stay as they are.

    Raises:
        OutputError: when the place cannot be written; what stood there is kept.
    """
    with replacing(path) as fresh:
        _write_package(sample, fresh)


def read_sample(path: str | Path, *, form: str | Path | None = None) -> DesignSample:
    """Read a sample with what its interpreters filled in.

    Labels are codes, labels or names of classes, in any case. Points that a form lacks are unlabelled.

    Args:
        path: the GeoPackage of ``jido sample``, or a CSV form that has it beside it under the same name.
        form: a CSV form (``,`` or ``;``) with the labels, whatever its name; found again by ``id``.

    Raises:
        LabelsError: when a file cannot be read or is no sample, the CSV lost its GeoPackage, an id is
            unknown or occurs twice, or a label or a confidence is none: with the row and what is known.
    """
    path, form = Path(path), None if form is None else Path(form)
    if path.suffix.lower() == ".csv":
        path, form = path.with_suffix(".gpkg"), form or path
        if not path.exists():
            raise LabelsError(
                f"{form} is a form whose GeoPackage {path.name} is not beside it, and only that knows the "
                "chances of the points: put it there."
            )
    facts = _facts(path)
    points, chances = _columns(path, LAYER), _columns(path, CHANCES)
    ids = _ids(chances, path)
    placed = _by_id(points, ids, path, ("row", "col"), complete=True)
    columns = [f"{what}_{i}" for what in ("label", "confidence") for i in range(1, INTERPRETERS + 1)]
    filled = form or path
    said = _by_id(_columns(form, None) if form else points, ids, filled, (*columns, "note"))
    strata, scheme, grid = facts.pop("strata"), facts.pop("scheme"), facts["grid"]
    cell = _cells(placed, path)
    return DesignSample(
        facts=facts,
        strata=strata,
        id=np.array(ids, dtype=np.int64),
        cell=cell,
        xy=np.column_stack(Affine(*grid["transform"]) * tuple(cell[:, ::-1].T + 0.5)),
        stratum=_places(chances["stratum"], strata, path),
        cluster=np.array(chances["cluster"], dtype=np.int64),
        codes=_both(said, "label", ids, filled, _class_reader(scheme)).astype(np.int64),
        confidence=_both(said, "confidence", ids, filled, _confidence),
        note=np.array(said["note"], dtype=object),
        scheme=scheme,
        crs=CRS(grid["crs"]) if grid["crs"] else None,
    )


def is_sample(path: str | Path) -> bool:
    """Whether a file is a sample: a GeoPackage with a table ``design``, or a CSV form beside one."""
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        path = path.with_suffix(".gpkg")
    if path.suffix.lower() != ".gpkg" or not path.is_file():
        return False
    try:
        return {LAYER, CHANCES, DESIGN} <= {str(name) for name, _ in pyogrio.list_layers(path)}
    except (DataSourceError, DataLayerError):
        return False


def read_pairs(text: str) -> dict[str, str]:
    """Names and values: ``A=50,B=100``, or a CSV file whose first two columns hold them under a head.

    Raises:
        LabelsError: when a part has no ``=``, a name occurs twice, or the file has one column.
    """
    if Path(text).suffix.lower() == ".csv":
        columns = list(_columns(Path(text), None).values())
        if len(columns) < 2:
            raise LabelsError(f"{text} has one column: give names in the first and values in the second.")
        pairs = [(str(name), str(value)) for name, value in zip(*columns[:2], strict=True)]
    else:
        pairs = [(name, value) for name, _, value in (part.rpartition("=") for part in text.split(","))]
    if not all(name.strip() and value.strip() for name, value in pairs):
        raise LabelsError(f"{text!r} is not like A=50,B=100: give a name and a value each, or a CSV file.")
    found = {name.strip(): value.strip() for name, value in pairs}
    if len(found) < len(pairs):
        raise LabelsError(f"{text!r} names something twice: give each name once.")
    return found


# -- writing -----------------------------------------------------------------------------------


def _said(sample: DesignSample) -> dict[str, np.ndarray]:
    """The columns that interpreters fill in, text; empty where nothing was said."""
    labels = {cls.code: cls.label for cls in sample.scheme.classes}
    columns: dict[str, np.ndarray] = {}
    for i in range(INTERPRETERS):
        said = [labels.get(code, "") for code in sample.codes[:, i].tolist()]
        columns[f"label_{i + 1}"] = np.array(said, dtype=object)
        columns[f"confidence_{i + 1}"] = sample.confidence[:, i].astype(object)
    return columns | {"note": sample.note.astype(object)}


def _write_package(sample: DesignSample, path: Path) -> None:
    lon, lat = degrees(sample)
    row, col = sample.cell.T
    empty = {
        name: np.array([text or None for text in column], dtype=object)
        for name, column in _said(sample).items()
    }
    points = {"id": sample.id, "lon": lon, "lat": lat, "row": row, "col": col} | empty
    names = np.array([stratum.name for stratum in sample.strata], dtype=object)
    chances = {
        "id": sample.id,
        "stratum": names[sample.stratum],
        "inclusion": sample.inclusion,
        "cluster": sample.cluster,
    }
    facts = sample.facts | {
        "strata": [asdict(stratum) for stratum in sample.strata],
        "scheme": sample.scheme.to_dict(),
    }
    design = {"key": ["facts"], "value": [json.dumps(facts, allow_nan=False, ensure_ascii=False)]}
    crs = sample.crs.to_wkt() if sample.crs else None
    _append(path, LAYER, points, shapely.to_wkb(shapely.points(sample.xy)), geometry_type="Point", crs=crs)
    _append(path, CHANCES, chances, None, geometry_type=None)
    _append(path, DESIGN, {k: np.array(v, dtype=object) for k, v in design.items()}, None, geometry_type=None)


def _append(
    path: Path, layer: str, columns: dict[str, np.ndarray], geometry: np.ndarray | None, **options: object
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # where there is none
        pyogrio.raw.write(
            path,
            geometry,
            list(columns.values()),
            list(columns),
            layer=layer,
            driver="GPKG",
            append=path.exists(),
            **options,
        )


# -- reading -----------------------------------------------------------------------------------


def _columns(path: Path, layer: str | None) -> dict[str, list[Any]]:
    """Columns of a layer, or of the CSV form; names in small letters."""
    if not path.is_file():
        raise LabelsError(f"{path} does not exist.")
    try:
        meta, _, _, values = pyogrio.raw.read(path, layer=layer, read_geometry=False)
    except (DataSourceError, DataLayerError, UnicodeDecodeError) as err:
        raise LabelsError(
            f"{path} cannot be read ({str(err).split(';')[0].rstrip('. ')}): give the GeoPackage of jido "
            "sample, or a CSV in UTF-8."
        ) from err
    return {
        str(name).strip().lower(): column.tolist()
        for name, column in zip(meta["fields"], values, strict=True)
    }


def _facts(path: Path) -> dict[str, Any]:
    if path.is_file() and not is_sample(path):
        raise LabelsError(
            f"{path} is no sample of Jido: the chances of its points are unknown; draw one with jido sample."
        )
    design = _columns(path, DESIGN)
    try:
        facts = dict(json.loads(dict(zip(design["key"], design["value"], strict=True))["facts"]))
        made = {
            "strata": tuple(Stratum(**stratum) for stratum in facts["strata"]),
            "scheme": ClassScheme.from_dict(facts["scheme"]),
            "grid": facts["grid"],
        }
        return facts | made
    except (KeyError, TypeError, ValueError) as err:
        raise _changed(path, DESIGN) from err


def _changed(path: Path, table: str) -> LabelsError:
    return LabelsError(f"{path}: the table {table!r} was changed; get the file again, and fill in its form.")


def _cells(placed: Mapping[str, list[Any]], path: Path) -> np.ndarray:
    """Row and column (n, 2) of the points."""
    try:
        return np.array([placed["row"], placed["col"]], dtype=np.int64).T
    except ValueError as err:
        raise _changed(path, LAYER) from err


def _places(names: list[Any], strata: tuple[Stratum, ...], path: Path) -> np.ndarray:
    """Strata (n,) of the points by their names, as many as were drawn from each."""
    known = {stratum.name: place for place, stratum in enumerate(strata)}
    places = np.array([known.get(name, -1) for name in names], dtype=np.int64)
    drawn = [stratum.drawn for stratum in strata]
    if (places < 0).any() or np.bincount(places, minlength=len(strata)).tolist() != drawn:
        raise _changed(path, CHANCES)
    return places


def _ids(columns: Mapping[str, list[Any]], path: Path) -> list[int]:
    """Ids as whole numbers, each once."""
    found: list[int] = []
    for row, value in enumerate(_column(columns, "id", path), start=1):
        try:
            found.append(int(float(value)))
        except (TypeError, ValueError) as err:
            raise LabelsError(f"{path}: row {row} has the id {value!r}, which is no whole number.") from err
    twice = sorted({one for one in found if found.count(one) > 1}) if len(set(found)) < len(found) else []
    if twice:
        raise LabelsError(f"{path} has the id {twice[0]} more than once: keep one row of it.")
    return found


def _by_id(
    columns: Mapping[str, list[Any]],
    ids: list[int],
    path: Path,
    names: tuple[str, ...],
    *,
    complete: bool = False,
) -> dict[str, list[Any]]:
    """Columns in the order of ids; empty text where a file has no such row or nothing in it."""
    place = {one: row for row, one in enumerate(_ids(columns, path))}
    if strange := sorted(place.keys() - set(ids)):
        raise LabelsError(
            f"{path} has the id {strange[0]}, which the sample does not have: give its own form."
        )
    if complete and (lost := sorted(set(ids) - place.keys())):
        raise LabelsError(f"{path} has lost the point {lost[0]}: get the file again, and fill in its form.")
    found = {}
    for name in names:
        column = _column(columns, name, path)
        cells = [column[place[one]] if one in place else None for one in ids]
        found[name] = ["" if is_null(cell) else cell for cell in cells]
    return found


def _column(columns: Mapping[str, list[Any]], name: str, path: Path) -> list[Any]:
    if name not in columns:
        raise LabelsError(
            f"{path} has no column {name!r}, only {', '.join(columns) or 'none'}: keep those of the form."
        )
    return columns[name]


def _both(
    said: Mapping[str, list[Any]], what: str, ids: list[int], path: Path, read: Callable[[str], Any]
) -> np.ndarray:
    """What both interpreters wrote, (n, 2) object."""
    found = np.empty((len(ids), INTERPRETERS), dtype=object)
    for i in range(INTERPRETERS):
        for k, cell in enumerate(said[f"{what}_{i + 1}"]):
            try:
                found[k, i] = read(str(cell).strip())
            except KeyError as err:
                raise LabelsError(
                    f"{path}: {what}_{i + 1} of point {ids[k]} is {cell!r}, {err.args[0]}."
                ) from err
    return found


def _class_reader(scheme: ClassScheme) -> Callable[[str], int]:
    """From text to a class code; -1 for none. A label comes before a code that is written the same."""
    known = {text: code for coding in scheme.codings.values() for text, code in coding.items()}
    known |= {f"{cls.label} {cls.name}".upper(): cls.code for cls in scheme.classes}
    known |= {cls.label.upper(): cls.code for cls in scheme.classes} | {"": -1}

    def read(text: str) -> int:
        key = text.removesuffix(".0").upper()
        if key not in known:
            raise KeyError(f"which is no class: write one of {', '.join(scheme.labels)}")
        return known[key]

    return read


def _confidence(text: str) -> str:
    """One of the three words, also by its first letter."""
    for word in CONFIDENCES:
        if text.lower() in (word, word[0]):
            return word
    if text:
        raise KeyError(f"not how sure one is: write {', '.join(CONFIDENCES)}, or nothing")
    return ""
