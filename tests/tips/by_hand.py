"""The same steps as people write them in plain PyTorch, on a simulated card."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab._virtual_gpu import VirtualGpu

SAMPLES = 64
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
Forward = Callable[[nn.Module, Tensor], Tensor]


def adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """With the defaults of torch."""
    return torch.optim.Adam(parameters, lr=1e-3)


def as_it_is(model: nn.Module, images: Tensor) -> Tensor:
    """The plain forward pass."""
    scores: Tensor = model(images)
    return scores


def training_peak(
    model: nn.Module,
    *,
    micro_batch_size: int = SAMPLES,
    optimizer: MakeOptimizer = adam,
    forward: Forward = as_it_is,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> int:
    """Highest allocated bytes of two optimizer steps over 64 images each.

    Args:
        model: What is trained.
        micro_batch_size: Images of one forward pass; what is missing is accumulated.
        optimizer: Made of the parameters.
        forward: Maps (model, images) to scores.
        around: A context for the forward pass, such as autocast.
    """
    with VirtualGpu("2GiB") as gpu:
        made = optimizer(list(model.parameters()))
        gpu.adopt(model, made)
        for _ in range(2):
            for start in range(0, SAMPLES, micro_batch_size):
                count = min(micro_batch_size, SAMPLES - start)
                with around():
                    scores = forward(model, torch.rand(count, 1, 28, 28))
                    loss = nn.functional.cross_entropy(scores, torch.arange(count) % 10) * count / SAMPLES
                loss.backward()
            made.step()
            made.zero_grad()
    return gpu.peak_allocated_bytes


def answering_peak(model: nn.Module, *, samples: int = SAMPLES, forward: Forward = as_it_is) -> int:
    """Highest allocated bytes of a forward pass that keeps nothing for a backward pass.

    Args:
        model: Answers.
        samples: Images at once.
        forward: Maps (model, images) to scores.
    """
    with VirtualGpu("2GiB") as gpu, torch.no_grad():
        gpu.adopt(model)
        forward(model, torch.rand(samples, 1, 28, 28))
    return gpu.peak_allocated_bytes
