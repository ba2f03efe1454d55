"""The viewer as a folder that any file server shows: the same page, its tiles made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jido.errors import OutputError
from jido.io import Progress, json_text, replacing
from jido.web.facts import page_facts
from jido.web.layers import Layer, Layers, read_layers
from jido.web.tiles import Tiles, maxzoom, tiles_over

MOST_TILES = 40_000
"""Of a whole export, however small they are."""

PROBES = 6
"""Tiles of a level that are made to tell how large it will be."""

STATIC = ("maplibre-gl", "view")
"""What the names of the page's own files begin with."""

Level = tuple[Layer, int]
"""The tiles of a layer at a zoom."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        page: the file to open on a server.
        files: how many there are.
        bytes: how much they take.
        missing: what the page cannot do without ``jido view``, one sentence each.
    """

    page: str
    files: int
    bytes: int
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """What an export will hold.

    Args:
        levels: zooms of the layers, coarse before fine.
        tiles: how many.
        bytes: about how much they take.
    """

    levels: tuple[Level, ...]
    tiles: int
    bytes: int

    def finest(self, layer: Layer) -> int:
        """The last zoom of a layer."""
        return max(zoom for one, zoom in self.levels if one is layer)


def export_view(
    paths: Sequence[Path],
    folder: Path,
    *,
    max_bytes: int = 100_000_000,
    progress: Progress | None = None,
    told: Callable[[str], None] | None = None,
) -> Exported:
    """Write the page with its tiles, coarse ones first and as fine as there is room.

    Args:
        paths: as for :func:`~jido.web.view.viewer`.
        folder: new, empty, or an earlier export, which is replaced.
        max_bytes: that tiles may take, about.
        progress: is told how many tiles are made.
        told: is told how large it will be, before anything is written.

    Raises:
        JidoError: when a path cannot be shown, or the folder holds something else.
    """
    _refuse_to_clear(folder, paths)
    shown = read_layers(paths)
    tiles = Tiles(shown.rasters)
    plan = plan_export(shown, tiles, max_bytes=max_bytes)
    if told:
        told(f"About {plan.bytes / 1e6:.1f} MB in {plan.tiles:,} tiles.")
    with replacing(folder, folder=True) as fresh:
        fresh.mkdir()
        _write_page(fresh)
        missing = _write_facts(fresh, shown, tiles, plan)
        _write_tiles(fresh, tiles, plan, progress)
        sizes = [path.stat().st_size for path in fresh.rglob("*") if path.is_file()]
    return Exported(str(folder / "index.html"), len(sizes), sum(sizes), missing)


def plan_export(shown: Layers, tiles: Tiles, *, max_bytes: int) -> Plan:
    """Which zooms there is room for: all layers grow together, and the first zoom of each is always there."""
    rasters = [layer for layer in shown.layers if layer.raster]
    starts = {layer.id: _start(layer) for layer in rasters}
    levels: list[Level] = []
    count, size, full = 0, 0, set()
    for zoom in range(max((maxzoom(layer) for layer in rasters), default=-1) + 1):
        for layer in rasters:
            if not starts[layer.id] <= zoom <= maxzoom(layer) or layer.id in full:
                continue
            number, about = _size(layer, zoom, tiles)
            first = zoom == starts[layer.id]
            if not first and (size + about > max_bytes or count + number > MOST_TILES):
                full.add(layer.id)
                continue
            levels.append((layer, zoom))
            count, size = count + number, size + about
    return Plan(tuple(levels), count, size)


def _start(layer: Layer) -> int:
    """The last zoom at which a layer is in at most four tiles."""
    first = layer.raster.minzoom if layer.raster else 0
    few = [z for z in range(first, maxzoom(layer) + 1) if len(tiles_over(layer.bounds, z)) <= 4]
    return max(few, default=first)


def _size(layer: Layer, zoom: int, tiles: Tiles) -> tuple[int, int]:
    places = tiles_over(layer.bounds, zoom)
    some = places[:: max(len(places) // PROBES, 1)][:PROBES]
    made = [len(tiles.tile(layer, zoom, x, y, bands=layer.bands, stretch=None)) for x, y in some]
    return len(places), round(sum(made) / len(made) * len(places))


def _refuse_to_clear(folder: Path, paths: Sequence[Path]) -> None:
    """A folder that stands there is replaced as a whole, so it must be one of ours and hold nothing shown."""
    if not folder.exists():
        return
    if inside := [path for path in paths if path.resolve().is_relative_to(folder.resolve())]:
        raise OutputError(f"{inside[0]} lies in {folder}, which is replaced: give the name of a new folder.")
    ours = (folder / "index.html").is_file() and (folder / "api" / "layers.json").is_file()
    if not (folder.is_dir() and (ours or not any(folder.iterdir()))):
        raise OutputError(
            f"{folder} holds something else than an exported page: give the name of a new folder."
        )


def _write_page(folder: Path) -> None:
    (folder / "static").mkdir()
    for file in resources.files("jido.web").joinpath("static").iterdir():
        if file.name == "view.html":
            (folder / "index.html").write_bytes(file.read_bytes())
        elif file.name.startswith(STATIC):
            (folder / "static" / file.name).write_bytes(file.read_bytes())


def _write_facts(folder: Path, shown: Layers, tiles: Tiles, plan: Plan) -> tuple[str, ...]:
    facts = page_facts(shown, tiles) | {"static": True}
    missing = ["Bands and stretch are fixed, and a click tells classes but no other numbers of images."]
    (folder / "api" / "features").mkdir(parents=True)
    for layer, said in zip(shown.layers, facts["layers"], strict=True):
        if layer.table:
            found = layer.table.geojson()
            said["whole"] = True
            (folder / "api" / "features" / f"{layer.id}.json").write_text(json_text(found), encoding="utf-8")
            if found["shown"] < found["found"]:
                missing.append(
                    f"{layer.title}: the {found['shown']:,} largest of {found['found']:,} features."
                )
        else:
            said |= {"tiles": f"tiles/{layer.id}/{{z}}/{{x}}/{{y}}.png"}
            said |= {"minzoom": _start(layer), "maxzoom": plan.finest(layer)}
            if plan.finest(layer) < maxzoom(layer):
                coarser = 2 ** (maxzoom(layer) - plan.finest(layer))
                missing.append(
                    f"{layer.group}, {layer.title}: tiles are {coarser} times coarser than they could be."
                )
    facts["notes"] = [*facts["notes"], *missing[1:]]
    (folder / "api" / "layers.json").write_text(json_text(facts), encoding="utf-8")
    return tuple(missing)


def _write_tiles(folder: Path, tiles: Tiles, plan: Plan, progress: Progress | None) -> None:
    done = 0
    for layer, zoom in plan.levels:
        for x, y in tiles_over(layer.bounds, zoom):
            place = folder / "tiles" / layer.id / str(zoom) / str(x) / f"{y}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(tiles.tile(layer, zoom, x, y, bands=layer.bands, stretch=None))
            done += 1
            if progress:
                progress("making tiles", done, plan.tiles)
