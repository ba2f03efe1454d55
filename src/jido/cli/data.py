"""``jido data``: known data sets from where their makers keep them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import note, print_facts, print_json, print_table, progress_bar
from jido.cli.options import JsonFlag, Quiet

app = typer.Typer(help="List and fetch known data sets.", no_args_is_help=True)

Table = Annotated[
    Path | None, typer.Option("--table", help="Another table of data sets, a TOML file.", metavar="FILE")
]


@app.command("list")
def list_(table: Table = None, json: JsonFlag = False, quiet: Quiet = False) -> None:
    """Table the data sets with size and licence."""
    from jido.io.collections import read_collections

    known = read_collections(table)
    if json:
        print_json({"collections": [asdict(one) | {"bytes": one.bytes} for one in known.values()]})
        return
    print_facts({name: f"{one.title} [{_size(one.bytes)}; {one.licence}]" for name, one in known.items()})


def _size(count: int | None) -> str:
    return "size not known" if count is None else f"{count / 1e6:,.0f} MB"


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="As jido data list names it.", metavar="NAME")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder; one of the name of the data set without it."),
    ] = None,
    table: Table = None,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a data set and check its hashes; what was cut off goes on with the same command.

    Files that are there already are checked and kept.
    """
    from jido.errors import JidoError
    from jido.io.collections import fetch, read_collections

    known = read_collections(table)
    if name not in known:
        raise JidoError(f"{name!r} is no known data set: choose {', '.join(known)}.")
    one, folder = known[name], output or Path(name)
    note(f"{one.title}\nLicence: {one.licence}\nCite: {one.citation}", quiet=quiet or json)
    with progress_bar(quiet=quiet or json) as progress:
        files = fetch(one, folder, progress=progress)
    absent = [file.name for file in one.files if folder / file.name not in {f.path for f in files}]
    if json:
        facts = {key: getattr(one, key) for key in ("name", "licence", "citation", "home")}
        print_json(facts | {"folder": folder, "files": [asdict(file) for file in files], "absent": absent})
        return
    words = {True: "fetched", False: "was there"}
    print_table(
        ["file", "", "hash"],
        [[file.path, words[file.new], file.hash + " (first seen)" * file.first_seen] for file in files],
    )
    if any(file.first_seen for file in files):
        print("Nobody publishes the hash of such a file: the one it has now is written beside it.")
    if absent:
        print(f"Not there: {', '.join(absent)}")
    if one.use:
        print(f"Next: {one.use.format(folder=folder)}")
