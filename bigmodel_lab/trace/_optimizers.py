"""Which optimizers work on lists of tensors on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

_NAMES = ("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
_BY_LISTS = tuple(getattr(torch.optim, name) for name in _NAMES)
"""Adafactor does it only when told to, Muon and L-BFGS never."""


def takes_lists(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """On CUDA this group is stepped by lists of tensors, though nobody said so; on a CPU it is not.

    By ``_default_to_fused_or_foreach`` of torch.optim.optimizer, and by where adam.py calls it: the temporaries of
    all parameters are needed at once then.

    Args:
        optimizer: Any.
        group: One of its ``param_groups``.

    >>> optimizer = torch.optim.AdamW([torch.zeros(2, requires_grad=True)])
    >>> takes_lists(optimizer, optimizer.param_groups[0])
    True
    """
    untold = group.get("foreach", False) is None and group.get("fused") is None
    rate_on_the_card = isinstance(group.get("lr"), Tensor) and not group.get("capturable", True)
    return isinstance(optimizer, _BY_LISTS) and untold and not group.get("differentiable") and not rate_on_the_card
