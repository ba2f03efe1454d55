"""Mean and spread of bands, and what they make of a band that is the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from jido.data.patches import band_moments, normalise


def blocks(images: np.ndarray, size: int = 50) -> list[np.ndarray]:
    return [images[start : start + size] for start in range(0, len(images), size)]


@pytest.mark.parametrize("value", [0.0, 0.1, 0.2345, -3.3, 7.7, 273.15, 12345.678, 1e-8, 1e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 1, 9, 9), (60, 1, 9, 9), (150, 1, 33, 33)])
def test_a_band_that_is_the_same_everywhere_has_a_spread_of_1(value, dtype, shape):
    images = np.full(shape, value, dtype)
    images[3, :, 2:5] = np.nan
    mean, sd = band_moments(blocks(images), 1)
    assert mean == np.float32(value)
    assert sd == 1
    assert mean.dtype == sd.dtype == np.float32
    values, _ = normalise(np.float32(1.001) * images.astype(np.float32), mean, sd)  # of another scene
    assert np.abs(values).max() <= 0.00101 * abs(value)


def test_a_band_that_differs_by_rounding_alone_has_a_spread_of_1():
    value = np.float32(0.2345)
    images = np.tile([value, np.nextafter(value, np.float32(1))], (40, 1, 8, 4))
    assert images.std() > 0
    assert band_moments(blocks(images), 1)[1] == 1


@pytest.mark.parametrize(
    ("mean", "sd"), [(0.05, 1e-4), (0.2, 0.03), (300, 0.01), (12345.678, 0.1), (-14, 3), (0, 1e-6)]
)
def test_a_small_spread_is_a_spread(mean, sd):
    images = np.random.default_rng(0).normal(mean, sd, (200, 2, 12, 12)).astype(np.float32)
    images[:, 0, :, :3] = np.nan
    images[7, 1, 0, 0] = np.inf
    found = band_moments(blocks(images), 2)
    exact = [images[:, i].astype(np.float64)[np.isfinite(images[:, i])] for i in range(2)]
    np.testing.assert_allclose(found[0], [band.mean() for band in exact], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found[1], [band.std() for band in exact], rtol=1e-6)
    assert found[1] == pytest.approx(sd, rel=0.02)


def test_one_pixel_far_off_does_not_blur_the_spread():
    images = np.random.default_rng(0).normal(0.05, 1e-4, (200, 1, 12, 12)).astype(np.float32)
    images[0, 0, 0, 0] = 1e6
    exact = images.astype(np.float64)
    mean, sd = band_moments(blocks(images), 1)
    np.testing.assert_allclose(mean, exact.mean(), rtol=1e-6)
    np.testing.assert_allclose(sd, exact.std(), rtol=1e-6)


def test_a_band_without_data_has_mean_0_and_a_spread_of_1():
    images = np.random.default_rng(0).normal(4, 2, (30, 2, 6, 6))
    images[:, 0] = np.nan
    images[:20, 1] = np.nan  # nothing in the first blocks
    mean, sd = band_moments(blocks(images, 10), 2)
    assert (mean[0], sd[0]) == (0, 1)
    np.testing.assert_allclose([mean[1], sd[1]], [images[20:, 1].mean(), images[20:, 1].std()], rtol=1e-6)


def test_numbers_of_any_kind_have_moments():
    images = np.random.default_rng(0).integers(0, 256, (90, 3, 7, 7)).astype(np.uint8)
    mean, sd = band_moments(blocks(images), 3)
    np.testing.assert_allclose(mean, images.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(sd, images.std((0, 2, 3)), rtol=1e-6)
