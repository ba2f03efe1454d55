"""Who may import whom, read from the source with ``ast``: no import runs upwards."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import jido

SOURCE = Path(jido.__file__).parent

ORDER = [
    "errors",
    "geo",
    "labels",
    "stats",
    "io",
    "data",
    "train",
    "methods",
    "maps",
    "indicators",
    "web",
    "cli",
]
TENSOR_ROOMS = ("nets", "losses")  # know nothing above errors; train and what follows may use them
TORCH_ROOMS = ("nets", "losses", "train")  # cannot be written without it at the top
TASKS = tuple(f"jido.methods.{name}" for name in ("pretext", "ssmmrl", "contrastive", "masked"))
"""What nets learn without labels is a net itself; imported by name when it is asked for."""
FILELESS_ROOMS = ("geo", "labels", "stats")

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FILE_READERS = {"rasterio", "pyogrio", "fiona", "osgeo", "h5py", "xarray.open_dataset"}
FILE_CALLS = {"open", "Path", "read_file", "read_csv", "to_file", "to_csv", "fromfile", "loadtxt", "memmap"}


def modules(root):
    """Every module of a package: dotted name -> its tree."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(("jido", *(p for p in parts if p != "__init__")))
        found[name] = (ast.parse(path.read_text(encoding="utf-8")), path.name == "__init__.py")
    return found


def room(module):
    return module.split(".")[1] if "." in module else ""


def imported(name, tree, is_package):
    """Modules a module imports anywhere, in functions, under TYPE_CHECKING and by name in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")
            up = base[: len(base) - node.level + is_package] if node.level else []
            source = ".".join([*up, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif name == "jido":  # its table names everything, and loads it when asked for
            continue
        elif isinstance(node, ast.Constant) and re.fullmatch(r"jido(\.\w+)+(:\w+)?", str(node.value)):
            yield node.value.split(":")[0]


def may_import(here, there):
    if here == there or there == "errors":
        return True
    if here in TENSOR_ROOMS:
        return False
    if there in TENSOR_ROOMS:
        return ORDER.index(here) >= ORDER.index("train")
    return ORDER.index(there) <= ORDER.index(here)


def at_import(tree):
    """Nodes that run when a module is imported: no function bodies, nothing under TYPE_CHECKING."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


def upward(found):
    rooms = {room(name) for name in found if room(name)}
    for name, (tree, is_package) in found.items():
        here = room(name)
        if here and here not in (*ORDER, *TENSOR_ROOMS):
            yield f"{name}: the room {here!r} has no place in the order"
            continue
        for target in imported(name, tree, is_package):
            there = room(target) if target.startswith("jido.") else ""
            if there in rooms and (not here or not may_import(here, there)):
                yield f"{name} imports {target}"


def circles(found):
    graph = {
        name: {t for t in imported(name, tree, is_package) if t in found and t != name}
        for name, (tree, is_package) in found.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        yield "circle: " + " -> ".join(err.args[1])


def files_opened(found):
    for name, (tree, is_package) in found.items():
        if room(name) not in FILELESS_ROOMS:
            continue
        for target in imported(name, tree, is_package):
            reader = target.split(".")[0] in FILE_READERS
            rasterize = room(name) == "labels" and target.startswith("rasterio.features")
            if reader and not rasterize:
                yield f"{name} imports {target}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).split(".")[-1]
                if called in FILE_CALLS:
                    yield f"{name} calls {called}"


def heavy_at_import(found):
    for name, (tree, is_package) in found.items():
        if room(name) in TORCH_ROOMS or name in TASKS:
            continue
        for node in at_import(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from (
                    f"{name} imports {target} at the top"
                    for target in imported(name, ast.Module([node], []), is_package)
                    if target.split(".")[0]
                    in ("torch", "lightning", "lightning_fabric", "kornia", "safetensors")
                )


def pickled(found):
    for name, (tree, is_package) in found.items():
        for target in imported(name, tree, is_package):
            if target.split(".")[0] in PICKLES:
                yield f"{name} imports {target}"
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                yield f"{name} uses allow_pickle"


RULES = (upward, circles, files_opened, heavy_at_import, pickled)


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule):
    found = modules(SOURCE)
    assert len(found) > 30
    assert list(rule(found)) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (upward, "geo/bad.py", "from jido.io import Scene"),
        (upward, "geo/bad.py", "import jido.maps.engine"),
        (upward, "geo/bad.py", "from jido import stats"),
        (upward, "geo/bad.py", "from ..labels import Labels"),
        (upward, "geo/bad.py", "def f():\n    from jido.labels import Labels"),
        (
            upward,
            "io/bad.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jido.methods import Model",
        ),
        (upward, "io/bad.py", "import importlib\nimportlib.import_module('jido.maps.engine')"),
        (upward, "methods/bad.py", "TABLE = {'x': 'jido.maps.engine:map_scene'}"),
        (upward, "nets/bad.py", "from jido.geo import Raster"),
        (upward, "data/bad.py", "from jido.losses import bad"),
        (upward, "attic/bad.py", "x = 1"),
        (upward, "__init__.py", "from jido.geo import Raster"),
        (files_opened, "geo/bad.py", "def f(p):\n    return open(p)"),
        (files_opened, "stats/bad.py", "import rasterio"),
        (files_opened, "stats/bad.py", "from rasterio.features import rasterize"),
        (files_opened, "labels/bad.py", "import geopandas\ngeopandas.read_file('x')"),
        (heavy_at_import, "maps/bad.py", "import torch.nn as nn"),
        (
            heavy_at_import,
            "maps/bad.py",
            "try:\n    from torch import nn\nexcept ImportError:\n    nn = None",
        ),
        (heavy_at_import, "maps/bad.py", "class A:\n    import torch"),
        (pickled, "io/bad.py", "def f():\n    import pickle"),
        (pickled, "io/bad.py", "from joblib import dump"),
        (pickled, "io/bad.py", "import numpy\nnumpy.load('x', allow_pickle=True)"),
    ],
)
def test_a_bad_module_is_found(tmp_path, rule, path, text):
    rooms = ("geo", "labels", "stats", "io", "data", "losses", "methods", "maps")
    for name in rooms:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"from jido.{name} import good\n")
        (tmp_path / name / "good.py").write_text("x = 1\n")
    (tmp_path / "__init__.py").write_text("")
    assert list(rule(modules(tmp_path))) == []
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text + "\n")
    assert len(list(rule(modules(tmp_path)))) >= 1


@pytest.mark.parametrize("place", ["{}", "def f():\n    {}"])
def test_a_circle_is_found(tmp_path, place):
    (tmp_path / "geo").mkdir()
    (tmp_path / "geo" / "__init__.py").write_text("from jido.geo.one import x\n")
    (tmp_path / "geo" / "one.py").write_text("from jido.geo.two import x\n")
    (tmp_path / "geo" / "two.py").write_text("x = 1\n")
    assert list(circles(modules(tmp_path))) == []
    (tmp_path / "geo" / "two.py").write_text(place.format("from jido.geo import x") + "\n")
    assert len(list(circles(modules(tmp_path)))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (upward, "maps/good.py", "from jido.io import Scene\nfrom jido.errors import JidoError"),
        (upward, "nets/good.py", "from jido.errors import ModelError"),
        (upward, "methods/good.py", "from jido.nets import good"),
        (upward, "io/good.py", 'TEXT = "see jido.maps for more"'),
        (heavy_at_import, "maps/good.py", "def f():\n    import torch"),
        (heavy_at_import, "maps/good.py", "if TYPE_CHECKING:\n    import torch"),
        (heavy_at_import, "nets/good.py", "import torch"),
        (files_opened, "labels/good.py", "from rasterio.features import rasterize"),
        (files_opened, "io/good.py", "import rasterio"),
    ],
)
def test_a_good_module_is_left_alone(tmp_path, rule, path, text):
    for name in ("nets", "io", "maps", "errors", "labels", "methods"):
        (tmp_path / name).mkdir()
    (tmp_path / path).write_text(text + "\n")
    assert list(rule(modules(tmp_path))) == []


def test_import_of_jido_loads_nothing_heavy():
    code = (
        "import sys, jido; "
        "print(sorted({n.split('.')[0] for n in sys.modules} & "
        "{'torch', 'rasterio', 'odc', 'sklearn', 'numpy', 'geopandas', 'matplotlib', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
