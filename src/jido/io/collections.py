"""Known data sets, fetched from where their makers keep them and checked against their hashes.

The table is ``collections.toml`` beside this file: no CSV, because a data set has several files.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from jido.errors import JidoError, OutputError
from jido.io.files import file_sha256
from jido.io.raster import Progress

TIMEOUT = 30
"""Seconds without an answer after which a server counts as away."""

HASH = re.compile(r"(?:(?:md5|sha1|sha256|sha512):[0-9a-f]+)?")
"""Of a file, with its algorithm."""

CHUNK = 1 << 20
"""Bytes that are written at a time."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set: ``bytes`` 0, ``hash`` and ``url`` empty where they are not known.

    Raises:
        ValueError: when the name leads out of a folder, or the size or the hash is none.
    """

    name: str
    bytes: int
    hash: str
    url: str

    def __post_init__(self) -> None:
        place = PurePath(self.name)
        if not place.parts or place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{self.name!r} does not lie inside of a folder")
        if not isinstance(self.bytes, int) or not HASH.fullmatch(self.hash):
            raise ValueError(f"{self.name} has {self.bytes!r} bytes and the hash {self.hash!r}")


@dataclass(frozen=True)
class Collection:
    """A data set.

    Args:
        name: on the command line.
        title: what is in it.
        licence: as its makers state it.
        home: official page.
        citation: what to cite.
        files: what there is to fetch.
        by_hand: how to get what has no address.
        use: the Jido command that reads it, with ``{folder}``.
    """

    name: str
    title: str
    licence: str
    home: str
    citation: str
    files: tuple[RemoteFile, ...]
    by_hand: str = ""
    use: str = ""

    def __post_init__(self) -> None:
        self.use.format(folder=".")  # a table with another word in braces is wrong

    @property
    def bytes(self) -> int | None:
        """Of all files together; ``None`` where that is not known."""
        sizes = [file.bytes for file in self.files]
        return sum(sizes) if sizes and all(sizes) else None


@dataclass(frozen=True)
class Fetched:
    """A file that is there.

    Args:
        path: where.
        hash: ``algorithm:hex`` that it has.
        new: whether it was fetched now.
        first_seen: nobody publishes its hash, so this one was written beside it for the next time.
    """

    path: Path
    hash: str
    new: bool
    first_seen: bool


def read_collections(table: str | Path | None = None) -> dict[str, Collection]:
    """Name -> data set, of Jido's table or of another one that looks like it.

    Raises:
        JidoError: when the table cannot be read.
    """
    place = resources.files(__package__).joinpath("collections.toml") if table is None else Path(table)
    try:
        found = tomllib.loads(place.read_text(encoding="utf-8"))
        return {name: _collection(name, facts) for name, facts in found.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as err:
        text = " ".join(str(err).split())
        raise JidoError(
            f"{table} is no table of data sets ({text}): write it like collections.toml."
        ) from err


def _collection(name: str, facts: dict[str, Any]) -> Collection:
    files = tuple(RemoteFile(**file) for file in facts["files"])
    return Collection(**facts | {"name": name, "files": files})


def fetch(collection: Collection, folder: str | Path, *, progress: Progress | None = None) -> list[Fetched]:
    """Fetch the files of a data set that are not there, and check all that are.

    A file takes its name when it is whole and has its hash. What was cut off before is kept as
    ``.NAME.part``, and the same call goes on with it. Where no hash is published, that of the first time is
    written to ``NAME.sha256`` and holds from then on; such a file is begun anew when it was cut off.

    Args:
        collection: a row of :func:`read_collections`.
        folder: where to; it is made.
        progress: told the megabytes.

    Returns:
        The files that are there now; of a data set that is to be got by hand perhaps not all.

    Raises:
        OutputError: without network, when the server does not have a file, when a hash is another, when
            the disk is too small, or when the data set is to be got by hand and nothing of it is there.
    """
    folder = Path(folder)
    wanted = [file for file in collection.files if file.url or (folder / file.name).exists()]
    if not wanted:
        raise OutputError(
            f"{collection.name} has to be got by hand from {collection.home}: {collection.by_hand}; what is "
            f"then in {folder} is checked by this command."
        )
    with _explained(collection, folder), _made(folder):
        free = shutil.disk_usage(folder).free
        missing = sum(file.bytes for file in wanted if not (folder / file.name).exists())
        if missing > free:
            raise OutputError(
                f"{collection.name} needs {missing / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: "
                "choose another place with -o."
            )
        return [_fetched(file, collection, folder, progress) for file in wanted]


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder that goes again, with parents made for it, when nothing has come into it."""
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except FileExistsError as err:
        raise OutputError(f"{folder} is a file: give the name of a folder with -o.") from err
    finally:
        for place in absent:
            with suppress(OSError):  # something is in it
                place.rmdir()


def _fetched(file: RemoteFile, collection: Collection, folder: Path, progress: Progress | None) -> Fetched:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    place = folder / file.name
    beside = place.with_name(f"{place.name}.sha256")
    with _explained(collection, folder, file), _made(place.parent):
        seen = f"sha256:{beside.read_text(encoding='utf-8').partition(' ')[0]}" if beside.exists() else None
        known, before = file.hash or seen, place.stat() if place.exists() else None
        if file.url:
            resuming = _Resuming(
                place.with_name(f".{place.name}.part"), goes_on=bool(known), progress=progress
            )
            pooch.retrieve(file.url, known, place.name, place.parent, downloader=resuming)
        elif known and pooch.file_hash(place, alg=known.partition(":")[0]) != known.partition(":")[2]:
            raise ValueError(f"hash of {place.name} is not {known}")
        new = before is None or place.stat().st_mtime_ns != before.st_mtime_ns
        if known:
            return Fetched(place, known, new, first_seen=False)
        sha256 = file_sha256(place)
        beside.write_text(f"{sha256}  {place.name}\n", encoding="utf-8")
        return Fetched(place, f"sha256:{sha256}", new, first_seen=True)


class _Resuming:
    """Downloads for pooch, through a file that is kept when the connection breaks."""

    def __init__(self, part: Path, *, goes_on: bool, progress: Progress | None) -> None:
        self.part, self.goes_on, self.progress = part, goes_on, progress

    def __call__(self, url: str, output_file: str, _: object) -> None:
        import requests

        done = self.part.stat().st_size if self.goes_on and self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code != requests.codes.requested_range_not_satisfiable:  # nothing was left
                answer.raise_for_status()
                self._write(answer, done if answer.status_code == requests.codes.partial_content else 0)
        self.part.replace(output_file)

    def _write(self, answer: Any, done: int) -> None:
        total = done + int(answer.headers.get("Content-Length", 0))
        with self.part.open("ab" if done else "wb") as sink:
            for chunk in answer.iter_content(CHUNK):
                done += sink.write(chunk)
                if self.progress:
                    name = self.part.name.removeprefix(".").removesuffix(".part")
                    self.progress(f"{name} (MB)", done // 1_000_000, max(total, done) // 1_000_000)


@contextmanager
def _explained(collection: Collection, folder: Path, file: RemoteFile | None = None) -> Iterator[None]:
    """What can go wrong on the way, in a sentence that names the official page."""
    from requests.exceptions import HTTPError, RequestException

    instead = f"get it by hand from {collection.home} and put it into {folder}"
    name = file.name if file else ""
    try:
        yield
    except HTTPError as err:  # its text holds code, reason and address
        raise OutputError(f"The server of {name} does not give it ({err}): {instead}.") from err
    except RequestException as err:
        raise OutputError(
            f"{name} of {collection.name} cannot be fetched (no network, or the connection broke): give the "
            f"same command again later, or {instead}."
        ) from err
    except ValueError as err:  # pooch's, of a hash
        raise OutputError(
            f"{name} of {collection.name} does not have the hash that was published or that it had at first: "
            f"it was damaged on the way or has changed; give the same command again, or {instead}."
        ) from err
    except OSError as err:
        raise OutputError(f"Cannot write {folder}: {err.strerror}; choose another place with -o.") from err
