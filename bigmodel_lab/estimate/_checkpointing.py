"""Activation checkpointing of a model's repeated blocks, as people switch it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

_LIBRARY_SWITCHES = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
"""Names of the Transformers library, the newer first."""
_CONTAINERS = (nn.ModuleList, nn.Sequential)


def checkpoint_blocks(model: nn.Module) -> int:
    """From now on the blocks recompute their activations in the backward pass instead of keeping them.

    A model of the Transformers library is asked to do it itself. Of any other, the blocks are the
    modules of one class that a list or sequence repeats, those with the most weights.

    Args:
        model: Changed in place; names of weights stay.

    Returns:
        How many blocks; 0 where the model repeats none, and then nothing changes.

    >>> checkpoint_blocks(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    2
    """
    blocks = repeated_blocks(model)
    enable = next((getattr(model, name) for name in _LIBRARY_SWITCHES if hasattr(model, name)), None)
    if enable is not None:
        enable()
        return len(blocks)
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    return len(blocks)


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """Modules of one class that lists or sequences of the model repeat: of all such classes, that with the most weights.

    >>> len(repeated_blocks(nn.Sequential(nn.Linear(4, 4), nn.ReLU())))
    0
    """
    inside = [child for module in model.modules() if isinstance(module, _CONTAINERS) for child in module.children()]
    counts = Counter(type(child) for child in inside)
    groups = [[c for c in inside if type(c) is kind] for kind, count in counts.items() if count > 1]
    groups = [group for group in groups if _weights(group)]
    return max(groups, key=_weights, default=[])


def _weights(blocks: list[nn.Module]) -> int:
    return sum(parameter.numel() for block in blocks for parameter in block.parameters())


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
