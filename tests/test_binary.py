"""Figures of a target against everything else: known answers, ends, thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jido.stats.binary import (
    BINS,
    average_precision,
    average_precision_figure,
    best_threshold,
    binary_figures,
    binary_summary,
    counts_at,
    score_histogram,
)


def scored(n: int = 4_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores in the middle of their steps, so that a histogram loses nothing, and a truth they know of."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.1
    score = np.clip(rng.normal(0.3 + 0.3 * truth, 0.15), 0, 0.999)
    return (np.floor(score * BINS) + 0.5) / BINS, truth


def test_figures_by_hand():
    found = {name: float(value) for name, value in binary_summary(np.array([6, 2, 4, 88])).items()}
    assert found == pytest.approx(
        {"iou": 0.5, "precision": 0.75, "recall": 0.6, "fn_tp": 4 / 6, "fp_tp": 1 / 3}
    )


@pytest.mark.parametrize(
    ("counts", "name", "value"),
    [
        ((0, 0, 0, 9), "iou", np.nan),
        ((0, 0, 0, 9), "fn_tp", np.nan),
        ((0, 3, 0, 6), "fp_tp", np.inf),
        ((0, 0, 3, 6), "fn_tp", np.inf),
        ((0, 0, 3, 6), "precision", np.nan),
    ],
)
def test_what_nothing_speaks_of_is_nan_and_a_ratio_to_no_hit_infinite(counts, name: str, value: float):
    assert np.array_equal(binary_summary(np.array(counts))[name], value, equal_nan=True)


def test_intervals_hold_the_value_and_ratios_may_exceed_one():
    rng = np.random.default_rng(0)
    counts = np.column_stack([rng.integers(20, 60, (30, 3)), np.full(30, 900)])
    found = binary_figures(counts)
    for figure in found.values():
        assert figure["lower"] < figure["value"] < figure["upper"]
    assert binary_figures(counts * [1, 1, 4, 1])["fn_tp"]["upper"] > 1


def test_few_groups_claim_no_interval():
    assert binary_figures(np.array([[6, 2, 4, 88]] * 4))["iou"]["lower"] is None


def test_a_figure_without_value_is_none():
    assert binary_figures(np.array([[0, 0, 0, 9]] * 6))["iou"] == {
        "value": None,
        "lower": None,
        "upper": None,
    }


@pytest.mark.parametrize("threshold", [0.001, 0.25, 0.5, 0.999])
def test_counts_at_a_threshold_are_those_of_the_pixels(threshold: float):
    score, truth = scored()
    said = score >= threshold
    expected = [(said & truth).sum(), (said & ~truth).sum(), (~said & truth).sum(), (~said & ~truth).sum()]
    assert counts_at(score_histogram(score, truth), threshold).tolist() == expected


def test_a_score_of_one_counts():
    assert score_histogram(np.ones(3), np.ones(3, dtype=bool))[1, -1] == 3


def test_average_precision_is_that_of_scikit_learn():
    score, truth = scored()
    assert average_precision(score_histogram(score, truth)) == pytest.approx(
        average_precision_score(truth, score), abs=1e-9
    )


def test_average_precision_of_the_degenerate():
    truth = np.array([True, False])
    assert average_precision(score_histogram(np.array([0.9, 0.1]), truth)) == 1
    assert average_precision(score_histogram(np.array([0.5, 0.5]), truth)) == 0.5
    assert np.isnan(average_precision(score_histogram(np.array([0.5, 0.5]), ~truth & ~truth & False)))


def test_the_curve_has_an_interval_over_groups():
    found = average_precision_figure(np.array([score_histogram(*scored(seed=seed)) for seed in range(8)]))
    assert 0 < found["lower"] < found["value"] < found["upper"] < 1


def test_the_best_threshold_is_the_best_of_all():
    histogram = score_histogram(*scored())
    ious = [binary_summary(counts_at(histogram, step / BINS))["iou"] for step in range(1, BINS)]
    found = best_threshold(histogram)
    assert binary_summary(counts_at(histogram, found))["iou"] == max(ious)


@pytest.mark.parametrize("recall", [0.5, 0.9, 1.0])
def test_a_stated_recall_is_reached_with_the_highest_threshold(recall: float):
    histogram = score_histogram(*scored())
    found = best_threshold(histogram, recall=recall)
    assert binary_summary(counts_at(histogram, found))["recall"] >= recall
    assert binary_summary(counts_at(histogram, found + 1 / BINS))["recall"] < recall


def test_without_target_the_threshold_stays_in_the_middle():
    assert best_threshold(score_histogram(np.array([0.2, 0.8]), np.zeros(2, dtype=bool))) == 0.5
