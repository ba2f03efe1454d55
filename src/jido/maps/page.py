"""``report.html``: one self-contained page a person can read, print and hand over."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jido.io.html import confusion_table, png, swatch, table, whole_page
from jido.maps.picture import draw_map, read_picture, reliability_figure
from jido.maps.report import area_text, judged_on, statement
from jido.methods import Model
from jido.stats.label_quality import suspicious
from jido.stats.words import NAMES, text

DOUBTFUL = 0.25
"""A polygon of which less than this share was given its class should be looked at again."""


LISTED = 12
"""Rows of such polygons on the page."""

LEAKS = (
    "<p class='warn'><b>The split of the training leaks.</b> Neighbours may stand on both sides: the figure "
    "is too good for new places and must not be quoted for them.</p>"
)


def html_report(facts: dict[str, Any], model: Model, picture: Path) -> str:
    """The page for the facts of :func:`~jido.maps.report.map_report`; ``picture`` is the map to draw."""
    evaluation = facts["evaluation"]
    speaks = " This speaks of new polygons drawn like these, not of every cell of the map."
    if "judged_on" in evaluation:
        speaks = " This speaks of places like these, not of every cell of the map."
    shown = "Class map and training polygons by fold" if evaluation.get("polygons") else "Class map"
    polygons = evaluation.get("polygons", [])
    drawn = draw_map(read_picture(picture), model.scheme, labels=model.labels, polygons=polygons)
    sections = [
        f"<h1>{html.escape(facts['map'])}</h1>",
        f"<p class='lead'>{html.escape(statement(evaluation))}{speaks if evaluation else ''}</p>",
        *([LEAKS] if evaluation and evaluation["folds"]["leaks"] else []),
        f"<img alt='{shown}' src='{png(drawn)}'>",
        _classes(facts, model),
        *(judged_sections(evaluation) if evaluation else []),
        "<h2>How it was made</h2>",
        table(["", ""], _made_rows(facts, model)),
    ]
    return whole_page(facts["map"], sections)


def judged_sections(evaluation: dict[str, Any]) -> list[str]:
    """What is known of the model of a map, section by section: HTML."""
    page = [_accuracy(evaluation)]
    if "confusion" in evaluation:
        page += [
            f"<h2>Confusion matrix</h2><p>{_held(evaluation)}; rows are the truth.</p>",
            confusion_table(evaluation["confusion"], evaluation["classes"]),
        ]
    if "calibration" in evaluation:
        page.append(_reliability(evaluation))
    if "unsure" in evaluation:
        page.append(_unsure(evaluation["unsure"], of_cells="judged_on" not in evaluation))
    polygons = evaluation.get("polygons", [])
    if polygons:
        page.append((_suspicious if "suspicion" in polygons[0] else _doubtful)(polygons))
    return page


def _held(evaluation: dict[str, Any]) -> str:
    """What the confusion matrix is of, at the beginning of a sentence."""
    if "judged_on" not in evaluation:
        return "Cells of held-out polygons"
    return f"Judged are {html.escape(judged_on(evaluation))}"


def _classes(facts: dict[str, Any], model: Model) -> str:
    colors = {c.label: c.color for c in model.scheme.classes}
    judged = {row["class"]: row for row in facts["evaluation"].get("per_class", [])}
    head = ["class", "cells", "area", "share"]
    figures = ("users_accuracy", "producers_accuracy", "f1") if judged else ()
    rows = [
        [
            swatch(colors[area["class"]])
            + html.escape(" ".join(dict.fromkeys([area["class"], area["name"]]))),  # both may be the same
            area["cells"],
            area_text(None if area["km2"] is None else area["km2"] * 1e6),
            f"{area['share'] * 100:.1f} %",
            *(text(judged[area["class"]][name], digits=2) for name in figures),
        ]
        for area in facts["pixel_count_area"]
        if area["cells"] or (judged and judged[area["class"]]["truth"])
    ]
    words = (
        f"<h2>Classes</h2><p>Areas are counted cells of band <code>{facts['bands'][0]}</code>: they carry "
        "the errors of the map and no interval."
    )
    if judged:
        head += ["user's accuracy", "producer's accuracy", "F1"]
        held = html.escape(facts["evaluation"].get("judged_on", "the held-out polygons"))
        words += f" Accuracies are those of {held}, with 95 % intervals."
    return f"{words}</p>{table(head, rows)}"


def _accuracy(evaluation: dict[str, Any]) -> str:
    rows = [[NAMES.get(name, name), text(figure)] for name, figure in evaluation["metrics"].items()]
    if "judged_on" in evaluation:  # one split and no folds
        on = html.escape(judged_on(evaluation))
        figures = table(["figure", "value [95 % interval over groups]"], rows)
        return (
            f"<h2>Accuracy</h2><p>Judged on {on}. No interval is given where fewer than 5 groups have a "
            f"say, or where all of them agree.</p>{figures}"
        )
    page = (
        "<h2>Accuracy on held-out polygons</h2><p>Judged are models that learned from all folds but one; the "
        "model of the map learned from all polygons and is mostly a little better. No interval is given "
        "where fewer than 5 groups have a say, or where all of them agree.</p>"
    )
    page += table(["figure", "value [95 % interval over polygons]"], rows)
    if "leaky" in evaluation:
        page += (
            "<p class='warn'>A random pixel split of the same data would have shown an overall accuracy of "
            f"{text(evaluation['leaky']['metrics']['oa'])}. That figure <b>leaks</b>: neighbours of one "
            "polygon stand on both sides. It is printed to show the difference and must not be quoted.</p>"
        )
    return page


def _reliability(evaluation: dict[str, Any]) -> str:
    """Whether probabilities mean what they say, before and after calibration where that is known."""
    found = evaluation["calibration"]
    of, on = "images", judged_on(evaluation) if "judged_on" in evaluation else "the held-out polygons"
    if "images" not in on:
        of = "cells"
    before = found.get("before", {})
    rows = [
        [name, *(f"{part[key]:.3f}" for part in (before, found) if part)]
        for key, name in (("ece", "Expected calibration error"), ("brier", "Brier score (0 to 2)"))
    ]
    head = ["figure", "as the model said it", "calibrated"] if before else ["figure", "value"]
    kind = found.get("kind", "none")
    how = f" Calibrated ({kind}), every group by the other groups." if before else ""
    if before and kind == "none":
        how = " No calibration made them better for sure, so the map says what the model says."
    return (
        "<h2>How far a probability can be trusted</h2>"
        f"<p>Of {html.escape(on)}: where a bar ends above the dotted line, the map is right more often than "
        f"its confidence says, below it less often.{how}</p>"
        f"<img alt='Reliability diagram' src='{png(reliability_figure(found['reliability'], of=of))}'>"
        f"{table(head, rows)}"
    )


def _unsure(unsure: dict[str, Any], *, of_cells: bool) -> str:
    """What the band says; the threshold comes from cells of held-out polygons, or from validation images."""
    on, of, ones = "On the held-out polygons", "of the cells", "cells"
    if not of_cells:
        on, of, ones = "Among the validation images", "of them", "images"
    most, left = (f"{share * 100:.0f} %" for share in (unsure["aimed_error"], 1 - unsure["share"]))
    start = "<h2>Unsure cells</h2><p>The band <code>abstain</code> is 1"
    if "promise" in unsure:
        where = (
            "everywhere" if unsure["share"] == 1 else f"where the confidence is below {unsure['below']:.2f}"
        )
        return f"{start} {where}. {html.escape(unsure['promise'])}</p>"
    if unsure["share"] == 1:
        return f"{start} everywhere. {on} more than {most} were wrong even of the surest {ones}.</p>"
    if unsure.get("trust"):
        return (
            f"{start} where the highest probability is below {unsure['below']:.2f}. With a chance of "
            f"{unsure['trust']:.0%} at most {most} of the others are wrong in a new event like those held "
            f"out; among these {left} were left.</p>"
        )
    return (
        f"{start} where the highest probability is below {unsure['below']:.2f}. {on} that leaves {left} "
        f"{of}, with an error of up to {most}; the threshold was chosen on the same {ones}, so for new "
        "places it is an aim, not a promise.</p>"
    )


def _suspicious(polygons: Sequence[dict[str, Any]]) -> str:
    found = suspicious(polygons, most=len(polygons))
    rows = [
        [
            html.escape(f"{row['class']} ({row['group']})"),
            f"{row['lat']:.5f}, {row['lon']:.5f}",
            row["cells"],
            html.escape(row["said"]),
            f"{row['confidence'] * 100:.0f} %",
            f"{row['given'] * 100:.0f} %",
        ]
        for row in found[:LISTED]
    ]
    head = ["class (group)", "lat, lon", "cells", "said instead", "its probability", "that of the label"]
    return (
        "<h2>Labels to look at again</h2><p>Models that had not seen a label say another class of it, and as "
        f"surely as they say that one elsewhere: {len(found)} of {len(polygons)} labels"
        f"{f'; the {LISTED} most suspicious' * (len(found) > LISTED)}.</p>"
        + (table(head, rows) if rows else "")
    )


def _doubtful(polygons: Sequence[dict[str, Any]]) -> str:
    doubtful = [row for row in polygons if row["agreement"] < DOUBTFUL]
    largest = sorted(doubtful, key=lambda row: -row["cells"])[:LISTED]
    rows = [
        [
            html.escape(f"{row['class']} ({row['group']})"),
            f"{row['lat']:.5f}, {row['lon']:.5f}",
            row["cells"],
            f"{row['agreement'] * 100:.0f} %",
        ]
        for row in largest
    ]
    some = f"; the {LISTED} largest" if len(doubtful) > LISTED else ""
    page = (
        "<h2>Polygons to look at again</h2><p>Held out, fewer than a quarter of their cells were given their "
        f"class: {len(doubtful)} of {len(polygons)}{some}.</p>"
    )
    return page + (table(["class (group)", "lat, lon", "cells", "agreement"], rows) if rows else "")


def _made_rows(facts: dict[str, Any], model: Model) -> list[list[str]]:
    evaluation, missing, grid = facts["evaluation"], facts["missing"], facts["grid"]
    rows = [
        ["images", ", ".join(facts["images"])],
        ["bands", ", ".join(b.name for b in model.bands)],
        ["model", ", ".join(f"{k} {v}" for k, v in facts["model"].items()) or "not saved"],
    ]
    if evaluation:
        folds = evaluation["folds"]
        labels = f"{len(model.labels)} labels, " if model.labels else ""
        k = "" if "judged_on" in evaluation else f", k = {folds['k']}"
        rows += [
            ["training", f"{labels}{_learned(evaluation)}"],
            ["folds" if k else "split", f"{folds['kind']}{k}, {'LEAKS' if folds['leaks'] else 'no leak'}"],
        ]
    rows += [
        [
            "missing data",
            f"{missing['empty_pixels']} pixels without any; {missing['partial_pixels']} with some "
            f"bands missing; {missing['unanswered_cells']} cells for which the model gave no number",
        ],
        ["grid", f"{grid['crs'] or 'no place on Earth'}, {grid['shape'][0]} x {grid['shape'][1]} cells"],
        ["made", f"{facts['made']} by Jido {facts['jido']}"],
    ]
    rows += [["note", note] for note in facts["notes"]]
    return [[html.escape(a), html.escape(b)] for a, b in rows]


def _learned(evaluation: dict[str, Any]) -> str:
    if "tiles" in evaluation:
        ones = "images" if "images" in evaluation["judged_on"] else "tiles"
        return ", ".join(f"{number} {ones} for {part}" for part, number in evaluation["tiles"].items())
    return f"{evaluation['cells']} cells"
