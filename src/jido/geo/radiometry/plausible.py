"""Which kinds of numbers pixels can be, by physics alone, whatever the landscape.

A kind is ruled out by what no surface on Earth shows; snow, deep water, desert and shadow show
nothing of that. Limits are round values with room around what is met: fresh snow has a reflectance
of up to 1.2, cloud 0.3 to 1.0, a shaded slope 0.002; dense vegetation at most 0.08 in red, and water
at most 0.05 beyond 1.5 um (Warren 1982, doi 10.1029/RG020i001p00067; USGS Spectral Library 7, doi
10.3133/ds1035); calm water scatters back -28 dB in VV, single buildings +20 dB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jido.geo.radiometry.kinds import KINDS, OFFSET_PAIRS, Kind

LEVELS = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Quantiles that describe a band."""

Q1, Q5, Q50, Q95, Q99 = 1, 2, 4, 6, 7
"""Places of some of them."""

BLUE, GREEN, RED, NIR, SWIR16, SWIR22 = (
    (470, 500), (540, 580), (640, 680), (770, 900), (1550, 1700), (2000, 2500)
)  # fmt: skip
"""Wavelengths (nm) between which bands of a colour lie."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Pixels of the bands of one family in one image.

    Args:
        values: float (C, N), NaN where there is no data; every band has some.
        wavelengths: of the bands in nm (C,), NaN where unknown.
        quantiles: (C, 9), at :data:`LEVELS`.
        low: smallest value.
        high: largest value.
        whole: all values are whole numbers.
        dtype: of the numbers in the file, empty when scaled or unknown.
    """

    values: np.ndarray
    wavelengths: np.ndarray
    quantiles: np.ndarray
    low: float
    high: float
    whole: bool
    dtype: str

    def near(self, low: float, high: float) -> int | None:
        """Place of the first band with a wavelength between two (nm)."""
        hits = np.flatnonzero((self.wavelengths >= low) & (self.wavelengths <= high))
        return int(hits[0]) if len(hits) else None


def plausible(seen: Seen, kinds: Sequence[Kind]) -> dict[str, bool]:
    """The kinds that the pixels can be: name -> ``True``, or ``False`` where it would be odd.

    Odd is, say, that all is as dark as a slope at night: possible, but another kind that makes a
    usual scene of it is to be preferred.
    """
    judges = {"optical": _optical, "thermal": _thermal, "radar": _radar, "image": _image, "": _eight_bit}
    judged = {kind.name: judges[kind.family](seen, kind) for kind in kinds if _fits_type(seen, kind)}
    verdicts = {name: verdict for name, verdict in judged.items() if verdict is not None}
    for without, with_offset in OFFSET_PAIRS.items():
        if verdicts.keys() >= {without, with_offset}:
            usual = verdicts[without] or verdicts[with_offset]  # a grey of 0.1, or a night with the offset
            verdicts |= {without: usual, with_offset: usual}
            if 0.095 < dark_floor(seen, KINDS[without]) < 0.17:
                del verdicts[without]
    return verdicts


def _fits_type(seen: Seen, kind: Kind) -> bool:
    """A byte holds 8-bit numbers and percent, and not much else."""
    return seen.dtype != "uint8" or not kind.family or kind.name == "reflectance in percent"


def _optical(seen: Seen, kind: Kind) -> bool | None:
    reflectance = kind.to_quantity(seen.quantiles)
    lowest = np.where(seen.wavelengths < 500, -0.08, -0.03)  # too much haze taken away, most in blue
    below = (reflectance[:, Q5] < lowest) | (reflectance[:, Q1] < 2 * lowest)
    above = (reflectance[:, Q95] > 2) | (reflectance[:, Q50] > 1.4)
    swir22 = seen.near(*SWIR22) is not None
    white = swir22 and bool((reflectance[:, Q1] > 0.45).all())  # snow and cloud are dark there
    brightest = float(reflectance[:, Q99].max())
    black = brightest < 0.0005 and not seen.whole
    fraction = seen.whole and kind.scale == 1 and seen.high > 1
    percent = kind.name == "reflectance in percent"
    centred = percent and reflectance[:, Q5].min() < -0.5 * brightest  # standardised: mean 0, spread 1
    if below.any() or above.any() or white or black or fraction or centred:
        return None
    return brightest >= 0.05 and not (seen.whole and percent)


def dark_floor(seen: Seen, kind: Kind) -> float:
    """Reflectance that nearly all pixels keep which must be dark in some band; NaN without such.

    Dense green vegetation is dark in blue and red, water beyond 1.5 um. Both are known by
    differences of bands, which an offset leaves as they are; so a floor near 0.1 is an offset of 0.1.
    """
    green, red, nir, swir = (seen.near(*role) for role in (GREEN, RED, NIR, SWIR16))
    if green is None or red is None or nir is None:
        return float("nan")
    reflectance = kind.to_quantity(seen.values)
    leaf = np.where(reflectance[red] < 0.3, reflectance[nir] - reflectance[red], 0)
    if swir is None:
        dark = leaf > 0.3
    else:
        beyond = reflectance[seen.wavelengths > SWIR16[0]].max(axis=0)
        water = (reflectance[green] > reflectance[nir] + 0.01) & (reflectance[nir] < 0.2) & (beyond < 0.13)
        dark = ((leaf > 0.2) & (reflectance[nir] > reflectance[swir] + 0.05)) | water
    if dark.sum() < max(200, 0.1 * np.isfinite(reflectance[nir]).sum()):
        return float("nan")
    return float(np.quantile(np.nanmin(reflectance[:, dark], axis=0), 0.1))


def _thermal(seen: Seen, kind: Kind) -> bool | None:
    coldest, warmest = 180, 380  # K: from cloud tops to fires that fill a pixel in part
    low, high = kind.from_quantity(np.array([coldest, warmest]))
    if kind.curve == "none":
        low, high = 5_000, 65_535
    middle = seen.quantiles[:, Q50]
    return True if low <= middle.min() and middle.max() <= high else None


def _radar(seen: Seen, kind: Kind) -> bool | None:
    lowest, middle = seen.quantiles[:, Q1].min(), seen.quantiles[:, Q50]
    if kind.curve == "none":
        return True if seen.whole and lowest >= 0 and middle.max() >= 3 else None
    if kind.curve == "decibel":
        if lowest > -1:  # not one dark pixel: only the brightest of cities
            return False if 2 <= middle.max() <= 25 else None
        return True if middle.min() >= -60 and middle.max() <= 25 else None
    power = kind.to_quantity(middle).max()
    if lowest < -0.01 or not 1e-6 <= power <= 50:
        return None
    return bool(power <= 2)


def _image(seen: Seen, kind: Kind) -> bool | None:
    lowest, highest = seen.quantiles[:, Q1].min(), seen.quantiles[:, Q99].max()
    fractions = seen.high <= 2 and not seen.whole
    if kind.name == "numbers from 0 to 1":
        return True if lowest >= -0.5 and highest <= 2 and (fractions or seen.high <= 1) else None
    return None if lowest < 0 or fractions else bool(highest > 260)


def _eight_bit(seen: Seen, kind: Kind) -> bool | None:
    if seen.dtype == "uint8":
        return True
    if seen.low < 0 or seen.quantiles[:, Q99].max() > 260 or seen.high <= 2:
        return None
    if seen.whole:
        return seen.high == 255 if seen.high <= 255 else None
    return False
