"""A batch as shapes and types: whatever tree of tensors a loop hands to its step."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text

_MOST_BATCHES = 10_000
"""A loader is read up to here when its largest batch is looked for; an endless one would never end."""


def shapes_of(batch: Any) -> Any:
    """The same tree on the meta device; of a loader, its largest batch.

    Args:
        batch: A tree (dict, list, tuple) of tensors on any device, or a loader: anything else that gives such trees in turn.

    Raises:
        ConfigError: There is no tensor in it.

    >>> batch = shapes_of([(torch.ones(2, 3), torch.ones(2)), (torch.ones(4, 3), torch.ones(4))])
    >>> batch[0].shape, batch[0].device.type
    (torch.Size([4, 3]), 'meta')
    """
    chosen = as_tree(_largest(batch) if is_loader(batch) else batch)
    if not _tensors(chosen):
        raise ConfigError(
            text(
                "error.estimate_batch",
                "The batch is {kind} without a tensor. Give the batch that one step gets: a tensor, or a dict, list or "
                "tuple of tensors (torch.empty(..., device='meta') suffices), or the loader.",
                kind=type(batch).__name__,
            )
        )
    return tree_map_only(Tensor, _shape_of, chosen)


def _shape_of(tensor: Tensor) -> Tensor:
    made = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    return made.requires_grad_(tensor.requires_grad)


def samples_of(batch: Any) -> int:
    """Length of dimension 0, which every tensor with a dimension shares.

    Raises:
        ConfigError: The tensors differ in it, or none has a dimension.

    >>> samples_of({"x": torch.ones(8, 3), "y": torch.ones(8)})
    8
    """
    lengths = sorted({t.shape[0] for t in _tensors(batch) if t.dim()})
    if len(lengths) != 1:
        raise ConfigError(
            text(
                "error.estimate_dimension_0",
                "Dimension 0 of every tensor of the batch counts the samples, but here it is {lengths}. "
                "Put what does not belong to a sample into the model or the step.",
                lengths=", ".join(map(str, lengths)) or "missing",
            )
        )
    return lengths[0]


def resized(batch: Any, samples: int) -> Any:
    """The batch with another number of samples, on the meta device.

    Args:
        batch: As :func:`shapes_of` gives it.
        samples: New length of dimension 0, from 1.

    >>> resized(torch.empty(8, 3, device="meta"), 2).shape
    torch.Size([2, 3])
    """

    def one(tensor: Tensor) -> Tensor:
        if not tensor.dim():
            return tensor
        shape = (samples, *tensor.shape[1:])
        made = torch.empty_strided(shape, _strides(shape, tensor), dtype=tensor.dtype, device="meta")
        return made.requires_grad_(tensor.requires_grad)

    return batch if samples == samples_of(batch) else tree_map_only(Tensor, one, batch)


def _strides(shape: tuple[int, ...], like: Tensor) -> tuple[int, ...]:
    """Without gaps, in the order of another tensor's: channels last stay last."""
    strides = [1] * len(shape)
    step = 1
    for dimension in sorted(range(len(shape)), key=lambda d: (like.stride(d), -d)):
        strides[dimension] = step
        step *= shape[dimension]
    return tuple(strides)


def bytes_of(batch: Any) -> int:
    """Bytes of all tensors of the batch."""
    return sum(t.numel() * t.element_size() for t in _tensors(batch))


def is_loader(batch: Any) -> bool:
    """It gives batches in turn, and is none itself. A list of trees is a loader, too; a list of tensors is a batch.

    >>> is_loader([(torch.ones(2, 3), torch.ones(2))]), is_loader((torch.ones(2, 3), torch.ones(2)))
    (True, False)
    """
    if isinstance(batch, Tensor | Mapping | str | tuple):
        return False
    if isinstance(batch, list):
        return bool(batch) and not any(isinstance(item, Tensor) for item in batch) and bool(_tensors(batch))
    return isinstance(batch, Iterable)


def _largest(batches: Iterable[Any]) -> Any:
    found, most = None, -1
    for number, batch in enumerate(batches):
        if number >= _MOST_BATCHES:
            break
        if (size := bytes_of(batch)) > most:
            found, most = batch, size
    return found


def as_tree(batch: Any) -> Any:
    """The batch as a tree that torch knows: the ``BatchEncoding`` of Transformers' collators is a dict in another dress.

    >>> from collections import UserDict
    >>> as_tree(UserDict(x=1)), as_tree([2])
    ({'x': 1}, [2])
    """
    return dict(batch) if isinstance(batch, UserDict) else batch


def _tensors(batch: Any) -> list[Tensor]:
    leaves = tree_leaves(as_tree(batch))
    dressed = [
        tensor for leaf in leaves if isinstance(leaf, UserDict) for tensor in _tensors(leaf)
    ]  # in a list of batches
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)] + dressed
