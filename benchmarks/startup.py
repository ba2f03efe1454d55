"""How long the first keystroke takes: ``import jido`` over bare Python, and ``jido --help``.

python benchmarks/startup.py [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7


def seconds(*command: str) -> float:
    """Median wall-clock seconds of a command after one warm-up."""
    taken = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    jido = str(Path(sys.executable).with_name("jido"))
    bare = seconds(sys.executable, "-c", "pass")
    figures = {
        "import_jido_s": round(seconds(sys.executable, "-c", "import jido") - bare, 3),
        "jido_help_s": round(seconds(jido, "--help"), 3),
    }
    if args.json:
        print(json.dumps(figures))
    else:
        print(f"import jido      {figures['import_jido_s']:.3f} s over bare Python (aim < 0.3)")
        print(f"jido --help      {figures['jido_help_s']:.3f} s (aim < 0.6)")


if __name__ == "__main__":
    main()
