"""The report of a map: ``report.json`` for machines, a self-contained ``report.html`` for people."""

from __future__ import annotations

import base64
import html
import importlib.metadata
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from odc.geo import CRS

from jido.geo import pixel_size_m
from jido.io import Scene
from jido.labels import ClassScheme, Labels
from jido.methods import Model
from jido.stats import Figure

PICTURE = 1200
"""Longest side of the map picture in pixels."""

NAMES = {
    "oa": "Overall accuracy",
    "kappa": "Cohen's kappa",
    "f1_macro": "Macro F1",
    "oa_u": "OAu (among built classes)",
    "oa_bu": "OAbu (built against natural)",
    "oa_w": "OAw (weighted by similarity)",
}


def text(figure: Figure) -> str:
    """``.712 [.655, .764]``, or without brackets where no interval is claimed."""
    if figure["value"] is None:
        return "not defined"
    if figure["lower"] is None or figure["upper"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['lower']:.3f}, {figure['upper']:.3f}]"


def map_report(
    model: Model, scene: Scene, scratch: Path, *, name: str, model_id: dict[str, Any] | None
) -> dict[str, Any]:
    """All facts of a map, JSON-ready, with the training geometries in EPSG:4326."""
    with rasterio.open(scratch) as source:
        counts = np.zeros(256, dtype=np.int64)
        for _, window in source.block_windows(1):
            counts += np.bincount(source.read(1, window=window).ravel(), minlength=256)
        box = {"crs": source.crs.to_string(), "shape": source.shape, "transform": list(source.transform)[:6]}
        bands = list(source.descriptions)
    cell_km2 = float(np.prod(pixel_size_m(scene.geobox))) * model.stride**2 / 1e6
    mapped = max(int(sum(counts[code] for code in model.scheme.codes)), 1)
    area = [
        {
            "class": c.label,
            "name": c.name,
            "cells": int(counts[c.code]),
            "km2": round(int(counts[c.code]) * cell_km2, 4),
            "share": round(int(counts[c.code]) / mapped, 6),
        }
        for c in model.scheme.classes
    ]
    return {
        "map": name,
        "jido": importlib.metadata.version("jido"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "grid": box,
        "bands": bands,
        "images": [path.name for path in scene.paths],
        "notes": list(scene.notes),
        "model": model_id or {},
        "pixel_count_area": area,
        "evaluation": model.evaluation,
        "training": training_features(model.labels),
    }


def training_features(labels: Labels) -> dict[str, Any]:
    """The training labels as GeoJSON in longitude and latitude."""
    here = labels.to_crs(CRS("EPSG:4326"))
    features = [
        {
            "type": "Feature",
            "properties": {"code": int(code), "group": str(group)},
            "geometry": json.loads(shapely.to_geojson(geometry)),
        }
        for geometry, code, group in zip(here.geometry, here.codes, here.groups, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def labels_from_features(collection: dict[str, Any], scheme: ClassScheme) -> Labels:
    """The opposite of :func:`training_features`."""
    features = collection["features"]
    geometry = np.array([shapely.from_geojson(json.dumps(f["geometry"])) for f in features], dtype=object)
    codes = np.array([f["properties"]["code"] for f in features], dtype=np.int64)
    groups = np.array([f["properties"]["group"] for f in features], dtype=object)
    return Labels(geometry, codes, groups, CRS("EPSG:4326"), scheme)


def write_report(
    facts: dict[str, Any], model: Model, scratch: Path, *, json_path: Path, html_path: Path
) -> None:
    """Write both reports; ``scratch`` is the map to draw."""
    json_path.write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
    html_path.write_text(_page(facts, model, scratch), encoding="utf-8")


def statement(evaluation: dict[str, Any]) -> str:
    """The accuracy of a model in one sentence."""
    folds, metrics = evaluation["folds"], evaluation["metrics"]
    return (
        f"Overall accuracy {text(metrics['oa'])} on {evaluation['groups']} polygons, each judged by a "
        f"model that had not seen it ({folds['k']} folds, {folds['kind']})."
    )


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rgb(codes: np.ndarray, scheme: ClassScheme) -> np.ndarray:
    table = np.zeros((256, 4), dtype=np.uint8)
    for cls in scheme.classes:
        table[cls.code] = (*cls.rgb, 255)
    return table[codes]


def draw_map(model: Model, scratch: Path) -> Any:
    """A matplotlib figure: the class map and, on the right, which fold judged which polygon."""
    from matplotlib.figure import Figure as Canvas

    with rasterio.open(scratch) as source:
        shrink = max(max(source.shape) / PICTURE, 1)
        shape = tuple(max(int(n / shrink), 1) for n in source.shape)
        band = 2 if source.descriptions[0] == "lcz" else 1
        codes = source.read(band, out_shape=shape)
        left, bottom, right, top = source.bounds
        crs = CRS(source.crs.to_wkt())
    canvas = Canvas(figsize=(14, 6.4))
    axes = canvas.subplots(1, 2, sharex=True, sharey=True)
    picture = _rgb(codes, model.scheme)
    axes[0].imshow(picture, extent=(left, right, bottom, top), interpolation="nearest")
    axes[0].set_title("Map" + (" (lczFilter)" if band == 2 else ""))
    axes[1].imshow(picture, extent=(left, right, bottom, top), interpolation="nearest", alpha=0.25)
    axes[1].set_title("Training polygons, coloured by the fold that judged them")
    here = model.labels.to_crs(crs)
    for row in model.evaluation.get("polygons", []):
        for part in shapely.get_parts(here.geometry[row["item"]]):
            if part.geom_type == "Polygon":
                axes[1].fill(*part.exterior.xy, color=f"C{row['fold']}", alpha=0.8, lw=0)
            else:
                axes[1].plot(*part.xy, ".", color=f"C{row['fold']}")
    for axis in axes:
        axis.set_xlim(left, right)
        axis.set_ylim(bottom, top)
        axis.ticklabel_format(useOffset=False, style="plain")
        axis.tick_params(labelsize=7)
    canvas.tight_layout()
    return canvas


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _swatch(cls_color: str) -> str:
    return f'<span class="swatch" style="background:{cls_color}"></span>'


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _confusion_table(evaluation: dict[str, Any]) -> str:
    cm = np.array(evaluation["confusion"])
    present = np.flatnonzero(cm.sum(0) + cm.sum(1))
    names = [evaluation["classes"][i] for i in present]
    rows = []
    for i in present:
        total = max(int(cm[i].sum()), 1)
        cells = []
        for j in present:
            strength = cm[i, j] / total
            tone = f"rgba(20,110,60,{strength:.2f})" if i == j else f"rgba(190,60,30,{strength:.2f})"
            ink = "#fff" if strength > 0.55 else "inherit"
            cells.append(f'<span class="cm" style="background:{tone};color:{ink}">{cm[i, j]}</span>')
        rows.append([f"<b>{html.escape(evaluation['classes'][i])}</b>", *cells])
    return _table(["truth \\ map", *names], rows)


def _metric_rows(metrics: dict[str, Figure]) -> list[list[str]]:
    return [[NAMES.get(name, name), text(figure)] for name, figure in metrics.items()]


def _page(facts: dict[str, Any], model: Model, scratch: Path) -> str:
    evaluation = facts["evaluation"]
    colors = {c.label: c.color for c in model.scheme.classes}
    classes = [
        [
            _swatch(colors[row["class"]]) + html.escape(f"{row['class']} {row['name']}"),
            area["cells"],
            f"{area['km2']:.2f}",
            f"{area['share'] * 100:.1f} %",
            _share(row["users_accuracy"]),
            _share(row["producers_accuracy"]),
            _share(row["f1"]),
        ]
        for row, area in zip(evaluation["per_class"], facts["pixel_count_area"], strict=True)
        if row["truth"] or area["cells"]
    ]
    doubtful = [
        [html.escape(row["group"]), html.escape(row["class"]), row["cells"], f"{row['agreement'] * 100:.0f} %"]
        for row in evaluation.get("polygons", [])
        if row["agreement"] < 0.25
    ][:12]
    unsure = evaluation["unsure"]
    leaky = evaluation.get("leaky")
    leaky_text = (
        f"<p class='warn'>A random pixel split of the same data would have shown an overall accuracy of "
        f"{text(leaky['metrics']['oa'])}. That figure <b>leaks</b>: neighbours of one polygon stand on both "
        "sides. It is printed to show the difference and must not be quoted.</p>"
        if leaky
        else ""
    )
    sections = [
        f"<h1>{html.escape(facts['map'])}</h1>",
        f"<p class='lead'>{html.escape(statement(evaluation))} This speaks of new polygons drawn like "
        "these, not of every cell of the map.</p>",
        f"<img alt='Class map and training polygons by fold' src='{_png(draw_map(model, scratch))}'>",
        "<h2>Classes</h2><p>Areas are counted cells of the map: they carry its errors and no interval. "
        "Accuracies are those of the held-out polygons.</p>",
        _table(["class", "cells", "km²", "share", "user's acc.", "producer's acc.", "F1"], classes),
        "<h2>Accuracy on held-out polygons</h2>",
        _table(["figure", "value [95 % interval over polygons]"], _metric_rows(evaluation["metrics"])),
        leaky_text,
        "<h2>Confusion matrix</h2><p>Cells of held-out polygons; rows are the truth.</p>",
        _confusion_table(evaluation),
        "<h2>Unsure cells</h2>",
        f"<p>The band <code>abstain</code> is 1 where the highest probability is below "
        f"{unsure['below']:.2f}. On the held-out polygons that leaves {(1 - unsure['share']) * 100:.0f} % of the "
        f"cells with an error of at most {unsure['aimed_error'] * 100:.0f} %; the threshold was chosen on the "
        "same cells, so for new places it is an aim, not a promise.</p>",
        "<h2>Polygons to look at again</h2>"
        "<p>Held out, fewer than a quarter of their cells were given their class.</p>"
        + (_table(["group", "class", "cells", "agreement"], doubtful) if doubtful else "<p>None.</p>"),
        "<h2>How it was made</h2>",
        _table(["", ""], _made_rows(facts, model)),
    ]
    return _SHELL.format(title=html.escape(facts["map"]), body="\n".join(s for s in sections if s))


def _made_rows(facts: dict[str, Any], model: Model) -> list[list[str]]:
    folds = facts["evaluation"]["folds"]
    rows = [
        ["images", ", ".join(facts["images"])],
        ["bands", ", ".join(b.name for b in model.bands)],
        ["model", ", ".join(f"{k} {v}" for k, v in facts["model"].items()) or "not saved"],
        ["training", f"{len(model.labels)} labels, {facts['evaluation']['cells']} cells"],
        ["folds", f"{folds['kind']}, k = {folds['k']}, {'LEAKS' if folds['leaks'] else 'no leak'}"],
        ["grid", f"{facts['grid']['crs']}, {facts['grid']['shape'][0]} x {facts['grid']['shape'][1]} cells"],
        ["made", f"{facts['made']} by Jido {facts['jido']}"],
    ]
    rows += [["note", note] for note in facts["notes"]]
    return [[html.escape(a), html.escape(b)] for a, b in rows]


_SHELL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
.lead {{ font-size: 1.1rem; }} .warn {{ border-left: 4px solid #c33; padding-left: .8rem; }}
img {{ max-width: 100%; background: #fff; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }}
th, td {{ padding: .15rem .55rem; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }}
.swatch {{ display: inline-block; width: 1em; height: 1em; margin-right: .5em; vertical-align: -.15em;
  border: 1px solid #8888; }}
.cm {{ display: block; min-width: 2.2em; padding: 0 .3em; text-align: right; }}
@media print {{ body {{ max-width: none; }} h2 {{ break-after: avoid; }} }}
</style></head><body>
{body}
</body></html>
"""
