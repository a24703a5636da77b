"""One step of each optimizer, and what is done to gradients before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.operator_sweep.case import Operator, in_formats

_KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "SGD momentum": partial(torch.optim.SGD, momentum=0.9),
    "SGD nesterov decay": partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.1),
    "SGD fused": partial(torch.optim.SGD, momentum=0.9, fused=True),
    "Adam": torch.optim.Adam,
    "Adam decay": partial(torch.optim.Adam, weight_decay=0.1),
    "Adam amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "Adam loop": partial(torch.optim.Adam, foreach=False),
    "Adam fused": partial(torch.optim.Adam, fused=True),
    "Adam capturable": partial(torch.optim.Adam, capturable=True),
    "AdamW": torch.optim.AdamW,
    "AdamW loop": partial(torch.optim.AdamW, foreach=False),
    "AdamW fused": partial(torch.optim.AdamW, fused=True),
    "RMSprop": torch.optim.RMSprop,
    "RMSprop centered": partial(torch.optim.RMSprop, centered=True, momentum=0.9),
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adafactor": torch.optim.Adafactor,
    "Adafactor lists": partial(torch.optim.Adafactor, foreach=True),
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "ASGD": torch.optim.ASGD,
    "Rprop": torch.optim.Rprop,
}


def operators() -> Iterator[Operator]:
    """Every case."""
    yield from in_formats([_update(name, make) for name, make in _KINDS.items()], "fp32", "bf16")
    muon = Operator("step Muon", partial(_stepped, torch.optim.Muon), (), partial(_weights, ((512, 512), (128, 512))))
    yield from in_formats([muon], "fp32", "bf16")
    clips: dict[str, Callable[[Any], Any]] = {
        "clip_grad_norm_": lambda weights: nn.utils.clip_grad_norm_(weights, 1.0),
        "clip_grad_norm_ loop": lambda weights: nn.utils.clip_grad_norm_(weights, 1.0, foreach=False),
        "clip_grad_norm_ largest": lambda weights: nn.utils.clip_grad_norm_(weights, 1.0, norm_type=float("inf")),
        "clip_grad_value_": lambda weights: nn.utils.clip_grad_value_(weights, 1.0),
    }
    clipping = [Operator(name, partial(_clipped, clip), (), _model) for name, clip in clips.items()]
    yield from in_formats(clipping, "fp32", "bf16")
    yield Operator("GradScaler", _scaled, (), _model)


class _Weights(nn.Module):
    """Only weights."""

    def __init__(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)


def _weights(shapes: tuple[tuple[int, ...], ...]) -> nn.Module:
    return _Weights(shapes)


def _model() -> nn.Module:
    return _weights(((512, 512), (512,), (1000, 300), (64, 32, 3, 3), (7,)))


def _update(name: str, make: Callable[..., torch.optim.Optimizer]) -> Operator:
    return Operator(f"step {name}", partial(_stepped, make), (), _model)


def _gradients(model: nn.Module) -> list[nn.Parameter]:
    weights = list(model.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    return weights


def _stepped(make: Callable[..., torch.optim.Optimizer], model: nn.Module) -> None:
    optimizer = make(_gradients(model), lr=0.1)
    if optimizer.defaults.get("foreach", False) is None and not optimizer.defaults.get("fused"):
        optimizer.param_groups[0]["foreach"] = True  # as torch itself chooses on CUDA
    optimizer.step()
    optimizer.step()


def _clipped(clip: Callable[[Any], Any], model: nn.Module) -> Any:
    return clip(_gradients(model))


def _scaled(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(_gradients(model), lr=0.1, foreach=True)
    scaler = torch.amp.GradScaler(next(model.parameters()).device.type)
    scaler.scale(torch.ones((), device=next(model.parameters()).device))
    scaler.unscale_(optimizer)
