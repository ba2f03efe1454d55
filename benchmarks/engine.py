"""What the map engine costs: speed against the net alone, memory, Dask, resuming.

``python benchmarks/engine.py [--quick] [--json] [--folder DIR]`` makes its own scenes (quick: full width,
few rows) and prints plain numbers. Every case runs in a process of its own, interleaved with
what it is compared with; ratios are medians of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jido.methods.net import NetModel

RUNS = 3
ROWS = {True: 2_048, False: 20_000}
NETS = {
    "unet32": {"net": "unet", "settings": {"in_channels": 3, "out_channels": 1, "width": 32, "depth": 3}},
    "unet16": {"net": "unet", "settings": {"in_channels": 3, "out_channels": 1, "width": 16, "depth": 3}},
    "unet16x10": {
        "net": "unet",
        "settings": {"in_channels": 10, "out_channels": 17, "width": 16, "depth": 3},
    },
    "patch": {
        "net": "patch",
        "settings": {"in_channels": 10, "num_classes": 17, "width": 32},
        "patch": 32,
        "stride": 10,
        "tile": 182,
    },
}


def make_scene(path: Path, *, width: int, rows: int, bands: int) -> None:
    """A tiled, deflated scene of cloud-like texture: uint8 for three bands, uint16 for more."""
    import rasterio
    from scipy.ndimage import gaussian_filter

    side, rng = 1_024, np.random.default_rng(0)
    soft = [gaussian_filter(rng.standard_normal((side, side)), s, mode="wrap") * s for s in (1, 4, 16, 64)]
    dtype = np.uint8 if bands == 3 else np.uint16
    top, spread = (110, 35) if bands == 3 else (1_500, 500)
    block = np.stack([top + spread * np.roll(sum(soft), 37 * b, axis=1) for b in range(bands)])
    block += rng.normal(0, spread / 12, block.shape)
    block = block.clip(1, 255 if bands == 3 else 10_000).astype(dtype)
    row = np.tile(block, (1, 1, -(-width // side)))[:, :, :width]
    profile = {"driver": "GTiff", "width": width, "height": rows, "count": bands, "dtype": dtype}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "zlevel": 1}
    profile |= {"crs": "EPSG:32649", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", **profile, bigtiff="if_safer", num_threads="all_cpus") as sink:
        for y in range(0, rows, side):
            part = row[:, : min(side, rows - y)]
            sink.write(part, window=rasterio.windows.Window(0, y, width, part.shape[1]))


def make_model(name: str) -> NetModel:
    """A net with random weights as a model, bf16, tiles of 256 pixels that share 64."""
    import torch

    from jido.geo import Band
    from jido.labels import ClassScheme, LandClass
    from jido.methods.net import NetConfig, NetModel
    from jido.nets import build_net

    torch.manual_seed(0)
    spec = NETS[name]
    c = spec["settings"]["in_channels"]
    k = spec["settings"].get("num_classes", spec["settings"].get("out_channels", 1))
    colours = ("red", "green", "blue")
    names = [colours[i] if c == 3 else f"band{i + 1}" for i in range(c)]
    classes = tuple(LandClass(i + 1, f"c{i}", f"class {i}", f"#{i * 999:06X}") for i in range(max(k, 2)))
    level = 110.0 if c == 3 else 1_500.0
    config = NetConfig(**spec, mean=(level,) * c, sd=(level / 3,) * c, precision="bf16")
    net = build_net(config.net, **config.settings)
    return NetModel(
        net=net,
        config=config,
        bands=tuple(Band(n) for n in names),
        scheme=ClassScheme("cover", classes),
        pixel_m=(10.0, 10.0),
        package={"name": name},
    )


def pure_forward(model: NetModel, *, tiles: int, threads: int) -> float:
    """Tiles per second of the net alone, tiles in memory, each thread with one thread of its own."""
    import torch

    side = model.config.patch or model.tile
    count = 64 if model.config.patch else model.batch
    images = torch.randn(count, len(model.bands), side, side).contiguous(memory_format=torch.channels_last)
    rounds = max(tiles // threads, 1)
    if model.config.patch:
        windows = ((model.tile - 2 * model.halo) // model.stride) ** 2
        rounds = rounds * windows // count

    def work() -> None:
        torch.set_num_threads(1)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for _ in range(rounds):
                model.net(images)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return rounds * threads * count / (windows if model.config.patch else 1) / (time.perf_counter() - start)


def timed_shares() -> dict[str, float]:
    """Seconds of each step, summed over threads; fills while maps are made."""
    import jido.maps.engine as engine
    import jido.maps.run as run
    import jido.maps.tasks as tasks
    from jido.io import Scene
    from jido.methods.net import NetModel

    seconds: dict[str, float] = {}

    def watch(place: Any, name: str, label: str) -> None:
        plain = getattr(place, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return plain(*args, **kwargs)
            finally:
                seconds[label] = seconds.get(label, 0.0) + time.thread_time() - start

        setattr(place, name, timed)

    watch(Scene, "pixels", "read")
    watch(tasks, "read_tile", "read_and_check")
    watch(NetModel, "_judged", "forward")
    watch(NetModel, "predict", "convert_and_forward")
    watch(tasks, "_add", "blend")
    watch(tasks, "planes_of", "to_bytes")
    watch(run.Run, "add", "write")
    watch(engine, "write_cog", "cog")
    watch(engine, "map_report", "report")
    watch(engine, "html_report", "report")
    return seconds


def case_throughput(name: str, scene: Path, folder: Path) -> dict:
    """Engine against the net alone in one process, interleaved."""
    from jido.io import Scene, keep_memory
    from jido.maps import map_scene

    keep_memory()
    model, shares, rows = make_model(name), timed_shares(), []
    pure_forward(model, tiles=32, threads=2)
    for _ in range(RUNS):
        with Scene([scene]) as opened:
            shares.clear()
            made = map_scene(model, opened, folder / "map.tif", threads=2, restart=True)
        pure = pure_forward(model, tiles=made.tiles // 2, threads=2)
        rows.append((made.tiles / made.seconds / pure, made.tiles / made.seconds, pure, dict(shares)))
    ratio, speed, pure, parts = sorted(rows, key=lambda row: row[0])[RUNS // 2]
    parts["check"] = parts.pop("read_and_check") - parts["read"]
    parts["convert"] = parts.pop("convert_and_forward") - parts["forward"]
    total = sum(parts.values())
    shares = {name: round(value / total, 4) for name, value in parts.items()}
    return {"ratio": ratio, "tiles_per_s": speed, "pure_tiles_per_s": pure, "shares": shares}


def case_map(name: str, scene: Path, folder: Path, workers: str = "") -> dict:
    """One map in a fresh process: seconds of the engine and peak memory."""
    from jido.io import Scene
    from jido.maps import map_scene

    how = {"workers": int(workers)} if workers else {"threads": 1 if workers == "0" else 2}
    with Scene([scene]) as opened:
        made = map_scene(make_model(name), opened, folder / "map.tif", restart=True, **how)
    return {"seconds": made.seconds, "tiles": made.tiles, "peak_rss_mb": made.peak_rss_mb}


def case_dask(name: str, scene: Path, folder: Path) -> dict:
    """One predictor in this process, one worker, two workers, interleaved; clusters are started before."""
    from jido.io import Scene, keep_memory
    from jido.maps import map_scene
    from jido.maps.cluster import cluster

    keep_memory()
    model, rows = make_model(name), []
    with cluster(workers=1) as one, cluster(workers=2) as two:
        ways = {
            "thread": {"threads": 1},
            "one": {"scheduler": one.scheduler.address},
            "two": {"scheduler": two.scheduler.address},
        }
        for _ in range(RUNS):
            taken = {}
            for way, how in ways.items():
                with Scene([scene]) as opened:
                    made = map_scene(model, opened, folder / f"{way}.tif", restart=True, **how)
                taken[way] = made.seconds
            rows.append(taken)
    same = len({(folder / f"{way}.tif").read_bytes() for way in ways}) == 1
    return {"seconds": {way: statistics.median(row[way] for row in rows) for way in ways}, "same_bytes": same}


def case_resume(name: str, scene: Path, folder: Path) -> dict:
    """Undisturbed, then stopped in the middle of a band and gone on with, as often as RUNS."""
    from jido.io import Scene, keep_memory
    from jido.maps import map_scene

    class StopError(Exception):
        pass

    keep_memory()
    model, costs = make_model(name), []
    for run in range(RUNS + 1):
        with Scene([scene]) as opened:
            whole = map_scene(model, opened, folder / "whole.tif", restart=True)
        stop = int(whole.tiles * (0.35 + 0.1 * run))

        def progress(what: str, done: int, total: int, stop: int = stop) -> None:
            if done >= stop:
                raise StopError

        start = time.perf_counter()
        try:
            with Scene([scene]) as opened:
                map_scene(model, opened, folder / "map.tif", restart=True, progress=progress)
        except StopError:
            pass
        with Scene([scene]) as opened:
            map_scene(model, opened, folder / "map.tif")
        costs.append((time.perf_counter() - start) / whole.seconds - 1)
    same = (folder / "whole.tif").read_bytes() == (folder / "map.tif").read_bytes()
    return {"cost": statistics.median(costs[1:]), "same_bytes": same}


def case_peers(name: str, scene: Path, folder: Path) -> dict:
    """The peers' way: the whole image and all its probabilities in memory."""
    import rasterio

    from jido.io import Scene, peak_rss_mb

    model = make_model(name)
    start = time.perf_counter()
    with Scene([scene]) as opened:
        image = opened.read().data
    _, height, width = image.shape
    sums = np.zeros((len(model.scheme.classes), height, width), np.float32)
    tiles = 0
    for y in range(0, max(height - 64, 1), 192):
        for x in range(0, max(width - 64, 1), 192):
            tile = np.zeros((1, len(image), 256, 256), np.float32)
            part = image[:, y : y + 256, x : x + 256]
            tile[0, :, : part.shape[1], : part.shape[2]] = part
            sums[:, y : y + 256, x : x + 256] += model.predict(tile)[0, :, : part.shape[1], : part.shape[2]]
            tiles += 1
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "uint8"}
    with rasterio.open(folder / "peer.tif", "w", **profile, compress="deflate") as sink:
        sink.write(sums.argmax(0).astype(np.uint8), 1)
    return {"seconds": time.perf_counter() - start, "tiles": tiles, "peak_rss_mb": peak_rss_mb()}


CASES = {name.removeprefix("case_"): call for name, call in globals().items() if name.startswith("case_")}


def measured(case: str, *words: object) -> dict:
    """A case in a process of its own."""
    command = [sys.executable, __file__, "--case", case, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def figures(folder: Path, *, quick: bool) -> dict:
    """All figures; scenes are made, used and removed one after the other."""
    rows, found = ROWS[quick], {}
    rgb, ten, small = folder / "rgb.tif", folder / "ten.tif", folder / "small.tif"
    make_scene(rgb, width=20_000, rows=2_048, bands=3)
    for key, name in (("throughput_ratio", "unet32"), ("throughput_ratio_small_net", "unet16")):
        case = measured("throughput", name, rgb, folder)
        found[key], found[f"{name}"] = round(case.pop("ratio"), 3), case
    # an even number of tasks, so that two workers get as many; memory is measured elsewhere
    make_scene(small, width=5_000, rows=(16 if quick else 96) * 192 + 64, bands=3)
    dask = measured("dask", "unet32", small, folder)
    seconds = dask["seconds"]
    found |= {
        "dask_speedup": round(seconds["one"] / seconds["two"], 3),
        "dask_overhead": round(seconds["one"] / seconds["thread"] - 1, 4),
        "dask": dask,
    }
    # what is lost is the band under way: as many bands as in the large scene, less wide
    make_scene(small, width=2_500, rows=20_000, bands=3)
    resume = measured("resume", "unet16", small, folder)
    found |= {"resume_cost": round(resume["cost"], 4), "resume": resume}
    small.unlink()
    make_scene(ten, width=10_980, rows=2_048 if quick else 10_980, bands=10)
    found["unet16x10_17_classes"] = measured("map", "unet16x10", ten, folder)
    make_scene(ten, width=10_980, rows=1_024, bands=10)
    found["patch_net"] = measured("throughput", "patch", ten, folder)
    ten.unlink()
    peaks = {}
    for count in (rows // 2 if quick else 5_000, rows):
        make_scene(rgb, width=20_000, rows=count, bands=3)
        peaks[count] = measured("map", "unet16", rgb, folder)["peak_rss_mb"]
    found |= {
        "peak_rss_mb": max(*peaks.values(), found["unet16x10_17_classes"]["peak_rss_mb"]),
        "rss_growth": round(peaks[rows] / peaks[min(peaks)] - 1, 3),
        "peak_rss_mb_by_rows": peaks,
    }
    make_scene(rgb, width=20_000, rows=2_048, bands=3)
    found["peers_whole_array"] = measured("peers", "unet16", rgb, folder)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where scenes are made; needs 8 GB, 1 GB with --quick")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case, name, *paths = args.case
        print(json.dumps(CASES[case](name, *map(Path, paths[:2]), *paths[2:])))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = figures(Path(folder), quick=args.quick)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:28s} {value}")


if __name__ == "__main__":
    main()
