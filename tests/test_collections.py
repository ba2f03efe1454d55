"""Known data sets: fetched from a server on this machine, gone on with, checked, and refused in words."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Refused, Run, held

from jido.errors import JidoError, OutputError
from jido.io.collections import fetch, read_collections

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one chunk
MD5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Home:
    """A server that keeps count; ``cut``: bytes after which the connection breaks, once."""

    def __init__(self, address: str) -> None:
        self.address, self.cut, self.content, self.ranges = address, 0, CONTENT, []  # type: ignore[var-annotated]


@pytest.fixture
def home() -> Iterator[Home]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            found.ranges.append(asked)
            if not self.path.endswith("file.zip"):
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            body, status = found.content[start:], 206 if asked else 200
            if asked and not body:
                self.send_error(416)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: found.cut] if found.cut else body)
            found.cut = 0

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Home(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def table(path: Path, url: str, *, known: str = MD5, size: int = 0) -> Path:
    path.write_text(
        f"""
[small]
title = "A small data set"
licence = "CC0"
home = "https://example.org/small"
citation = "Nobody 2020"
use = "jido scene train {{folder}}/file.zip -o scenes"
files = [{{ name = "file.zip", bytes = {size}, hash = "{known}", url = "{url}" }}]
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def rows(home: Home, tmp_path: Path) -> Path:
    return table(tmp_path / "table.toml", f"{home.address}/file.zip", size=len(CONTENT))


# -- the table -----------------------------------------------------------------------------------


def test_every_known_data_set_says_what_one_has_to_know():
    known = read_collections()
    assert {"eurosat-rgb", "eurosat-ms", "so2sat", "ombria", "marida", "lcz-generator"} <= set(known)
    for name, one in known.items():
        assert one.name == name
        assert one.title, name
        assert one.licence, name
        assert one.citation.rsplit("doi ", 1)[1].startswith("10."), name
        assert one.home.startswith("https://"), name
        assert one.by_hand or all(file.url.startswith("https://") for file in one.files), name
        for file in one.files:
            algorithm, _, digits = file.hash.partition(":")
            assert not file.hash or len(digits) == {"md5": 32, "sha256": 64}[algorithm], name


def test_the_list(jido: Callable[..., Run]):
    run = jido("data", "list", "--json")
    by_name = {one["name"]: one for one in run.json["collections"]}
    assert by_name["eurosat-rgb"]["bytes"] == 94_658_721
    assert by_name["so2sat"]["bytes"] is None
    said = " ".join(jido("data", "list").out.split())
    assert "[95 MB; MIT]" in said
    assert "size not known" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"file.zip"', '"../file.zip"', "'../file.zip' does not lie inside"),
        ('"file.zip"', '"/file.zip"', "'/file.zip' does not lie inside"),
        ("bytes = 0", 'bytes = "many"', "'many' bytes"),
        ("md5:", "crc:", "the hash 'crc:"),
        ("{folder}", "{file}", "'file'"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path: Path, old: str, new: str, says: str):
    path = table(tmp_path / "t.toml", "http://127.0.0.1:9/file.zip")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(JidoError, match=re.escape(says)):
        read_collections(path)


# -- fetching ------------------------------------------------------------------------------------


def test_a_data_set_is_fetched_once(jido: Callable[..., Run], rows: Path, home: Home, out: Path):
    run = jido("data", "get", "small", "-o", out / "new/small", "--table", rows)
    assert run.code == 0
    assert (out / "new/small/file.zip").read_bytes() == CONTENT
    assert sorted(held(out / "new/small")) == ["file.zip"]
    assert "Licence: CC0\nCite: Nobody 2020" in run.err
    assert "file.zip (MB)" in run.err
    assert f"fetched  {MD5}" in run.out
    assert f"Next: jido scene train {out}/new/small/file.zip -o scenes" in run.out
    again = jido("data", "get", "small", "-o", out / "new/small", "--table", rows, "--json")
    assert again.json["files"] == [
        {"path": str(out / "new/small/file.zip"), "hash": MD5, "new": False, "first_seen": False}
    ]
    assert (again.json["licence"], again.json["absent"]) == ("CC0", [])
    assert home.ranges == [None]


def test_what_was_cut_off_goes_on(rows: Path, home: Home, tmp_path: Path):
    one, folder, told = read_collections(rows)["small"], tmp_path / "small", []
    home.cut = 1_500_000
    with pytest.raises(OutputError, match="the connection broke") as err:
        fetch(one, folder)
    assert "https://example.org/small" in str(err.value)
    half = (folder / ".file.zip.part").stat().st_size
    assert sorted(held(folder)) == [".file.zip.part"]
    assert 0 < half <= 1_500_000
    [file] = fetch(one, folder, progress=lambda *said: told.append(said))
    assert home.ranges == [None, f"bytes={half}-"]
    assert file.path.read_bytes() == CONTENT
    assert sorted(held(folder)) == ["file.zip"]
    assert told[-1] == ("file.zip (MB)", 3, 3)


def test_a_half_that_was_whole_is_only_checked(rows: Path, home: Home, tmp_path: Path):
    (tmp_path / ".file.zip.part").write_bytes(CONTENT)
    [file] = fetch(read_collections(rows)["small"], tmp_path)
    assert file.path.read_bytes() == CONTENT
    assert home.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_half_of_something_else_is_thrown_away(rows: Path, tmp_path: Path):
    (tmp_path / ".file.zip.part").write_bytes(b"x" * 1000)
    with pytest.raises(OutputError, match="does not have the hash"):
        fetch(read_collections(rows)["small"], tmp_path)
    assert sorted(held(tmp_path)) == ["table.toml"]
    assert fetch(read_collections(rows)["small"], tmp_path)[0].path.read_bytes() == CONTENT


def test_a_hash_that_nobody_publishes_is_that_of_the_first_time(home: Home, tmp_path: Path):
    one = read_collections(table(tmp_path / "t.toml", f"{home.address}/file.zip", known=""))["small"]
    folder = tmp_path / "small"
    home.cut = 1000
    with pytest.raises(OutputError):
        fetch(one, folder)
    [first] = fetch(one, folder)
    assert home.ranges == [None, None]  # nobody could tell whether the halves belong together
    assert (first.hash, first.new, first.first_seen) == (SHA256, True, True)
    assert (folder / "file.zip.sha256").read_text() == f"{SHA256.removeprefix('sha256:')}  file.zip\n"
    [second] = fetch(one, folder)
    assert (second.hash, second.new, second.first_seen) == (SHA256, False, False)
    first.path.unlink()
    home.content = b"another"
    with pytest.raises(OutputError, match="or that it had at first"):
        fetch(one, folder)
    assert sorted(held(folder)) == ["file.zip.sha256"]


def test_a_file_from_elsewhere_is_checked_without_network(tmp_path: Path):
    one = read_collections(table(tmp_path / "t.toml", "http://127.0.0.1:9/file.zip"))["small"]
    (tmp_path / "file.zip").write_bytes(CONTENT)
    [file] = fetch(one, tmp_path)
    assert (file.hash, file.new) == (MD5, False)


def test_files_without_an_address_are_checked(
    jido: Callable[..., Run], refused: Refused, tmp_path: Path, out: Path
):
    rows = table(tmp_path / "t.toml", "")
    rows.write_text(rows.read_text().replace("use =", 'by_hand = "ask for it"\nuse ='))
    command = ("data", "get", "small", "-o", out / "s", "--table", rows)
    refused(*command, says=("by hand from https://example.org/small: ask for it", out / "s"))
    (out / "s").mkdir()
    (out / "s/file.zip").write_bytes(CONTENT)
    assert jido(*command, "--json").json["files"][0]["hash"] == MD5
    (out / "s/file.zip").write_bytes(CONTENT[:-1])
    refused(*command, says=("does not have the hash",))


# -- what goes wrong -----------------------------------------------------------------------------


def test_what_cannot_be_fetched_is_said_and_leaves_nothing(
    refused: Refused, home: Home, tmp_path: Path, out: Path
):
    def get(rows: Path, *, says: tuple[str, ...], name: str = "small", to: Path = out / "a/b") -> None:
        refused("data", "get", name, "-o", to, "--table", rows, says=says)

    file, page = f"{home.address}/file.zip", "https://example.org/small"
    rows = table(tmp_path / "t.toml", file, known=f"md5:{'0' * 32}")
    get(rows, says=("does not have the hash", page))
    get(rows, name="smal", says=("'smal' is no known data set: choose small",))
    get(rows, to=out / "kept.txt", says=("kept.txt is a file", "-o"))
    get(rows, to=out / "kept.txt/below", says=("Cannot write", "Not a directory", "-o"))
    get(table(tmp_path / "t.toml", f"{home.address}/gone"), says=("404", page, "by hand"))
    get(table(tmp_path / "t.toml", "http://127.0.0.1:9/file.zip"), says=("no network", page, "by hand"))
    get(table(tmp_path / "t.toml", file, size=10**18), says=("needs 1000000000.0 GB", "-o"))
    nested = table(tmp_path / "t.toml", f"{home.address}/gone")
    nested.write_text(nested.read_text().replace('"file.zip"', '"below/file.zip"'))
    get(nested, says=("404", "below/file.zip"))
    (tmp_path / "t.toml").write_text("[small]\ntitle = 1")
    get(tmp_path / "t.toml", says=("is no table of data sets",))
    with pytest.raises(JidoError, match="is no table"):
        read_collections(tmp_path / "none.toml")
