"""The rivals that compare views: BYOL, SimCLR, MoCo v2 and DINO, on the same encoder and the same views."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import normalize

from jido.losses.selfsup import info_nce, nt_xent, self_distillation
from jido.methods.keywords import Share
from jido.methods.pretext import Factory, Pretext, follow, frozen_copy, mlp, rising
from jido.methods.ssmmrl import SSMMRL


class BYOL(SSMMRL):
    """Grill et al. 2020, arXiv 2006.07733: SSMMRL without its fusion branch.

    Differs from the paper: AdamW in place of LARS, small batches.
    """

    def __init__(
        self, factory: Factory, *, hidden: PositiveInt = 512, projected: PositiveInt = 128, tau: Share = 0.99
    ) -> None:
        super().__init__(factory, hidden=hidden, projected=projected, tau=tau, fusion="none", decorrelated=0)


class SimCLR(Pretext):
    """Chen et al. 2020, arXiv 2002.05709. Differs from the paper: batches of hundreds, not thousands.

    Args:
        factory: of the encoder.
        hidden: channels inside the projector.
        projected: channels of what is compared.
        temperature: of the softmax.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        hidden: PositiveInt = 512,
        projected: PositiveInt = 128,
        temperature: PositiveFloat = 0.2,
    ) -> None:
        super().__init__()
        self.encoder, self.temperature = factory(), temperature
        self.project = mlp(self.encoder.out_channels, hidden, projected)

    def forward(self, views: Tensor) -> Tensor:
        """NT-Xent of two views of the same patches."""
        one, other = self.project(self.encoder(views)).float().chunk(2)
        return nt_xent(one, other, temperature=self.temperature)


class MoCo(Pretext):
    """MoCo v2: Chen et al. 2020, arXiv 2003.04297. Both views are queries; one process, so no shuffled BN.

    Args:
        factory: of the encoder.
        hidden: channels inside the projector.
        projected: channels of what is compared.
        temperature: of the softmax.
        tau: share of its weights that the key encoder keeps in a step.
        queue: keys of earlier batches.
    """

    queue: Tensor
    place: Tensor

    def __init__(
        self,
        factory: Factory,
        *,
        hidden: PositiveInt = 512,
        projected: PositiveInt = 128,
        temperature: PositiveFloat = 0.2,
        tau: Share = 0.99,
        queue: PositiveInt = 4096,
    ) -> None:
        super().__init__()
        self.encoder, self.temperature, self.tau = factory(), temperature, tau
        self.project = mlp(self.encoder.out_channels, hidden, projected)
        self.keys = frozen_copy(nn.Sequential(self.encoder, self.project))
        self.register_buffer("queue", normalize(torch.randn(queue, projected), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def forward(self, views: Tensor) -> Tensor:
        """InfoNCE both ways; the keys of this batch enter the queue."""
        queries = self.project(self.encoder(views)).float().chunk(2)
        with torch.no_grad():
            keys = self.keys(views).float().chunk(2)
        said = [
            info_nce(query, key, self.queue.clone(), temperature=self.temperature)
            for query, key in zip(queries, reversed(keys), strict=True)
        ]
        if self.training:
            self._enter(normalize(keys[0], dim=1))
        return (said[0] + said[1]) / 2

    @torch.no_grad()
    def _enter(self, keys: Tensor) -> None:
        places = (self.place + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.place.copy_((self.place + len(keys)) % len(self.queue))

    def follow(self, done: float) -> None:
        """The key encoder follows."""
        follow(self.keys, nn.Sequential(self.encoder, self.project), self.tau)


class DINO(Pretext):
    """Caron et al. 2021, arXiv 2104.14294.

    Differs from the paper: two views and no small crops; the teacher's temperature is the same from the first
    step on, with no warm-up; the last layer learns in the first epoch, too, and the length of its prototypes
    is learned; the projector has one hidden layer with batch normalisation and 1024 prototypes, not two and
    65,536.

    Args:
        factory: of the encoder.
        hidden: channels inside the projector.
        prototypes: outputs of it.
        tau: share of its weights that the teacher keeps in a step, at first; 1 in the end.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's.
        centre_momentum: share of the centre that is kept in a step.
    """

    centre: Tensor

    def __init__(
        self,
        factory: Factory,
        *,
        hidden: PositiveInt = 512,
        prototypes: PositiveInt = 1024,
        tau: Share = 0.99,
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: PositiveFloat = 0.04,
        centre_momentum: Share = 0.9,
    ) -> None:
        super().__init__()
        self.encoder, self.tau = factory(), tau
        self.temperatures, self.centre_momentum = (student_temperature, teacher_temperature), centre_momentum
        self.project = mlp(self.encoder.out_channels, hidden, 128)
        self.prototypes = nn.utils.parametrizations.weight_norm(nn.Linear(128, prototypes, bias=False))
        self.teacher = frozen_copy(nn.Sequential(self.encoder, self.project, _Normalise(), self.prototypes))
        self.register_buffer("centre", torch.zeros(1, prototypes))

    def forward(self, views: Tensor) -> Tensor:
        """Each student view against the teacher's other one."""
        student = self.prototypes(normalize(self.project(self.encoder(views)), dim=1)).float().chunk(2)
        with torch.no_grad():
            said = self.teacher(views).float()
        sharp, sharper = self.temperatures
        losses = [
            self_distillation(one, other, self.centre, student_temperature=sharp, teacher_temperature=sharper)
            for one, other in zip(student, reversed(said.chunk(2)), strict=True)
        ]
        if self.training:
            self.centre.lerp_(said.mean(0, keepdim=True), 1 - self.centre_momentum)
        return (losses[0] + losses[1]) / 2

    def follow(self, done: float) -> None:
        """The teacher follows, ever more slowly."""
        student = nn.Sequential(self.encoder, self.project, _Normalise(), self.prototypes)
        follow(self.teacher, student, rising(self.tau, done))


class _Normalise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return normalize(x, dim=1)
