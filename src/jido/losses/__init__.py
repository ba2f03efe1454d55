"""Losses: one Module each, their terms as pure functions; logits and targets in, a scalar out."""

from jido.losses.segmentation import (
    BCEIoULoss,
    BCELoss,
    FocalTverskyLoss,
    OHEMBCELoss,
    PosWeightBCELoss,
    SoftIoULoss,
)

LOSSES = {
    "bce": BCELoss,
    "soft_iou": SoftIoULoss,
    "focal_tversky": FocalTverskyLoss,
    "bce_iou": BCEIoULoss,
    "pos_weight_bce": PosWeightBCELoss,
    "ohem_bce": OHEMBCELoss,
}
"""Name in a config -> the loss."""

__all__ = [
    "LOSSES",
    "BCEIoULoss",
    "BCELoss",
    "FocalTverskyLoss",
    "OHEMBCELoss",
    "PosWeightBCELoss",
    "SoftIoULoss",
]
