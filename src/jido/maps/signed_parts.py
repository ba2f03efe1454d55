"""Parts of the page of a signed report: what the sample was, what all rests on, and who signs."""

from __future__ import annotations

import html
from typing import Any

from jido.io.html import table
from jido.maps.report import percent
from jido.stats.words import NAMES

PARTS = {
    "sure": "cells that the map calls sure",
    "unsure": "cells that the map calls unsure (abstain)",
    "outside_training": "outside the training labels",
    "first": "by the first interpreter alone",
    "second": "by the second interpreter alone",
}
"""Parts of a sample for which overall accuracy is given."""


def sample_sections(sample: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    """How the sample was drawn, who labelled it, and what parts of it say."""
    strata = [
        [
            html.escape(row["name"]),
            f"{row['cells']:,}",
            "–" if row["km2"] is None else f"{row['km2']:,.2f}",
            *(str(row[key]) for key in ("drawn", "labelled", "missing")),
        ]
        for row in sample["strata"]
    ]
    head = ["stratum", "cells", "km²", "points drawn", "labelled", "without label"]
    drawn = sample["facts"]
    words = (
        f"A {sample['kind']} sample, allocation {drawn['allocation']}, seed {drawn['seed']}, drawn "
        f"{drawn['made']}"
    )
    return [
        f"<h2>The sample</h2><p>{html.escape(words)}.</p><div class='numbers'>{table(head, strata)}</div>",
        _parts(metrics, sample["parts"]),
        _interpreters(sample["interpreters"], drawn["truth"]),
    ]


def _parts(metrics: dict[str, Any], parts: dict[str, Any]) -> str:
    rows = [[NAMES[name], percent(figure)] for name, figure in metrics.items()]
    rows += [[PARTS[name], percent(figure)] for name, figure in parts.items() if figure]
    return (
        "<h2>The whole map and parts of it</h2><p>Of the parts overall accuracy is given.</p>"
        f"<div class='numbers'>{table(['', 'value [95 % interval]'], rows)}</div>"
    )


def _interpreters(found: dict[str, Any], truth: str | None) -> str:
    first, second = found["labelled"]
    if truth:
        return f"<h2>Labels</h2><p>No people, but {html.escape(truth)} has labelled the points.</p>"
    page = f"<h2>Interpreters</h2><p>The first labelled {first} points, the second {second}. "
    if not found["both"]:
        return page + "No point was labelled twice, so nobody knows how far two people would agree.</p>"
    kappa = "" if found["kappa"] is None else f", Cohen's kappa {found['kappa']:.2f}"
    return page + (
        f"Of the {found['both']} points that both labelled they agree on {found['agreement'] * 100:.1f} %"
        f"{kappa} (shares of points, not of the map).</p>"
    )


def card_sections(facts: dict[str, Any]) -> list[str]:
    """Data and method, sources, and lines for signatures."""
    rows = [[html.escape(name), _cell(value)] for name, value in _card(facts).items() if value]
    sources = "".join(f"<li>{html.escape(f'{key}: {value}')}</li>" for key, value in facts["sources"].items())
    return [
        f"<h2>Data and method</h2><div class='card'>{table(['', ''], rows)}</div>",
        f"<h2>Sources</h2><ul>{sources}</ul>",
        "<div class='sign'><h2>Signed</h2>"
        + table(["name and office", "place and date", "signature"], [["", "", ""]])
        + "</div>",
    ]


def _cell(value: str) -> str:
    return f"<span class='hash'>{value}</span>" if len(value) == SHA256 else html.escape(value)


SHA256 = 64
"""Letters of a hash."""


def _card(facts: dict[str, Any]) -> dict[str, str]:
    """What was used, in words; empty where it is not known."""
    map_, sample = facts["map"], facts.get("sample", {})
    drawn = sample.get("facts", {})
    height, width = map_["shape"]
    cell = f", cells of {map_['cell_m'][0]:g} x {map_['cell_m'][1]:g} m" if map_["cell_m"] else ""
    made = f"{map_['made']} by Jido {map_['jido']}" if map_["made"] else ""
    model = facts["model"] or {}
    return {
        "map": f"{map_['name']}, band {map_['band']} of {', '.join(map_['bands'])}",
        "sha256 of the map": map_["sha256"],
        "grid": f"{map_['crs'] or 'no place on Earth'}, {height} x {width} cells{cell}",
        "map made": made,
        "images": ", ".join(map_["images"] or []),
        "model": " ".join(str(model[key]) for key in ("name", "method") if key in model),
        "sha256 of the model": model.get("sha256", ""),
        "sha256 of its settings": model.get("config_sha256", ""),
        "reference": f"{facts['reference']['name']}: {facts['design']}",
        "sha256 of the reference": facts["reference"]["sha256"] or "",
        "sample drawn from": f"{drawn['map']}, by Jido {drawn['jido']}" if drawn else "",
        "sha256 of that map": drawn.get("sha256", "") if sample.get("other_map") else "",
        "software": ", ".join(f"{name} {version}" for name, version in facts["software"].items()),
        "written": facts["written"],
    }
