"""``jido doctor``: what a bug report needs, as Markdown to copy."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from jido.cli.console import print_json
from jido.cli.options import JsonFlag

EXTRAS = {"deep": "torch", "dask": "distributed", "stac": "pystac", "web": "rio_tiler", "onnx": "onnxruntime"}


def doctor(json: JsonFlag = False) -> None:
    """Print versions, device, threads, GDAL, PROJ and free memory."""
    facts = collect()
    if json:
        print_json(facts)
        return
    print("| what | value |\n|---|---|")
    for name, value in facts.items():
        print(f"| {name} | {value} |")


def collect() -> dict[str, str]:
    """Facts about this installation."""
    import importlib.metadata
    import importlib.util

    import pyproj
    import rasterio

    names = ("jido", "numpy", "scipy", "scikit-learn", "rasterio", "pyogrio", "geopandas", "odc-geo")
    facts = {"system": platform.platform(), "python": platform.python_version()}
    facts |= {name: importlib.metadata.version(name) for name in names}
    facts |= {"GDAL": rasterio.__gdal_version__, "PROJ": pyproj.proj_version_str}
    for extra, module in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        facts[f"jido[{extra}]"] = "installed" if found else f'missing: pip install "jido[{extra}]"'
    facts |= {"device": _device(), "threads": str(os.cpu_count()), "free memory": _free_memory()}
    return facts


def _device() -> str:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return "cpu (no torch)"
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"torch {torch.__version__}, {', '.join(gpus) or 'cpu'}"


def _free_memory() -> str:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return "unknown"
    lines = dict(line.split(":", 1) for line in text.splitlines())
    free, total = (int(lines[name].split()[0]) / 1e6 for name in ("MemAvailable", "MemTotal"))
    return f"{free:.1f} GB of {total:.1f} GB"
