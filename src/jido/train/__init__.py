"""Training: one plain loop, its checkpoints, and augmentation of whole batches."""

from jido.train.augment import dihedral
from jido.train.loop import Learner, seeded, train

__all__ = ["Learner", "dihedral", "seeded", "train"]
