"""``jido score``: experts' order turned into a score for every cell."""

from __future__ import annotations

import typer

from jido.cli.score_cluster import cluster
from jido.cli.score_label import label
from jido.cli.score_map import map_
from jido.cli.score_rank import rank
from jido.cli.score_tiles import tiles
from jido.cli.score_train import train

app = typer.Typer(
    help="A score for every cell of ground, learned from the order that experts give to clusters of tiles.",
    no_args_is_help=True,
)
app.command("tiles")(tiles)
app.command("label")(label)
app.command("cluster")(cluster)
app.command("rank")(rank)
app.command("train")(train)
app.command("map")(map_)
