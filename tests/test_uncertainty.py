import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy.special import stdtrit

from jido.errors import JidoError
from jido.geo import block_sum
from jido.indicators.correlation import (
    Correlation,
    PixelSample,
    fit_correlation,
    sample_pixels,
    square_correlation,
)
from jido.indicators.uncertainty import block_bootstrap, corrected_areas, missing_dates_variance


def gaussian_field(rng, side, length, nugget=0.0):
    """Exponential covariance of variance 1 on a torus four times as large, of which a corner is kept."""
    wide = 4 * side
    ax = np.minimum(np.arange(wide), wide - np.arange(wide))
    power = np.maximum(np.fft.fft2(np.exp(-np.hypot(ax[:, None], ax) / length)).real, 0)
    noise = rng.normal(size=(wide, wide)) + 1j * rng.normal(size=(wide, wide))
    field = np.fft.fft2(np.sqrt(power) * noise).real[:side, :side] / wide
    return field + np.sqrt(nugget) * rng.normal(size=(side, side))


def fitted(field, pixel=10.0, seed=0):
    rows, cols = sample_pixels(field.shape, reach=max(field.shape) / 3, seed=seed)
    values = np.where(rows >= 0, field[rows, cols], np.nan)
    return fit_correlation(rows, cols, values, pixel_m=(pixel, pixel))


def test_square_correlation_at_its_ends_and_by_brute_force():
    np.testing.assert_allclose(square_correlation(0.0), 1)
    np.testing.assert_allclose(square_correlation(300.0), 2 * np.pi / 300**2, rtol=0.02)
    np.testing.assert_allclose(square_correlation(300.0, power=2), np.pi / 300**2, rtol=0.02)
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 400_000, 2))
    np.testing.assert_allclose(square_correlation(5.0), np.exp(-5 * np.hypot(*(a - b).T)).mean(), rtol=0.02)


def test_fit_finds_length_sill_and_nugget():
    rng = np.random.default_rng(1)
    fits = [fitted(gaussian_field(rng, 128, 6, nugget=0.5), seed=i) for i in range(12)]
    assert np.median([f.length_m for f in fits]) == pytest.approx(60, rel=0.3)
    assert np.mean([f.sill for f in fits]) == pytest.approx(1, rel=0.2)
    assert np.mean([f.nugget for f in fits]) == pytest.approx(0.5, rel=0.3)


def test_noise_without_correlation_gives_the_classical_variance():
    rng = np.random.default_rng(2)
    fits = [fitted(rng.normal(size=(128, 128)), seed=i) for i in range(9)]
    found = [fit.mean_variance(np.array([320.0**2]), np.array([1024.0]))[0] for fit in fits]
    # seldom less; chance likeness of a few far pairs makes it more at times
    assert 0.8 / 1024 < np.median(found) < 3 / 1024
    assert min(found) > 0.7 / 1024


def test_clouds_make_it_less_certain():
    model = Correlation(1.0, 0.1, 100.0)
    whole, half, none = model.mean_variance(np.array([1e6, 5e5, 0]), np.array([1e4, 5e3, 0]))
    assert half > 1.5 * whole
    assert np.isnan(none)


def test_too_few_pixels_are_refused_in_words():
    with pytest.raises(JidoError, match="pairs"):
        fitted(np.full((64, 64), np.nan))


def test_intervals_cover_and_the_naive_one_does_not(capsys):
    """200 scenes, cells of 32 x 32 pixels: what the stated 95 % cover, and sd/sqrt(n) beside it."""
    rng = np.random.default_rng(3)
    hits = {"cell": [], "scene, blocks": [], "cell, half seen": [], "naive cell": [], "naive scene": []}
    for case in range(200):
        length = rng.uniform(2, 6)
        field = gaussian_field(rng, 128, length, nugget=rng.uniform(0, 1))
        model = fitted(field, seed=case)
        cells = field.reshape(4, 32, 4, 32).swapaxes(1, 2).reshape(16, 1024)
        se = np.sqrt(model.mean_variance(np.full(16, 320.0**2), np.full(16, 1024.0)))
        hits["cell"] += (np.abs(cells.mean(1)) < 1.96 * se).tolist()
        half = cells[:, :512]
        se = np.sqrt(model.mean_variance(np.full(16, 320.0**2 / 2), np.full(16, 512.0)))
        hits["cell, half seen"] += (np.abs(half.mean(1)) < 1.96 * se).tolist()
        hits["naive cell"] += (np.abs(cells.mean(1)) < 1.96 * cells.std(1) / 32).tolist()
        side = int(np.clip(4 * model.length_m / 10, 4, 128 / 4))
        sums = block_sum(field, side).ravel()
        mean, se, free = block_bootstrap(
            sums, np.full(len(sums), side**2), block_m=10.0 * side, correlation=model, draws=400
        )
        hits["scene, blocks"].append(abs(mean) < stdtrit(free, 0.975) * se)
        hits["naive scene"].append(abs(field.mean()) < 1.96 * field.std() / 128)
    cover = {name: float(np.mean(hit)) for name, hit in hits.items()}
    with capsys.disabled():
        print("\ncoverage of 95 %:", {name: round(share, 3) for name, share in cover.items()})
    for name in ("cell", "cell, half seen", "scene, blocks"):
        assert 0.90 <= cover[name] <= 0.98, name
    assert cover["naive cell"] < 0.5
    assert cover["naive scene"] < 0.5


def test_class_areas_by_hand():
    matrix = np.array([[8, 2], [1, 9]])  # truth in rows
    value, se, free = corrected_areas(np.array([[90.0, 110.0]]), np.stack([matrix] * 5))
    np.testing.assert_allclose(value, [[90 * 8 / 9 + 110 * 2 / 11, 90 / 9 + 110 * 9 / 11]])
    np.testing.assert_allclose(value.sum(), 200)
    np.testing.assert_allclose(se, 0, atol=1e-9)  # groups that agree
    assert free == 4
    with pytest.raises(JidoError, match="number 1"):
        corrected_areas(np.array([[1.0, 1.0]]), np.array([[[5, 0], [5, 0]]] * 2))


def test_class_areas_cover(capsys):
    rng, hits, naive = np.random.default_rng(4), [], []
    for case in range(200):
        share = rng.uniform(0.2, 0.5)
        miss, false = rng.beta(4, 16, 24), rng.beta(2, 38, 24)  # 24 places, each with its own errors
        truth = rng.binomial(100, share, 24)
        hit, alarm = rng.binomial(truth, 1 - miss), rng.binomial(100 - truth, false)
        matrices = np.stack([[hit, truth - hit], [alarm, 100 - truth - alarm]]).transpose(2, 0, 1)
        seen = share * (1 - 0.2) + (1 - share) * 0.05  # a large map with the mean errors
        value, se, free = corrected_areas(np.array([[seen, 1 - seen]]), matrices, draws=300, seed=case)
        hits.append(abs(value[0, 0] - share) < stdtrit(free, 0.975) * se[0, 0])
        naive.append(abs(seen - share) < 1.96 * np.sqrt(seen * (1 - seen) / 2400))
    with capsys.disabled():
        print("\ncoverage of 95 %, class area:", np.mean(hits), "counted pixels:", np.mean(naive))
    assert 0.90 <= np.mean(hits) <= 0.98


def test_missing_dates_by_hand():
    by_date = np.array([[1.0, 1.0, np.nan], [3.0, np.nan, np.nan]])
    found = missing_dates_variance(by_date, planned=4)
    np.testing.assert_allclose(found, [2 * (1 / 2 - 1 / 4), 2 * (1 - 1 / 4), np.nan])
    np.testing.assert_allclose(missing_dates_variance(by_date[:, :1], planned=2), [0])
    with pytest.raises(JidoError, match="planned"):
        missing_dates_variance(by_date, planned=1)


def test_the_sample_does_not_depend_on_the_windows():
    geobox = GeoBox((64, 64), Affine(10, 0, 500_000, 0, -10, 5e6), "EPSG:32633")
    field = gaussian_field(np.random.default_rng(5), 64, 4)
    samples = [PixelSample(geobox, reach_m=200) for _ in range(2)]
    samples[0].take((slice(0, 64), slice(0, 64)), field)
    for top in range(0, 64, 7):
        window = slice(top, min(top + 7, 64)), slice(0, 64)
        samples[1].take(window, field[window])
    np.testing.assert_array_equal(samples[0].values, samples[1].values)
    assert samples[0].fit() == samples[1].fit()
