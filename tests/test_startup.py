"""The first keystroke is quick: nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = {
    "torch",
    "rasterio",
    "sklearn",
    "odc",
    "numpy",
    "scipy",
    "pandas",
    "geopandas",
    "matplotlib",
    "pyproj",
}

IMPORT = "import jido"
HELP = """
import sys
from jido.cli import main
sys.argv = ["jido", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def seconds(program: str) -> float:
    """The quickest of five runs: the machine may be busy."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        python(program)
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.mark.parametrize("program", [IMPORT, HELP])
def test_nothing_heavy_is_imported(program: str):
    last = python(program + "\nimport sys\nprint(*sys.modules)").splitlines()[-1]
    assert "jido" in last.split()
    assert HEAVY.isdisjoint(last.split())


def test_import_takes_less_than_300_ms():
    assert seconds(IMPORT) - seconds("pass") < 0.3


def test_help_takes_less_than_600_ms():
    assert seconds(HELP) < 0.6
