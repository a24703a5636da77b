"""Activation checkpointing of a model's modules, switched on and off as people do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text

EVERY_BLOCK = ("*",)
"""Stands for every block that a model repeats."""
_LIBRARY_SWITCHES = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
"""Names of the Transformers library, the newer first."""
_LIBRARY_SWITCHES_OFF = ("activation_checkpointing_disable", "gradient_checkpointing_disable")
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
    enable = _library_switch(model, _LIBRARY_SWITCHES)
    if enable is not None:
        enable()
        return len(blocks)
    for block in blocks:
        _recompute(block)
    return len(blocks)


def checkpoint_modules(model: nn.Module, names: Sequence[str]) -> int:
    """From now on these modules recompute their activations, and no others.

    Args:
        model: Changed in place; names of weights stay, and what is computed stays the same to the bit.
        names: Dotted names; :data:`EVERY_BLOCK` for every repeated block; none switches all off.

    Returns:
        How many modules.

    Raises:
        UnknownNameError: The model has no module of this name.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    >>> checkpoint_modules(model, ("0",)), checkpoint_modules(model, ())
    (1, 0)
    """
    keep_activations(model)
    if tuple(names) == EVERY_BLOCK:
        return checkpoint_blocks(model)
    known = dict(model.named_modules())
    for name in names:
        if name not in known:
            raise UnknownNameError(text("checkpointing.kind", "module"), name, known)
        _recompute(known[name])
    return len(names)


def keep_activations(model: nn.Module) -> None:
    """Undo whatever was switched on here: every module keeps its activations again.

    Args:
        model: Changed in place.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    >>> _ = checkpoint_blocks(model)
    >>> keep_activations(model)
    >>> "forward" in vars(model[0])
    False
    """
    disable = _library_switch(model, _LIBRARY_SWITCHES_OFF)
    if disable is not None:
        disable()
    for module in model.modules():
        own = vars(module).get("forward")
        if isinstance(own, partial) and own.func is _recomputed:
            del module.forward


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


def _library_switch(model: nn.Module, names: Sequence[str]) -> Callable[[], object] | None:
    return next((getattr(model, name) for name in names if hasattr(model, name)), None)


def _weights(blocks: list[nn.Module]) -> int:
    return sum(parameter.numel() for block in blocks for parameter in block.parameters())


def _recompute(module: nn.Module) -> None:
    norms = tuple(part for part in module.modules() if isinstance(part, _BatchNorm))
    module.forward = partial(_recomputed, module.forward, norms)


def _recomputed(forward: Callable[..., Any], norms: tuple[_BatchNorm, ...], *args: Any, **kwargs: Any) -> Any:
    contexts = partial(_contexts, norms)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def _contexts(norms: tuple[_BatchNorm, ...]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the forward pass, and around the same again in the backward pass."""
    return nullcontext(), _without_counting(norms)


@contextmanager
def _without_counting(norms: tuple[_BatchNorm, ...]) -> Iterator[None]:
    """Batch norms do not count the batch a second time.

    Both passes must save the same tensors, so the running statistics take part, with a weight of 0 for the batch.
    """
    were = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms if norm.track_running_stats]
    counts = [None if count is None else count.clone() for _, _, count in were]
    for norm, _, _ in were:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for (norm, momentum, tracked), count in zip(were, counts, strict=True):
            norm.momentum = momentum
            if tracked is not None and count is not None:
                tracked.copy_(count)
