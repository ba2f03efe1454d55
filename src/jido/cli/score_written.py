"""What ``jido score map`` writes: tables with their maps and pictures, rows where nobody knows a place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jido.cli.indicator_parts import stem_and_formats

if TYPE_CHECKING:
    from jido.indicators.poverty import Scored
    from jido.indicators.sheet import MethodSheet
    from jido.indicators.table import IndicatorTable


def named(output: Path, part: str) -> Path:
    """``OUT.part.csv`` for ``OUT.csv``."""
    stem, formats = stem_and_formats(output)
    return stem.with_name(f"{stem.name}.{part}{output.suffix if len(formats) == 1 else ''}")


def written(
    made: IndicatorTable | tuple[Scored, MethodSheet], output: Path, *, centre: float | None = None
) -> list[Path]:
    """Table, map and picture, which shows the interval itself: it is wider than that of ``se``.

    Args:
        made: a table, or rows where nobody knows a place.
        output: as it was asked for.
        centre: value at which colours change side, 0 for a change.
    """
    import numpy as np
    from scipy.special import ndtri

    from jido.indicators.cell_map import draw_table, write_map

    stem, formats = stem_and_formats(output)
    if isinstance(made, tuple):
        return _written_rows(*made, stem)
    files = made.write(stem, formats=formats) + write_map(made, stem, centre=centre)
    half = np.fmax(made.upper - made.value, made.value - made.lower)
    shown = replace(made, se=half / ndtri((1 + made.sheet.level) / 2))
    return [*files, draw_table(shown, stem.with_name(f"{stem.name}.png"), centre=centre)]


def _written_rows(found: Scored, sheet: MethodSheet, stem: Path) -> list[Path]:
    """A CSV without outlines and its method sheet, all of them or none."""
    from jido.io import json_text
    from jido.io.cell_table import write_rows
    from jido.io.files import replacing_together

    names = ("ids", "value", "lower", "upper", "coverage", "n", "se")
    columns = zip(*(getattr(found, name).tolist() for name in names), strict=True)
    targets = [stem.with_name(f"{stem.name}{end}") for end in (".csv", ".method.json", ".method.md")]
    with replacing_together(*targets) as (rows, facts, page):
        write_rows([dict(zip(("id", *names[1:]), row, strict=True)) for row in columns], rows)
        facts.write_text(json_text(sheet.to_dict(), indent=2) + "\n", encoding="utf-8")
        page.write_text(sheet.to_markdown(), encoding="utf-8")
    return targets
