"""The expert page in a browser: questions by key, rows by drag and by key, two experts at once, export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import said_by
from PIL import Image

pytest.importorskip("starlette", reason='jido[web] is not installed: pip install "jido[web]"')

from browser import asked as asked_for
from browser import browsing, elsewhere, serious, serving, until

from jido.data.orders import mark, read_orders
from jido.data.score_tiles import read_tiles
from jido.data.tile_clusters import Clusters, read_clusters
from jido.stats.ordering import to_chains
from jido.web.rank import links, rank_site
from jido.web.rank_pictures import tile_pictures
from jido.web.rank_state import asked
from jido.web.rank_store import RankStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

EXPERTS = ("Kim", "Lee", "Ann", "Bob", "<b>Eve</b>", "Zoe")
"""One for each test and a second one for the last, so that none sees what another has answered."""


class Desk:
    """A page that is served, and where its experts answer."""

    def __init__(self, groups: Clusters, clusters: Path, store: RankStore, address: str) -> None:
        self.groups, self.clusters, self.store = groups, clusters, store
        found = links(store, address)
        self.address, self.links, self.owner = address, found["links"], found["owner"]

    def line(self, name: str, page: Page) -> str:
        """What an expert can export."""
        return page.request.get(f"{self.links[name]}order.txt").text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Five clusters of four tiles, and five experts."""
    folder = tmp_path_factory.mktemp("desk")
    for k in range(5):
        (folder / "clusters" / str(k)).mkdir(parents=True)
        for i in range(4):
            colour = (50 * k, 40 * i, 120)
            Image.new("RGB", (32, 32), colour).save(folder / "clusters" / str(k) / f"{i}.png")
    (folder / "order").mkdir()
    groups = read_clusters(folder / "clusters")
    store = RankStore(folder / "order/answers.sqlite", clusters=mark(groups))
    store.add_experts(EXPERTS)
    pictures = tile_pictures(read_tiles(folder / "clusters").chips, groups, asked(groups))
    with serving(rank_site(store, groups, pictures)) as address:
        yield Desk(groups, folder / "clusters", store, address)


def opened(browser: Browser, link: str, **options: Any) -> Page:
    """A page of its own, as of another person; a mistake of its scripts fails the test."""
    page = browser.new_context(viewport={"width": 1300, "height": 1000}, **options).new_page()
    page.on("pageerror", lambda err: pytest.fail(f"script: {err}"))
    page.goto(link)
    page.locator("#progress").filter(has_text="questions").wait_for()
    return page


def in_line(page: Page, text: str) -> None:
    """Wait until the order is that."""
    until(page, f"document.querySelector('.text code')?.textContent === {text!r}")


def answer(page: Page) -> None:
    """Answer the question by key: the higher the number the more developed."""
    left, right = (
        int(name) for name in page.locator(".side").evaluate_all("s => s.map(one => one.dataset.name)")
    )
    before = page.locator("#progress").text_content()
    page.keyboard.press("ArrowLeft" if left > right else "ArrowRight")
    until(page, f"document.getElementById('progress').textContent !== {before!r}")


def drag(page: Page, card: Locator, to: Locator) -> None:
    """With the mouse, in steps, from the middle of one to the middle of the other."""
    card.scroll_into_view_if_needed()
    start, end = card.bounding_box(), None
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + 10, start["y"] - 10, steps=3)
    end = to.bounding_box()  # gaps are wider while something is dragged
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=8)
    page.mouse.up()


def test_questions_by_key_make_an_order_that_a_reload_keeps(browser: Browser, desk: Desk):
    page = opened(browser, desk.links["Kim"])
    seen = asked_for(page)
    for _ in range(3):
        answer(page)
    shown = page.locator("#progress").text_content()
    assert re.fullmatch(r"3 of about \d+ questions; the order is known for \d+ of 10 pairs", shown)
    question = page.locator(".question").text_content()
    page.reload()
    page.locator(".pair").wait_for()
    assert page.locator("#progress").text_content() == shown
    assert page.locator(".question").text_content() == question
    while page.locator(".pair").count():
        answer(page)
    assert "you are done" in page.locator(".done").text_content()
    in_line(page, "4>3>2>1>0")
    assert page.locator(".graph .box").count() == 5
    assert page.locator(".graph .arrow").count() == 4  # none that follows from others
    assert desk.line("Kim", page) == "4>3>2>1>0  # Kim\n"
    assert seen
    assert elsewhere(seen, desk.address) == []


def test_rows_by_drag(browser: Browser, desk: Desk):
    page = opened(browser, desk.links["Lee"])
    page.locator("#tab-board").click()
    card = lambda name: page.locator(f'.card[data-name="{name}"]')  # noqa: E731
    zone = lambda kind, at: page.locator(f'.zone.{kind}[data-at="{at}"]')  # noqa: E731
    drag(page, card("2"), zone("gap", 0))
    drag(page, card("3"), zone("gap", 0))
    in_line(page, "3>2")
    drag(page, card("1"), zone("gap", 2))
    in_line(page, "3>2>1")
    drag(page, card("4"), zone("row", 0))
    in_line(page, "3=4>2>1")
    drag(page, card("1"), zone("gap", 0))
    in_line(page, "1>3=4>2")
    drag(page, card("0"), page.locator(".zone.aside"))
    until(page, "document.getElementById('progress').textContent.endsWith('6 of 6 pairs')")
    page.locator("#undo").click()
    until(page, "document.getElementById('progress').textContent.endsWith('6 of 10 pairs')")
    drag(page, card("1"), page.locator(".zone.tray"))
    in_line(page, "3=4>2")


def test_rows_by_key_say_where_a_cluster_lies(browser: Browser, desk: Desk):
    page = opened(browser, desk.links["Ann"])
    page.locator("#tab-questions").focus()
    page.keyboard.press("ArrowRight")
    card = lambda name: page.locator(f'.card[data-name="{name}"]')  # noqa: E731
    card("0").focus()
    page.keyboard.press("ArrowUp")
    card("1").focus()
    for _ in range(3):  # below 0, beside it, above it
        page.keyboard.press("ArrowUp")
    in_line(page, "1>0")
    card("2").focus()
    page.keyboard.press("Home")
    in_line(page, "2>1>0")
    page.keyboard.press("ArrowDown")
    in_line(page, "1=2>0")
    until(
        page,
        "document.getElementById('said').textContent === 'Cluster 2: row 1 of 2, the same as 1, at the top.'",
    )
    assert page.evaluate("document.activeElement.dataset.name") == "2"
    card("4").focus()
    page.keyboard.press("?")
    page.locator('.zone.aside .card[data-name="4"]').wait_for()
    card("3").focus()
    page.keyboard.press("Enter")
    assert page.locator("#close-look img").count() == 4
    page.keyboard.press("Escape")
    assert serious(page) == []
    page.reload()
    page.locator(".rows .card").first.wait_for()
    in_line(page, "1=2>0")


def test_what_cannot_hold_is_said_and_one_of_it_goes(browser: Browser, desk: Desk):
    page = opened(browser, desk.links["Bob"])
    answer(page)
    said = desk.store.steps(desk.store.experts[3])[0][0].body
    low, high = sorted((said["left"], said["right"]))
    page.locator("#tab-board").click()
    for name in (low, high):
        page.locator(f'.card[data-name="{name}"]').focus()
        page.keyboard.press("End")
    dialog = page.locator("#conflict[open]")
    dialog.wait_for()
    assert f"In your rows {low} lies above {high}." in dialog.text_content()
    assert serious(page) == []
    page.reload()  # it is open until something goes
    dialog.wait_for()
    dialog.get_by_text("Put the rows back").click()
    dialog.wait_for(state="hidden")
    in_line(page, f"{high}>{low}")
    page.locator(f'.card[data-name="{high}"]').focus()
    page.keyboard.press("End")
    dialog.get_by_text("Take back:").click()
    in_line(page, f"{low}>{high}")


def test_two_at_once_their_owner_and_the_order(browser: Browser, desk: Desk, tmp_path: Path):
    one = opened(browser, desk.links["<b>Eve</b>"], color_scheme="dark")
    other = opened(browser, desk.links["Zoe"])
    assert one.locator("#expert").text_content() == "<b>Eve</b>"
    one.locator("#tab-board").click()
    for name in "43201":
        one.locator(f'.card[data-name="{name}"]').focus()
        one.keyboard.press("End")
    in_line(one, "4>3>2>0>1")
    while other.locator(".pair").count():
        answer(other)
    in_line(other, "4>3>2>1>0")
    assert serious(one) == []
    owner = browser.new_context().new_page()
    owner.goto(desk.owner)
    owner.locator(".disputes li").first.wait_for()
    rows = owner.locator("#experts tbody tr").all_text_contents()
    assert [row.split("of")[0][:3] for row in rows] == ["Kim", "Lee", "Ann", "Bob", "<b>", "Zoe"]
    assert serious(owner) == []
    with owner.expect_download() as found:
        owner.locator("#export").click()
    found.value.save_as(tmp_path / "experts.txt")
    said = read_orders([tmp_path / "experts.txt"], desk.groups)
    orders = dict(zip(said.names, map(to_chains, said.orders), strict=True))
    assert orders["Zoe"] == "4>3>2>1>0"
    assert orders["<b>Eve</b>"] == "4>3>2>0>1"
    run = said_by(
        "score", "rank", desk.clusters, "--from", tmp_path / "experts.txt", "-o", tmp_path / "o", "--json"
    )
    assert run.code == 0, run.err
    assert (tmp_path / "o/experts.txt").read_text() == (tmp_path / "experts.txt").read_text()
