"""``jido score map``: a model and tiles in, scores by cell out, with change between years and districts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import naming, note, print_facts, print_json, progress_bar
from jido.cli.indicator_parts import (
    Benchmark,
    DistrictId,
    Districts,
    MinCoverage,
    Output,
    in_words,
    polygons,
    published,
    refuse_inputs,
)
from jido.cli.options import JsonFlag, Quiet
from jido.cli.score_districts import DistrictFigures, inputs, read_figures
from jido.cli.score_written import named, written

if TYPE_CHECKING:
    import numpy as np

    from jido.data.chips import Chips
    from jido.indicators.cells import Cells
    from jido.indicators.poverty import Scored
    from jido.indicators.sheet import MethodSheet
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress

TABLES = (".csv", ".tsv", ".gpkg", ".csv.gz", ".tsv.gz")
"""Ends of a table of an earlier year; anything else is tiles."""

AREA = "area"


def map_(
    model: Annotated[Path, typer.Argument(help="Package of a scorer, by jido score train.", metavar="MODEL")],
    tiles: Annotated[
        Path,
        typer.Argument(
            help="Folder of jido score tiles, or any folder, zip or tar of images.", metavar="TILES"
        ),
    ],
    output: Output,
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            help="The same cells in an earlier year, tiles or a table (id, value, se): writes the change.",
            metavar="TILES|TABLE",
        ),
    ] = None,
    zoom_ids: Annotated[
        int | None,
        typer.Option(
            "--zoom-ids", help="Images are called row_column of slippy tiles of this zoom.", min=0, max=24
        ),
    ] = None,
    districts: Districts = None,
    district_id: DistrictId = "id",
    weights: Annotated[
        str,
        typer.Option(
            "--weights", help="Of cells in a district: area, or a raster of people.", metavar="area|RASTER"
        ),
    ] = AREA,
    benchmark: Benchmark = None,
    district_figures: DistrictFigures = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Days of the images, 2017-06-01,2017-09-30.")
    ] = None,
    date_before: Annotated[
        str | None, typer.Option("--date-before", help="Days of the images of --before.")
    ] = None,
    min_coverage: MinCoverage = 0.5,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out damaged or missing tiles, and say so.")
    ] = False,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Score of every cell, with interval, coverage and number of pixels; a map where the cells are a grid.

    Tiles without a place on Earth give a CSV without outlines. An interval tells how well the order of cells
    is known, not how well the score measures poverty.
    """
    from jido.errors import ModelError
    from jido.indicators.poverty import changed
    from jido.io import require_place
    from jido.methods.score_package import ScoreModel

    change = named(output, "change")
    read = [model, tiles, before, districts, benchmark, None if weights == AREA else Path(weights)]
    read += inputs(district_figures)
    more = (named(output, "districts"), named(change, "districts"), named(output, "figures"))
    for target in (output, change, *more):
        require_place(target)
        refuse_inputs(target, read)
    days, days_before = _days(date, tiles), _days(date_before, before)
    areas = polygons(districts, district_id) if districts else None
    asked = _Asked(
        scorer=ScoreModel.load(model),
        zoom=zoom_ids,
        min_coverage=min_coverage,
        skip_bad=skip_bad,
        districts=areas,
        weights=weights,
        name=model.resolve().name,
        source=benchmark.name if benchmark else "",
        benchmark=published(benchmark) if benchmark else {},
    )
    asked.check()
    figures = read_figures(district_figures, areas) if district_figures else None
    with naming(model, ModelError), progress_bar(quiet=quiet or json) as progress:
        later, chips, features = asked.scores(tiles, progress, described=figures is not None)
        asked.require_outlines(later, output)
        earlier = asked.earlier(before, later, progress) if before else None
    made = asked.tables(later, chips, output, days=days)
    if figures is not None and features is not None:
        how = {"dates": days, "model": asked.name, "min_coverage": min_coverage}
        made[named(output, "figures")], told = figures.table(later, chips, features, **how)
        asked.summary |= told
    both: dict[Path, IndicatorTable | tuple[Scored, MethodSheet]] = {}
    if earlier is not None:
        every = tuple(sorted({*days, *days_before}))
        both = asked.tables(changed(later, earlier), chips, change, days=every, change=True)
    files = [file for target, one in made.items() for file in written(one, target)]
    files += [file for target, one in both.items() for file in written(one, target, centre=0.0)]
    for text in asked.notes:
        note(text, quiet=quiet)
    facts: dict[str, Any] = {
        "table": str(files[0]),
        "cells": len(later.ids),
        "empty_cells": int(later.empty.sum()),
        "summary": asked.summary,
        "files": [str(path) for path in files],
    }
    if json:
        print_json(facts)
        return
    _print(facts, files)


def _days(text: str | None, tiles: Path | None) -> tuple[str, ...]:
    """Days of images as they are given, else the one in the name of the tiles."""
    from datetime import date

    from jido.errors import ImageError
    from jido.io.dates import day_in

    if text is None:
        return (found,) if tiles and (found := day_in(tiles.name)) else ()
    try:
        return tuple(date.fromisoformat(part.strip()).isoformat() for part in text.split(","))
    except ValueError as err:
        raise ImageError(f"--date {text!r} is no day ({err}): write 2017-06-01,2017-09-30.") from err


@dataclass
class _Asked:
    """What is asked for; ``summary`` and ``notes`` tell what came of it."""

    scorer: Any
    zoom: int | None
    min_coverage: float
    skip_bad: bool
    districts: Cells | None
    weights: str
    name: str
    source: str
    benchmark: Mapping[str, float]
    summary: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Refuse before the hour of scoring what would be refused after it."""
        from jido.errors import LabelsError
        from jido.io import Scene

        if self.weights != AREA:
            Scene([Path(self.weights)]).close()
        known = set(self.benchmark if self.districts is None else self.districts.ids)
        if lost := sorted(set(self.benchmark) - known):
            raise LabelsError(
                f"{self.source} has a figure of {lost[0]!r}, which is no district: use their ids."
            )

    def scores(
        self, path: Path, progress: Progress | None, *, described: bool = False
    ) -> tuple[Scored, Chips, np.ndarray | None]:
        """Scores of tiles, these, and their features if they are asked for."""
        import numpy as np

        from jido.data.score_tiles import read_tiles
        from jido.indicators.poverty import scored

        tiles = read_tiles(path, ids_at_zoom=self.zoom, skip_bad=self.skip_bad, progress=progress)
        self.notes += tiles.notes
        how: dict[str, Any] = {"progress": progress}
        features = np.concatenate(list(self.scorer.described(tiles.chips, **how))) if described else None
        found = self.scorer.scores(tiles.chips, features=features, **how)
        made = scored(
            tiles,
            found.members,
            interval=(found.lower, found.upper),
            level=self.scorer.level,
            bounds=self.scorer.bounds,
            min_coverage=self.min_coverage,
        )
        return made, tiles.chips, features

    def earlier(self, path: Path, later: Scored, progress: Progress | None) -> Scored:
        """Scores of an earlier year: tiles, or what a table says of the same cells."""
        if not path.name.lower().endswith(TABLES):
            return self.scores(path, progress)[0]
        import numpy as np

        from jido.errors import LabelsError
        from jido.io.tables import image_cells

        ids = [str(name) for name in later.ids]
        texts = image_cells(path, (("value",), ("se",)), ids, complete=False)
        try:
            value, se = (np.array([float(text or "nan") for text in column]) for column in texts)
        except ValueError as err:
            raise LabelsError(f"{path} holds what is no number ({err}): correct it.") from err
        if np.isnan(value).all():
            raise LabelsError(
                f"{path} has a value for none of the {len(ids)} cells, as {ids[0]!r}: use the same."
            )
        seen = np.where(np.isnan(value), 0.0, 1.0)
        self.notes.append("--before is a table, so the errors of the two years are taken for independent.")
        return replace(later, value=value, se=se, members=None, coverage=seen, n=later.n * seen)

    def require_outlines(self, found: Scored, output: Path) -> None:
        """Refuse what needs outlines where nobody knows where tiles lie."""
        from jido.errors import ImageError, OutputError

        if found.cells is not None:
            return
        how = "give --zoom-ids where ids are row_column of slippy tiles, or cut tiles with jido score tiles"
        if self.districts or self.benchmark:
            raise ImageError(f"Nobody knows where these tiles lie, so there are no districts: {how}.")
        if output.suffix.lower() in (".gpkg", ".parquet"):
            raise OutputError(
                f"{output} needs outlines, but nobody knows where these tiles lie: {how}; or give .csv."
            )

    def tables(
        self, found: Scored, chips: Chips, output: Path, *, days: Sequence[str], change: bool = False
    ) -> dict[Path, IndicatorTable | tuple[Scored, MethodSheet]]:
        """Of cells and of districts, by the name that each is written to; rows where nobody knows a place."""
        from jido.indicators.poverty import beside, district_table, overall, score_sheet, score_table

        how: dict[str, Any] = {"dates": days, "model": self.name, "change": change}
        sheet = score_sheet(self.scorer.target, found, chips, min_coverage=self.min_coverage, **how)
        self.summary["change" if change else "mean"] = overall(found)
        self.summary["unit"] = sheet.unit
        self.notes += found.notes
        if found.cells is None:
            return {output: (found, sheet)}
        tables = {output: score_table(found, sheet)}
        if self.districts is not None and found.members is None:
            self.notes.append("The change of districts needs the tiles of both years: none was written.")
        elif self.districts is not None:
            people, name = self._weight(found.cells)
            larger = district_table(found, tables[output], self.districts, weights=people, weight_name=name)
            tables[named(output, "districts")] = larger
        if self.benchmark and not change:
            last = list(tables)[-1]
            one, alike = beside(tables[last], self.benchmark, source=self.source, ordinal=found.ordinal)
            tables[last], self.summary["spearman"] = one, alike
        return {**tables}

    def _weight(self, cells: Cells) -> tuple[np.ndarray | None, str]:
        """Weights of cells and their name; where people are not known, as many to the m² as elsewhere."""
        if self.weights == AREA:
            return None, "area in m²"
        import numpy as np

        from jido.indicators.green import people_of
        from jido.io import Scene

        with Scene([Path(self.weights)]) as population:
            people = people_of(population, cells)
        known = np.isfinite(people)
        if lost := int((~known).sum()):
            self.notes.append(
                f"{self.weights} does not cover {lost} cells: as many people to the m² as elsewhere."
            )
        density = people[known].sum() / cells.area_m2[known].sum()
        return np.where(known, people, density * cells.area_m2), f"people of {Path(self.weights).name}"


def _print(facts: dict[str, Any], files: Sequence[Path]) -> None:
    for name, figure in facts["summary"].items():
        if isinstance(figure, dict):
            print(f"{name}: {in_words(figure)}")
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little seen)")
    print_facts({"Files": ", ".join(path.name for path in files), "in": str(files[0].resolve().parent)})
