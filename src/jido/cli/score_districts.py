"""Statistics of districts from tiles, for ``jido score map``: what is published of some, told of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from jido.data.chips import Chips
    from jido.indicators.cells import Cells
    from jido.indicators.poverty import Scored
    from jido.indicators.table import IndicatorTable

DistrictFigures = Annotated[
    str | None,
    typer.Option(
        "--district-figures",
        help="A statistic that is known of 20 of the --districts or more: tells it of all, judged on "
        "districts held out.",
        metavar="TABLE:COLUMN",
    ),
]


@dataclass(frozen=True)
class Figures:
    """What a column of a table says of districts."""

    name: str
    known: Mapping[str, float]
    districts: Cells

    def table(
        self, found: Scored, chips: Chips, features: np.ndarray, **how: Any
    ) -> tuple[IndicatorTable, dict[str, Any]]:
        """The statistic of all districts, and figures of how well it is told of those held out.

        Args:
            found: scores, whose first cells are those of the tiles.
            chips: the tiles.
            features: (N, D) of them; those of tiles without a score are not used.
            how: dates, model and least coverage, for the method sheet.
        """
        import numpy as np

        from jido.errors import ImageError
        from jido.indicators.district_figures import district_figures
        from jido.indicators.poverty import score_sheet

        if found.cells is None:
            raise ImageError("Nobody knows where these tiles lie, so they are in no district.")
        of_tiles = np.arange(len(chips))
        made, told = district_figures(
            np.where(found.empty[of_tiles, None], np.nan, features),
            found.cells.select(of_tiles),
            self.districts,
            self.known,
            name=self.name,
            coverage=found.coverage[of_tiles],
            n=found.n[of_tiles],
            sheet=score_sheet(self.name, found, chips, **how),
        )
        floor = told["floors"]["means and number of tiles alone"]["R2"]
        return made, {"R2 of districts held out": told["metrics"]["R2"], "R2 by means alone": floor}


def read_figures(asked: str, districts: Cells | None) -> Figures:
    """Figures of districts, before the hour of scoring.

    Raises:
        LabelsError: when there are no districts, the table cannot be read, or tells too little.
    """
    from jido.errors import LabelsError
    from jido.io.tables import image_cells, split_place
    from jido.methods.district_vector import FEWEST

    path, column = split_place(asked)
    if districts is None:
        raise LabelsError("--district-figures are of --districts: give their polygons too.")
    ids = districts.ids.astype(str).tolist()
    (cells,) = image_cells(path, ((column,),), ids, complete=False)
    try:
        known = {one: float(cell) for one, cell in zip(ids, cells, strict=True) if cell}
    except ValueError as err:
        raise LabelsError(f"{path} has no number in column {column!r} ({err}): correct it.") from err
    if len(known) < FEWEST:
        raise LabelsError(
            f"{path} has a figure in column {column!r} of {len(known)} of the {len(ids)} districts, such as "
            f"{ids[0]!r}, but {FEWEST} are needed: use their ids, or give smaller districts."
        )
    return Figures(column, known, districts)


def inputs(asked: str | None) -> list[Path | None]:
    """The table among the files that are read."""
    from jido.io.tables import split_place

    return [None if asked is None else split_place(asked)[0]]
