"""Many experts' orders made into one, and the chooser of questions, on ten real experts.

python experiments/orders.py [--preset smoke|cpu] [--seeds 0,1,2,3,4] [--data DIR] [--out DIR] [--json]

There is no truth for the 22 clusters. Experts are broken at random, others in each run, and Spearman is taken
with what a method makes of all ten (itself), and with the order that the paper's authors combined (authors).
Questions are answered from a table of all pairs, the same for all choosers of a run. ``own``: an expert's own
order, a share of all pairs wrong. ``authors``: the authors' order; wrong answers are what experts say against
it, where they do. ``classes``: urban and rural are known beforehand, and merge insertion sorts them apart, in
turn. All choosers share posterior and estimate. cpu: ten minutes on one core; finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from orders_asked import AIM, CHOOSERS, LATER, MOST, NAMES, PAIRS, asked, table_of_answers
from rows import Rows, write_results
from scipy.stats import spearmanr, t

from jido.stats.experts import borda, combine
from jido.stats.ordering import Order, kendall_tau, parse_chains, parse_relations, to_chains, weak_order

HERE = Path(__file__).resolve().parent
PRESETS = {"smoke": (1, (0.1,)), "cpu": (10, (0.0, 0.05, 0.1, 0.2))}
"""Runs a seed, and shares of wrong answers."""
BROKEN = dict.fromkeys(
    ("ours, itself", "Borda, itself", "ours, authors", "Borda, authors", "found", "blamed"), 3
)
TOLD = {"wrong": 3, **dict.fromkeys((*CHOOSERS, "fewer"), 1), **dict.fromkeys(LATER, 3)}
"""Figures and their digits."""


def ranked(score: np.ndarray) -> Order:
    """The order of scores."""
    return weak_order([NAMES[i] for i in np.flatnonzero(score == value)] for value in np.unique(score))


def left_out(experts: Sequence[Order]) -> dict[str, list[float]]:
    """Tau of each expert with what the nine others make together."""
    others = [[*experts[:e], *experts[e + 1 :]] for e in range(10)]
    ours = [kendall_tau(one, ranked(combine(nine).score)) for one, nine in zip(experts, others, strict=True)]
    rival = [kendall_tau(one, ranked(borda(nine, NAMES))) for one, nine in zip(experts, others, strict=True)]
    return {"ours": ours, "Borda": rival}


def broken(order: Order, kind: str, rng: np.random.Generator) -> Order:
    """An expert's order upside down, or with its places dealt out at random."""
    if kind == "reversed":
        return weak_order(order.groups[::-1])
    new = dict(zip(NAMES, rng.permutation(NAMES).tolist(), strict=True))
    return weak_order([new[name] for name in group] for group in order.groups)


def corrupted(
    experts: Sequence[Order], truth: np.ndarray, kind: str, count: int, seed: int
) -> dict[str, Any]:
    """Spearman after ``count`` experts are broken, and the share of them that is found."""
    rng = np.random.default_rng([seed, count])
    bad = rng.choice(10, count, replace=False).tolist()
    orders = [broken(order, kind, rng) if e in bad else order for e, order in enumerate(experts)]
    ours, rival = combine(orders), borda(orders, NAMES)
    whole = {"ours": combine(experts).score, "Borda": borda(experts, NAMES)}
    scores = {"ours": ours.score, "Borda": rival}
    found = {f"{name}, itself": spearmanr(s, whole[name]).statistic for name, s in scores.items()}
    found |= {f"{name}, authors": spearmanr(s, truth).statistic for name, s in scores.items()}
    verdict = "reversed" if kind == "reversed" else "unrelated"
    found["found"] = np.mean([ours.verdicts[e] == verdict for e in bad])
    found["blamed"] = np.mean([ours.verdicts[e] != "agrees" for e in range(10) if e not in bad])
    return {name: float(value) for name, value in found.items()}


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Mean and its 95 % interval, by Student's t."""
    n, mean = len(values), f"{np.mean(values):.{digits}f}"
    half = t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return f"{mean} ± {half:.{digits}f}" if n > 1 else mean


def table(rows: list[dict[str, Any]], by: Sequence[str], figures: dict[str, int]) -> str:
    """Markdown: a line for all rows that agree in ``by``; figure -> digits."""
    lines = [[*by, "runs", *figures], ["---"] * (len(by) + 1 + len(figures))]
    for key in dict.fromkeys(tuple(row[name] for name in by) for row in rows):
        mine = [row for row in rows if tuple(row[name] for name in by) == key]
        told = [interval([row[name] for row in mine], digits) for name, digits in figures.items()]
        lines.append([*map(str, key), str(len(mine)), *told])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def whole(experts: Sequence[Order], authors: Order) -> str:
    """What the ten experts make together, in words."""
    ours, left = combine(experts), left_out(experts)
    mean = {name: interval(found) for name, found in left.items()}
    taus = [kendall_tau(ranked(score), authors) for score in (ours.score, borda(experts, NAMES))]
    gain = interval(np.subtract(left["ours"], left["Borda"]).tolist())
    return (
        f"Ten experts. Tau-b with the authors' order: scores {taus[0]:.3f}, Borda counts {taus[1]:.3f} "
        f"(without equals), our order {kendall_tau(ours.order(), authors):.3f}: `{to_chains(ours.order())}`. "
        f"An expert with the nine others: {mean['ours']}, Borda {mean['Borda']}; gain {gain}."
    )


def main() -> None:
    """Run the rows and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="comma-separated")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data/siscore")
    parser.add_argument("--out", type=Path, default=Path("runs/orders"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    experts = parse_chains((args.data / "POG_annotation/POG_collection.txt").read_text(encoding="utf-8"))
    authors = parse_relations((args.data / "graph_config/nk.txt").read_text(encoding="utf-8")).among(NAMES)
    rows, (draws, noises) = Rows(args.out / args.preset / "rows.jsonl"), PRESETS[args.preset]
    runs = [int(seed) * draws + i for seed in args.seeds.split(",") for i in range(draws)]
    place = np.array([authors.levels[name] for name in NAMES])
    broke, told = [], []
    for kind, count, run in product(("reversed", "random"), (1, 2, 3), runs):
        facts = {"kind": kind, "count": count, "run": run}
        broke.append(rows.get(facts) or rows.add(facts, corrupted(experts, place, kind, count, run)))
    for target, classes, noise, run in product(("own", "authors"), (True, False), noises, runs):
        facts = {"target": target, "classes": classes, "noise": noise, "run": run}
        if (done := rows.get(facts)) is None:
            truth = (experts[run % 10] if target == "own" else authors).signs(NAMES)
            said = table_of_answers(
                experts, truth, target, noise, np.random.default_rng([run, int(100 * noise)])
            )
            found = {"wrong": float(np.mean((said != truth)[PAIRS]))}
            for chooser in CHOOSERS:
                found |= asked(chooser, truth, said, classes, run)
            done = rows.add(facts, found | {"fewer": found["merge insertion"] - found["ours"]})
        told.append(done)
    tables = table(broke, ("kind", "count"), BROKEN), table(told, ("target", "classes", "noise"), TOLD)
    text = "\n\n".join([whole(experts, authors), *tables])
    print(json.dumps({"broken": broke, "questions": told}) if args.json else text)
    if args.preset != "smoke":
        command = f"`python experiments/orders.py --preset {args.preset} --seeds {args.seeds}`"
        write_results("orders", f"{text}\n\nQuestions to tau-b {AIM}, {MOST} where it is missed. {command}.")


if __name__ == "__main__":
    main()
