"""What the layers of a model give out, found without a number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The model, without a number."""
    with torch.device("meta"):
        return build()


def weights(model: nn.Module) -> int:
    """How many there are."""
    return sum(weight.numel() for weight in model.parameters())


def outputs(model: nn.Module, *inputs: Tensor, of: type[nn.Module] | tuple[type[nn.Module], ...]) -> list[Shape]:
    """Shapes that the layers of these types give out in one forward pass, in order."""
    found: list[Shape] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, out: found.append(tuple(out.shape)))
        for layer in model.modules()
        if isinstance(layer, of)
    ]
    model(*inputs)
    for hook in hooks:
        hook.remove()
    return found


def kept_bytes(loss: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, parameters left out, each memory once."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not isinstance(tensor._base, nn.Parameter):
            alive.append(tensor)  # so that no two of them get the same number
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss()
    return sum(kept.values())


def images(samples: int, side: int) -> Tensor:
    """Square colour images without a number."""
    return torch.empty(samples, 3, side, side, device="meta")
