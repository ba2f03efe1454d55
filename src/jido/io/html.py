"""One self-contained page: what every report is made of. Nothing in it is fetched from anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np


def whole_page(title: str, sections: Sequence[str], *, style: str = "") -> str:
    """A whole page that follows the reader's light or dark mode, and that can be printed.

    Args:
        title: plain text.
        sections: HTML, in order.
        style: further CSS.
    """
    return _SHELL.format(title=html.escape(title), style=style, body="\n".join(sections))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; ``head`` is plain text, the cells are HTML."""
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def swatch(color: str) -> str:
    """A small square of a colour ``#RRGGBB``."""
    return f'<span class="swatch" style="background:{color}"></span>'


def png(figure: Any) -> str:
    """A matplotlib figure as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return _uri(buffer)


def png_of_pixels(colours: np.ndarray) -> str:
    """Colours uint8 (H, W, 3) as a data URI, pixel by pixel."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, colours, format="png", metadata={"Software": "Jido"})
    return _uri(buffer)


def _uri(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def confusion_table(
    confusion: Sequence[Sequence[int]] | np.ndarray,
    classes: Sequence[str],
    *,
    said: str = "map",
    narrow: bool = False,
) -> str:
    """Counts of truth (rows) and answers (columns), coloured by their share of the row.

    Args:
        confusion: (K, K) counts. Classes that occur in neither have no row.
        classes: K names.
        said: who gave the answers.
        narrow: for many classes: the heads are written upwards, the numbers get smaller with their
            number, shares stand under the counts where there is room for them, else in a hint, and 0
            is left out.
    """
    cm = np.asarray(confusion)
    present: list[int] = np.flatnonzero(cm.sum(0) + cm.sum(1)).tolist()
    rows = []
    for i in present:
        total = max(int(cm[i].sum()), 1)
        cells = []
        for j in present:
            share = cm[i, j] / total
            tone = f"rgba(20,110,60,{share:.2f})" if i == j else f"rgba(190,60,30,{share:.2f})"
            ink = "#fff" if share > 0.55 else "inherit"
            content, hint = str(cm[i, j]), ""
            if narrow:
                names = (html.escape(classes[k], quote=True) for k in (i, j))
                hint = f' title="{" → ".join(names)}: {cm[i, j]}, {share:.1%}"'
                small = f"<small>{100 * share:.1f}</small>" if len(present) <= SHARES else ""
                content = f"{cm[i, j]}{small}" if cm[i, j] else "&nbsp;"
            cells.append(f'<span class="cm" style="background:{tone};color:{ink}"{hint}>{content}</span>')
        rows.append([f"<b>{html.escape(classes[i])}</b>", *cells])
    made = table([f"truth \\ {said}", *(classes[i] for i in present)], rows)
    if not narrow:
        return made
    return f'<div class="narrow" style="--k:{len(present)}">{made}</div>'


SHARES = 16
"""Classes up to which a narrow confusion table has room for the shares."""

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
.cm, .swatch {{ print-color-adjust: exact; }}
{style}@media print {{ body {{ max-width: none; }} h2 {{ break-after: avoid; }} }}
</style></head><body>
{body}
</body></html>
"""
