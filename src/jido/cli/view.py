"""``jido view``: look at maps, images, polygons and tables of indicators in a browser."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jido.cli.console import note, print_json, progress_bar
from jido.cli.options import Host, JsonFlag, Port, Quiet, Token


def view(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Maps, images, polygons, tables of indicators, or folders.", metavar="PATH..."),
    ],
    port: Port = 0,
    host: Host = "127.0.0.1",
    token: Token = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write a folder that any file server shows, instead.", metavar="DIR"),
    ] = None,
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=1, help="With --export: megabytes that tiles may take.")
    ] = 100,
    json: JsonFlag = False,
    quiet: Quiet = False,
) -> None:
    """Show maps with their legend, accuracy and values on one page, here and without the internet.

    One process at one port; Ctrl-C ends it. Only this machine is answered; another --host needs the token
    that then stands in the link. From afar: ssh -L 8000:127.0.0.1:8000 and --port 8000, or JupyterHub's proxy
    at proxy/8000/ with a --token.
    """
    from jido.web import require_web

    require_web()
    if export is not None:
        from jido.web.export import export_view

        with progress_bar(quiet=quiet or json) as progress:
            told = partial(note, quiet=quiet)
            result = export_view(paths, export, max_bytes=int(max_mb * 1e6), progress=progress, told=told)
        if json:
            print_json(result.to_dict())
            return
        print(f"Page: {result.page}\n{result.files} files, {result.bytes / 1e6:.1f} MB")
        for text in result.missing:
            note(text, quiet=quiet)
        return
    from jido.web.serve import run, token_for
    from jido.web.view import viewer

    app = viewer(paths, token=token_for(host, token))
    run(app, host=host, port=port, announce=lambda url: print_json({"url": url}) if json else print(url))
