"""Whether an image is what a model of debris was trained for: its atmospheric correction and its satellite.

FDI lies a few hundredths above 0 on debris. What an atmospheric correction leaves of haze and glint is as
much, so a model holds for the correction of its spectra alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from jido.errors import ModelError
from jido.geo import SENTINEL_2_NM, Band
from jido.geo.radiometry import Radiometry
from jido.io import Scene
from jido.methods.debris import MIXED, DebrisModel

UNKNOWN = "unknown"

CORRECTIONS = {
    "acolite-rayleigh": ("acoliterayleigh", "rayleigh", "rayleighcorrected", "rhorc", "acoliterhorc"),
    "acolite-dsf": ("acolitedsf", "dsf", "darkspectrumfitting", "rhos", "acoliterhos"),
    "sen2cor-l2a": ("sen2corl2a", "sen2cor", "l2a", "level2a", "msil2a", "sentinel2l2a"),
    "none-l1c": ("nonel1c", "none", "l1c", "level1c", "msil1c", "toa", "rhot", "topofatmosphere"),
}
"""Name of a correction -> how people write it, small letters and digits alone."""

TAG = re.compile(r"(?i)atmospheric[-_ ]?correction|^correction$")
"""Tags of a file that name the correction."""

MARKS = (
    (re.compile(r"(?i)(?<![a-z])rhorc(?![a-z])"), "acolite-rayleigh"),
    (re.compile(r"(?i)(?<![a-z])rhos(?![a-z])"), "acolite-dsf"),
    (re.compile(r"(?i)(?<![a-z])rhot(?![a-z])"), "none-l1c"),
    (re.compile(r"S2[A-D]_MSIL2A_"), "sen2cor-l2a"),
    (re.compile(r"S2[A-D]_MSIL1C_"), "none-l1c"),
)
"""What in a name tells of the correction, the surest first: ACOLITE's datasets, ESA's products."""

PLATFORM = re.compile(
    r"(?<![A-Za-z0-9])S(?:ENTINEL-?)?2([A-D])(?![A-Za-z0-9])|(?<![A-Za-z0-9])S2([A-D])_", re.I
)


@dataclass(frozen=True)
class ImageFacts:
    """What files say of an image; empty where they say nothing.

    Args:
        correction: of :data:`CORRECTIONS`, or as it is written.
        platform: ``S2A`` to ``S2D``.
    """

    correction: str = ""
    platform: str = ""


def correction_name(text: str) -> str:
    """One name for what people write: ``L2A`` is ``sen2cor-l2a``; others as written, small, with hyphens."""
    bare = re.sub(r"[^a-z0-9]", "", text.casefold())
    known = (name for name, ways in CORRECTIONS.items() if bare in ways)
    return next(known, re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-") or UNKNOWN)


def platform_name(text: str) -> str:
    """``S2A`` or ``S2B``.

    Raises:
        ModelError: for any other.
    """
    bare = re.sub(r"[^A-Z0-9]", "", text.upper()).replace("SENTINEL", "S")
    if bare not in SENTINEL_2_NM:
        raise ModelError(
            f"The wavelengths of platform {text!r} are not known, those of {' and '.join(SENTINEL_2_NM)} "
            "are: give one of these with --platform."
        )
    return bare


def image_facts(scene: Scene) -> ImageFacts:
    """What tags and names of the files say of correction and satellite."""
    correction, platform = "", ""
    for one in scene.origins():
        tagged = next((text for key, text in sorted(one.tags.items()) if TAG.search(key)), "")
        words = " ".join([one.place, *one.tags.values()])
        marked = next((name for mark, name in MARKS if mark.search(words)), "")
        correction = correction or (correction_name(tagged) if tagged else marked)
        if found := PLATFORM.search(words):
            platform = platform or f"S2{(found[1] or found[2]).upper()}"
    return ImageFacts(correction, platform)


def model_for(
    model: DebrisModel, scene: Scene, *, correction: str = "", platform: str = ""
) -> tuple[DebrisModel, list[str]]:
    """The model with the bands and the satellite of an image, and what a reader should know.

    Args:
        model: as loaded.
        scene: the image; its bands may be called ``B4`` or ``B04``.
        correction: of the image, by who gives it; outranks what the files say.
        platform: the same of the satellite.

    Raises:
        ModelError: when a band is missing, the image was corrected otherwise than the spectra of the
            training, or the satellite is not known.
    """
    facts, notes = image_facts(scene), []
    here = correction_name(correction) if correction else facts.correction or UNKNOWN
    if UNKNOWN in (here, model.correction):
        whose = "of the image" if here == UNKNOWN else "of the spectra that the model was trained on"
        notes.append(
            f"The atmospheric correction {whose} is not known, so it was not checked (the other one is "
            f"{model.correction if here == UNKNOWN else here}): state it with --correction."
        )
    elif here != model.correction:
        raise ModelError(
            f"The image is corrected by {here}, the model was trained on {model.correction}: FDI of one does "
            f"not carry over to the other; correct the image by {model.correction}, or train on {here}."
        )
    if correction and facts.correction and facts.correction != here:
        notes.append(f"The files say that the image is corrected by {facts.correction}; {here} was stated.")
    seen = platform_name(platform or facts.platform) if platform or facts.platform else ""
    if not seen:
        seen = "S2A" if model.platform == MIXED else model.platform
        notes.append(f"Nothing tells of which satellite the image is: the wavelengths of {seen} are taken.")
    elif model.platform not in (MIXED, seen):
        notes.append(
            f"The image is of {seen}, the spectra of the training of {model.platform}: FDI takes both."
        )
    bands = _named(model, scene)
    numbers = model.radiometry and _renamed(model.radiometry, model.bands, bands)
    for_it = replace(model, bands=bands, radiometry=numbers, image_platform=seen, image_correction=here)
    return for_it, notes


def _named(model: DebrisModel, scene: Scene) -> tuple[Band, ...]:
    """The bands of the model under the names of the image; refuses an image that lacks one."""
    by_role = {band.common_name: band.name for band in reversed(scene.bands) if band.sensor == "sentinel-2"}
    if missing := [band.name for band in model.bands if band.common_name not in by_role]:
        raise ModelError(
            f"The model reads {', '.join(missing)}, but the image has {', '.join(scene.names)}: give "
            "all bands of Sentinel-2 that the model reads, under their names."
        )
    return tuple(band.renamed(by_role[band.common_name]) for band in model.bands)


def _renamed(numbers: Radiometry, old: tuple[Band, ...], new: tuple[Band, ...]) -> Radiometry:
    """The radiometry of the training under other names of bands: it is compared by name."""
    names = {was.name: band.name for was, band in zip(old, new, strict=True)}
    parts = (replace(part, bands={names[n]: b for n, b in part.bands.items()}) for part in numbers.parts)
    return Radiometry(tuple(parts))
