"""The state of a run on disk, so that a run that was cut off goes on where it stood.

A hidden folder beside the map holds the finished rows as plain bytes, a small record of how far
they reach and of all that they depend on, and the sums of the one seam that waits for its second
half. Plain bytes and not a GeoTIFF: the directory of a TIFF is written when it is closed, so a
killed process leaves a file that nobody can read.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np

from jido.errors import ImageError, OutputError
from jido.io import Scene, json_text
from jido.io.work import clear_folder, locked_folder
from jido.maps.plan import Plan
from jido.maps.tasks import NODATA, Counts, Done, Sums, planes_of
from jido.methods import Model

LOG = logging.getLogger("jido")

VERSIONS = ("jido", "numpy", "scipy", "scikit-learn", "rasterio", "torch")
"""Libraries that have a say in the bytes of a map."""


def environment() -> dict[str, Any]:
    """Library versions and the kind of processor, for which the same bytes are promised; JSON-ready."""
    versions = {}
    for name in VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    found = np.show_config("dicts")["SIMD Extensions"]["found"]
    return {"library versions": versions, "processor": [platform.machine(), *found]}


def fingerprint(model: Model, scene: Scene, plan: Plan, options: dict[str, Any]) -> dict[str, Any]:
    """All that the bytes of a map depend on, JSON-ready.

    A model that was not loaded from a package cannot be recognised again, so it gets a name of its
    own every time.
    """
    facts = {
        "model": model.package or {"unsaved": uuid.uuid4().hex},
        "images": [list(state) for state in scene.state()],
        "grid": [*scene.geobox.shape, *scene.geobox.affine[:6], str(scene.geobox.crs), *scene.notes],
        "tiles": plan.to_dict(),
        "options": options,
        **environment(),
    }
    return json.loads(json_text(facts))


class Run:
    """Finished rows of a map and how far they reach. Use :func:`open_run`.

    Args:
        path: of the map, for what is said.
        folder: of the run.
        shape: (rows, bands, columns) of the map.
        facts: fingerprint of the run; rows of another one are not used.
    """

    def __init__(self, path: Path, folder: Path, shape: tuple[int, int, int], facts: dict[str, Any]) -> None:
        self._path, self.folder, self.shape, self._facts = path, folder, shape, facts
        self._size = int(np.prod(shape, dtype=np.int64))
        self.tasks, self.resumed = 0, 0
        self.counts = Counts()
        self._cells = np.zeros(256, dtype=np.int64)
        self._seam: Sums | None = None
        self.bytes = folder / "rows.bil"
        record = self._read_record()
        if record and record["facts"] == facts:
            self._go_on(record)
        else:
            if record:
                changed = [key for key in facts if record["facts"].get(key) != facts[key]]
                LOG.warning("The map is begun anew: %s changed since it was cut off.", ", ".join(changed))
            self._seam = None
            for old in (folder / "record.json", *folder.glob("seam-*.npz")):
                old.unlink(missing_ok=True)
        if not self.tasks:
            self.bytes.write_bytes(b"")
        self._require_room()
        self._file: BinaryIO = self.bytes.open("r+b")
        self._file.truncate(self._size)

    def _read_record(self) -> dict[str, Any] | None:
        """What an earlier run has left, ``None`` when there is nothing or it is not whole."""
        try:
            record = json.loads((self.folder / "record.json").read_text(encoding="utf-8"))
            whole = {"facts", "tasks", "counts", "cells", "seam", "bytes"} <= record.keys()
            if not whole or self.bytes.stat().st_size != record["bytes"]:
                return None
            if record["seam"]:
                with np.load(self._seam_file(record["tasks"])) as held:
                    self._seam = Sums(held["values"], held["weights"])
        except (OSError, ValueError, LookupError, AttributeError, EOFError, BadZipFile):
            return None
        return record

    def _seam_file(self, tasks: int) -> Path:
        return self.folder / f"seam-{tasks}.npz"

    def _go_on(self, record: dict[str, Any]) -> None:
        self.tasks = self.resumed = record["tasks"]
        self.counts = Counts(**record["counts"])
        self._cells[:] = record["cells"]
        LOG.info("Going on with a map of which %d strips of rows are finished.", self.tasks)

    def _require_room(self) -> None:
        """Refuse at the start what would fill the disk at the end."""
        held = getattr(self.bytes.stat(), "st_blocks", 0) * 512
        missing = max(self._size - held, 0)
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise OutputError(
                f"Cannot write {self._path}: its rows need {missing / 1e6:.1f} MB beside it and "
                f"{free / 1e6:.1f} MB are free: make room or choose another place with -o."
            )

    def add(self, plan: Plan, done: Done, model: Model, *, probabilities: bool) -> None:
        """Write the next task's rows, joined with the one before it, and record them."""
        first = plan.start(plan.tile_rows(self.tasks)[0])
        if done.top is not None and self._seam is not None:
            whole = self._seam + done.top
            planes = planes_of(whole, slice(None), model, probabilities=probabilities)
            self._count(planes)
            self.write(first, planes)
            first += len(planes)
        self._count(done.planes)
        self.counts.add(done.counts)
        self.write(first, done.planes)
        self._seam = done.bottom
        self.tasks += 1
        if done.bottom is not None:
            np.savez(self._seam_file(self.tasks), values=done.bottom.values, weights=done.bottom.weights)
        self._record()
        self._seam_file(self.tasks - 1).unlink(missing_ok=True)

    def _count(self, planes: np.ndarray) -> None:
        self._cells += np.bincount(planes[:, 0].ravel(), minlength=256)

    @property
    def cells(self) -> dict[int, int]:
        """How many cells have each class code; those without an answer have none."""
        return {code: int(n) for code, n in enumerate(self._cells) if n and code != NODATA}

    def _record(self) -> None:
        """In one step, so that a kill leaves the old record or the new one."""
        self._file.flush()
        record = {
            "facts": self._facts,
            "tasks": self.tasks,
            "counts": vars(self.counts),
            "cells": self._cells.tolist(),
            "seam": self._seam is not None,
            "bytes": self._size,
        }
        fresh = self.folder / "record.new"
        fresh.write_text(json_text(record), encoding="utf-8")
        fresh.replace(self.folder / "record.json")

    def write(self, row: int, planes: np.ndarray, *, band: int = 0) -> None:
        """Bytes (y, band, x) into the rows from ``row`` on, from plane ``band`` on."""
        _, bands, width = self.shape
        if planes.shape[1] == bands:
            self._file.seek(row * bands * width)
            self._file.write(np.ascontiguousarray(planes).data)
            return
        for y, line in enumerate(planes, start=row):
            self._file.seek((y * bands + band) * width)
            self._file.write(np.ascontiguousarray(line).data)

    def read(self, rows: slice) -> np.ndarray:
        """Bytes (y, band, x) of some rows."""
        _, bands, width = self.shape
        self._file.seek(rows.start * bands * width)
        count = (rows.stop - rows.start) * bands * width
        return np.frombuffer(self._file.read(count), np.uint8).reshape(-1, bands, width)

    def discard(self) -> None:
        """Forget what is finished: going on would lead nowhere."""
        (self.folder / "record.json").unlink(missing_ok=True)

    def flush(self) -> None:
        """Let others who open the file of rows see all of them."""
        self._file.flush()

    def close(self) -> None:
        """Close the file of rows."""
        with suppress(OSError):  # on a full disk, where it has been said already
            self._file.close()


@contextmanager
def open_run(
    path: Path, shape: tuple[int, int, int], facts: dict[str, Any], *, restart: bool = False
) -> Iterator[Run]:
    """The run of the map ``path``, begun or gone on with; its folder goes when all went well.

    A run that ends early keeps its folder as soon as one task is finished.

    Raises:
        OutputError: when another process writes this map, or the place cannot be written.
    """
    with locked_folder(path) as folder:
        if restart:
            (folder / "record.json").unlink(missing_ok=True)
        done = False
        try:
            run = Run(path, folder, shape, facts)
            try:
                yield run
            finally:
                run.close()
            done = True
        except OSError as err:
            raise _cannot_write(path, err) from err
        finally:
            if not done and (folder / "record.json").exists():
                LOG.info("Finished rows of the map are kept beside it: the same command goes on with them.")
            else:
                clear_folder(folder)


def _cannot_write(path: Path, err: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {path}: {err.strerror or err}; make room and start again, or choose another "
        "place with -o."
    )


def require_unchanged(scene: Scene, facts: dict[str, Any]) -> None:
    """Refuse to go on when an image was replaced or written to while it was read.

    Raises:
        ImageError: naming the image.
    """
    for now, before in zip(scene.state(), facts["images"], strict=True):
        if list(now) != before:
            raise ImageError(f"{now[0]} changed while it was read: start again when it is complete.")
