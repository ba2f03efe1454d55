"""Relief of a simulated landscape and where water stands on it; see :mod:`jido.data.floods`.

Water is decided by heights alone: a pixel is under water where the ground lies below the surface of the
water and, but for rain, that water has a way to it from the river or the sea.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jido.data.surfaces import field

KINDS = ("river", "flash", "coast", "rain")
"""A river leaves its bed; a flash flood fills a narrow valley; a surge comes over the coast; rain ponds."""

PIXEL_M = 10.0

# Share of the land under water when the image is taken, lowest and highest; and by how many metres the water
# stood higher at its peak.
_SHARE = {"river": (0.10, 0.25), "flash": (0.04, 0.09), "coast": (0.08, 0.22), "rain": (0.05, 0.13)}
_PEAK_M = {"river": (0.1, 0.5), "flash": (0.4, 1.2), "coast": (0.2, 0.7), "rain": (0.02, 0.08)}
_TIDE_M = {
    "river": 0.2,
    "flash": 0.1,
    "coast": 0.35,
}  # by which the usual water stands higher or lower before
_PLUME = 30  # pixels off the coast at which a third of the mud is left
_COARSE = 5  # pixels along a side of the squares on which hollows are filled


@dataclass(frozen=True, eq=False)
class Water:
    """Heights and depths in metres, float32 (y, x) each; a depth is 0 where it is dry.

    Args:
        kind: one of :data:`KINDS`.
        terrain_m: height of the ground, that of the bed under water.
        before_m: depth on the day before the event: rivers, sea, lakes, ponds.
        after_m: depth when the image after the event is taken, all water counts.
        peak_m: depth when the water stood highest.
        event: share of the water after the event that is its own, 0..1: none in lakes and ponds which it did
            not reach, less and less in the sea.
    """

    kind: str
    terrain_m: np.ndarray
    before_m: np.ndarray
    after_m: np.ndarray
    peak_m: np.ndarray
    event: np.ndarray


def rise(rng: np.random.Generator, kind: str, side: int) -> Water:
    """A landscape of ``side`` x ``side`` pixels and its flood."""
    above, datum = {"river": _valley, "flash": _gorge, "coast": _shore, "rain": _plain}[kind](rng, side)
    main = np.zeros_like(above, dtype=bool) if kind == "rain" else above < 0  # river or sea
    terrain, usual, later = _ponds(rng, above + datum, main, lake=kind == "rain")
    share = rng.uniform(*_SHARE[kind])
    dry = ~main & (usual <= terrain)
    if kind == "rain":
        full = filled(terrain)
        flood = full - np.quantile((full - terrain)[dry], 1 - share)
        levels = [np.full_like(terrain, -np.inf), flood]
    else:
        stage = np.quantile(above[dry], share)
        flood = datum + (_inland(rng, above, stage) if kind == "coast" else stage)
        levels = [datum + rng.uniform(-1, 1) * _TIDE_M[kind], flood]
    levels.append(flood + rng.uniform(*_PEAK_M[kind]))
    reached = [_reached(terrain < level, main, anywhere=kind == "rain") for level in levels]
    depths = [
        _depth(terrain, np.maximum(np.where(wet, level, -np.inf), pond))
        for level, wet, pond in zip(levels, reached, (usual, later, later), strict=True)
    ]
    event = reached[1].astype(np.float32)
    if kind == "coast":
        event *= np.exp(-ndimage.distance_transform_edt(main) / _PLUME).astype(np.float32)
    return Water(kind, terrain, depths[0], depths[1], depths[2], event)


def _depth(terrain: np.ndarray, surface: np.ndarray) -> np.ndarray:
    return np.maximum(surface - terrain, 0).astype(np.float32)


def _reached(low: np.ndarray, main: np.ndarray, *, anywhere: bool) -> np.ndarray:
    """The low ground that hangs together with the main water."""
    if anywhere:
        return low
    number, _ = ndimage.label(low)
    found = np.unique(number[main & low])
    return np.isin(number, found[found > 0])


def _inland(rng: np.random.Generator, above: np.ndarray, stage: float) -> np.ndarray:
    """A surge loses height on its way inland, up to a third over the length of the scene."""
    sea = ndimage.gaussian_filter((above < 0).astype(np.float32), 6) > 0.9
    away = ndimage.distance_transform_edt(~sea) if sea.any() else np.zeros_like(above)
    return (stage * (1.1 - rng.uniform(0, 0.33) * away / len(above))).astype(np.float32)


# --- relief ---------------------------------------------------------------------------------------
# Each gives the height of the ground above the usual water, negative under it, and the height of that
# water, both in metres, float32 (y, x).


def _course(rng: np.random.Generator, side: int, *, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Metres along a winding line through the scene, and metres across it, the sign tells the bank."""
    turn = rng.uniform(0, 2 * np.pi)
    y, x = (np.mgrid[:side, :side].astype(np.float32) + 0.5 - side / 2) * np.float32(PIXEL_M)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    long = side * PIXEL_M
    bend, slope = np.full_like(along, offset * long), np.zeros_like(along)
    for waves, reach in ((1.0, 0.07), (2.3, 0.035), (5.1, 0.012)):
        k, phase = 2 * np.pi * waves * rng.uniform(0.8, 1.2) / long, rng.uniform(0, 2 * np.pi)
        high = reach * long * rng.uniform(0.5, 1.2)
        bend += high * np.sin(k * along + phase)
        slope += high * k * np.cos(k * along + phase)
    return along.astype(np.float32), ((across - bend) / np.sqrt(1 + slope**2)).astype(np.float32)


def _rough(rng: np.random.Generator, side: int, metres: tuple[float, float, float]) -> np.ndarray:
    """Bumps of about 300 m, 100 m and 20 m with these standard deviations."""
    parts = [m * field(rng, side, length) for m, length in zip(metres, (30, 10, 2), strict=True)]
    return np.sum(parts, axis=0)


def _valley(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A river 60 m to 180 m wide in a wide plain with natural levees."""
    along, across = _course(rng, side, offset=rng.uniform(-0.12, 0.12))
    half = rng.uniform(30, 90) * (1 + 0.15 * np.sin(along / 400))
    away = np.abs(across) - half
    rim = 1 - np.exp(-np.maximum(away, 0) / 90)
    levee = rng.uniform(0.4, 1.2) * np.exp(-(((away - 50) / 60) ** 2))
    hills = 9 * (np.maximum(away, 0) / (0.3 * side * PIXEL_M)) ** rng.uniform(1.3, 1.9)
    land = 0.5 + levee + hills + rim * _rough(rng, side, (1.0, 0.4, 0.07))
    return _beds(land, away, half), _fall(along, rng.uniform(0.2, 0.7))


def _gorge(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A stream 20 m to 40 m wide on the floor of a steep valley."""
    along, across = _course(rng, side, offset=rng.uniform(-0.12, 0.12))
    half = rng.uniform(10, 20)
    away = np.abs(across) - half
    floor = rng.uniform(60, 160)
    rim = 1 - np.exp(-np.maximum(away, 0) / 60)
    slopes = 70 * (np.maximum(away - floor, 0) / (0.3 * side * PIXEL_M)) ** rng.uniform(1.0, 1.3)
    land = 0.5 + 1.6 * np.clip(away / floor, 0, 1) + slopes
    land += rim * _rough(rng, side, (0.8, 0.5, 0.1)) * (1 + np.minimum(slopes, 20) / 8)
    return _beds(land, away, np.full_like(away, half)), _fall(along, rng.uniform(5, 12))


def _shore(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat coast, and a creek by which the sea comes inland; the foreshore falls dry at low water."""
    _, away = _course(rng, side, offset=-rng.uniform(0.24, 0.36))
    _, from_creek = _course(rng, side)
    long = side * PIXEL_M
    land = 0.3 + 4.5 * (np.maximum(away, 0) / (0.4 * long)) ** rng.uniform(0.7, 1.1)
    land += (1 - np.exp(-np.maximum(away, 0) / 150)) * _rough(rng, side, (0.8, 0.3, 0.06))
    half = rng.uniform(15, 35)
    beside = np.maximum(np.abs(from_creek) - half, 0)
    land = np.minimum(land, 0.3 + beside * rng.uniform(0.003, 0.006) + 0.1 * _rough(rng, side, (1, 1, 0.3)))
    ground = _beds(land, np.where(away < 0, away, np.abs(from_creek) - half), np.full_like(away, 120.0))
    return ground, np.zeros_like(ground)


def _plain(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A plain with hollows and no river."""
    along, _ = _course(rng, side)
    return np.full_like(along, 0.0) + _rough(rng, side, (0.9, 0.5, 0.05)), _fall(along, rng.uniform(0.5, 1.5))


def _beds(land: np.ndarray, away: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Dry land out of the water, never below 0.05 m; a bed that falls from -0.05 m to -2.5 m under it."""
    bed = -0.05 - 2.45 * np.clip(-away / half, 0, 1)
    return np.where(away < 0, bed, np.maximum(land, 0.05)).astype(np.float32)


def _fall(along: np.ndarray, metres_a_km: float) -> np.ndarray:
    return (100 - along * metres_a_km / 1000).astype(np.float32)


# --- standing water -------------------------------------------------------------------------------


def _ponds(
    rng: np.random.Generator, terrain: np.ndarray, wet: np.ndarray, *, lake: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terrain with a few ponds and perhaps a lake dug into it, and their surface on the two dates.

    The surface is -inf where there is no pond; it moves a little with the weather.
    """
    side = len(terrain)
    usual, later = (np.full_like(terrain, -np.inf) for _ in range(2))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    reaches = [rng.uniform(4, 12) for _ in range(rng.integers(3, 7))] + lake * [
        rng.uniform(0.05, 0.09) * side
    ]
    for reach in reaches:
        cy, cx = rng.uniform(0.08, 0.92, 2) * side
        angle = np.arctan2(y - cy, x - cx)
        shore = reach * (1 + 0.25 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.12 * np.sin(5 * angle))
        out = np.hypot(y - cy, x - cx) / shore
        if (wet & (out < 2)).any():
            continue
        level = terrain[int(cy), int(cx)] - 0.3
        bowl = level + 1.5 * (out - 1)
        own = np.clip(2.5 * (1.8 - out), 0, 1)  # 1 within 1.4 of the shore, 0 beyond 1.8
        terrain = (own * bowl + (1 - own) * terrain).astype(np.float32)
        for surface, shift in ((usual, 0.0), (later, rng.uniform(-0.15, 0.25))):
            surface[out < 1.4] = level + shift
    return terrain, usual, later


def filled(terrain: np.ndarray) -> np.ndarray:
    """The height at which water runs off, (y, x): that of the ground but in hollows.

    From the border inwards, always from the lowest place reached so far. Barnes et al. 2014, doi
    10.1016/j.cageo.2013.04.024, algorithm 1; on squares of 50 m, blended between them.
    """
    n = len(terrain) // _COARSE
    ground = terrain.reshape(n, _COARSE, n, _COARSE).mean(axis=(1, 3)).tolist()
    full = [[float("inf")] * n for _ in range(n)]
    queue = [(ground[i][j], i, j) for i in range(n) for j in range(n) if {i, j} & {0, n - 1}]
    for height, i, j in queue:
        full[i][j] = height
    heapq.heapify(queue)
    while queue:
        height, i, j = heapq.heappop(queue)
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= a < n and 0 <= b < n and full[a][b] == float("inf"):
                full[a][b] = max(height, ground[a][b])
                heapq.heappush(queue, (full[a][b], a, b))
    raised = np.array(full, dtype=np.float32)
    return ndimage.zoom(raised, _COARSE, order=1, mode="nearest", grid_mode=True)
