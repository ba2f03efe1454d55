"""Which paths are products: a folder or archive of band files that are one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jido.errors import ImageError
from jido.io.holding import Holding
from jido.io.landsat import LONE_BAND, MTL, read_landsat
from jido.io.members import is_archive
from jido.io.radar import join_pairs, read_radar
from jido.io.safe import MTD, read_safe
from jido.io.virtual import Product


def is_product(path: Path) -> bool:
    """Whether a folder, archive or metadata file is a product by the names of what it holds.

    Archives that cannot be read are none; a folder holds its metadata itself, not in another folder.
    """
    if path.is_dir():
        return any(_is_metadata(one.name) or one.name == "manifest.safe" for one in path.iterdir())
    if not is_archive(path):
        return path.is_file() and _is_metadata(path.name)
    try:
        holding = Holding(path)
        return bool(_metadata(holding.names)) or read_radar(path, holding) is not None
    except ImageError:
        return False


def find_product(path: Path) -> Product | None:
    """The product at a path; ``None`` where it is a file of another kind.

    Args:
        path: a folder, ``.zip`` or ``.tar``, or the metadata file of a folder.

    Raises:
        ImageError: when a folder or archive holds no product or several, or the product is damaged.
    """
    if path.is_file() and _is_metadata(path.name):
        path = path.parent
    if not (path.is_dir() or is_archive(path)):
        return None
    holding = Holding(path)
    found = _metadata(holding.names)
    if len(found) > 1:
        shown = ", ".join(sorted(_shown(name) for name in found)[:3])
        raise ImageError(
            f"{path} holds {len(found)} products ({shown}): give the folder or archive of each, as images of "
            "their own."
        )
    if found:
        return (read_safe if MTD.search(found[0]) else read_landsat)(path, holding, found[0])
    if (radar := read_radar(path, holding)) is not None:
        return radar
    raise _none(path, holding)


def gathered(paths: Sequence[Path]) -> list[Path | Product]:
    """Images in their order: products opened, pairs of polarisations joined, other files as they are.

    Raises:
        ImageError: as :func:`find_product` does.
    """
    return [
        one if isinstance(one, Product) or (found := find_product(one)) is None else found
        for one in join_pairs(paths)
    ]


def product_notes(images: Sequence[Path | Product], *, hide: bool) -> list[str]:
    """What to say of the products among images.

    Args:
        images: as :func:`gathered` gives them.
        hide: what their masks call cloud or shadow is left out.
    """
    products = [one for one in images if isinstance(one, Product)]
    notes = [note for one in products for note in one.notes]
    offsets = {one.path.name: one.offset for one in products if one.offset is not None}
    if len(set(offsets.values())) > 1:
        told = ", ".join(f"{name}: {offset:g}" for name, offset in offsets.items())
        notes.append(
            f"Processing baselines differ; each product became reflectance by its own offset ({told})."
        )
    if hide and (masked := [one for one in products if one.quality]):
        told = ", ".join(f"{one.path.name}: {one.clouds or '?'} % clouds by its metadata" for one in masked)
        notes.append(
            f"Clouds and their shadows count as not seen, by SCL or QA_PIXEL ({told}); jido lcz train and "
            "jido map take --keep-clouds."
        )
    return notes


def _is_metadata(name: str) -> bool:
    return bool(MTD.search(name) or MTL.search(name))


def _metadata(names: Sequence[str]) -> list[str]:
    """Metadata files, one for each product."""
    found = {_stem(name): name for name in sorted(names) if _is_metadata(name)}
    return list(found.values())


def _stem(name: str) -> str:
    """Of an MTL file its product, for it comes in three formats; of another one all."""
    return name.rpartition(".")[0] if MTL.search(name) else name


def _shown(name: str) -> str:
    parts = Path(name).parts
    return parts[-2] if len(parts) > 1 else parts[-1]


def _none(path: Path, holding: Holding) -> ImageError:
    """What to say of a folder or archive in which there is no product."""
    if any(LONE_BAND.search(name) for name in holding.names):
        return ImageError(
            f"{path} holds Landsat bands but no *_MTL.txt, .json or .xml, which tells their factors: put it "
            "there."
        )
    if ".SAFE" in str(path) or any(
        ".SAFE/" in name or name.endswith("manifest.safe") for name in holding.names
    ):
        return ImageError(
            f"{path} has no MTD_MSIL1C.xml or MTD_MSIL2A.xml, which tells its bands and their offset, and no "
            "measurement of Sentinel-1 GRD: get the whole product again."
        )
    what = "an archive" if is_archive(path) else "a folder"
    return ImageError(
        f"{path} is {what} without a Sentinel-2 or Landsat Collection 2 product or a pair of VV and VH: give "
        "the image files themselves."
    )
