"""Training: one plain loop, its checkpoints, optimisers, and augmentation of whole batches."""

from jido.train.augment import (
    PaperViews,
    all_symmetries,
    back_from_symmetries,
    dihedral,
    turned_and_shifted,
)
from jido.train.loop import Learner, seeded, train
from jido.train.muon import Muon, muon_and_adamw
from jido.train.schedule import cosine, restarts, triangle
from jido.train.views import ViewSettings, views, without_one

__all__ = [
    "Learner",
    "Muon",
    "PaperViews",
    "ViewSettings",
    "all_symmetries",
    "back_from_symmetries",
    "cosine",
    "dihedral",
    "muon_and_adamw",
    "restarts",
    "seeded",
    "train",
    "triangle",
    "turned_and_shifted",
    "views",
    "without_one",
]
