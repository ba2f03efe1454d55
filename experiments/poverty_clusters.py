"""Do our clusters of tiles agree with the published ones, and with themselves?

python experiments/poverty_clusters.py [--preset smoke|cpu] [--seeds 0,1,2] [--data DIR] [--out DIR] [--json]

440 tiles of 22 published clusters, urban (0-10) and rural (11-21) apart. Every arm gives vectors; all are
grouped alike: whitened, length 1, k-means, k by the silhouette and k = 11. ARI and NMI: agreement with the
published clusters, which are themselves a clustering and no truth. Stability: mean ARI between seeds.
``brightness``: share of the variance of the mean grey of the tiles that lies between clusters.
``urban share``: the same of what people said of other rural tiles (the share who called them urban), 0 by
chance. cpu: 10 minutes on one core; finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from poverty_clusters_data import ARMS, NETS, PRESETS, Bench
from rows import Rows, mean_table, write_results
from sklearn.metrics import adjusted_rand_score

HERE = Path(__file__).resolve().parent
FIGURES = ("ARI k=11", "NMI k=11", "own k", "ARI own k", "silhouette", "brightness", "urban share")


def stability(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean ARI between clusterings of different seeds, for k = 11 and each seed's own k."""
    lines = ["| kind | arm | k=11 | own k |", "|---|---|---|---|"]
    for kind, arm in dict.fromkeys((row["kind"], row["arm"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["arm"]) == (kind, arm)]
        cells = []
        for name in ("k=11", "own k"):
            pairs = combinations([row[f"clusters {name}"] for row in mine if f"clusters {name}" in row], 2)
            agree = [adjusted_rand_score(*pair) for pair in pairs]
            cells.append(f"{np.mean(agree):.2f}" if agree else "")
        lines.append(f"| {kind} | {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/siscore")
    parser.add_argument("--out", type=Path, default=Path("runs/poverty_clusters"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, bench, told = Rows(args.out / args.preset / "rows.jsonl"), None, []
    for seed in map(int, args.seeds.split(",")):
        starts: dict[str, Any] = {}
        for arm in ARMS:
            facts = {"arm": arm, "seed": seed, "spent": PRESETS[args.preset]}
            if (done := rows.get(facts)) is None:
                bench = bench or Bench(args.data, args.preset)
                net, begun = arm.removeprefix("deep, from "), time.process_time()
                if net in NETS and net not in starts:
                    starts[net] = bench.start(net, seed)
                found = bench.judged(arm, bench.vectors(arm, seed, starts.get(net)), seed)
                done = rows.add(facts, {"kinds": found, "cpu_s": round(time.process_time() - begun, 1)})
            told += [{"arm": arm, "seed": seed, "kind": kind, **one} for kind, one in done["kinds"].items()]
    told.sort(key=lambda row: (row["kind"] != "urban", ARMS.index(row["arm"]), row["seed"]))
    text = f"{mean_table(told, ('kind', 'arm'), FIGURES)}\n\nStability.\n\n{stability(told)}"
    print(json.dumps({"rows": told}) if args.json else text)
    if args.preset != "smoke":
        shipped = {row["kind"]: f"{row['kind']} {row['brightness, shipped']:.2f}" for row in told}
        command = f"`python experiments/poverty_clusters.py --preset {args.preset} --seeds {args.seeds}`"
        said = f"Brightness of the published clusters: {', '.join(shipped.values())}. {command}."
        write_results("poverty-clusters", f"{text}\n\n{said}")


if __name__ == "__main__":
    main()
