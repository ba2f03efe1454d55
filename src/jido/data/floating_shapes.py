"""Where things are in a simulated scene of the sea; see :mod:`jido.data.floating`."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from jido.data.canvas import smooth

FLOATS = ("debris", "foam", "sargassum", "dead plants")
"""What counts as floating matter."""


def matter(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Shares 0..1 (y, x) of a pixel, by words; what floats adds up to 0.95 at most."""
    drift = rng.uniform(0, 2 * np.pi)
    land = _land(rng, n) if rng.random() < 0.5 else np.zeros((n, n))
    shares = {
        "land": land,
        "silt": _plume(rng, n, land) * (rng.random() < 0.7),
        "cloud": _clouds(rng, n) * (rng.random() < 0.6),
        "glint": _glint(rng, n, drift) * (rng.random() < 0.5),
        "debris": _lines(rng, n, drift, count=(2, 6), width=(0.4, 1.0), most=(0.25, 0.65)),
        "foam": _lines(rng, n, drift, count=(3, 7), width=(0.5, 1.6), most=(0.2, 0.65)),
        "sargassum": _lines(rng, n, drift + 0.3, count=(3, 8), width=(0.7, 3), most=(0.15, 0.9))
        * (rng.random() < 0.7),
        "dead plants": _lines(rng, n, drift, count=(2, 5), width=(0.6, 2), most=(0.2, 0.75))
        * (rng.random() < 0.7),
    }
    shares["debris"] = np.maximum(shares["debris"], _blots(rng, n, count=(2, 6), most=(0.15, 0.6)))
    shares["shadow"] = ndimage.shift(shares["cloud"], rng.choice([-1, 1], 2) * rng.uniform(6, 20, 2), order=1)
    shares["shadow"] = np.clip(shares["shadow"] * (1 - shares["cloud"]), 0, 1)
    shares["ship"], shares["wake"] = _ships(rng, n, land)
    total = np.sum([shares[name] for name in FLOATS], axis=0)
    for name in FLOATS:
        shares[name] = shares[name] * np.minimum(1, 0.95 / np.maximum(total, 1e-6)) * (land < 0.05)
    return {name: plane.astype(np.float32) for name, plane in shares.items()}


def _axes(n: int, at: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels along and across a direction through a point ``at``, x and y."""
    y, x = np.mgrid[:n, :n] + 0.5
    along = (x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle)
    return along, (y - at[1]) * np.cos(angle) - (x - at[0]) * np.sin(angle)


def _lines(
    rng: np.random.Generator,
    n: int,
    drift: float,
    *,
    count: tuple[int, int],
    width: tuple[float, float],
    most: tuple[float, float],
) -> np.ndarray:
    """Winding, torn lines about one direction; ``width`` in pixels is the standard deviation across."""
    found = np.zeros((n, n))
    torn = smooth(rng, (n, n), 3) + 0.7 * smooth(rng, (n, n), 1)
    for _ in range(rng.integers(*count)):
        along, across = _axes(n, rng.uniform(0.1, 0.9, 2) * n, drift + rng.normal(0, 0.15))
        reach = rng.uniform(0.1, 0.35) * n
        bend = rng.uniform(2, 7) * np.sin(2 * np.pi * along / rng.uniform(40, 110) + rng.uniform(0, 6))
        profile = np.exp(-0.5 * ((across - bend) / rng.uniform(*width)) ** 2)
        profile *= rng.uniform(*most) * (np.abs(along) < reach) * np.clip(0.75 + 0.5 * torn, 0, 1)
        found = np.maximum(found, profile)
    return found


def _blots(
    rng: np.random.Generator, n: int, *, count: tuple[int, int], most: tuple[float, float]
) -> np.ndarray:
    """Small patches of one to five pixels."""
    found = np.zeros((n, n))
    for _ in range(rng.integers(*count)):
        along, across = _axes(n, rng.uniform(0.05, 0.95, 2) * n, rng.uniform(0, np.pi))
        reach = rng.uniform(0.6, 2)
        found = np.maximum(
            found, rng.uniform(*most) * np.exp(-0.5 * ((along / (1.6 * reach)) ** 2 + (across / reach) ** 2))
        )
    return found


def _land(rng: np.random.Generator, n: int) -> np.ndarray:
    """A piece of coast at one edge of the scene, 4 % to 14 % of it."""
    along, _ = _axes(n, np.full(2, n / 2), rng.uniform(0, 2 * np.pi))
    height = along / n + 0.08 * smooth(rng, (n, n), n / 14)
    shore = np.quantile(height, 1 - rng.uniform(0.04, 0.14))
    return np.clip((height - shore) * n / 1.5 + 0.5, 0, 1)


def _plume(rng: np.random.Generator, n: int, land: np.ndarray) -> np.ndarray:
    """Silty water with a sharp front on one side, from the coast where there is one."""
    from_land = ndimage.center_of_mass(land) if land.any() else tuple(rng.uniform(0, 1, 2) * n)
    away = np.hypot(*(np.mgrid[:n, :n] - np.array(from_land)[:, None, None]))
    inside = rng.uniform(0.3, 0.55) - away / n + 0.09 * smooth(rng, (n, n), n / 14)
    return np.clip(inside * rng.uniform(3, 9), 0, rng.uniform(0.35, 1.0))


def _clouds(rng: np.random.Generator, n: int) -> np.ndarray:
    shape = smooth(rng, (n, n), n / 24) + 0.25 * smooth(rng, (n, n), 2)
    return np.clip((shape - np.quantile(shape, 1 - rng.uniform(0.01, 0.08))) / 0.5 + 0.15, 0, 1)


def _glint(rng: np.random.Generator, n: int, drift: float) -> np.ndarray:
    """Crests that mirror the sun, in a part of the scene; 0..1."""
    along, _ = _axes(n, np.full(2, n / 2), drift + rng.normal(0, 0.3))
    crests = np.sin(2 * np.pi * along / rng.uniform(4, 9) + 2 * smooth(rng, (n, n), 8))
    rough = np.clip(smooth(rng, (n, n), n / 10) - 0.4, 0, 1)
    return np.clip(rough * (0.5 + 0.5 * crests) + 0.2 * rough * smooth(rng, (n, n), 0.7), 0, 1)


def _ships(rng: np.random.Generator, n: int, land: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hulls of 20 m to 220 m, and foam in the wakes of those that sail: shares of the pixel."""
    ships, wakes = np.zeros((2, n, n))
    for _ in range(rng.integers(1, 6)):
        along, across = _axes(n, rng.uniform(0.05, 0.95, 2) * n, rng.uniform(0, 2 * np.pi))
        half = rng.uniform(1, 3.3) ** 2  # pixels
        hull = np.clip(half - np.abs(along) + 0.5, 0, 1) * np.clip(half / 6 + 0.8 - np.abs(across), 0, 1)
        behind = -along - half
        trail = np.exp(-0.5 * (across / (0.7 + 0.03 * np.maximum(behind, 0))) ** 2) * (behind > 0)
        ships = np.maximum(ships, hull * (land < 0.05))
        if rng.random() < 0.7:
            fade = rng.uniform(0.08, 0.35) * np.exp(-np.maximum(behind, 0) / rng.uniform(15, 60))
            wakes = np.maximum(wakes, trail * fade * (land < 0.05))
    return ships, wakes * (1 - ships)
