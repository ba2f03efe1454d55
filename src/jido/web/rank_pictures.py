"""Pictures of clusters for people to judge: tiles one by one, or contact sheets where there are no tiles."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from jido.data.chips import Chips
from jido.data.tile_clusters import Clusters
from jido.errors import ImageError, LabelsError
from jido.methods.figures.contact_sheets import stretch_of

MOST = 100
"""Tiles of a cluster that can be looked at."""

SHEET, SHEET_PX = 3, 96
"""Tiles in a row of the small sheet of a cluster, and the side of each in pixels."""

TILE_PX = 512
"""Least side of a picture that is asked for alone; larger ones stay as they are."""

CACHED = 256
"""Pictures that are kept ready."""

Read = Callable[[int, int], Image.Image]


class Pictures:
    """Pictures of K clusters as JPEG.

    Args:
        counts: (K,) pictures of each.
        read: gives one, by the places of cluster and picture.
        whole: each picture is a whole sheet.
    """

    def __init__(self, counts: Sequence[int], read: Read, *, whole: bool) -> None:
        self.counts, self.whole = tuple(counts), whole
        self._read = read
        self._jpeg = lru_cache(CACHED)(self._made)

    def one(self, cluster: int, number: int) -> bytes | None:
        """A picture of a cluster; ``None`` where there is none."""
        known = 0 <= cluster < len(self.counts) and 0 <= number < self.counts[cluster]
        return self._jpeg(cluster, number) if known else None

    def sheet(self, cluster: int) -> bytes | None:
        """The first pictures of a cluster in one small one."""
        return self._jpeg(cluster, -1) if 0 <= cluster < len(self.counts) else None

    def _made(self, cluster: int, number: int) -> bytes:
        image = self._small(cluster) if number < 0 else self._read(cluster, number)
        file = io.BytesIO()
        image.save(file, format="JPEG", quality=88)
        return file.getvalue()

    def _small(self, cluster: int) -> Image.Image:
        side = SHEET * SHEET_PX
        if self.whole:
            image = self._read(cluster, 0)
            return image.resize((side, round(side * image.height / image.width)))
        sheet = Image.new("RGB", (side, side), "#888888")
        for i in range(min(SHEET**2, self.counts[cluster])):
            tile = self._read(cluster, i).resize((SHEET_PX - 2, SHEET_PX - 2))
            sheet.paste(tile, (i % SHEET * SHEET_PX + 1, i // SHEET * SHEET_PX + 1))
        return sheet


def tile_pictures(chips: Chips, clusters: Clusters, names: Sequence[str]) -> Pictures:
    """Tiles of each cluster, in an order drawn by chance: the first ones are a fair sample of all.

    Colours are those of the contact sheets (:func:`jido.methods.figures.contact_sheets.contact_sheet`).

    Raises:
        LabelsError: when a cluster has no tile among them.
    """
    of, rng = clusters.cluster_of(chips.name), np.random.default_rng(0)
    places = [rng.permutation(np.flatnonzero(of == name))[:MOST] for name in names]
    if empty := [name for name, some in zip(names, places, strict=True) if not len(some)]:
        raise LabelsError(
            f"No tile of cluster {', '.join(empty[:3])} is among these {len(chips):,} tiles: give those that "
            "were clustered with --tiles."
        )
    stretch = stretch_of(chips)
    ends = np.cumsum([len(some) for some in places])
    kept = chips.subset(np.concatenate(places)).images  # the rest need not stay in memory

    def read(cluster: int, number: int) -> Image.Image:
        place = int(ends[cluster]) - len(places[cluster]) + number
        image = Image.fromarray(stretch.colours(np.asarray(kept[place : place + 1])[0]))
        times = -(-TILE_PX // image.width)
        if times < 2 or image.width > TILE_PX // 4:
            return image
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)

    return Pictures([len(some) for some in places], read, whole=False)


def sheet_pictures(folder: Path, names: Sequence[str]) -> Pictures:
    """The sheets that ``jido score cluster`` has written, ``NAME.png`` for each cluster.

    Raises:
        ImageError: when one is missing.
    """
    held = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if missing := [name for name in names if name not in held]:
        raise ImageError(
            f"{folder} holds no sheet of cluster {', '.join(missing[:3])}: give the tiles that were "
            "clustered with --tiles."
        )
    paths = [held[name] for name in names]

    def read(cluster: int, _number: int) -> Image.Image:
        with Image.open(paths[cluster]) as image:
            return image.convert("RGB")

    return Pictures([1] * len(paths), read, whole=True)
