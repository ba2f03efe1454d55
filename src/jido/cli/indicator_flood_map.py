"""What ``jido indicator flood --model`` does: a map of a pair, and its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jido.cli.console import print_facts, print_json, progress_bar
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
    from jido.indicators.flood_scene import TargetMap
    from jido.indicators.table import IndicatorTable
    from jido.io import Progress, Scene
    from jido.methods import Model

MAP = ".map.tif"
"""End of the map of pixels; that of the cells ends in .tif, as for every indicator."""


def map_pair(
    before: Path,
    after: Path,
    output: Path,
    package: Path,
    *,
    clouds: Path | None,
    days: list[str],
    crs: str | None,
    resample: Any,
    convert: bool,
    restart: bool,
    place: dict[str, Any],
    further: dict[str, Any],
    seed: int,
    json: bool,
    quiet: bool,
) -> None:
    """Map, tables and pictures of a pair, written and told."""
    from contextlib import ExitStack

    from jido.indicators.flood_scene import TargetMap, draw_map, map_change, pair_days
    from jido.io import Scene, require_place
    from jido.methods import load_model

    require_place(output)
    stem, _ = stem_and_formats(output)
    model, seen = load_model(package), pair_days(before, after, days)
    how: dict[str, Any] = {"crs": crs, "resample": resample.value if resample else None}
    with ExitStack() as stack:
        scene = stack.enter_context(Scene([before, after], place_needed=False, **how))
        refuse_inputs(
            output, [before, after, clouds, further["buildings"], further["population"], place["cells"]]
        )
        masks = stack.enter_context(Scene([clouds], like=scene.geobox, **how)) if clouds else None
        with progress_bar(quiet=quiet or json) as progress:
            path = map_change(
                model,
                scene,
                stem.with_name(f"{stem.name}{MAP}"),
                convert=convert,
                restart=restart,
                progress=progress,
            )
            found = TargetMap(
                stack.enter_context(Scene([path], place_needed=False)), model.scheme, masks, model.stride
            )
            if scene.geobox.crs is None:
                facts, files = _by_pixels(found, model, output, further)
            else:
                facts, files = _by_cells(found, model, output, place, further, seen, seed, progress)
        picture = draw_map(scene, found, stem.with_name(f"{stem.name}.change.png"), title=" to ".join(seen))
    files += [path, picture]
    facts |= {"map": str(path), "dates": list(seen)}
    if json:
        print_json(facts)
        return
    name = model.scheme.labels[1]
    print(f"{name}: {in_words(facts['summary'][name])} {facts['summary']['unit']}")
    print(f"{facts['cells']} cells, {facts['empty_cells']} of them empty (too little seen)")
    for row in facts.get("relief", []):
        people, ends = f"{row['people']:.0f} people", f"{row['lower']:.0f} to {row['upper']:.0f}"
        print(f"{row['rank']:.0f}. {row['id']}: {people} ({ends})")
    print_facts({"Files": ", ".join(one.name for one in files), "in": str(files[0].resolve().parent)})


def _by_cells(
    found: TargetMap,
    model: Model,
    output: Path,
    place: dict[str, Any],
    further: dict[str, Any],
    days: tuple[str, ...],
    seed: int,
    progress: Progress | None,
) -> tuple[dict[str, Any], list[Path]]:
    """The table of cells, of districts, and the list for relief."""
    from contextlib import ExitStack

    from jido.indicators.flood import flood_of, flood_table
    from jido.indicators.flood_scene import shares_of
    from jido.io import Scene
    from jido.io.files import replacing_run

    extent = found.geobox.extent
    chosen = chosen_cells(
        place["cells"],
        place["id_field"],
        grid=place["grid"],
        grid_crs=place["grid_crs"],
        zoom=place["zoom"],
        extent=extent,
    )
    shares, name = shares_of(model), model.scheme.labels[1]
    told = {
        "shares": shares, "min_coverage": further["min_coverage"], "dates": days,
        "threshold": None if shares else 0.5,
        "model": (model.package or {}).get("name", "unknown"), "progress": progress,
    }  # fmt: skip
    with ExitStack() as stack:
        built = stack.enter_context(Scene([further["buildings"]])) if further["buildings"] else None
        table = flood_table(found, chosen, buildings=built, value=further["value"], **told)
        ranked = None
        if further["population"]:
            people = stack.enter_context(Scene([further["population"]]))
            shown = (
                flood_table(found, chosen, buildings=built, **told)
                if further["value"] == "hectares"
                else table
            )
            ranked = _relief(shown, people, further["top"], seed)
    larger = (
        flood_of(table, polygons(further["districts"], further["district_id"]), shares)
        if further["districts"]
        else None
    )
    with replacing_run(output) as fresh:
        files = written(table, fresh)
        for part, made in (("districts", larger), ("relief", ranked)):
            if made is not None:
                files += written(made, fresh.with_name(f"{fresh.stem}.{part}{fresh.suffix}"))
    files = beside(output, files)
    whole = flood_of(table, everything(chosen, extent), shares)
    facts = facts_of(table, files, {name: summary_of(whole), "unit": table.sheet.unit})
    if ranked is not None:
        facts["relief"] = _first(ranked, further["top"])
    return facts, files


def _relief(table: IndicatorTable, people: Scene, top: int, seed: int) -> IndicatorTable:
    from jido.indicators.green import people_of
    from jido.indicators.relief import relief_table

    counts = people_of(people, table.cells)
    return relief_table(table, counts, top=top, seed=seed, source=people.paths[0].name)


def _first(ranked: IndicatorTable, top: int) -> list[dict[str, Any]]:
    """The first rows of a ranked table."""
    rows = []
    for i in range(min(top, len(ranked.cells))):
        row = {"id": str(ranked.cells.ids[i]), "people": float(ranked.value[i])}
        row |= {key: float(getattr(ranked, key)[i]) for key in ("lower", "upper")}
        rows.append(row | {"rank": float(ranked.columns["rank"][i])})
    return rows


def _by_pixels(
    found: TargetMap, model: Model, output: Path, further: dict[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """Cells of an image without a place on Earth: a table by row and column."""
    import numpy as np

    from jido.errors import ImageError
    from jido.indicators.flood import pixel_cells
    from jido.indicators.flood_scene import shares_of

    wanted = [key for key in ("population", "districts", "buildings") if further[key]]
    if wanted:
        raise ImageError(
            f"The images have no place on Earth, so --{wanted[0]} cannot be laid over them: give --crs."
        )
    stem, _ = stem_and_formats(output)
    side = further["pixels"] or model.evaluation.get("judged_cells", {}).get("side", 16)
    shares = shares_of(model)
    table = pixel_cells(
        found.read().data[0], max(side // model.stride, 1), shares=shares,
        threshold=None if shares else 0.5, min_coverage=further["min_coverage"],
    )  # fmt: skip
    path = table.write(stem.with_name(f"{stem.name}.csv"), name=stem.name)
    empty = np.isnan(table.value)
    whole = {
        "value": float(np.nanmean(table.value)) if not empty.all() else None,
        "lower": None,
        "upper": None,
    }
    summary = {model.scheme.labels[1]: whole, "unit": "share of the image"}
    return {
        "table": str(path),
        "cells": table.value.size,
        "empty_cells": int(empty.sum()),
        "summary": summary,
    }, [path]
