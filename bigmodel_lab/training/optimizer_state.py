"""The state of an optimizer, taken over: each tensor where a new optimizer with these settings would have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_COUNTS = frozenset(("step", "mu_product", "eta", "mu"))
"""States that torch.optim keeps as one number for each parameter, beside those in the shape of the parameter."""
_STEPS_WITH_SCALE = "_step_supports_amp_scaling"
"""By this attribute of an optimizer ``torch.amp.GradScaler`` leaves the unscaling to its kernel."""


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """As ``optimizer.load_state_dict(state)``, and the optimizer is then as if it had been made with these settings.

    torch moves counts of steps to the card for ``fused`` and ``capturable``, and leaves them there when they are
    switched off; all other numbers it moves to the card, in the format of the weights. A count on the card where the host
    reads it costs a synchronisation for each parameter and step. Source: ``Optimizer.load_state_dict`` and
    ``_init_group`` of each class of torch.optim.

    Args:
        optimizer: Of ``torch.optim``; changed in place.
        state: As ``state_dict()`` gives it. The optimizer takes over what lies where it belongs.

    >>> weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    >>> weight.grad = torch.zeros_like(weight)
    >>> optimizer = torch.optim.NAdam([weight])
    >>> optimizer.step()
    >>> load_optimizer_state(optimizer, optimizer.state_dict())
    >>> optimizer.state[weight]["mu_product"].dtype
    torch.float32
    """
    optimizer.load_state_dict(dict(state))
    kept = state["state"]
    numbers = (number for group in state["param_groups"] for number in group["params"])
    owners = ((parameter, group) for group in optimizer.param_groups for parameter in group["params"])
    for number, (parameter, group) in zip(numbers, owners, strict=True):
        counts = {name: value for name, value in kept.get(number, {}).items() if name in _COUNTS}
        for name, value in counts.items():
            if isinstance(value, Tensor):
                optimizer.state[parameter][name] = _placed(value, parameter, optimizer, group)
    _tell_the_scaler(optimizer)


def _placed(value: Tensor, parameter: Tensor, optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> Tensor:
    """A count where this group's kernels read it, in the format that they take."""
    is_fused = bool(group.get("fused"))
    on_the_card = is_fused or bool(group.get("capturable")) or isinstance(optimizer, torch.optim.ASGD)
    wide = torch.get_default_dtype() == torch.float64 and not is_fused  # _get_scalar_dtype of torch.optim.optimizer
    return value.to(parameter.device if on_the_card else "cpu", torch.float64 if wide else torch.float32)


def _tell_the_scaler(optimizer: torch.optim.Optimizer) -> None:
    """A scaler gives its scale to fused kernels alone: others would step with gradients that are still scaled."""
    if any(group.get("fused") for group in optimizer.param_groups):
        setattr(optimizer, _STEPS_WITH_SCALE, True)
    elif hasattr(optimizer, _STEPS_WITH_SCALE):
        delattr(optimizer, _STEPS_WITH_SCALE)
