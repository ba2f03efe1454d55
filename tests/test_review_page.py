"""The page of a review in a browser: decisions by keyboard, what a reload keeps, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import asked, browsing, elsewhere, serious, serving, until
from test_review import Files, drawn, fields, opened, picture  # noqa: F401

from jido.io import read_labels
from jido.io.design_sample import read_sample
from jido.labels import binary_scheme
from jido.web.review import Review
from jido.web.review_tasks import LabelReview, SampleReview

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@contextmanager
def shown(browser: Browser, review: Review, **options: object) -> Iterator[tuple[Page, str]]:
    """The page of a review, ready; whatever it asks for is on this machine, and no script fails."""
    with serving(review.app()) as url:
        page = browser.new_page(**options)
        failed: list[str] = []
        page.on("pageerror", lambda error: failed.append(str(error)))
        seen = asked(page)
        try:
            page.goto(url)
            ready(page)
            yield page, url
            assert elsewhere(seen, url) == []
            assert failed == []
        finally:
            page.close()


def ready(page: Page) -> None:
    until(page, "document.documentElement.hasAttribute('data-ready')")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def decided(page: Page) -> str:
    return page.locator("#progress").inner_text()


def test_labels_are_corrected_by_keyboard(browser: Browser, fields: Files, tmp_path: Path):  # noqa: F811
    def review() -> Review:
        task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
        return opened(task, tmp_path / "c.log.csv", fields[2:], fields[0])

    with shown(browser, review()) as (page, _):
        item = page.locator("#item")
        assert item.inner_text() == "Object 0"
        press(page, "t")
        until(page, "document.getElementById('item').textContent === 'Label 4'")
        assert "background, 95 % sure" in page.locator("#facts").inner_text()
        press(page, "x", "u")  # dropped, and taken back
        until(page, "document.getElementById('item').textContent === 'Label 4'")
        assert decided(page) == "1 of 6 decided"
        press(page, "n")
        page.keyboard.type("ploughed")
        press(page, "Enter", "x", "m", "z", "i")
        assert page.locator("#map-on").is_checked()
        assert decided(page) == "2 of 6 decided"
        assert serious(page) == []
        page.reload()
        ready(page)
        assert decided(page) == "2 of 6 decided"
        assert item.inner_text() == "Label 0"
        press(page, "ArrowLeft")
        assert item.inner_text() == "Label 4"
        assert page.locator("#note").input_value() == "ploughed"
        page.locator("#write").click()
        page.locator("#written", has_text="1 dropped, 1 added").wait_for()
    made = read_labels(tmp_path / "c.gpkg", scheme=binary_scheme("field"), one_class=True)
    assert len(made) == 5
    again = review()
    assert {item: said.decision for item, said in again.decided.items()} == {
        "object 0": "add",
        "label 4": "drop",
    }
    assert again.decided["label 4"].note == "ploughed"


def test_a_sample_is_labelled_by_keyboard(browser: Browser, picture: Path, tmp_path: Path):  # noqa: F811
    points = tmp_path / "points.gpkg"
    drawn(points)
    review = opened(SampleReview(points, interpreter=2), tmp_path / "2.csv", (picture,))
    dark = {"color_scheme": "dark", "viewport": {"width": 420, "height": 800}}
    with shown(browser, review, **dark) as (page, _):
        assert page.locator("#item").inner_text() == "Point 1"
        assert page.locator("#overlay").is_hidden()
        press(page, "2")
        assert page.locator("#sure-question").inner_text() == "wood: how sure are you?"
        press(page, "3")  # no class while one is asked how sure one is
        assert page.locator("#sure-question").inner_text() == "wood: how sure are you?"
        assert serious(page) == []
        press(page, "Escape", "1", "m", "3", "Enter", "s")
        assert decided(page) == "3 of 3 decided"
        assert "All are decided" in page.locator("#said").inner_text()
        page.locator("#write").click()
        page.locator("#written", has_text="2 labelled").wait_for()
    sample = read_sample(points)
    assert sample.codes.tolist() == [[-1, 1], [-1, 3], [-1, -1]]
    assert sample.confidence[:, 1].tolist() == ["medium", "high", ""]


def test_what_is_not_saved_is_taken_back(browser: Browser, fields: Files, tmp_path: Path):  # noqa: F811
    task = LabelReview(fields[0], tmp_path / "c.gpkg", labels=fields[1])
    review = opened(task, tmp_path / "c.log.csv", fields[2:], fields[0])
    (tmp_path / "c.log.csv").mkdir()
    with shown(browser, review) as (page, _):
        press(page, "t")
        page.locator("#error", has_text="Cannot write").wait_for()
        assert decided(page) == "0 of 6 decided"
    assert review.decided == {}
