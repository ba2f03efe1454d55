"""What interpreters of a sample fill in: a table, a page to print, and the cells on a globe.

None of them tells the class on the map or the stratum: who knows them tends to agree.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from jido.geo import pixel_size_m
from jido.io.html import swatch, table, whole_page
from jido.labels.design_sample import CONFIDENCES, DesignSample

_KML = "http://www.opengis.net/kml/2.2"


def degrees(sample: DesignSample) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude (n,) of the centres; NaN where the map has no place on Earth."""
    return _degrees(sample, sample.xy)


def _degrees(sample: DesignSample, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if sample.crs is None:
        return np.full(len(xy), np.nan), np.full(len(xy), np.nan)
    lon, lat = sample.crs.transformer_to_crs("EPSG:4326", always_xy=True)(xy[:, 0], xy[:, 1])
    return np.asarray(lon), np.asarray(lat)


def form_rows(sample: DesignSample, said: Mapping[str, np.ndarray]) -> str:
    """The CSV form: ``id``, where it is, and the columns that interpreters fill in."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    place, where = _places(sample)
    writer.writerow(["id", *place, *said])
    order = np.argsort(sample.id)
    writer.writerows(
        [int(sample.id[k]), *where[k], *(column[k] for column in said.values())] for k in order.tolist()
    )
    return lines.getvalue()


def _places(sample: DesignSample) -> tuple[tuple[str, str], list[list[str]]]:
    """Names of two columns that say where, and their text."""
    if sample.crs is None:
        return ("row", "col"), [[str(value) for value in cell] for cell in sample.cell.tolist()]
    pairs = np.column_stack(degrees(sample)).tolist()
    return ("lon", "lat"), [[f"{value:.6f}" for value in pair] for pair in pairs]


def form_kml(sample: DesignSample, *, name: str) -> str:
    """The cells as squares with their number, for a globe; longitude and latitude."""
    lon, lat = _degrees(sample, _corners(sample).reshape(-1, 2))
    rings = np.column_stack([lon, lat]).reshape(-1, 5, 2)
    centres = np.column_stack(degrees(sample))
    root = ET.Element("kml", xmlns=_KML)
    document = ET.SubElement(root, "Document")
    ET.SubElement(document, "name").text = name
    style = ET.SubElement(document, "Style", id="cell")
    ET.SubElement(ET.SubElement(style, "LineStyle"), "color").text = "ff00ffff"  # yellow, aabbggrr
    ET.SubElement(ET.SubElement(style, "PolyStyle"), "fill").text = "0"
    for k in np.argsort(sample.id).tolist():
        mark = ET.SubElement(document, "Placemark")
        ET.SubElement(mark, "name").text = str(sample.id[k])
        ET.SubElement(mark, "styleUrl").text = "#cell"
        both = ET.SubElement(mark, "MultiGeometry")
        ET.SubElement(ET.SubElement(both, "Point"), "coordinates").text = _text(centres[k : k + 1])
        outer = ET.SubElement(ET.SubElement(both, "Polygon"), "outerBoundaryIs")
        ET.SubElement(ET.SubElement(outer, "LinearRing"), "coordinates").text = _text(rings[k])
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _corners(sample: DesignSample) -> np.ndarray:
    """Closed outlines (n, 5, 2) of the cells in the CRS of the map."""
    turn = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    col, row = (sample.cell[:, None, ::-1] + turn).reshape(-1, 2).T
    xy = np.column_stack(Affine(*sample.facts["grid"]["transform"]) * (col, row))
    return xy.reshape(-1, 5, 2)


def _text(coordinates: np.ndarray) -> str:
    return " ".join(f"{lon:.7f},{lat:.7f}" for lon, lat in coordinates.tolist())


def form_html(sample: DesignSample) -> str:
    """A page to print, once for each interpreter: how to label, the classes, a line for each point."""
    title = f"Labelling form: {len(sample)} points of {sample.facts['map']}"
    classes = [
        [f"<b>{html.escape(cls.label)}</b>", swatch(cls.color) + html.escape(cls.name or cls.label)]
        for cls in sample.scheme.classes
    ]
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='who'>{_WHO}</p>",
        f"<h2>How to label</h2><ol>{''.join(f'<li>{rule}</li>' for rule in _rules(sample))}</ol>",
        "<h2>Classes</h2>" + table(["write", "class"], classes),
        "<h2>Points</h2>" + _lines(sample),
    ]
    return whole_page(title, sections, style=_STYLE)


def _rules(sample: DesignSample) -> list[str]:
    cell = "cell of the map"
    if sample.crs is not None:
        grid = sample.facts["grid"]
        high, wide = pixel_size_m(GeoBox(grid["shape"], Affine(*grid["transform"]), sample.crs))
        cell = f"cell around the point, {wide:.3g} m wide and {high:.3g} m high (the KML file shows it)"
    return [
        "Work alone: do not look at the map, and not at what the other interpreter wrote. Each of the two "
        "labels all points on a form of their own.",
        "Use better sources than the images that the map was made from, and of its date; name them above.",
        f"Judge the whole {cell}: write the class that covers most of it.",
        f"Write the class as in the first column below, and how sure you are: {', '.join(CONFIDENCES)}.",
        "Do not move or replace a point that is hard to see. What cannot be told stays empty; the note says "
        "why.",
        f"In the end both forms go into the CSV file: {_COLUMNS}.",
    ]


def _lines(sample: DesignSample) -> str:
    place, where = _places(sample)
    boxes = " ".join(f"<span class='box'></span>{word}" for word in CONFIDENCES)
    order = np.argsort(sample.id).tolist()
    rows = [[f"<b>{sample.id[k]}</b>", *where[k], "", boxes, ""] for k in order]
    return f"<div class='points'>{table(['id', *place, 'class', 'how sure', 'note'], rows)}</div>"


_WHO = f"Interpreter 1 / 2 (ring one): {'_' * 22} Date: {'_' * 12} Sources: {'_' * 30}"
_COLUMNS = (
    "<code>label_1</code> and <code>confidence_1</code> from the first, <code>_2</code> from the second"
)

_STYLE = """
.points table { display: table; width: 100%; }
.points td { border: 1px solid #888; height: 1.5rem; vertical-align: middle; }
.points td:nth-child(4) { min-width: 6rem; }
.points td:nth-child(5) { white-space: nowrap; font-size: .85rem; }
.points td:nth-child(6) { width: 30%; }
.box { display: inline-block; width: .8em; height: .8em; border: 1px solid; margin: 0 .25em 0 .5em; }
@page { size: A4; margin: 15mm; }
@media print { body { font-size: 11px; margin: 0; color: #000; background: #fff; }
  thead { display: table-header-group; } tr { break-inside: avoid; } }
"""
