"""What the numbers of an image mean: unit, factor, offset, order of the bands; pure, opens no file."""

from jido.geo.radiometry.compare import Mismatch, compare
from jido.geo.radiometry.describe import Stated, describe
from jido.geo.radiometry.kinds import KINDS, Conversion, Kind
from jido.geo.radiometry.record import BandStatistics, Part, Radiometry

__all__ = [
    "KINDS",
    "BandStatistics",
    "Conversion",
    "Kind",
    "Mismatch",
    "Part",
    "Radiometry",
    "Stated",
    "compare",
    "describe",
]
