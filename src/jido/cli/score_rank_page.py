"""What ``jido score rank`` does with its page: pictures to show, experts to ask, answers to take over."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jido.cli.console import print_facts, print_json, progress_bar
from jido.errors import JidoError

if TYPE_CHECKING:
    from jido.data.orders import Said
    from jido.data.tile_clusters import Clusters
    from jido.web.rank_pictures import Pictures

SHEETS = "sheets"
"""The folder of a folder of clusters in which a sheet of each lies."""

NOBODY = "Expert"
"""Who answers where nobody is named."""


def page_pictures(clusters: Path, groups: Clusters, tiles: Path | None, *, quiet: bool) -> Pictures:
    """What the page shows of each cluster.

    Raises:
        JidoError: when what pages need is not installed.
        ImageError: when there is neither a sheet nor a tile of a cluster.
    """
    from jido.data.score_tiles import read_tiles
    from jido.data.tile_clusters import TABLE
    from jido.web import require_web
    from jido.web.rank_pictures import sheet_pictures, tile_pictures
    from jido.web.rank_state import asked

    require_web()
    names = asked(groups)
    table = clusters.is_file() or (clusters / TABLE).is_file()
    if tiles is None and table:
        return sheet_pictures((clusters.parent if clusters.is_file() else clusters) / SHEETS, names)
    with progress_bar(quiet=quiet) as progress:
        found = read_tiles(tiles or clusters, progress=progress)
    return tile_pictures(found.chips, groups, names)


def ask_experts(
    place: Path,
    groups: Clusters,
    pictures: Pictures,
    experts: str,
    *,
    host: str,
    port: int,
    token: str | None,
    json: bool,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        place: folder of the order, in which the answers are kept.
        groups: what is put in order.
        pictures: of the clusters.
        experts: their names, commas between them; those who are known from before stay.
        host: where to listen.
        port: 0 takes a free one.
        token: of the owner's link, ``None`` for that of before.
        json: print the links as one object.

    Raises:
        LabelsError: for names and tokens that cannot be, and answers on other clusters.
        JidoError: when the port cannot be used.
    """
    from jido.data.orders import mark
    from jido.web.rank import links, rank_site
    from jido.web.rank_store import ANSWERS, RankStore, expert_names, require_token
    from jido.web.serve import run

    names = expert_names(experts)
    require_token(token)
    place.mkdir(parents=True, exist_ok=True)
    begun = (place / ANSWERS).exists()
    store = RankStore(place / ANSWERS, clusters=mark(groups))
    store.add_experts(names or (() if store.experts else (NOBODY,)))
    if token:
        store.set_owner(token)
    site = rank_site(store, groups, pictures)
    try:
        run(site, host=host, port=port, announce=lambda link: _announce(links(store, link), json=json))
    except JidoError:
        if not begun:  # nobody has had a link
            store.path.unlink()
            with suppress(OSError):  # the folder was there before, and something is in it
                place.rmdir()
        raise


def _announce(found: dict[str, Any], *, json: bool) -> None:
    """Tell the links; whoever has one can answer as that expert."""
    if json:
        print_json(found)
        return
    print_facts({**found["links"], "You, their owner": found["owner"]})
    print("Ctrl-C ends the page and writes the order; the same command goes on.")


def answered(place: Path, groups: Clusters) -> Said:
    """What experts have answered on the page.

    Raises:
        LabelsError: when there are no answers.
    """
    from jido.data.orders import mark
    from jido.errors import LabelsError
    from jido.web.rank_owner import said_so_far
    from jido.web.rank_store import ANSWERS, RankStore

    if not (place / ANSWERS).is_file():
        raise LabelsError(
            f"{place} holds no answers: leave out --finish, and let experts answer on the page."
        )
    return said_so_far(RankStore(place / ANSWERS, clusters=mark(groups)), groups)
