"""Which bands of a stack are one sensor's, and which are the same band on another date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jido.errors import ImageError
from jido.geo import Band


@dataclass(frozen=True)
class Stack:
    """The bands of some images, in order of dates and of sensors.

    Args:
        order: places of the bands among those that were given: the sensors of the first date by name,
            then those of the second.
        sensors: number of bands of each sensor on one date.
        bands: of one date, without the ``@place`` that tells dates apart.
        dates: how many.
    """

    order: tuple[int, ...]
    sensors: dict[str, int]
    bands: tuple[Band, ...]
    dates: int

    @property
    def text(self) -> str:
        """The sensors as nets take them: ``sentinel-1:2 sentinel-2:10``."""
        return " ".join(f"{name}:{count}" for name, count in self.sensors.items())


def stack_of(bands: Sequence[Band]) -> Stack:
    """How bands belong together: images with the same bands of one sensor are its dates.

    Sensors are put in the order of their names, whatever the order of the files.

    Raises:
        ImageError: when a date lacks bands that others have, or sensors have different numbers of dates.
    """
    named = [band.sensor or "image" for band in bands]
    images: dict[str, dict[str, dict[str, int]]]  # sensor -> date -> name -> place
    images = {sensor: {} for sensor in sorted(set(named))}
    for place, (sensor, band) in enumerate(zip(named, bands, strict=True)):
        name, _, date = band.name.partition("@")
        images[sensor].setdefault(date, {})[name] = place
    for sensor, dates in images.items():
        first = next(iter(dates.values()))
        for date, found in dates.items():
            if tuple(found) != tuple(first):
                raise ImageError(
                    f"Image {date or 1} has the {sensor} bands {', '.join(found)}, another one has "
                    f"{', '.join(first)}: give all dates with the same bands, in one order."
                )
    numbers = {sensor: len(dates) for sensor, dates in images.items()}
    count = max(numbers.values(), default=0)
    if set(numbers.values()) != {count}:
        told = ", ".join(f"{number} of {sensor}" for sensor, number in numbers.items())
        raise ImageError(f"The sensors have different numbers of dates ({told}): give as many of each.")
    by_date = [[list(dates.values())[i] for dates in images.values()] for i in range(count)]
    order = tuple(place for date in by_date for found in date for place in found.values())
    one = order[: len(order) // max(count, 1)]
    return Stack(
        order=order,
        sensors={sensor: len(next(iter(dates.values()))) for sensor, dates in images.items()},
        bands=tuple(bands[place].renamed(bands[place].name.partition("@")[0]) for place in one),
        dates=count,
    )
