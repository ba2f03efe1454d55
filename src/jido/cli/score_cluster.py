"""``jido score cluster``: tiles of one class in groups, and a contact sheet of each for people to order."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jido.cli.console import note, print_facts, print_json, progress_bar
from jido.cli.options import Config, JsonFlag, OwnSeed, Preset, PresetChoice, Quiet, Restart, SkipBadTiles

if TYPE_CHECKING:
    from jido.data.chips import Chips
    from jido.methods.encoder_package import EncoderPackage
    from jido.methods.net import NetModel
    from jido.methods.tile_clusters import ClusterConfig, ClusterResult

FACTS, SHEETS, OVERVIEW = "clusters.json", "sheets", "overview.png"
"""What a folder of clusters holds besides its table."""

SHOWN, IN_ROW, LEAST_IN_ROW = 25, 6, 3
"""Tiles on the sheet of a cluster; of each on the sheet of all, as many as fill a row of the smallest."""

UNORDERED = (
    "Numbers of clusters are names, urban clusters first, else dealt out by chance: they tell no order."
)


def cluster(
    tiles: Annotated[
        Path,
        typer.Argument(
            help="Folder of jido score tiles, or any folder, zip or tar of images.", metavar="TILES"
        ),
    ],
    classes: Annotated[
        Path,
        typer.Option(
            "--classes",
            help="What each tile is: table (or folder) of jido score label, columns id and class, or id, "
            "urban, rural, uninhabited.",
            metavar="CLASSES",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the clusters.", metavar="CLUSTERS")
    ],
    k_urban: Annotated[
        int | None,
        typer.Option(
            "--k-urban", min=1, help="Clusters of urban tiles; those of the best silhouette without."
        ),
    ] = None,
    k_rural: Annotated[
        int | None,
        typer.Option(
            "--k-rural", min=1, help="Clusters of rural tiles; those of the best silhouette without."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="What the net begins with: a package of jido lcz pretrain, jido score label or jido scene "
            "train; fresh weights without it.",
            metavar="PACKAGE",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=0, help="Of the net; the preset's without. 0: it stays as it is."),
    ] = None,
    config: Config = None,
    skip_bad: SkipBadTiles = False,
    restart: Restart = False,
    preset: Preset = PresetChoice.cpu,
    seed: OwnSeed = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Group urban and rural tiles by what a net sees in them; uninhabited tiles are one cluster.

    Writes CLUSTERS/clusters.csv, clusters.json, a sheet of the tiles nearest to the middle of each cluster in
    sheets/, and overview.png. Numbers of clusters are names and no order: that is what experts are for. A
    training that was cut off goes on where it stood when the same command is given again.
    """
    from jido.data.score_tiles import read_tiles
    from jido.io import replacing, working_folder
    from jido.methods.tile_clusters import cluster_tiles, load_cluster_config, read_kinds, require_kinds

    begun = time.perf_counter()
    require_clusters_place(output, [tiles, classes, *([start] if start else [])])
    options = {"k_urban": k_urban, "k_rural": k_rural, "epochs": epochs, "seed": seed}
    given = {name: value for name, value in options.items() if value is not None}
    settings = load_cluster_config(config, preset=preset.value, given=given)
    first = open_start(start)
    with working_folder(output, restart=restart) as work, progress_bar(quiet=quiet or json) as progress:
        found = read_tiles(tiles, skip_bad=skip_bad, progress=progress)
        chips, kinds = found.chips, read_kinds(classes, found.chips.name)
        require_kinds(kinds, len(chips), settings)
        for text in found.notes:
            note(text, quiet=quiet)
        result = cluster_tiles(chips, kinds, config=settings, start=first, work=work, progress=progress)
        facts = cluster_facts(result, settings, start)
        with replacing(output, folder=True) as fresh:
            write_clusters(result, chips, facts, fresh)
    for text in (*result.notes, UNORDERED):
        note(text, quiet=quiet)
    if json:
        told = {name: facts[name] for name in ("k", "tiles", "kinds", "silhouettes", "notes")}
        print_json({"clusters": str(output), **told, "seconds": round(time.perf_counter() - begun, 1)})
        return
    print_clusters(result, output)


def require_clusters_place(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse a folder that holds anything but clusters, that holds what is read, or that is read as tiles.

    Raises:
        OutputError: when it does.
    """
    from jido.data.tile_clusters import TABLE
    from jido.errors import OutputError
    from jido.io import require_place

    require_place(output, folder=True)
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    ours = re.compile(rf"{TABLE}|{FACTS}|{SHEETS}|overview(_\d+)?\.png")
    other = [name for name in held if TABLE not in held or not ours.fullmatch(name)]
    if other:
        raise OutputError(
            f"{output} holds {other[0]}, which no clustering has made and a new one would take away: choose "
            "another folder with -o."
        )
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{path} lies in {output}, which would be replaced: choose another folder.")
    if output.resolve().is_relative_to(inputs[0].resolve()):
        raise OutputError(
            f"{output} lies in {inputs[0]}, so its sheets would be read as tiles the next time: choose "
            "another folder with -o."
        )


def open_start(path: Path | None) -> EncoderPackage | NetModel | None:
    """What the net begins with.

    Raises:
        ModelError: when the folder is no package, or holds a model that is no net.
    """
    from jido.errors import ModelError
    from jido.io import read_config
    from jido.io.package import ENCODER
    from jido.methods import load_model
    from jido.methods.encoder_package import EncoderPackage
    from jido.methods.net import NetModel

    if path is None:
        return None
    if read_config(path)["method"] == ENCODER:
        return EncoderPackage.load(path)
    model = load_model(path)
    if not isinstance(model, NetModel):
        raise ModelError(f"{path} holds no net: give a package of jido lcz pretrain or jido score label.")
    return model


# -- what is written ---------------------------------------------------------------------------


def cluster_facts(result: ClusterResult, config: ClusterConfig, start: Path | None) -> dict[str, Any]:
    """What ``clusters.json`` says."""
    clusters = result.clusters
    return {
        "k": result.k,
        "tiles": {name: len(clusters.members(name)) for name in clusters.names},
        "kinds": {name: clusters.kind_of(name) for name in clusters.names},
        "names": UNORDERED,
        "silhouettes": result.silhouettes,
        "start": None if start is None else str(start),
        "settings": config.model_dump(mode="json"),
        "history": result.history,
        "notes": result.notes,
    }


def write_clusters(result: ClusterResult, chips: Chips, facts: dict[str, Any], folder: Path) -> None:
    """Write the table, the facts, a sheet of each cluster and one of all.

    Raises:
        OutputError: when the folder cannot be written.
    """
    import numpy as np

    from jido.data.tile_clusters import TABLE
    from jido.io import json_text
    from jido.methods.figures.contact_sheets import contact_sheet

    clusters = result.clusters
    (folder / SHEETS).mkdir(parents=True)
    clusters.write(folder / TABLE)
    (folder / FACTS).write_text(json_text(facts, indent=2) + "\n", encoding="utf-8")
    for name in clusters.names:
        n, kind = len(clusters.members(name)), clusters.kind_of(name)
        title = f"Cluster {name}: {n} {kind} tile{'s' * (n > 1)}"
        title += f", the {SHOWN} nearest to its middle" if n > SHOWN else ", the nearest to its middle first"
        contact_sheet(chips, result.nearest(name, SHOWN), folder / SHEETS / f"{name}.png", title=title)
    smallest = min(len(clusters.members(name)) for name in clusters.names)
    columns = min(IN_ROW, max(smallest, LEAST_IN_ROW))
    rows = [result.nearest(name, columns) for name in clusters.names]
    captions = [f"cluster {name}, {clusters.kind_of(name)}" for name in clusters.names]
    contact_sheet(
        chips,
        np.concatenate(rows),
        folder / OVERVIEW,
        title=f"{len(rows)} clusters, the {columns} tiles nearest to each middle; numbers are no order.",
        captions=[caption for caption, row in zip(captions, rows, strict=True) for _ in row],
        columns=columns,
    )


def print_clusters(result: ClusterResult, output: Path) -> None:
    """How many clusters of how many tiles there are, and where they are."""
    clusters, facts = result.clusters, {}
    for kind, k in result.k.items():
        sizes = [len(clusters.members(name)) for name in clusters.names if clusters.kind_of(name) == kind]
        tried = result.silhouettes.get(kind) or {}
        told = f", silhouette {max(tried.values()):.2f} (tried {min(tried)} to {max(tried)})" if tried else ""
        facts[kind] = (
            f"{sum(sizes):,} tiles in {k} cluster{'s' * (k > 1)} of {min(sizes)} to {max(sizes)}{told}"
        )
    facts["Folder"] = f"{output}: {SHEETS}/, {OVERVIEW}, clusters.csv"
    print_facts(facts)
