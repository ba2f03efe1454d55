"""The page of a signed report; all on it comes from the facts of :mod:`jido.maps.signed` and the map."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from jido.io.html import confusion_table, png, swatch, table, whole_page
from jido.labels import ClassScheme, Labels
from jido.maps.assess import find_report
from jido.maps.page import LEAKS, judged_sections
from jido.maps.picture import Picture, folds_figure, full_name, map_figure, read_picture
from jido.maps.report import area_figure, area_number, area_unit, labels_from_features, statement
from jido.maps.signed_parts import card_sections, sample_sections
from jido.stats.words import NAMES, text

STYLE = """\
.matrix td:not(:first-child), .matrix th:not(:first-child), .numbers td:not(:first-child),
  .numbers th:not(:first-child) { text-align: right; }
.numbers td, .card td:first-child, th:first-child { white-space: nowrap; } .card thead { display: none; }
.matrix th, .matrix td { padding: .1rem .3rem; } .matrix { overflow-x: auto; }
.matrix.long th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }
.hash { overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .85em; }
.sign td { height: 2.6rem; min-width: 14rem; border-bottom: 1px solid; }
.sign th { border: 0; font-weight: normal; }
@page { size: A4; margin: 16mm 15mm; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 9.5pt; line-height: 1.35; margin: 0; padding: 0; color: #000; background: #fff; }
  h1 { font-size: 15pt; margin-top: 0; } h2 { font-size: 11.5pt; margin: 1.2em 0 .4em; }
  p { margin: .4em 0; } .lead { font-size: 12pt; }
  table { display: table; overflow: visible; }
  table, tr, img, .sign, .warn { break-inside: avoid; } h2, h2 + p { break-after: avoid; }
  th, td { padding: .08rem .4rem; }
  .matrix, .numbers { break-before: avoid; }
  .matrix { font-size: min(9pt, calc(520pt / (2.9 * var(--k) + 6))); }
  .matrix th, .matrix td { padding: .05em .25em; } .matrix .cm { padding: 0 .15em; }
  img { max-height: 100mm; }
}
"""

FIGURES = {"users_accuracy": "user's accuracy", "producers_accuracy": "producer's accuracy"}
"""Columns of accuracies."""

AREAS = {
    "pixel_count": "counted cells",
    "expected": "expected by probabilities",
    "estimate": "estimated area",
}
"""Columns of areas, those that are known."""

LONG = 70
"""Letters of all class labels from which on the heads of a matrix are written upwards."""


def signed_page(facts: dict[str, Any], path: str | Path, scheme: ClassScheme, *, band: int = 1) -> str:
    """HTML, self-contained, made to be printed on A4 and handed over.

    Args:
        facts: of :func:`~jido.maps.signed.signed_facts`.
        path: the map.
        scheme: the classes that it was judged by.
        band: of the map.
    """
    picture = read_picture(path, band)
    title = f"Accuracy of {facts['map']['name']}"
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='lead'>{html.escape(facts['statement'])}</p>",
        *_notes(facts),
        f"<img alt='The map' src='{png(_drawn(facts, picture, scheme))}'>",
        _classes(facts, scheme),
        _confusion(facts),
        *(sample_sections(facts["sample"], facts["metrics"]) if "sample" in facts else [_figures(facts)]),
        *_model(facts, path, picture, scheme),
        *card_sections(facts),
    ]
    return whole_page(title, sections, style=STYLE)


def _drawn(facts: dict[str, Any], picture: Picture, scheme: ClassScheme) -> Any:
    rows = [row for row in facts.get("points", []) if row["reference"] is not None]
    if not rows:
        return map_figure(picture, scheme)
    xy = np.array([(row["x"], row["y"]) for row in rows])
    right = np.array([row["map"] == row["reference"] for row in rows])
    return map_figure(picture, scheme, xy=xy, right=right)


def _notes(facts: dict[str, Any]) -> list[str]:
    """What has to be read beside the figures."""
    if "sample" not in facts:
        mark = "" if facts["independent"] else " class='warn'"
        return [f"<p{mark}>{html.escape(facts['design'][0].upper() + facts['design'][1:])}.</p>"]
    marks = [" class='warn'" * note.startswith("Warning") for note in facts["notes"]]
    return [f"<p{mark}>{html.escape(note)}</p>" for mark, note in zip(marks, facts["notes"], strict=True)]


def _classes(facts: dict[str, Any], scheme: ClassScheme) -> str:
    colours = {c.label: (c.color, full_name(c)) for c in scheme.classes}
    judged = {row["class"]: row for row in facts.get("per_class", [])}
    seen = np.array(facts["confusion"])
    there = (seen.sum(0) + seen.sum(1)) > 0
    unit, times = area_unit(facts["areas"])
    told = [key for key in AREAS if any(area[key] is not None for area in facts["areas"])]
    rows = []
    for place, area in enumerate(facts["areas"]):
        if not there[place] and not area["pixel_count"]:
            continue
        colour, name = colours[area["class"]]
        rows.append(
            [
                swatch(colour) + html.escape(name),
                *(text(judged[area["class"]][key], digits=2) for key in FIGURES if judged),
                *((area_figure if key == "estimate" else area_number)(area[key], times) for key in told),
            ]
        )
    figures = FIGURES.values() if judged else ()
    head = ["class", *figures, *(f"{AREAS[key]}, {unit}" for key in told)]
    return (
        f"<h2>{'Accuracy and area' if judged else 'Area'} by class</h2><p>{_area_words(facts)}</p>"
        f"<div class='numbers'>{table(head, rows)}</div>"
    )


def _area_words(facts: dict[str, Any]) -> str:
    """What stands in the columns of areas."""
    words = "Counted cells carry the errors of the map. "
    if "per_class" in facts:
        words = (
            "User's accuracy: of what the map says, the share that is so. Producer's accuracy: of what is "
            f"so, the share that the map calls so. {words}"
        )
    if any(row["expected"] is not None for row in facts["areas"]):
        how = _calibrated(facts["map"]["calibration"])
        words += f"Expected is the sum of the probabilities of the map, {how}. "
    if "sample" in facts:
        return (
            f"{words}Accuracies and estimated areas come from the sample, with 95 % intervals: quote these."
        )
    return f"{words}Areas with an interval need a probability sample (<code>jido sample</code>)."


def _calibrated(calibration: dict[str, Any] | None) -> str:
    if calibration is None:
        return "which are not calibrated"
    kind = calibration.get("kind", "none")
    return "which no calibration made better" if kind == "none" else f"calibrated on held-out labels ({kind})"


def _confusion(facts: dict[str, Any]) -> str:
    classes = facts["classes"]
    seen = np.array(facts["confusion"])
    there = np.flatnonzero(seen.sum(0) + seen.sum(1))
    long = " long" * (sum(len(classes[i]) for i in there) > LONG)
    shape = f"<div class='matrix{long}' style='--k:{len(there)}'>"
    page = "<h2>Confusion</h2><p>Rows are the truth, columns the map. "
    if "confusion_share" in facts:
        share = np.array(facts["confusion_share"])[np.ix_(there, there)] * 100
        names = [html.escape(classes[i]) for i in there]
        rows = [
            [f"<b>{name}</b>", *(_cell(v, right=i == j) for j, v in enumerate(row)), f"{row.sum():.2f}"]
            for i, (name, row) in enumerate(zip(names, share, strict=True))
        ]
        rows.append(["<b>on the map</b>", *(f"{v:.2f}" for v in share.sum(0)), f"{share.sum():.2f}"])
        head = ["truth \\ map", *(classes[i] for i in there), "in truth"]
        page += f"Estimated shares of the area, %:</p>{shape}{table(head, rows)}</div><p>"
    counted = "points of the sample" if "sample" in facts else "cells of the reference"
    return f"{page}Counted {counted}:</p>{shape}{confusion_table(facts['confusion'], classes)}</div>"


def _cell(percent: float, *, right: bool) -> str:
    said = f"{percent:.2f}" if percent else "·"
    return f"<b>{said}</b>" if right else said


def _figures(facts: dict[str, Any]) -> str:
    rows = [[NAMES.get(name, name), text(figure)] for name, figure in facts["metrics"].items()]
    page = f"<h2>Figures</h2>{table(['figure', 'value [95 % interval, where one is claimed]'], rows)}"
    if "outside_training" in facts:
        part = facts["outside_training"]
        rows = [[NAMES.get(name, name), text(figure)] for name, figure in part["metrics"].items()]
        page += (
            f"<p>Only the {part['groups']} groups wholly outside the training labels ({part['cells']:,} "
            f"cells):</p>{table(['figure', 'value [95 % interval]'], rows)}"
        )
    return page


def _model(facts: dict[str, Any], path: str | Path, picture: Picture, scheme: ClassScheme) -> list[str]:
    """What is known of the model behind the map."""
    evaluation = facts["model_evaluation"]
    if evaluation is None:
        known = "has not been judged"
        if facts["model"] is None:
            known = "is not known: no report of Jido is beside the map"
        return [f"<h2>The model behind the map</h2><p>The model {known}.</p>"]
    page = [
        f"<h2>The model behind the map</h2><p>{html.escape(statement(evaluation))} This speaks of the "
        "model and of labels like its own, not of every cell of the map.</p>",
        *([LEAKS] if evaluation["folds"]["leaks"] else []),
    ]
    labels = _training(path, scheme)
    if labels and evaluation.get("polygons") and picture.crs:
        drawn = folds_figure(picture, scheme, labels, evaluation["polygons"])
        page.append(f"<img alt='Training polygons by fold' src='{png(drawn)}'>")
    return page + judged_sections(evaluation)


def _training(path: str | Path, scheme: ClassScheme) -> Labels | None:
    found = find_report(path)
    return labels_from_features(found["training"], scheme) if found and found["training"] else None
