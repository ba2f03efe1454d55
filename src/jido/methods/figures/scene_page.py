"""What a training of scene classification leaves for people: ``report.html`` and its numbers as tables."""

from __future__ import annotations

import csv
import html
import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jido.io import replacing
from jido.io.html import SHARES, confusion_table, png, swatch, table, whole_page
from jido.methods.classify import Classification
from jido.methods.figures import require_figures_place
from jido.methods.figures.scene_curves import confidence_figure, fusion_figure, training_figure
from jido.methods.figures.scene_pictures import STYLE as CARDS
from jido.methods.figures.scene_pictures import gallery, right_and_wrong
from jido.stats.words import NAMES, text

REPORT, HISTORY, PREDICTIONS, CONFUSION = "report.html", "history.csv", "predictions.csv", "confusion.csv"

FILES = frozenset({REPORT, HISTORY, PREDICTIONS, CONFUSION})
"""All that a folder of scene figures may hold."""

EPOCH = ("epoch", "loss", "val_loss", "val_oa", "learning_rate", "seconds")
"""Columns of the history before those of the balanced blocks."""

MIXED_UP = 12
"""Pairs of classes that are listed as mixed up most often."""

STYLE = f"""\
.warn {{ background: #c331; padding: .5rem .8rem; }}
.narrow {{ font-size: clamp(7px, calc(1030px / (2.45 * var(--k) + 16)), 14px); overflow-x: auto; }}
.narrow table {{ overflow: visible; }}
.narrow th, .narrow td {{ padding: 0; border: 0; white-space: nowrap; }}
.narrow td:not(:first-child) {{ border: 1px solid #8883; }}
.narrow td:first-child {{ padding-right: .6em; vertical-align: middle; }}
.narrow th:not(:first-child) {{ writing-mode: vertical-rl; transform: rotate(180deg); padding-top: .4em;
  vertical-align: middle; }}
.narrow th:first-child {{ vertical-align: bottom; font-weight: normal; }}
.narrow .cm {{ min-width: 1.8em; text-align: center; padding: .12em .25em; line-height: 1.25; }}
.narrow small {{ display: block; font-size: .7em; opacity: .85; }}
.side {{ display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; }}
.side > div {{ min-width: 0; max-width: 100%; }}
{CARDS}@media print {{ body {{ font-size: 12px; }}
  .narrow {{ font-size: min(11px, calc(690px / (2.45 * var(--k) + 16))); }}
  .side > div, figure, img {{ break-inside: avoid; }}
  .cards {{ grid-template-columns: repeat(auto-fill, minmax(calc(.8 * var(--card)), 1fr)); }} }}
"""


def require_scene_figures_place(folder: str | Path, *, beside: str | Path | None = None) -> None:
    """Refuse a folder that holds other things, before hours of training.

    Args:
        folder: is to hold the report and its tables alone: what is in it is replaced.
        beside: folder of the model.

    Raises:
        OutputError: as :func:`~jido.methods.figures.require_figures_place`.
    """
    require_figures_place(folder, beside=beside, files=FILES)


def write_scene_figures(result: Classification, folder: str | Path) -> None:
    """Write ``report.html``, ``history.csv``, ``predictions.csv`` and ``confusion.csv``.

    The page needs no other file and no network. The net is looked at and left as it is. What an
    older training left in the folder is replaced.

    Args:
        result: a training and its figures.
        folder: is made if it is not there.

    Raises:
        OutputError: when the folder cannot be written, or holds other things.
    """
    require_scene_figures_place(folder)
    training, evaluation = result.training, result.model.evaluation
    chips = training.data.chips
    with replacing(folder, folder=True) as fresh:
        fresh.mkdir()
        blocks = max(len(row["fusion"]) for row in training.rows)
        _write_table(
            fresh / HISTORY,
            [*EPOCH, *(f"fusion_{i + 1}" for i in range(blocks))],
            ([*(row.get(name) for name in EPOCH), *row["fusion"]] for row in training.rows),
        )
        true = (chips.classes[place] for place in chips.label[result.judged])
        best = (chips.classes[place] for place in result.said.argmax(1))
        _write_table(
            fresh / PREDICTIONS,
            ["image", "truth", "class", "confidence", *(f"p_{name}" for name in chips.classes)],
            (
                [name, *classes, *(f"{value:.6f}" for value in (said.max(), *said))]
                for name, *classes, said in zip(
                    chips.name[result.judged], true, best, result.said, strict=True
                )
            ),
        )
        _write_table(
            fresh / CONFUSION,
            ["truth", *chips.classes],
            ([name, *row] for name, row in zip(chips.classes, evaluation["confusion"], strict=True)),
        )
        (fresh / REPORT).write_text(scene_report(result), encoding="utf-8")


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def scene_report(result: Classification) -> str:
    """The page for a training."""
    evaluation = result.model.evaluation
    title = f"Scene classification: {', '.join(result.training.data.chips.classes)}"
    sections = [
        "<h1>Scene classification</h1>",
        *_lead(evaluation),
        *_accuracy(result),
        *_classes(result),
        *_epochs(result),
        *_confidence(result),
        *_pictures(result),
        "<h2>How it was made</h2>",
        table(["", ""], [[html.escape(one), html.escape(other)] for one, other in _made(result)]),
    ]
    return whole_page(title if len(title) < 120 else f"{title[:119]}…", sections, style=STYLE)


def _lead(evaluation: dict[str, Any]) -> list[str]:
    folds, on = evaluation["folds"], evaluation["judged_on"]
    words = (
        f"Overall accuracy <b>{text(evaluation['metrics']['oa'])}</b> on {evaluation['cells']:,} "
        f"{html.escape(on)} (split: {html.escape(folds['kind'])}"
    )
    if folds.get("buffer_m"):
        words += f", with {folds['buffer_m']:,.0f} m between training and test"
    page = [f"<p class='lead'>{words.replace(' the validation', ' validation')}).</p>"]
    if folds["leaks"]:
        share, held = folds["touching"], "test" if evaluation["tiles"]["test"] else "validation"
        why = f"{_percent(share or 0)} of the {held} images touch a training image."
        if not share:
            few = "The" if share is None else "Some"
            why = f"{few} images have no coordinates: neighbours may stand on both sides."
        page.append(
            f"<p class='warn'><b>This split leaks.</b> {why} The figure tells how well gaps between known "
            "places are filled in. It is too good for new places and must not be quoted for them.</p>"
        )
    if not evaluation["tiles"]["test"]:
        page.append(
            "<p class='warn'><b>There were no test images.</b> The images that this figure is of also chose "
            "the epoch: it is too good.</p>"
        )
    return page


def _accuracy(result: Classification) -> list[str]:
    evaluation, views = result.model.evaluation, result.training.config.views
    one, eight = evaluation["one_view"], evaluation["eight_views"]
    rows = [[NAMES.get(name, name), text(one[name]), text(eight[name])] for name in one]
    used = "the mean of eight views" if views else "one view"
    groups = evaluation["groups"]
    words = (
        f"<p>In brackets: 95 % intervals over {groups:,} group{'s' * (groups != 1)} of images, none with "
        "fewer than 5 groups or where all of them agree. The mean of eight views is that over the turned and "
        f"mirrored image, 8 times the work. The model, and all below, is of {used}.</p>"
    )
    return ["<h2>Accuracy</h2>", words, table(["figure", "one view", "mean of eight views"], rows)]


def _classes(result: Classification) -> list[str]:
    evaluation = result.model.evaluation
    classes = result.model.scheme.classes
    judged = [
        [
            swatch(cls.color) + html.escape(cls.label),
            f"{row['truth']:,}",
            f"{row['predicted']:,}",
            *(text(row[name]) for name in ("producers_accuracy", "users_accuracy", "f1")),
        ]
        for cls, row in zip(classes, evaluation["per_class"], strict=True)
    ]
    names, cm = evaluation["classes"], np.array(evaluation["confusion"])
    present = np.count_nonzero(cm.sum(0) + cm.sum(1))
    hint = "so are the small numbers, in percent" if present <= SHARES else "point at a cell to read it"
    return [
        "<h2>Classes</h2><p>Recall: of the images of a class, the share that was found (producer's accuracy)."
        " Precision: of the images that were given a class, the share that is of it (user's accuracy).</p>",
        table(["class", "images", "said", "recall", "precision", "F1"], judged),
        f"<h2>Confusion matrix</h2><p>Rows are the truth. Colours are shares of the row; {hint}.</p>",
        "<div class='side'><div>",
        confusion_table(cm, names, said="said", narrow=True),
        "</div>",
        _mixed_up(cm, names),
        "</div>",
    ]


def _mixed_up(cm: np.ndarray, names: Sequence[str]) -> str:
    """Pairs of classes that were mixed up most often."""
    wrong = np.where(np.eye(len(cm), dtype=bool), 0, cm)
    most = np.argsort(-wrong, axis=None, kind="stable")[:MIXED_UP]
    rows = [
        [
            f"{html.escape(names[i])} → {html.escape(names[j])}",
            f"{cm[i, j]:,}",
            _percent(cm[i, j] / cm[i].sum()),
        ]
        for i, j in zip(*np.unravel_index(most, cm.shape), strict=True)
        if wrong[i, j]
    ]
    if not rows:
        return ""
    return "<div>" + table(["mixed up most often", "images", "of the truth"], rows) + "</div>"


def _epochs(result: Classification) -> list[str]:
    training = result.training
    rows, config, best = training.rows, training.config, training.best["epoch"]
    words = "The loss of training images is that of augmented ones"
    if config.label_smoothing:
        words += f", with labels smoothed by {config.label_smoothing:g}"
    words += "; that of validation images is plain cross-entropy: compare their courses, not their heights."
    page = [
        f"<h2>Training</h2><p>{words}</p>",
        _image(
            training_figure(rows, best=best), "Loss, validation accuracy and learning rate over the epochs"
        ),
    ]
    if rows[-1]["fusion"]:
        page += [
            "<h2>Coordinate attention against squeeze-excitation</h2><p>A balanced block gives <code>a · "
            "CoordAtt(x) + (1 − a) · SE(x)</code>; <code>a</code> is learned, one number a block.</p>",
            _image(fusion_figure(rows), "Weight of coordinate attention in each block over the epochs"),
        ]
    if training.class_weights is not None:
        where = (
            "found from the confusion of validation images after a quarter of the epochs"
            if config.class_weights == "confusion"
            else "given"
        )
        weights = zip(result.model.scheme.classes, training.class_weights, strict=True)
        page += [
            f"<h2>Weights of classes in the loss</h2><p>They were {where}.</p>",
            table(
                ["class", "weight"],
                [[swatch(cls.color) + html.escape(cls.label), f"{w:.2f}"] for cls, w in weights],
            ),
        ]
    return page


def _confidence(result: Classification) -> list[str]:
    evaluation, said = result.model.evaluation, result.said
    found = evaluation["calibration"]
    right = said.argmax(1) == result.training.data.chips.label[result.judged]
    figure = confidence_figure(found["reliability"], said.max(1), right)
    rows = [
        ["Expected calibration error", _number(found["ece"])],
        ["The same before calibration on validation images", _number(found["before"]["ece"])],
        ["Brier score (0 to 2)", _number(found["brier"])],
        ["Mean confidence of right answers", _number(found["right"])],
        ["Mean confidence of wrong answers", _number(found["wrong"])],
        ["Confidence gap between them", _number(found["gap"])],
    ]
    words = (
        "Bars above the dotted line: the net is right more often than it says; below: less often. The "
        "expected calibration error is the mean distance from the line, weighed by images."
    )
    if "unsure" in evaluation:
        words += f" {_unsure(evaluation['unsure'])}"
    return [
        f"<h2>Confidence</h2><p>{words}</p>",
        _image(figure, "Reliability diagram, and histograms of confidence"),
        table(["figure", "value"], rows),
    ]


def _unsure(unsure: Mapping[str, Any]) -> str:
    """What maps call unsure, and what that promises."""
    if unsure["share"] == 1:
        return f"Maps call all answers unsure. {unsure['promise']}"
    return f"Maps call answers below {unsure['below']:.2f} unsure. {unsure['promise']}"


def _pictures(result: Classification) -> list[str]:
    right, wrong = right_and_wrong(result.said, result.training.data.chips.label[result.judged])
    page = [
        "<h2>What the net looked at</h2><p>Grad-CAM shows where the last features speak for a class: grey "
        "has no say, yellow the highest; each picture has its own scale. Attention shows the share of the "
        "features that the last attention lets through, the mean over channels, from the lowest (blue) to "
        "the highest (yellow) of the picture. Both are coarse, and tell what was looked at, not whether it "
        "was right to. Images are stretched together, from the 2nd to the 98th percentile, dark ones "
        "brightened.</p>",
    ]
    if len(wrong.at):
        count = int((result.said.argmax(1) != result.training.data.chips.label[result.judged]).sum())
        some = f"the {len(wrong.at)} surest of {count:,}" if count > len(wrong.at) else f"all {count:,}"
        page += [f"<h2>Wrong: {some}; truth → said</h2>", gallery(result, wrong, both=True)]
    if len(right.at):
        page += ["<h2>Right: the surest of a class</h2>", gallery(result, right, both=False)]
    return page


def _made(result: Classification) -> list[tuple[str, str]]:
    evaluation, training = result.model.evaluation, result.training
    chips, config, cost = training.data.chips, training.config, evaluation["cost"]
    size = f"{chips.side} x {chips.side} pixels"
    if chips.pixel_m:
        size += f" of {chips.pixel_m[1]:g} x {chips.pixel_m[0]:g} m"
    tiles = evaluation["tiles"]
    recipe = config.model_dump(mode="json", exclude={"net", "settings", "class_weights"}, exclude_none=True)
    built = "".join(f", {name} {value}" for name, value in config.settings.items())
    rows = [
        ("images", f"{len(chips):,} of {size}; bands {', '.join(band.name for band in chips.bands)}"),
        ("classes", f"{len(chips.classes)}: {', '.join(chips.classes)}"),
        ("parts", ", ".join(f"{number:,} for {part}" for part, number in tiles.items())),
        (
            "split",
            f"{evaluation['folds']['kind']}, {'LEAKS' if evaluation['folds']['leaks'] else 'no leak'}",
        ),
        ("net", f"{config.net}{built}"),
        (
            "size",
            f"{cost['parameters'] / 1e6:.2f} million parameters, {cost['macs'] / 1e9:.3f} GMAC for an image",
        ),
        ("recipe", ", ".join(f"{name} {value}" for name, value in recipe.items())),
        ("epochs", f"{training.rows[-1]['epoch']}, kept: {evaluation['best_epoch']}"),
        (
            "time",
            f"{evaluation['training_seconds']:,.0f} s for training, {evaluation['seconds']:,.0f} s in all, "
            f"on {evaluation['device']}",
        ),
        (
            "made",
            f"{datetime.now(UTC).isoformat(timespec='seconds')} by Jido {importlib.metadata.version('jido')}",
        ),
    ]
    return rows + [("note", note) for note in chips.notes]


def _image(figure: Any, words: str) -> str:
    return f'<img alt="{html.escape(words, quote=True)}" src="{png(figure)}">'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(share: float) -> str:
    """``39 %``, with a digit more below 10."""
    return f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"
