"""The rivals that hide parts of one view: MAE and data2vec, on the small vision transformer."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from jido.errors import ModelError
from jido.losses.selfsup import masked_error, masked_smooth_l1
from jido.methods.keywords import Share
from jido.methods.pretext import Factory, Pretext, follow, frozen_copy, rising
from jido.nets.encoders import Layers, TokenEncoder, whole_tokens


class MAE(Pretext):
    """He et al. 2022, arXiv 2111.06377. Only what is seen goes through the encoder.

    Differs from the paper: both views of a patch are encoded, each as an image of its own, so an epoch costs
    two passes; views are those of all methods here, in the paper images are cropped and mirrored alone; the
    vector of a patch is the mean of its tokens, and there is no class token; places of tokens are learned,
    where the paper has fixed sines; the decoder has 2 layers, not 8, and is narrower.

    Args:
        factory: of a :class:`~jido.nets.encoders.TokenEncoder`.
        hidden_share: of the tokens that are hidden, one at least.
        width: of the decoder, a multiple of 32.
        depth: of the decoder.

    Raises:
        ModelError: when of so few tokens none would be hidden.
    """

    encoder: TokenEncoder

    def __init__(
        self,
        factory: Factory,
        *,
        hidden_share: Annotated[float, Field(gt=0, lt=1)] = 0.75,
        width: Annotated[int, Field(gt=0, multiple_of=32)] = 96,
        depth: PositiveInt = 2,
    ) -> None:
        super().__init__()
        self.encoder, self.hidden_share = factory(), hidden_share  # type: ignore[assignment]
        encoder = self.encoder
        n = encoder.place.shape[2:].numel()
        if not int(hidden_share * n):
            raise ModelError(
                f"A hidden_share of {hidden_share:g} hides none of the {n} tokens of a patch: give a larger "
                "one, or smaller tokens."
            )
        self.blank = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.bring = nn.Linear(encoder.out_channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, n, width))
        self.decoder = Layers(width, depth)
        self.pixels = nn.Linear(width, encoder.embed.in_channels * encoder.token**2)

    def forward(self, views: Tensor) -> Tensor:
        """Error of the hidden tokens, each normalised; both views are patches of their own."""
        tokens = self.encoder.tokens(views)
        batch, n, _ = tokens.shape
        order = torch.rand(batch, n, device=views.device).argsort(1)
        kept = order[:, : n - int(self.hidden_share * n)]
        seen = self.encoder.layers(_picked(tokens, kept))
        whole = self.blank.expand(batch, n, -1).scatter(
            1, kept[:, :, None].expand(-1, -1, self.blank.shape[2]), self.bring(seen).to(self.blank.dtype)
        )
        said = self.pixels(self.decoder(whole + self.place)).float()
        true = patches_of(whole_tokens(views, self.encoder.token), self.encoder.token)
        true = (true - true.mean(2, keepdim=True)) / (true.std(2, keepdim=True) + 1e-3)
        hidden = torch.ones(batch, n, dtype=torch.bool, device=views.device).scatter(1, kept, False)
        return masked_error(said, true, hidden)


def _picked(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


def patches_of(images: Tensor, side: int) -> Tensor:
    """Pixels (B, n, C * side * side) of the tokens of images (B, C, H, W)."""
    return nn.functional.unfold(images, side, stride=side).transpose(1, 2)


class Data2Vec(Pretext):
    """Baevski et al. 2022, arXiv 2202.03555: the mean of a teacher's last layers at hidden tokens.

    Differs from the paper: hidden tokens are drawn one by one, not in blocks; both views of a patch are
    learned from, each as an image of its own that student and teacher see, so an epoch costs two passes of
    both; the vector of a patch is the mean of its tokens, and there is no class token; the teacher follows
    with its embedding of pixels and places, too, which the paper lets it share with the student; its ``tau``
    rises by a cosine over the whole training, not linearly at first.

    Args:
        factory: of a :class:`~jido.nets.encoders.TokenEncoder`.
        hidden_share: of the tokens that are hidden; one is in any case.
        tau: share of its weights that the teacher keeps in a step, at first; 1 in the end.
        layers: of the teacher whose outputs are averaged, from the last; all where it has fewer.
        beta: where the smooth L1 loss becomes linear.
    """

    encoder: TokenEncoder

    def __init__(
        self,
        factory: Factory,
        *,
        hidden_share: Share = 0.6,
        tau: Share = 0.99,
        layers: PositiveInt = 3,
        beta: NonNegativeFloat = 2.0,
    ) -> None:
        super().__init__()
        self.encoder, self.tau = factory(), tau  # type: ignore[assignment]
        self.hidden_share, self.last, self.beta = hidden_share, layers, beta
        width = self.encoder.out_channels
        self.blank = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.predict = nn.Linear(width, width)
        self.teacher = frozen_copy(self.encoder)

    def forward(self, views: Tensor) -> Tensor:
        """Regression of the teacher's vectors at hidden tokens; both views are patches of their own."""
        tokens = self.encoder.tokens(views)
        hidden = torch.rand(tokens.shape[:2], device=views.device) < self.hidden_share
        hidden[:, 0] |= ~hidden.any(1)
        place = self.encoder.place.flatten(2).transpose(1, 2)
        covered = torch.where(hidden[:, :, None], (self.blank + place).to(tokens.dtype), tokens)
        said = self.predict(self.encoder.layers(covered)).float()
        with torch.no_grad():
            true = self._taught(views)
        return masked_smooth_l1(said, true, hidden, beta=self.beta)

    def _taught(self, views: Tensor) -> Tensor:
        teacher: TokenEncoder = self.teacher  # type: ignore[assignment]
        x, outputs = teacher.tokens(views), []
        for layer in teacher.layers.layers:
            x = layer(x)
            outputs.append(nn.functional.layer_norm(x.float(), x.shape[-1:]))
        return torch.stack(outputs[-self.last :]).mean(0)

    def follow(self, done: float) -> None:
        """The teacher follows, ever more slowly."""
        follow(self.teacher, self.encoder, rising(self.tau, done))
