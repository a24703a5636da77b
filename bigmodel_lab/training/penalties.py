"""L1 and L2: a price on large weights, so that the model does not bend itself around single samples.

Source: D0 (000_7729297fffeb390e), section 9.1. L1, the sum of |w|, pulls every weight to 0 equally hard, so that
many become very small; L2, the sum of w², pulls large ones harder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def penalty_of(model: nn.Module, l1: float = 0.0, l2: float = 0.0) -> Callable[[], Tensor] | None:
    """What is added to the loss for the sake of small weights.

    Weights are all trainable parameters, biases as well, as for the ``weight_decay`` of torch's optimizers.
    For plain SGD ``l2=λ`` is the same as ``weight_decay=2λ``; for Adam it is not, as Adam scales the gradient.

    Args:
        model: With those parameters frozen that shall not learn.
        l1: Price of ``sum(|w|)``, from 0.
        l2: Price of ``sum(w²)``, from 0.

    Returns:
        Computes the penalty of the present weights, a scalar with gradient; None where both prices are 0.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, -3.0)
    >>> penalty = penalty_of(model, l1=0.5, l2=0.1)
    >>> round(penalty().item(), 4)  # 0.5 · 6 + 0.1 · 18
    4.8
    """
    if not l1 and not l2:
        return None
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return lambda: _price(weights, l1, l2)


def _price(weights: Sequence[Tensor], l1: float, l2: float) -> Tensor:
    parts = []
    if l1:
        parts.append(l1 * torch.stack([weight.abs().sum() for weight in weights]).sum())
    if l2:
        parts.append(l2 * torch.stack([weight.square().sum() for weight in weights]).sum())
    return torch.stack(parts).sum()
