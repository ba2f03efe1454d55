"""Shares of cells of a new event, set right by events held out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import t as student

from jido.errors import JidoError
from jido.stats.event_effects import EventSums, fit_effects, parts
from jido.stats.event_shares import LEVELS, EventShares, fit_event_shares


def known(**change):
    """Four events whose alpha and beta vary by .1 and .2 (variances .01 and .04), cells alone by .05."""
    stretch = {str(level): (1.0, 1.0, 1.0, 1.0) for level in LEVELS}
    facts = {
        "mean": (0.1, 0.8, 0.0),
        "between": ((0.01, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.0)),
        "within": (0.0025,) * 7,
        "stretch": stretch,
        "clump": 1.0,
        "pixels": 256.0,
        "events": 4,
        "cells": 400,
    }
    return EventShares(**(facts | change))


def drawn(rng, events, *, cells=60, spread=0.05, own=0.03):
    """Cells of events: predicted share, true share, event."""
    p = np.clip(rng.beta(0.3, 0.5, (events, cells)), 0, 1)
    alpha, beta = 0.05 + spread * rng.normal(size=(events, 1)), 0.9 + spread * rng.normal(size=(events, 1))
    t = alpha * (1 - p) + beta * p + own * rng.normal(size=p.shape)
    return p, np.clip(t, 0, 1), np.repeat(np.arange(events), cells).reshape(events, cells)


def test_value_and_error_by_hand():
    # p = .5: .1 * .5 + .8 * .5 = .45; events: (1 + 1/4) (.01 * .25 + .04 * .25) = .015625; own .0025.
    value, lower, upper, se = known().interval(0.5)
    assert value == pytest.approx(0.45)
    assert se == pytest.approx((0.015625 + 0.0025) ** 0.5)
    # Satterthwaite: 3 * (.018125 / .015625)² = 4.037 degrees of freedom
    half = student.ppf(0.975, 3 * (0.018125 / 0.015625) ** 2) * se
    assert upper - value == pytest.approx(half)
    assert lower == pytest.approx(max(value - half, 0))


def test_shares_stay_shares_and_what_was_not_seen_stays_empty():
    shares = known(mean=(-0.02, 1.1, 0.0))
    value, lower, upper, se = shares.interval(np.array([0, 0.01, 0.5, 1, np.nan]))
    seen = slice(0, 4)
    assert (lower[seen] >= 0).all()
    assert (upper[seen] <= 1).all()
    assert value[0] == 0
    assert value[3] == 1
    for part in (value, lower, upper, se):
        assert np.isnan(part[4])
        assert np.isfinite(part[seen]).all()


def test_smaller_cells_err_more_and_larger_ones_no_less():
    # A quarter of the pixels: four times the variance of the cell's own error, that of the event as before.
    shares = known()
    base, small, large = (float(shares.interval(0.0, n)[3]) for n in (256, 64, 4096))
    assert base == pytest.approx((0.0125 + 0.0025) ** 0.5)
    assert small == pytest.approx((0.0125 + 0.01) ** 0.5)
    assert large == base
    assert float(known(pixels=np.nan).interval(0.0, 64)[3]) == base


def test_what_an_event_errs_does_not_average_out():
    # 100 cells of 1 ha with p = 1. Event: 100² * .04 * 1.25 = 500; cells: 100 * .0025 = .25.
    value, lower, upper, se = known().total(np.ones(100), np.ones(100))
    assert value == pytest.approx(80)
    assert se == pytest.approx(500.25**0.5)
    assert 0 <= lower < value < upper <= 100
    # Cells that err in clumps of 4: 1; not known: all alike, 100² * .0025 = 25.
    assert known(clump=4.0).total(np.ones(100), np.ones(100))[3] == pytest.approx(501**0.5)
    assert known(clump=np.nan).total(np.ones(100), np.ones(100))[3] == pytest.approx(525**0.5)


def test_errors_of_dry_and_flooded_cells_may_cancel():
    # An event that misses more has fewer false alarms: covariance -.02 of the two, so 50 dry and 50 flooded
    # cells have 50² (.01 - 2 * .02 + .04) * 1.25 = 31.25, less than the 50² * .05 * 1.25 = 156.25 without.
    p = np.repeat([0.0, 1.0], 50)
    between = ((0.01, -0.02, 0.0), (-0.02, 0.04, 0.0), (0.0, 0.0, 0.0))
    assert known(between=between).total(p, np.ones(100))[3] == pytest.approx((31.25 + 0.25) ** 0.5)
    assert known().total(p, np.ones(100))[3] == pytest.approx((156.25 + 0.25) ** 0.5)


def test_one_correlation_gives_the_error_of_the_total():
    p, area = np.array([0.0, 0.3, 0.7, 1.0, np.nan]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    shares = known()
    rho, se = shares.shared(p, area), np.nan_to_num(shares.interval(p)[3])
    errors = area * se
    variance = rho * errors.sum() ** 2 + (1 - rho) * (errors**2).sum()
    assert 0 < rho < 1
    assert variance == pytest.approx(shares.total(p, area)[3] ** 2)
    assert shares.shared(np.array([0.5]), np.ones(1)) == 0
    assert shares.common_se(np.array([1.0])) == pytest.approx((0.04 * 1.25) ** 0.5)


def test_a_perfect_map_is_left_as_it_is():
    rng = np.random.default_rng(0)
    p = rng.random((5, 80))
    shares = fit_event_shares(p.ravel(), p.ravel(), np.repeat(np.arange(5), 80))
    value, lower, upper, _ = shares.interval(np.array([0.0, 0.25, 0.9]))
    assert value == pytest.approx([0, 0.25, 0.9], abs=1e-3)
    assert (upper - lower < 0.1).all()  # the least variance of a cell: a hundredth


def test_the_coefficients_of_many_events_are_found():
    # alpha .05, beta .9 with a standard deviation of .05 over events (their mean: .05 / 400^.5 = .0025).
    p, t, event = drawn(np.random.default_rng(1), 400)
    found = fit_effects(EventSums.of(p.ravel(), t.ravel(), event.ravel()))
    assert found.mean[1] == pytest.approx(0.9, abs=0.015)
    assert found.between[1, 1] ** 0.5 == pytest.approx(0.05, rel=0.25)
    assert found.within[3] ** 0.5 == pytest.approx(0.03, rel=0.1)  # mixed cells are not cut at 0 or 1


def test_sums_by_event_give_what_cells_give():
    rng = np.random.default_rng(2)
    p, t, event = (part.ravel() for part in drawn(rng, 3))
    sums, each = EventSums.of(p, t, event), rng.normal(0.5, 0.2, (3, 3))
    squares = (t - (each[event] * parts(p)).sum(axis=1)) ** 2
    step = np.digitize(p, (0.02, 0.1, 0.3, 0.7, 0.9, 0.98))
    by_hand = [squares[step == k].mean() for k in range(7)]  # as many cells in each event
    assert sums.own_variance(each, np.zeros((3, 3, 3))) == pytest.approx(by_hand)


@pytest.mark.parametrize("events", [4, 15])
def test_intervals_hold_in_an_event_nobody_has_seen(events):
    inside, totals = [], []
    for seed in range(16):
        rng = np.random.default_rng([seed, events])
        p, t, event = drawn(rng, events + 1)
        shares = fit_event_shares(p[:-1].ravel(), t[:-1].ravel(), event[:-1].ravel())
        _, lower, upper, _ = shares.interval(p[-1])
        inside.append(((lower <= t[-1]) & (t[-1] <= upper)).mean())
        _, low, high, _ = shares.total(p[-1], np.ones(p.shape[1]))
        totals.append(low <= t[-1].sum() <= high)
    assert 0.9 <= np.mean(inside) <= 0.99
    assert np.mean(totals) >= 0.9


def test_two_events_are_the_least_and_say_little():
    p, t, event = drawn(np.random.default_rng(3), 2)
    two = fit_event_shares(p.ravel(), t.ravel(), event.ravel())
    assert two.freedom == 1
    assert two.highest_level == pytest.approx(2 / 3)
    assert two.stretch["0.95"] == (1.0, 1.0, 1.0, 1.0)  # nothing to predict one from the other with
    p, t, event = drawn(np.random.default_rng(3), 20)
    many = fit_event_shares(p.ravel(), t.ravel(), event.ravel())
    assert np.diff(two.interval(0.9)[1:3]) > np.diff(many.interval(0.9)[1:3])
    with pytest.raises(JidoError, match="by events held out, at least 2, not 1: a single one"):
        fit_event_shares(p[0], t[0], event[0])


def test_events_weigh_alike_however_many_cells_they_have():
    p, t, event = drawn(np.random.default_rng(4), 6)
    once = fit_event_shares(p.ravel(), t.ravel(), event.ravel())
    times = np.where(event.ravel() == 0, 5, 1)  # the cells of the first event five times
    more = fit_event_shares(*(np.repeat(part.ravel(), times) for part in (p, t, event)))
    assert more.mean == pytest.approx(once.mean, abs=0.01)


def test_all_dry_events_and_cells_without_a_truth():
    p, t, event = drawn(np.random.default_rng(5), 5)
    p[0], t[0], t[1, :30] = 0, 0, np.nan
    shares = fit_event_shares(p.ravel(), t.ravel(), event.ravel())
    assert shares.cells == 270
    for part in shares.interval(np.linspace(0, 1, 11)):
        assert np.isfinite(part).all()


def test_clumps_are_found_by_patches():
    # Errors are the same in all four cells of a patch: sums vary 4 times as much as those of single cells.
    rng = np.random.default_rng(6)
    p = np.full((8, 400), 0.5)
    patch = np.tile(np.arange(400) // 4, (8, 1))
    t = 0.5 + 0.1 * rng.normal(size=(8, 100)).repeat(4, axis=1)
    event = np.arange(8).repeat(400)
    found = fit_event_shares(p.ravel(), t.clip(0, 1).ravel(), event, patches=patch.ravel())
    assert found.clump == pytest.approx(4, rel=0.02)
    alone = 0.5 + 0.1 * rng.normal(size=(8, 400))
    found = fit_event_shares(p.ravel(), alone.clip(0, 1).ravel(), event, patches=patch.ravel())
    assert found.clump == pytest.approx(1, abs=0.15)
    assert np.isnan(fit_event_shares(p.ravel(), alone.clip(0, 1).ravel(), event).clump)


def test_it_goes_through_json():
    p, t, event = drawn(np.random.default_rng(7), 5)
    shares = fit_event_shares(p.ravel(), t.ravel(), event.ravel(), threshold=0.5)
    back = EventShares.from_dict(json.loads(json.dumps(shares.to_dict(), allow_nan=False)))
    assert back.to_dict() == shares.to_dict()
    for one, two in zip(back.interval(p[0]), shares.interval(p[0]), strict=True):
        np.testing.assert_array_equal(one, two)
    facts = shares.to_dict()
    del facts["within"]
    with pytest.raises(JidoError, match="lacks within: fit it anew"):
        EventShares.from_dict(facts)


def test_what_cannot_be_promised_is_said():
    words = " ".join(known().limits(0.95))
    assert "4 events were held out. So many can promise 0.800 of a new one" in words
    assert "not promised anything" in words


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (
            lambda: known().interval(1.2),
            "A share of a cell is 1.2: give 0..1, and NaN where nothing was seen",
        ),
        (
            lambda: known().interval(0.5, level=0.99),
            "level 0.99 were not looked at: choose of 0.8, 0.9, 0.95",
        ),
        (lambda: fit_event_shares(np.ones(3), np.ones(2), np.ones(3)), "give one of each a cell"),
        (lambda: fit_event_shares(np.array([0.1, 1.1]), np.ones(2), np.arange(2)), "below 0 or above 1"),
        (lambda: fit_event_shares(np.full(2, np.nan), np.ones(2), np.arange(2)), "at least 2, not 0"),
    ],
)
def test_bad_input(ask, says):
    with pytest.raises(JidoError, match=says):
        ask()
