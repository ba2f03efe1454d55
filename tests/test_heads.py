"""Outputs of a net with error heads as one score."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.nets.heads import moved, target_score  # noqa: E402


def logits(*probabilities: float):
    """(1, K, 1, 1)."""
    return torch.tensor(probabilities, dtype=torch.float64).logit()[None, :, None, None]


@pytest.mark.parametrize(
    ("heads", "combine", "given", "score"),
    [
        ((), "union", (0.3,), 0.3),
        (("error",), "union", (0.3, 0.8), 0.8),
        (("error",), "mean", (0.3, 0.8), 0.55),
        (("error",), "target", (0.3, 0.8), 0.3),
        (("missed",), "signed", (0.3, 0.4), 0.7),
        (("missed",), "signed", (0.8, 0.4), 1.0),
        (("false_alarm",), "signed", (0.7, 0.4), 0.3),
        (("false_alarm",), "signed", (0.2, 0.4), 0.0),
        (("missed", "false_alarm"), "signed", (0.5, 0.3, 0.2), 0.6),
    ],
)
def test_scores_by_hand(heads, combine: str, given, score: float):
    assert target_score(logits(*given), heads, combine).item() == pytest.approx(score, abs=1e-6)


def test_a_threshold_on_the_highest_output_is_the_union_of_the_masks():
    values = torch.randn(2, 2, 8, 8)
    union = (values.sigmoid() >= 0.3).any(dim=1)
    assert torch.equal(target_score(values, ("error",)) >= 0.3, union)


def test_what_has_no_sign_is_refused():
    with pytest.raises(ValueError, match="no sign"):
        target_score(logits(0.5, 0.5), ("error",), "signed")


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.9])
def test_a_moved_score_is_above_a_half_where_it_was_above_the_threshold(threshold: float):
    score = torch.linspace(0, 1, 201, dtype=torch.float64)
    found = moved(score, threshold)
    assert torch.equal(found > 0.5, score > threshold + 1e-12) or threshold == 0.5
    assert (found[0], found[-1]) == (0, 1)
    assert (found.diff() > 0).all()
    assert moved(torch.tensor([threshold], dtype=torch.float64), threshold).item() == pytest.approx(0.5)
