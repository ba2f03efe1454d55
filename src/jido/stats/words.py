"""How figures are put in words."""

from __future__ import annotations

from jido.stats.intervals import Figure

NAMES = {
    "oa": "Overall accuracy",
    "kappa": "Cohen's kappa",
    "f1_macro": "Macro F1",
    "mcc": "Matthews' correlation",
    "oa_u": "OAu (among built classes)",
    "oa_bu": "OAbu (built against natural)",
    "oa_w": "OAw (weighted by similarity)",
    "iou": "IoU of the target",
    "precision": "Precision",
    "recall": "Recall",
    "fn_tp": "FN / TP",
    "fp_tp": "FP / TP",
    "pr_auc": "Area under precision and recall",
    "cell_f1": "F1 of cells",
}


def text(figure: Figure, *, digits: int = 3) -> str:
    """``0.712 [0.655, 0.764]``, without brackets where no interval is claimed, ``–`` if not defined."""
    value, lower, upper = figure["value"], figure["lower"], figure["upper"]
    if value is None:
        return "–"
    if lower is None or upper is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"
