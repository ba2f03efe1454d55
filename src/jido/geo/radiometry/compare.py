"""Whether the numbers of a scene mean what the numbers of the training meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jido.geo.radiometry.kinds import KINDS, OFFSET_PAIRS, Conversion
from jido.geo.radiometry.likeness import alike_as, exchanged, quantiles
from jido.geo.radiometry.order import LAWS
from jido.geo.radiometry.plausible import Q1, Q50, Q95, Q99
from jido.geo.radiometry.record import AGAINST, Part, Radiometry

SAME = "give images of the same processing as in training"
"""The remedy that always helps."""

_MANY = 256
"""Pixels from which it says something that all have one value."""


@dataclass(frozen=True)
class Mismatch:
    """Something in which a scene differs from the training.

    Args:
        code: ``scale``, ``offset``, ``decibels``, ``8-bit``, ``temperature``, ``unknown``, ``sign``,
            ``constant``, ``order``, ``level``; hints are ``unusual``, ``unsure``, ``haze``.
        names: the bands.
        sentence: what was found, where, and what to do.
        conversion: makes the numbers those of the training; ``None`` when nothing can.
        converted: the sentence for one who converts.
        refuses: ``False`` for a mere hint.
    """

    code: str
    names: tuple[str, ...]
    sentence: str
    conversion: Conversion | None = None
    converted: str = ""
    refuses: bool = True


def compare(trained: Radiometry, here: Radiometry) -> list[Mismatch]:
    """What speaks against giving a scene to a model, band by band of the same name.

    A landscape of another kind never does: snow, desert, night and open water keep the meaning of
    their numbers. Bands that the training did not have are left out.

    Args:
        trained: radiometry of the scene that the model was trained on.
        here: radiometry of the scene to be mapped.
    """
    found = []
    for part in here.parts:
        for other in trained.parts:
            names = [name for name in part.bands if name in other.bands]
            if names and part.family == other.family:
                found += _compare_parts(other, part, names)
    return found


def _compare_parts(trained: Part, here: Part, names: list[str]) -> list[Mismatch]:
    if _constant(here) and not _constant(trained):
        text = f"Every pixel of {_where(here, names)} has the same value: give an image that shows something."
        return [Mismatch("constant", tuple(names), text)]
    numbers = _numbers(trained, here, names)
    found = [numbers] if numbers else []
    if trained.level and here.level and trained.level != here.level:
        text = (
            f"The metadata of {_where(here, names)} says processing level {here.level} ({here.stated}), the "
            f"model was trained on level {trained.level}: {SAME}."
        )
        found.append(Mismatch("level", tuple(names), text))
    if numbers is None or numbers.conversion:
        found += _order(trained, here, names, numbers.conversion if numbers else None)
    return found or _hints(trained, here, names)


def _constant(part: Part) -> bool:
    return all(band.low == band.high and band.count >= _MANY for band in part.bands.values())


def _numbers(trained: Part, here: Part, names: list[str]) -> Mismatch | None:
    """The numbers themselves: their unit, factor, offset or sign."""
    start, end = f"The numbers of {_where(here, names)} ", f", {_training(trained, names)}"
    nameless = here.family in ("image", "other")
    if not here.kinds or not trained.kinds:
        code = _magnitude(trained, here, names) if nameless or here.kinds == trained.kinds else "unknown"
        text = f"{start}{_looks(here, names)}{end}: {SAME}."
        return Mismatch(code, tuple(names), text) if code else None
    conversion = alike_as(trained, here, names)
    if not conversion:
        if _agree(trained, here) or _around_one(trained, here, names):
            return None
        conversion = Conversion(here.likely[0], trained.likely[0])
    looks = start + _looks(here, names, conversion.source)
    if "none" in (KINDS[conversion.source].curve, KINDS[conversion.target].curve):
        return Mismatch(_code(conversion), tuple(names), f"{looks}{end}: {SAME}.")
    return Mismatch(
        _code(conversion),
        tuple(names),
        f"{looks}{end}: give --convert, or {SAME.removeprefix('give ')}.",
        conversion,
        f"{looks} and were converted to {conversion.target}.",
    )


def _agree(trained: Part, here: Part) -> bool:
    """Whether some kind explains both; an odd one only where no usual one explains the scene better."""
    usual = {name for name, is_usual in here.kinds.items() if is_usual}
    if not trained.whole and not here.whole:
        usual.discard("reflectance in percent")  # or a slope at night, x 10000: nothing tells
    odd_too = not usual and (here.whole or not trained.whole)
    return any(name in here.kinds and (here.kinds[name] or odd_too) for name in trained.likely)


def _around_one(trained: Part, here: Part, names: list[str]) -> bool:
    """Heights of 0.5 m and of 5 m: numbers between 0 and 1 by chance, not by their unit."""
    chance = "numbers from 0 to 1" in (trained.likely[0], here.likely[0])
    return chance and _ratio(quantiles(trained, names), quantiles(here, names)) < 20


def _code(conversion: Conversion) -> str:
    pair = {conversion.source, conversion.target}
    for name, code in (
        ("8-bit numbers", "8-bit"),
        ("decibels", "decibels"),
        ("degrees Celsius", "temperature"),
    ):
        if name in pair:
            return code
    return "offset" if any(pair == set(pairs) for pairs in OFFSET_PAIRS.items()) else "scale"


def _magnitude(trained: Part, here: Part, names: list[str]) -> str:
    """``scale`` or ``sign`` where numbers of no known kind are of different units, else empty.

    A factor of 2000 tells of it, or of 100 between whole numbers and fractions: heights in a polder
    and in the Alps differ by less. So does one scene below -3 with the other between 0 and 2, as
    decibels and power are.
    """
    there, seen = quantiles(trained, names), quantiles(here, names)
    if _ratio(there, seen) >= (2000 if trained.whole == here.whole else 100):
        return "scale"
    for one, other in ((there, seen), (seen, there)):
        if one[:, Q50].max() < -3 and other[:, Q1].min() >= 0 and other[:, Q95].max() <= 2:
            return "sign"
    return ""


def _ratio(trained: np.ndarray, here: np.ndarray) -> float:
    """How many times larger the numbers of one are; 1 where one has nothing but zeros."""
    large = [float(np.abs(quantiles[:, [Q1, Q99]]).max()) for quantiles in (trained, here)]
    return max(large) / min(large) if min(large) > 0 else 1.0


def _order(trained: Part, here: Part, names: list[str], conversion: Conversion | None) -> list[Mismatch]:
    """Bands that do not hold what their names say."""
    remedy = "name the bands of the file (band descriptions) as they are, or give them in the right order"
    for name, share in here.broken.items():
        law = LAWS[name]
        if share >= law.limit and trained.broken.get(name, 0) < law.limit / 2:
            text = (
                f"In {share:.0%} of the pixels of {_where(here, names)} {law.words}, as with bands in "
                f"another order or numbers of another processing than in training: {remedy}."
            )
            return [Mismatch("order", tuple(names), text)]
    several = here.family in ("optical", "image", "other") and len(names) > 2
    pairs = exchanged(trained, here, names, conversion) if several else []
    if not pairs:
        return []
    moved = ", ".join(f"{name} what {there} held" for name, there in pairs)
    text = f"In {here.image} the bands look exchanged against the training: {moved}: {remedy}."
    return [Mismatch("order", tuple(name for name, _ in pairs), text)]


def _hints(trained: Part, here: Part, names: list[str]) -> list[Mismatch]:
    """What cannot be told for certain; it refuses nothing."""
    where, found = _where(here, names), {}
    if here.kinds and not any(here.kinds.values()) and any(trained.kinds.values()):
        found["unusual"] = (
            f"The numbers of {where} are unusual as {trained.likely[0]} ({_example(here, names)}; in "
            f"training {_example(trained, names)}): a dark or bright scene, or other numbers."
        )
    for pair in map(set, OFFSET_PAIRS.items()):
        if pair <= set(here.likely) and len(pair & set(trained.likely)) == 1:
            found["unsure"] = (
                f"The scene does not show whether the numbers of {where} have the offset of newer Sentinel-2 "
                f"products (1000, or 0.1); they are taken for {trained.likely[0]}, as in training."
            )
    if None not in (trained.haze, here.haze) and trained.haze != here.haze:
        told = ("not corrected", "corrected") if here.haze else ("corrected", "not corrected")
        found["haze"] = (
            f"By their darkest pixels {where} look {told[0]} for the atmosphere, and the images of the "
            f"training {told[1]}: the map is only as good as the two are alike."
        )
    return [Mismatch(code, tuple(names), text, refuses=False) for code, text in found.items()]


def _where(part: Part, names: list[str]) -> str:
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{'band' if len(names) == 1 else 'bands'} {listed} of {part.image}"


def _looks(here: Part, names: list[str], kind: str = "numbers of no known kind") -> str:
    if here.evidence == "metadata":
        return f"are {kind} by the metadata ({here.stated}; {_example(here, names)})"
    others = [name for name in here.likely if name != kind] if kind in here.likely else []
    kind += f" or {' or '.join(others)}, which nothing tells apart" if others else ""
    said = f", although the metadata says {here.stated}" if here.evidence == AGAINST else ""
    return f"look like {kind} ({_example(here, names)}){said}"


def _training(trained: Part, names: list[str]) -> str:
    kind = trained.likely[0] if trained.kinds else "numbers of no known kind"
    return f"the model was trained on {kind} ({_example(trained, names)})"


def _example(part: Part, names: list[str]) -> str:
    name = names[len(names) // 2]
    whole = ", whole numbers" if part.whole else ""
    return f"{name}: median {_number(part.bands[name].median)}{whole}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
