"""``jido score train``: a score for tiles, from experts' orders of clusters or from a survey."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_json, print_table, progress_bar
from jido.cli.options import Config, JsonFlag, OwnSeed, Preset, PresetChoice, Quiet, SkipBadTiles

if TYPE_CHECKING:
    import numpy as np

    from jido.data.orders import Said
    from jido.data.score_tiles import ScoreTiles
    from jido.data.survey import Survey
    from jido.data.tile_clusters import Clusters
    from jido.io import Progress
    from jido.methods.score_package import ScoreModel
    from jido.methods.siscore import SiscoreConfig
    from jido.methods.tile_features import TileFeatures


def train(
    tiles: Annotated[
        Path,
        typer.Argument(
            help="Folder of jido score tiles, or any folder, zip or tar of images.", metavar="TILES"
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model package.")],
    clusters: Annotated[
        Path | None,
        typer.Option(
            "--clusters",
            help="Folder (or table) of jido score cluster; without it the folder of an image is its cluster.",
            metavar="CLUSTERS",
        ),
    ] = None,
    order: Annotated[
        Path | None,
        typer.Option("--order", help="Folder of jido score rank, or a text of orders.", metavar="ORDER"),
    ] = None,
    survey: Annotated[
        Path | None,
        typer.Option(
            "--survey", help="Instead of --order: table with lat, lon and the target.", metavar="FILE"
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Column of --survey to learn.", metavar="COLUMN")
    ] = None,
    nightlights: Annotated[
        Path | None,
        typer.Option(
            "--nightlights", help="Raster of nightlights, for the floor beside a survey.", metavar="FILE"
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="Model of jido score label or scene train whose last layer describes tiles; random filters "
            "without it.",
            metavar="MODEL",
        ),
    ] = None,
    zoom_ids: Annotated[
        int | None,
        typer.Option("--zoom-ids", min=0, max=24, help="Ids are row_column of slippy tiles of this zoom."),
    ] = None,
    members: Annotated[int | None, typer.Option("--members", min=2, help="Of the ensemble.")] = None,
    config: Config = None,
    skip_bad: SkipBadTiles = False,
    preset: Preset = PresetChoice.cpu,
    seed: OwnSeed = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Learn a score for tiles and write a model package for jido score map.

    With --order the score respects the experts' order of clusters and needs no survey. With --survey it is
    what the survey measures, learned in the windows of its displaced clusters and judged on countries or
    squares of land that it has not seen, beside its floors.
    """
    from jido.data.score_tiles import read_tiles
    from jido.errors import OutputError
    from jido.io import require_package_place
    from jido.methods.siscore import load_siscore_config

    require_package_place(output)
    if features is not None and features.resolve() == output.resolve():
        raise OutputError(f"{output} is the model that describes the tiles: give another name with -o.")
    options: dict[str, Any] = {"members": members, "seed": seed, "features": "net" if features else None}
    given = {name: value for name, value in options.items() if value is not None}
    settings = load_siscore_config(config, preset=preset.value, given=given)
    _require_net(settings, features)
    learn = _source(tiles, order, clusters, survey, target, nightlights)
    with progress_bar(quiet=quiet or json) as progress:
        found = read_tiles(tiles, ids_at_zoom=zoom_ids, skip_bad=skip_bad, progress=progress)
        model, told, notes = learn(found, _features(found, features, settings), settings, progress)
    model.save(output)
    for text in dict.fromkeys((*found.notes, *notes)):
        note(text, quiet=quiet)
    if json:
        print_json({"model": str(output), "target": model.target, **dict(model.evaluation)})
        return
    print_table(*told)
    print(f"Model package: {output}")


Told = tuple[list[str], list[list[object]]]
"""Head and rows of a table to print."""

if TYPE_CHECKING:
    Learned = tuple[ScoreModel, Told, tuple[str, ...]]
    Learn = Callable[[ScoreTiles, TileFeatures, SiscoreConfig, Progress | None], Learned]


def _source(
    tiles: Path,
    order: Path | None,
    clusters: Path | None,
    survey: Path | None,
    target: str | None,
    nightlights: Path | None,
) -> Learn:
    """How a score is learned from what was given, which is read before the hour of reading images."""
    from jido.errors import LabelsError

    if order is None and survey is not None and target is not None:
        if clusters is not None:
            raise LabelsError("--clusters belongs to --order: a survey has places of its own. Leave it out.")
        said = _read_survey(survey, target, nightlights)
        return partial(_surveyed, said, survey.name, target, nightlights)
    if order is None or survey is not None or target is not None:
        raise LabelsError("Give either --order, or --survey with --target: what is the score learned from?")
    if nightlights is not None:
        raise LabelsError("--nightlights is a floor beside a --survey: leave it out, or give both.")
    return partial(_ordered, *_read_order(order, clusters, tiles))


def _require_net(settings: SiscoreConfig, features: Path | None) -> None:
    from jido.errors import ModelError

    if settings.features == "net" and features is None:
        raise ModelError("The settings ask for features of a net: say which model with --features.")


def _read_order(order: Path, clusters: Path | None, tiles: Path) -> tuple[Clusters, Said]:
    """Clusters and what experts said of them, before the hour of reading images."""
    from jido.data.orders import read_orders
    from jido.data.score_tiles import TABLE
    from jido.data.tile_clusters import read_clusters
    from jido.errors import LabelsError

    if clusters is None and (not tiles.is_dir() or (tiles / TABLE).is_file()):
        raise LabelsError(
            f"Nothing tells which cluster a tile of {tiles} is in: give --clusters. Without it TILES is a "
            "folder with a folder of images for each cluster."
        )
    groups = read_clusters(clusters or tiles)
    return groups, read_orders([order], groups)


def _read_survey(survey: Path, target: str, nightlights: Path | None) -> Survey:
    from jido.data.survey import read_survey
    from jido.io import Scene

    if nightlights is not None:
        Scene([nightlights]).close()
    return read_survey(survey, target)


def _features(found: ScoreTiles, package: Path | None, settings: SiscoreConfig) -> TileFeatures:
    from jido.methods.tile_features import net_tile_features, random_tile_features

    if package is not None:
        return net_tile_features(package, found.chips)
    return random_tile_features(found.chips, count=settings.filters, side=settings.side, seed=settings.seed)


def _ordered(
    groups: Clusters,
    said: Said,
    found: ScoreTiles,
    known: TileFeatures,
    settings: SiscoreConfig,
    progress: Progress | None,
) -> Learned:
    """A score from orders of clusters."""
    import numpy as np

    from jido.methods.score_package import DEVELOPMENT, ScoreModel
    from jido.methods.siscore import train_score

    made = train_score(
        known.of(found.chips), found.id.tolist(), groups, said.orders, config=settings, progress=progress
    )
    heard = made.agreement[np.isfinite(made.agreement)]
    figures = {
        "agreement": float(heard.mean()) if len(heard) else None,
        "clusters": len(groups.names),
        "experts": len(said.orders),
        "members": settings.members,
    }
    model = ScoreModel(
        features=known,
        ensemble=made.ensemble,
        target=DEVELOPMENT,
        level=settings.level,
        half=None,
        config=settings.model_dump(mode="json"),
        evaluation=figures,
        facts={"experts": list(said.names)},
    )
    rows: list[list[object]] = [
        ["members", settings.members],
        ["experts", len(said.orders)],
        ["order of unseen clusters kept (tau-b)", f"{heard.mean():.3f}" if len(heard) else "none left out"],
    ]
    return model, (["figure", "value"], rows), (*groups.notes, *said.notes, *made.notes)


def _surveyed(
    said: Survey,
    name: str,
    target: str,
    nightlights: Path | None,
    found: ScoreTiles,
    known: TileFeatures,
    settings: SiscoreConfig,
    _: Progress | None,
) -> Learned:
    """A score from a survey, in seconds."""
    from jido.errors import ImageError
    from jido.methods.score_package import ScoreModel
    from jido.methods.score_survey import train_on_survey
    from jido.stats.words import text

    if found.chips.lonlat is None:
        raise ImageError(
            "Nobody knows where these tiles lie, so no survey cluster lies in them: cut tiles with jido "
            "score tiles, or give --zoom-ids."
        )
    side = found.chips.side * found.chips.pixel_m[0] if found.chips.pixel_m else 0.0
    light = None if nightlights is None else _light(found, nightlights)
    made = train_on_survey(
        known.of(found.chips), found.chips.lonlat, said, config=settings, light=light, tile_m=side
    )
    rows = [{**row, "n": int(str(row["n"]))} for row in made.transfer.rows()]
    model = ScoreModel(
        features=known,
        ensemble=made.ensemble,
        target=target,
        level=made.transfer.level,
        half=made.half,
        config=settings.model_dump(mode="json"),
        evaluation={"folds": made.transfer.kind, "level": made.transfer.level, "rows": rows},
        facts={"survey": name},
    )
    table: list[list[object]] = [
        [row["arm"], row["part"], row["n"], text(row["r2"]), text(row["R2"])]  # type: ignore[arg-type]
        for row in rows
    ]
    return model, (["what predicts", "clusters", "n", "r2", "R2"], table), made.notes


def _light(found: ScoreTiles, raster: Path) -> np.ndarray:
    """Mean nightlight of each tile, NaN where the raster has none."""
    import numpy as np

    from jido.errors import ImageError
    from jido.indicators.cells import Cells
    from jido.indicators.shares import Placed, cell_sums
    from jido.io import Scene

    if found.outline is None or found.crs is None:
        raise ImageError("Nobody knows where these tiles lie: give --zoom-ids, or cut them anew.")
    cells = Cells(found.outline, found.id.astype(object), found.crs, found.kind)
    with Scene([raster]) as scene:
        placed = Placed(cells, scene.geobox)
        first = scene.names[:1]
        sums = cell_sums(placed, scene.geobox, lambda window: scene.pixels(window, first))
    return np.asarray(sums.mean[0])
