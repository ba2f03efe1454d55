"""Errors of green: what composites and thresholds make of noise, and whether intervals hold the truth."""

import numpy as np
import pytest
from test_green import NDVI, QUANTITIES, SHARE, THRESHOLD, by_square, measured, noisy, squares, whole_of
from test_indicator_table import sheet
from test_uncertainty import gaussian_field

from jido.indicators.aggregate import Dependence, aggregate
from jido.indicators.composite import composed, composite_factor, composite_variance
from jido.indicators.green import green_of
from jido.indicators.response import Response
from jido.indicators.table import indicator_table

# -- composites --------------------------------------------------------------------------------


def test_composites_by_hand():
    nan = np.nan
    dates = np.array([[[0.1, 0.1, nan, nan]], [[0.5, nan, 0.3, nan]], [[0.3, 0.2, nan, nan]]])
    np.testing.assert_allclose(composed(dates, "median"), [[0.3, 0.15, 0.3, nan]])
    np.testing.assert_allclose(composed(dates, "max"), [[0.5, 0.2, 0.3, nan]])
    np.testing.assert_allclose(composed(dates[:2], "median"), [[0.3, 0.1, 0.3, nan]])
    np.testing.assert_array_equal(composed(dates[:1], "max"), dates[0])
    many = np.random.default_rng(0).normal(size=(7, 16, 16))
    many[many < -0.5] = nan
    np.testing.assert_allclose(composed(many, "median"), np.nanmedian(many, axis=0))


def test_variance_of_composites_at_known_numbers():
    for kind in ("median", "max"):
        assert composite_variance(kind, 1) == pytest.approx(1, rel=0.02)
    # order statistics of normal numbers: 1/2; 1 + sqrt(3)/pi - 9/(4 pi) - ... = 0.4487 and 0.5595
    # (Harter 1961, doi 10.1093/biomet/48.1-2.151); max of two: 1 - 1/pi
    assert composite_variance("median", 2) == pytest.approx(0.5, rel=0.02)
    assert composite_variance("median", 3) == pytest.approx(0.4487, rel=0.02)
    assert composite_variance("max", 2) == pytest.approx(1 - 1 / np.pi, rel=0.02)
    assert composite_variance("max", 3) == pytest.approx(0.5595, rel=0.02)


def test_medians_of_pixels_that_err_alike_by_brute_force():
    rng, dates, rho = np.random.default_rng(9), 8, np.array([0.2, 0.6, 1.0])
    shared, own = rng.normal(size=(2, 40_000, dates))
    one = np.median(shared, axis=1)
    for likeness in rho:
        two = np.median(likeness * shared + np.sqrt(1 - likeness**2) * own, axis=1)
        drawn = np.cov(one, two)[0, 1] / likeness
        found = composite_factor("median", dates, np.array([likeness]))
        np.testing.assert_allclose(found, drawn, rtol=0.06)
    np.testing.assert_allclose(composite_factor("median", 2, rho), 0.5, rtol=0.02)  # a mean of two
    np.testing.assert_allclose(composite_factor("max", 3, rho), composite_variance("max", 3))


# -- noise of dates -----------------------------------------------------------------------------


def test_a_share_errs_where_the_ground_lies_near_the_threshold():
    rng = np.random.default_rng(3)
    land = np.full((96, 96), THRESHOLD) + 0.1 * rng.normal(size=(96, 96))  # near the threshold
    land[:, 48:] += 0.4  # far above it
    found = measured(noisy(rng, land, dates=4), 24)
    slope = found.response.slope.reshape(3, 4, 4)
    np.testing.assert_allclose(slope[NDVI], 1, rtol=1e-5)
    np.testing.assert_allclose(found.response.jumps[NDVI], 0, atol=1e-8)
    # density of N(0.4, 0.1) at its mean, widened by the noise of the composite, which is there once and
    # added once more: 1 / sqrt(2 pi (0.1² + 2 x 0.298 x 1.3 x 0.05²)), a median of four having 0.298
    density = 1 / np.sqrt(2 * np.pi * (0.1**2 + 2 * 0.298 * 1.3 * 0.05**2))
    np.testing.assert_allclose(slope[SHARE, :, :2], density, rtol=0.1)
    near, far = (
        found.standard_error(SHARE).reshape(4, 4)[:, :2],
        found.standard_error(SHARE).reshape(4, 4)[:, 2:],
    )
    assert far.max() < near.min() / 10
    noise = found.noise[NDVI]
    assert noise.sill + noise.nugget == pytest.approx(1.3 * 0.05**2, rel=0.15)
    assert 30 < noise.length_m < 120  # 6 pixels of 10 m
    assert np.ptp(found.standard_error(NDVI)) < 0.2 * found.standard_error(NDVI).mean()


def test_clouds_and_fewer_dates_make_it_less_certain():
    rng = np.random.default_rng(4)
    stack = noisy(rng, 0.4 + 0.1 * rng.normal(size=(96, 96)), dates=6)
    whole = measured(stack, 24).standard_error(NDVI)
    assert (measured(stack[:2], 24).standard_error(NDVI) > 1.1 * whole).all()
    stack[:4, :24] = np.nan  # four of six dates do not show the first row of cells
    stack[:, 24:48, 12:] = np.nan  # no date shows half of a cell and three more of the second row
    clouded = measured(stack, 24)
    se = clouded.standard_error(NDVI).reshape(4, 4)
    assert (se[0] > 1.2 * whole.reshape(4, 4)[0]).all()
    assert se[1, 0] > 1.1 * whole.reshape(4, 4)[1, 0]
    assert np.isnan(se[1, 1:]).all()
    np.testing.assert_allclose(clouded.coverage.reshape(4, 4)[1], [0.5, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(clouded.seen_by_date[:, 0], [0, 0, 0, 0, 1, 1], atol=1e-6)


def test_what_shifts_a_whole_date_is_an_error_that_all_cells_share():
    rng = np.random.default_rng(5)
    land = 0.4 + 0.1 * rng.normal(size=(96, 96))
    stack = noisy(rng, land, dates=4, length=3)
    calm = measured(stack, 24)
    shift = np.array([0.06, -0.02, 0.03, -0.07])  # variance of dates: sum of squares / 3 = 0.0033
    hazy = measured(stack + shift[:, None, None], 24)
    assert calm.common < 0.1 * hazy.common
    assert hazy.common == pytest.approx(0.0098 / 3, rel=0.15)
    assert calm.shared(NDVI) < 0.3
    assert hazy.shared(NDVI) > 0.7
    assert (hazy.standard_error(NDVI) > 2 * calm.standard_error(NDVI)).all()


# -- jumps over a threshold --------------------------------------------------------------------


def test_jumps_of_a_pixel_and_of_those_around_by_hand():
    jumps, nothing = np.array([[0.1, 0.1, 0.0]]), np.zeros((1, 3))
    response = Response(nothing, jumps, nothing, np.array([50.0]))
    # 0.1 / 100 for itself, times 1 + 50 x 0.1 that jump with it; of 20 pixels no more than 20 are around
    np.testing.assert_allclose(response.jumping(0, np.array([100, 20, 9])), [0.006, 0.015, 0])


def test_pixels_jump_together_where_ground_and_noise_are_smooth_and_alone_where_they_are_not():
    rng = np.random.default_rng(10)
    smooth = THRESHOLD + 0.05 + 0.15 * gaussian_field(rng, 128, 40)
    rough = THRESHOLD + 0.05 + 0.15 * rng.normal(size=(128, 128))
    for land, length, low, high in ((smooth, 3, 2, 9), (smooth, 0.1, 1, 1.3), (rough, 3, 1, 1.3)):
        found = measured(noisy(rng, land, dates=6, sd=0.03, length=length, nugget=0), 64)
        single = found.response.jumps[SHARE] / found.n
        times = found.response.jumping(SHARE, found.n) / single
        assert low <= times.mean() < high, (length, times)
        np.testing.assert_allclose(found.response.jumping(NDVI, found.n), 0, atol=1e-9)


def test_stated_errors_of_a_share_are_as_large_as_those_made():
    """Noise over one and the same landscape, many times: its root mean square says whether it is right."""
    rng, made, stated, single = np.random.default_rng(11), [], [], []
    land = THRESHOLD + 0.05 + 0.15 * gaussian_field(rng, 128, 40)
    truth = by_square(QUANTITIES[SHARE](land), 64).mean(axis=1)
    for number in range(12):
        found = measured(noisy(rng, land, dates=4, sd=0.03, length=3, nugget=0), 64, seed=number)
        made.append((found.mean(SHARE) - truth) ** 2)
        stated.append(found.standard_error(SHARE) ** 2)
        jumps, n = found.response.jumps[SHARE], found.n
        single.append(stated[-1] - found.response.jumping(SHARE, n) + jumps / n)
    assert np.sqrt(np.mean(stated) / np.mean(made)) == pytest.approx(1, abs=0.2)
    assert np.mean(single) < 0.7 * np.mean(made)  # were each pixel to jump for itself


# -- intervals ---------------------------------------------------------------------------------


def hidden_by_clouds(rng, plane):
    """A date with a fifth to a half of it under clouds in one or two pieces."""
    field = gaussian_field(rng, len(plane), 12)
    return np.where(field < np.quantile(field, rng.uniform(0.2, 0.5)), np.nan, plane)


def test_intervals_contain_the_truth_and_the_naive_ones_do_not(capsys):
    """Landscapes with noise by date, some dates clouded: the truth is the landscape's own mean."""
    rng, side, cell = np.random.default_rng(7), 96, 24
    hits = {name: [] for name in ("share", "ndvi", "weighted area", "naive share", "naive ndvi")}
    for number in range(24):
        land = 0.4 + 0.14 * gaussian_field(rng, side, 20) + 0.1 * rng.normal(size=(side, side))
        length, nugget = rng.uniform(0.1, 0.6) * cell, rng.uniform(0, 1)
        stack = noisy(rng, land, dates=(2, 4, 8)[number % 3], sd=0.06, length=length, nugget=nugget)
        stack = np.stack([hidden_by_clouds(rng, one) if rng.random() < 0.4 else one for one in stack])
        found = measured(stack, cell, seed=number)
        for quantity, name in enumerate(("share", "ndvi", "weighted area")):
            truth = by_square(QUANTITIES[quantity](land), cell).mean(axis=1)
            apart = np.abs(found.mean(quantity) - truth)[found.coverage >= 0.5]
            hits[name] += (apart <= 1.96 * found.standard_error(quantity)[found.coverage >= 0.5]).tolist()
        seen = composed(stack, "median")
        for quantity, name in ((SHARE, "naive share"), (NDVI, "naive ndvi")):
            pixels = by_square(np.where(np.isfinite(seen), QUANTITIES[quantity](seen), np.nan), cell)
            truth = by_square(QUANTITIES[quantity](land), cell).mean(axis=1)
            enough = np.isfinite(pixels).mean(axis=1) >= 0.5
            mean, sd, n = np.nanmean(pixels, 1), np.nanstd(pixels, 1), np.isfinite(pixels).sum(1)
            hits[name] += (np.abs(mean - truth) <= 1.96 * sd / np.sqrt(n))[enough].tolist()
    cover = {name: float(np.mean(hit)) for name, hit in hits.items()}
    with capsys.disabled():
        print("\ncoverage of 95 %, green:", {name: round(share, 3) for name, share in cover.items()})
    for name in ("share", "ndvi", "weighted area"):
        assert 0.90 <= cover[name] <= 0.98, name
    for name in ("naive share", "naive ndvi"):
        assert cover[name] < 0.75, name


def test_one_date_claims_the_spread_of_places_alike(capsys):
    """Ground of one kind with correlated noise: the truth is its level, the naive interval far too short."""
    rng, hits, naive = np.random.default_rng(8), [], []
    for number in range(30):
        field = gaussian_field(rng, 96, rng.uniform(2, 6), nugget=rng.uniform(0, 1))
        values = 0.4 + 0.1 * field
        found = measured(values[None], 24, seed=number)
        hits += (np.abs(found.mean(NDVI) - 0.4) <= 1.96 * found.standard_error(NDVI)).tolist()
        pixels = by_square(values, 24)
        naive += (np.abs(pixels.mean(1) - 0.4) <= 1.96 * pixels.std(1) / 24).tolist()
    cover = round(float(np.mean(hits)), 3), round(float(np.mean(naive)), 3)
    with capsys.disabled():
        print("\ncoverage of 95 %, one date:", cover[0], "naive:", cover[1])
    assert 0.90 <= cover[0] <= 0.98
    assert cover[1] < 0.5


def test_of_one_date_the_whole_is_judged_by_redrawn_cells(capsys):
    """Ground whose halves vary by much and by little, which one variogram of the image does not know."""
    rng, hits = np.random.default_rng(12), {"redrawn": [], "variogram": []}
    for number in range(60):
        field = gaussian_field(rng, 128, rng.uniform(2, 6), nugget=rng.uniform(0, 1))
        amplitude = np.where(gaussian_field(rng, 128, 20) > 0, 0.2, 0.02)
        found = measured((0.4 + amplitude * field)[None], 16, seed=number)
        cells = squares(8, 8, side=160)
        table = indicator_table(
            cells,
            found.mean(NDVI),
            found.standard_error(NDVI),
            coverage=found.coverage,
            n=found.n,
            sheet=sheet(),
        )
        one = green_of(table, found, whole_of(cells), "ndvi")
        hits["redrawn"].append(one.lower[0] <= 0.4 <= one.upper[0])
        plain = aggregate(
            table,
            whole_of(cells),
            dependence=Dependence(length_m=found.noise[NDVI].length_m),
            field_length_m=found.field[NDVI].length_m,
        )
        hits["variogram"].append(plain.lower[0] <= 0.4 <= plain.upper[0])
        assert one.se[0] >= plain.se[0]
        assert "block bootstrap" in one.sheet.dependence
    cover = {name: float(np.mean(hit)) for name, hit in hits.items()}
    with capsys.disabled():
        print("\ncoverage of 95 %, one date, all cells together:", cover)
    assert 0.88 <= cover["redrawn"] <= 0.99
    assert cover["variogram"] < cover["redrawn"]
