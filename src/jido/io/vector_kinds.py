"""Vector files that are what their suffix says, and lead nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jido.errors import LabelsError

BEGINS = {".gpkg": b"SQLite format 3\0", ".kmz": b"PK", ".shp": b"\0\0\x27\x0a", ".fgb": b"fgb",
          ".parquet": b"PAR1", ".geojson": b"{", ".json": b"{", ".kml": b"<"}  # fmt: skip
"""How files begin, by suffix; texts after white space."""

LEADING = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"WFS_Capabilities", b"<GDAL_WMS")
"""What a text holds that GDAL takes for a list of other files, or for a service of the internet."""


def require_kind(path: Path) -> None:
    """Refuse a file that is none of its suffix, one of :data:`BEGINS`: GDAL looks at contents.

    Raises:
        LabelsError: when it is another kind of file, leads elsewhere, or cannot be read.
    """
    head, begins = require_own(path), BEGINS[path.suffix.lower()]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip() if len(begins) == 1 else head
    if not text.startswith(begins):
        raise LabelsError(
            f"{path} cannot be read as polygons or points: it is no {path.suffix.lower()} inside."
        )


def require_own(path: Path) -> bytes:
    """Refuse a file that leads to other files or to an address, which GDAL would follow unasked.

    A file with another suffix than those of :data:`BEGINS` was chosen for what it is.

    Returns:
        How it begins.

    Raises:
        LabelsError: when it does, or cannot be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir():  # of some formats
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
        linked = suffix in (".geojson", ".json") and _links(path.read_bytes())
    except OSError as err:
        raise LabelsError(f"{path} cannot be read: {err.strerror}.") from err
    if linked:
        raise LabelsError(
            f"{path} takes its CRS from an address, or is no plain JSON: give it as a GeoPackage."
        )
    if suffix in BEGINS and any(word in head for word in LEADING):
        raise LabelsError(f"{path} leads to other files: give those.")
    return head


def _links(data: bytes) -> bool:
    """Whether a CRS in GeoJSON is a link, which GDAL would follow (of the 2008 GeoJSON, section 3.2)."""
    found = False

    def look(one: dict[str, Any]) -> None:
        nonlocal found
        said = {str(name).lower(): value for name, value in one.items()}
        found |= str(said.get("type")).lower().startswith("link") and "properties" in said

    if re.search(rb"link|\\u", data, re.IGNORECASE):  # the word may be escaped
        try:
            json.loads(data, object_hook=look)
        except (ValueError, RecursionError):  # GDAL reads much that is no JSON
            return True
    return found
