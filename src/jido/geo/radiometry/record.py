"""What is written down of the radiometry of a scene: plain values that go into a model package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

WHOLE = 0.999
"""Share of whole numbers from which a band counts as one of whole numbers."""

AGAINST = "statistics against metadata"
"""What tells the kind of numbers when the metadata cannot be right."""


@dataclass(frozen=True)
class BandStatistics:
    """What a sample of the pixels of a band holds.

    Args:
        quantiles: at :data:`~jido.geo.radiometry.plausible.LEVELS`.
        low: smallest value.
        high: largest value.
        whole: share of whole numbers.
        zeros: share of zeros.
        count: pixels with data in the sample.
    """

    quantiles: tuple[float, ...]
    low: float
    high: float
    whole: float
    zeros: float
    count: int

    @property
    def median(self) -> float:
        """The middle value."""
        return self.quantiles[len(self.quantiles) // 2]


@dataclass(frozen=True)
class Part:
    """The bands of one family in one image, whose numbers are of one kind.

    Args:
        image: name of the file.
        family: ``optical``, ``thermal``, ``radar``, ``image`` or ``other``.
        bands: statistics of every band that has data, by name, in the order of the image.
        kinds: what the numbers can be, the more usual first: ``True``, or ``False`` where it is
            odd; empty when they look like nothing known.
        evidence: what the kinds were told by: ``metadata``, ``statistics`` or :data:`AGAINST`.
        stated: what the metadata says, in words; empty when it says nothing.
        level: stated processing level, ``1`` or ``2``; empty when it is not stated.
        broken: laws of the order of bands -> share of the pixels that break them.
        correlation: of ranks, between the bands; empty when there are too few pixels.
        haze: the darkest pixels are bright in blue as seen through air; ``None`` when unclear.
    """

    image: str
    family: str
    bands: Mapping[str, BandStatistics]
    kinds: Mapping[str, bool]
    evidence: str
    stated: str
    level: str
    broken: Mapping[str, float]
    correlation: tuple[tuple[float, ...], ...]
    haze: bool | None

    @property
    def likely(self) -> list[str]:
        """Names of the kinds that the numbers are taken for: the odd ones only when all are odd."""
        return [name for name, usual in self.kinds.items() if usual] or list(self.kinds)

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        return all(band.whole > WHOLE for band in self.bands.values())


@dataclass(frozen=True)
class Radiometry:
    """What the numbers of all bands of a scene are: one :class:`Part` per image and family."""

    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Radiometry:
        """The opposite of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: when the facts are not of this form.
        """
        return cls(tuple(_part(**part) for part in facts["parts"]))


def _part(**facts: Any) -> Part:
    bands = {
        name: BandStatistics(**{**band, "quantiles": tuple(map(float, band["quantiles"]))})
        for name, band in facts.pop("bands").items()
    }
    return Part(bands=bands, correlation=tuple(map(tuple, facts.pop("correlation"))), **facts)
