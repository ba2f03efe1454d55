"""What ``jido indicator flood --model`` does: a map of a pair, and its tables."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jido.cli.console import note, print_facts, print_json, progress_bar, refuse_to_overwrite
from jido.cli.indicator_parts import (
    beside,
    chosen_cells,
    everything,
    facts_of,
    in_words,
    polygons,
    refuse_inputs,
    stem_and_formats,
    summary_of,
    written,
)

if TYPE_CHECKING:
    import numpy as np

    from jido.indicators.cells import Cells
    from jido.indicators.flood import Image
    from jido.indicators.flood_scene import TargetMap
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress, Scene
    from jido.methods import Model

MAP = ".map.tif"
"""End of the map of pixels; that of the cells ends in .tif, as for every indicator."""

MAP_ENDS = (MAP, ".map.tif.aux.xml", ".map.qml", ".map.report.html", ".map.report.json")
PICTURE = ".change.png"
PARTS = ("districts", "relief")


@dataclass(frozen=True, eq=False)
class _Asked:
    """What goes with a map into its tables, opened before the map is made, so that errors come early."""

    shown: dict[str, Any]
    buildings: Image | None = None
    cells: Cells | None = None
    people: np.ndarray | None = None
    source: str = ""
    districts: Cells | None = None
    top: int = 10
    hectares: bool = False
    pixels: int = 16
    seed: int = 0
    truth: np.ndarray | None = None


def map_pair(
    before: Path,
    after: Path,
    output: Path,
    package: Path,
    *,
    clouds: Path | None,
    days: list[str],
    crs: str | None,
    convert: bool,
    restart: bool,
    place: dict[str, Any],
    further: dict[str, Any],
    seed: int,
    json: bool,
    quiet: bool,
) -> None:
    """Map, tables and pictures of a pair, written and told."""
    from jido.indicators.flood_scene import TargetMap, map_change, pair_days, require_change
    from jido.io import Scene, require_place
    from jido.methods import load_model

    require_place(output)
    stem, _ = stem_and_formats(output)
    model = load_model(package)
    require_change(model, package)
    seen = pair_days(before, after, days)
    _refuse(output, stem, [before, after, clouds, *(further[key] for key in _FILES), place["cells"]])
    with ExitStack() as stack:
        scene = stack.enter_context(
            Scene([before, after], crs=crs, resample=place["resample"], place_needed=False)
        )
        notes = list(scene.notes)
        masks = _masks(stack, clouds, scene, crs, notes)
        asked = _opened(stack, scene, model, place, further, seed, notes)
        asked.shown["dates"] = seen
        progress = stack.enter_context(progress_bar(quiet=quiet or json))
        path = map_change(
            model, scene, stem.with_name(f"{stem.name}{MAP}"), convert=convert, restart=restart,
            progress=progress,
        )  # fmt: skip
        mapped = stack.enter_context(Scene([path], place_needed=False))
        found = TargetMap(mapped, model.scheme, masks, model.stride)
        title = " to ".join(seen) if len(seen) == 2 else f"{before.name} to {after.name}"
        facts, files = _written(found, model, scene, output, asked, title, progress)
    files += [stem.with_name(f"{stem.name}{end}") for end in MAP_ENDS]
    facts |= {"map": str(path), "dates": list(seen)}
    _report(model.scheme.labels[1], facts, files, notes, json=json, quiet=quiet)


_FILES = ("buildings", "population", "districts", "truth")


def _refuse(output: Path, stem: Path, inputs: list[Path | None]) -> None:
    """None of the files that are written may be one that is read."""
    refuse_inputs(output, inputs)
    for part in PARTS:
        refuse_inputs(stem.with_name(f"{stem.name}.{part}"), inputs)
    for end in (*MAP_ENDS, PICTURE):
        refuse_to_overwrite(stem.with_name(f"{stem.name}{end}"), inputs)


def _masks(
    stack: ExitStack, clouds: Path | None, scene: Scene, crs: str | None, notes: list[str]
) -> Scene | None:
    """The cloud mask on the grid of the images, where there is one."""
    from jido.indicators.flood_scene import require_seen
    from jido.io import Scene

    if clouds is None:
        return None
    masks = stack.enter_context(
        Scene([clouds], like=scene.geobox, crs=crs, resample="nearest", place_needed=False)
    )
    notes.append(f"Clouds hide {require_seen(masks):.1%} of the images.")
    return masks


def _opened(
    stack: ExitStack,
    scene: Scene,
    model: Model,
    place: dict[str, Any],
    further: dict[str, Any],
    seed: int,
    notes: list[str],
) -> _Asked:
    """Cells, districts, buildings and people."""
    from jido.errors import ImageError
    from jido.indicators.flood_scene import Coarse, numbers_of, shares_of, true_mask, why_no_interval
    from jido.io import Scene

    shares, name = shares_of(model), model.scheme.labels[1]
    notes += filter(None, [why_no_interval(model)])
    of = "buildings" if further["buildings"] else "ground"
    bands = [name.rpartition("@")[0] for name in scene.names]
    shown: dict[str, Any] = {
        "shares": shares, "min_coverage": further["min_coverage"], "threshold": None if shares else 0.5,
        "bands": tuple(bands[: len(bands) // 2]), "indicator": f"{name} {of}",
        "model": (model.package or {}).get("name", "unknown"),
    }  # fmt: skip
    built: Image | None = None
    if further["buildings"]:
        opened = stack.enter_context(
            Scene([further["buildings"]], like=scene.geobox, resample=place["resample"], place_needed=False)
        )
        built = Coarse(opened, model.stride) if model.stride > 1 else opened
    common = {"shown": shown, "buildings": built, "top": further["top"], "seed": seed}
    if further["truth"]:
        common["truth"] = true_mask(further["truth"], further["target"], scene)
    if scene.geobox.crs is None:
        given = [f"--{key}" for key in ("population", "districts") if further[key]]
        given += [f"--{key.replace('_', '-')}" for key in ("cells", "grid_crs", "zoom") if place[key]]
        given += ["--value hectares"] * (further["value"] == "hectares")
        if given:
            raise ImageError(
                f"The images have no place on Earth, so {given[0]} cannot be used: give --crs EPSG:..., or "
                "leave that out."
            )
        side = further["pixels"] or model.evaluation.get("judged_cells", {}).get("side", 16) * model.stride
        return _Asked(**common, pixels=max(side // model.stride, 1))
    shown["correction"] = numbers_of(scene)
    cells = _cells(place, scene)
    districts = polygons(further["districts"], further["district_id"]) if further["districts"] else None
    people, source = _people(further["population"], cells)
    return _Asked(
        **common, cells=cells, people=people, source=source, districts=districts,
        hectares=further["value"] == "hectares",
    )  # fmt: skip


def _cells(place: dict[str, Any], scene: Scene) -> Cells:
    """The cells; refused where none of them lies on the images."""
    from jido.indicators.shares import Placed

    cells = chosen_cells(
        place["cells"], place["id_field"], grid=place["grid"], grid_crs=place["grid_crs"], zoom=place["zoom"],
        extent=scene.geobox.extent,
    )  # fmt: skip
    Placed(cells, scene.geobox)
    return cells


def _people(population: Path | None, cells: Cells) -> tuple[np.ndarray | None, str]:
    """People of each cell, and where they are from."""
    from jido.indicators.green import people_of
    from jido.io import Scene

    if population is None:
        return None, ""
    with Scene([population]) as scene:
        return people_of(scene, cells), population.name


def _written(
    found: TargetMap,
    model: Model,
    scene: Scene,
    output: Path,
    asked: _Asked,
    title: str,
    progress: Progress | None,
) -> tuple[dict[str, Any], list[Path]]:
    """Tables and pictures, all or none; what is to be said of them."""
    from jido.indicators.flood_scene import draw_map
    from jido.io.files import replacing_run

    name, stem = model.scheme.labels[1], stem_and_formats(output)[0]
    with replacing_run(output) as fresh:
        if asked.cells is None:
            facts, files = _by_pixels(found, fresh, stem.name, asked, name)
        else:
            facts, files = _by_cells(found, scene, fresh, asked, asked.cells, name, progress)
        picture = fresh.with_name(f"{stem.name}{PICTURE}")
        files.append(draw_map(scene, found, picture, title=title, truth=asked.truth))
    files = beside(output, files)
    return {"table": str(files[0]), **facts}, files


def _by_cells(
    found: TargetMap,
    scene: Scene,
    fresh: Path,
    asked: _Asked,
    cells: Cells,
    name: str,
    progress: Progress | None,
) -> tuple[dict[str, Any], list[Path]]:
    """The table of cells, of districts, and the list for relief."""
    from jido.indicators.flood import flood_of, flood_table, in_hectares
    from jido.indicators.relief import relief_table

    shares = asked.shown["shares"]
    share = flood_table(found, cells, buildings=asked.buildings, progress=progress, **asked.shown)
    table = in_hectares(share) if asked.hectares else share
    made: dict[str, IndicatorTable] = {"": table}
    if asked.districts is not None:
        made[".districts"] = flood_of(table, asked.districts, shares)
    if asked.people is not None:
        made[".relief"] = relief_table(
            share, asked.people, top=asked.top, seed=asked.seed, source=asked.source
        )
    files = []
    for part, one in made.items():
        files += written(one, fresh.with_name(f"{fresh.stem}{part}{fresh.suffix}") if part else fresh)
    whole = flood_of(table, everything(cells, scene.geobox.extent), shares)
    facts = facts_of(table, files, {name: summary_of(whole), "unit": table.sheet.unit})
    if ".relief" in made:
        facts |= _first(made[".relief"], share, asked.top)
    return facts, files


def _first(ranked: IndicatorTable, share: IndicatorTable, top: int) -> dict[str, Any]:
    """The first rows of a ranked table, and how many cells have a rank."""
    import numpy as np

    known = int(np.isfinite(ranked.value).sum())
    rows = []
    for i in range(min(top, known)):
        ends = {key: float(getattr(ranked, key)[i]) for key in ("value", "lower", "upper")}
        people = {key: number if np.isfinite(number) else None for key, number in ends.items()}
        rows.append(
            {"rank": float(ranked.columns["rank"][i]), "id": str(ranked.cells.ids[i]), "people": people}
        )
    expected = (
        ranked.sheet.numbers.get(f"of the first {top} expected there in truth") if known > top else None
    )
    return {"relief": rows, "ranked": known, "expected": expected, "seen": int((~share.empty).sum())}


def _by_pixels(
    found: TargetMap, fresh: Path, name: str, asked: _Asked, target: str
) -> tuple[dict[str, Any], list[Path]]:
    """Cells of images without a place on Earth: a table by row and column."""
    import numpy as np

    from jido.indicators.flood_pixels import pixel_cells

    built = None if asked.buildings is None else asked.buildings.read().data[0]
    table = pixel_cells(found.read().data[0], asked.pixels, buildings=built, **asked.shown)
    files = table.write(fresh.with_name(name), name=name)
    whole = {key: number if np.isfinite(number) else None for key, number in table.whole().items()}
    facts = {
        "cells": table.value.size,
        "empty_cells": int(np.isnan(table.value).sum()),
        "summary": {target: whole, "unit": table.sheet.unit},
    }
    return facts, files


def _report(
    name: str, facts: dict[str, Any], files: list[Path], notes: list[str], *, json: bool, quiet: bool
) -> None:
    seen = facts.pop("seen", None)
    if seen is not None and facts["ranked"] < seen:
        notes.append(
            f"People are known in {facts['ranked']} of the {seen} cells that were seen: only they are ranked."
        )
    for text in notes:
        note(text, quiet=quiet)
    if json:
        print_json(facts | {"notes": notes})
        return
    print(f"{name}: {in_words(facts['summary'][name])} {facts['summary']['unit']}")
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little seen)")
    for row in facts.get("relief", []):
        value, lower, upper = row["people"].values()
        ends = "" if lower is None else f" ({lower:,.0f} to {upper:,.0f})"
        print(f"{row['rank']:g}. {row['id']}: {value:,.0f} people{ends}")
    if facts.get("expected") is not None:
        print(
            f"Of these, {facts['expected']:.1f} are expected among the first {len(facts['relief'])} in truth."
        )
    print_facts({"Files": ", ".join(one.name for one in files), "in": str(files[0].resolve().parent)})
