"""What tests of pages share: a server in a thread, Debian's Chromium, and what a page asked for."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from jido.web.serve import address, listening, server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from starlette.types import ASGIApp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

ARGS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The address of an application that runs in a thread, as ``jido`` runs it in a process."""
    runner = server(app)
    with listening("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            yield address("127.0.0.1", sock.getsockname()[1])
        finally:
            runner.should_exit = True
            thread.join(timeout=10)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Chromium; the test is skipped where it or Playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


def asked(page: Page) -> list[str]:
    """All addresses that a page asks for from now on; the list grows."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    return seen


def elsewhere(seen: list[str], address: str) -> list[str]:
    """Those of them that are not of the server; ``data:`` and ``blob:`` leave no machine."""
    home = urlsplit(address).netloc
    return [url for url in seen if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != home]


def until(page: Page, script: str, *, seconds: float = 15) -> Any:
    """What a script gives as soon as it is true; a string given to ``wait_for_function`` breaks the CSP."""
    end = time.monotonic() + seconds
    while not (value := page.evaluate(script)):
        assert time.monotonic() < end, f"never true: {script}"
        page.wait_for_timeout(50)
    return value


def serious(page: Page) -> list[str]:
    """Findings of axe that keep somebody from using the page: ``rule: elements``."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    return [
        f"{found['id']}: {[node['target'] for node in found['nodes']]}"
        for found in axe.run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]
