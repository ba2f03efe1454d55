"""From pixels and metadata to what the numbers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jido.geo.bands import Band
from jido.geo.radiometry.kinds import KINDS, OFFSET_PAIRS, Kind, family, kinds_of
from jido.geo.radiometry.order import broken_laws, cross_above, rank_correlation
from jido.geo.radiometry.plausible import BLUE, GREEN, LEVELS, NIR, Q1, Q99, RED, Seen, plausible
from jido.geo.radiometry.record import AGAINST, WHOLE, BandStatistics, Part, Radiometry

FILL = np.array([-9999, -32768, 65535], dtype=np.float32)
"""Numbers that mean "nothing seen" or "too bright" wherever they occur."""

_NUMBERS = frozenset(name for name, kind in KINDS.items() if kind.unit == "DN")

UNITS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("reflectance",), frozenset({"reflectance"})),
    **dict.fromkeys(("%", "percent"), frozenset({"reflectance in percent"})),
    **dict.fromkeys(("dn", "counts"), _NUMBERS),
    **dict.fromkeys(("db", "decibel", "decibels"), frozenset({"decibels"})),
    **dict.fromkeys(("linear", "power", "intensity"), frozenset({"linear power"})),
    "amplitude": frozenset({"amplitude"}),
    **dict.fromkeys(("k", "kelvin"), frozenset({"kelvin"})),
    **dict.fromkeys(("degc", "°c", "celsius", "degrees celsius"), frozenset({"degrees Celsius"})),
}
"""Unit of a file, in small letters -> kinds that it allows."""


@dataclass(frozen=True)
class Stated:
    """What a file says of a band.

    Args:
        image: name of the file.
        unit: as the file gives it.
        offset: whether 1000 was added to the reflectance, ``None`` when that is not stated.
        level: processing level, ``1`` or ``2``.
        dtype: of the numbers on disk, empty when scale and offset of the file are applied.
        words: where all this was found.
    """

    image: str = ""
    unit: str = ""
    offset: bool | None = None
    level: str = ""
    dtype: str = ""
    words: str = ""

    def allows(self, kind: Kind) -> bool:
        """Whether numbers can be of a kind when the file is right."""
        if kind.name not in UNITS.get(self.unit.lower(), KINDS):
            return False
        if self.offset is not None and (kind.scale > 1 or not self.dtype):  # fractions on disk were made
            wrong = OFFSET_PAIRS.keys() if self.offset else OFFSET_PAIRS.values()
            if kind.name in wrong:
                return False
        return not (self.level and kind.level) or self.level == kind.level


def describe(samples: np.ndarray, bands: Sequence[Band], stated: Sequence[Stated]) -> Radiometry:
    """What the numbers of a scene are.

    What the file states counts, unless its pixels cannot be so. Pixels that are 0 in all bands of a
    part, and the numbers of :data:`FILL`, are taken for missing.

    Args:
        samples: pixels of the scene, float32 (C, N), NaN where there is no data.
        bands: of the samples.
        stated: what the file says of each band.
    """
    places: dict[tuple[str, str, str], list[int]] = {}
    for i, (band, said) in enumerate(zip(bands, stated, strict=True)):
        places.setdefault((said.image, family(band), said.unit), []).append(i)
    parts = []
    for index in places.values():
        values = _without_fill(samples[index])
        held = np.flatnonzero(np.isfinite(values).any(axis=1))
        if len(held):
            parts.append(_part(values[held], [bands[index[i]] for i in held], stated[index[0]]))
    return Radiometry(tuple(parts))


def _part(values: np.ndarray, bands: Sequence[Band], said: Stated) -> Part:
    which = family(bands[0])
    statistics = {band.name: _statistics(row) for band, row in zip(bands, values, strict=True)}
    seen = _seen(values, bands, list(statistics.values()), said.dtype)
    kinds, evidence = _judge(seen, kinds_of(which, bands[0].sensor), said)
    complete = values[:, np.isfinite(values).all(axis=0)]
    broken, haze = cross_above(complete, [band.name for band in bands]), None
    reflects = [KINDS[name] for name, usual in kinds.items() if usual and KINDS[name].family == "optical"]
    if reflects:
        broken = broken_laws(reflects[0].to_quantity(complete), seen.wavelengths)
        haze = _haze(seen, reflects[0].to_quantity(seen.quantiles))
    return Part(
        image=said.image,
        family=which,
        bands=statistics,
        kinds=kinds,
        evidence=evidence,
        stated=said.words,
        level=said.level,
        broken=broken,
        correlation=rank_correlation(complete),
        haze=haze,
    )


def _without_fill(values: np.ndarray) -> np.ndarray:
    """Numbers that files without a nodata value put where nothing was seen become NaN."""
    values = np.where(np.isin(values, FILL), np.float32(np.nan), values)
    empty = ((values == 0) | np.isnan(values)).all(axis=0)
    if not empty.all():
        values[:, empty] = np.nan
    return values


def _statistics(band: np.ndarray) -> BandStatistics:
    data = band[np.isfinite(band)].astype(np.float64)
    return BandStatistics(
        quantiles=tuple(float(f"{q:.7g}") for q in np.quantile(data, LEVELS)),
        low=float(data.min()),
        high=float(data.max()),
        whole=round(float(np.mean(data == np.rint(data))), 4),
        zeros=round(float(np.mean(data == 0)), 4),
        count=len(data),
    )


def _seen(
    values: np.ndarray, bands: Sequence[Band], statistics: Sequence[BandStatistics], dtype: str
) -> Seen:
    return Seen(
        values=values,
        wavelengths=np.array([band.wavelength_nm or np.nan for band in bands]),
        quantiles=np.array([band.quantiles for band in statistics]),
        low=min(band.low for band in statistics),
        high=max(band.high for band in statistics),
        whole=all(band.whole > WHOLE for band in statistics),
        dtype=dtype,
    )


def _judge(seen: Seen, kinds: Sequence[Kind], said: Stated) -> tuple[dict[str, bool], str]:
    """What the numbers can be, and what tells so: the metadata, unless pixels rule out what it says."""
    possible = plausible(seen, kinds)
    allowed = {name: usual for name, usual in possible.items() if said.allows(KINDS[name])}
    if not allowed:
        return possible, AGAINST if possible else "statistics"
    if len(allowed) == len(possible):
        return possible, "statistics"
    return (allowed if any(allowed.values()) else dict.fromkeys(allowed, True)), "metadata"


def _haze(seen: Seen, reflectance: np.ndarray) -> bool | None:
    """Whether the darkest pixels rise toward blue as through air; ``None`` when that is unclear."""
    places = [place for role in (BLUE, GREEN, RED, NIR) if (place := seen.near(*role)) is not None]
    if len(places) < 4:
        return None
    blue, green, red, nir = reflectance[places, Q1]
    if blue > 0.06 and blue > green > red > nir:
        return True
    return False if blue < 0.04 and reflectance[:, Q99].max() > 0.05 else None
