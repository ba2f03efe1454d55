"""Where in an image a scene net saw its class, and what its attention let through. Nets stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from jido.nets.attention import CBAM, Balanced, CoordAtt
from jido.nets.scene import SceneNet

LEAST = 4
"""Pixels a side that an attention map has at least, where the net has such."""


def grad_cam(net: SceneNet, images: Tensor, classes: Tensor) -> Tensor:
    """Where the features speak for a class: Grad-CAM (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74).

    The channels of ``net.features`` are summed with the mean slope of the class's logit as their weights;
    what is below 0 speaks for other classes and becomes 0.

    Args:
        net: in whatever state; it is looked at in evaluation, in float32.
        images: (B, C, H, W), normalised, on any device.
        classes: (B,) place of the class that is asked for, one per image.

    Returns:
        (B, H, W) float32 on the device of the net, 0..1: each map is divided by its own highest value.
        All 0 where nothing speaks for the class.
    """
    images, classes = (part.to(next(net.parameters()).device) for part in (images, classes))
    kept: list[Tensor] = []
    with _looking(net, [net.features], lambda _, out: kept.append(out)):
        net(images)
        features = kept[0].detach().requires_grad_()
        with torch.enable_grad():
            chosen = net.head(features).gather(1, classes[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, features)
    maps = (slope.mean((2, 3), keepdim=True) * features.detach()).sum(1, keepdim=True).relu()
    maps = _as_large(maps, images)
    highest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(highest > 0, highest, 1)


def attention_map(net: SceneNet, images: Tensor) -> Tensor | None:
    """Share of its input that attention lets through at each place, the mean over channels.

    That of the last attention modules with a map of :data:`LEAST` pixels or more; where several have maps
    of one size, the mean over them. Squeeze-excitation alone weighs channels and has no map.

    Args:
        net: in whatever state; it is looked at in evaluation, in float32.
        images: (B, C, H, W), normalised, on any device.

    Returns:
        (B, H, W) float32 on the device of the net, 0..1; ``None`` for nets without such attention.
    """
    placed = [module for module in net.modules() if isinstance(module, Balanced | CBAM | CoordAtt)]
    inner = {id(part) for module in placed for part in module.modules() if part is not module}
    outer = [module for module in placed if id(module) not in inner]
    if not outer:
        return None
    found: list[Tensor] = []

    def share(given: Tensor, out: Tensor) -> None:
        ratio = torch.where(given != 0, out.abs() / given.abs(), torch.nan)
        found.append(ratio.nanmean(1, keepdim=True))

    with _looking(net, outer, share):
        net(images.to(next(net.parameters()).device))
    large = [one for one in found if min(one.shape[2:]) >= LEAST] or found
    last = [one for one in large if one.shape == large[-1].shape]
    return _as_large(torch.stack(last).nanmean(0).nan_to_num(0.0), images)


def _as_large(maps: Tensor, images: Tensor) -> Tensor:
    """Maps (B, 1, h, w) at the size of the images: (B, H, W)."""
    size = (images.shape[2], images.shape[3])
    return nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)[:, 0]


@contextmanager
def _looking(
    net: nn.Module, modules: Sequence[nn.Module], see: Callable[[Tensor, Tensor], object]
) -> Iterator[None]:
    """Inside, ``see`` is told input and output of modules; the net is in evaluation, without gradients."""

    def told(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        see(given[0], out)

    modes = {module: module.training for module in net.modules()}
    hooks = [module.register_forward_hook(told) for module in modules]
    try:
        net.eval()
        with torch.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
