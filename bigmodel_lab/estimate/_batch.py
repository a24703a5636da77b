"""A batch as shapes and types: whatever tree of tensors a loop hands to its step."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._loader import is_loader, largest_of
from bigmodel_lab.estimate._scalable import columns_of, length_of, repeated
from bigmodel_lab.i18n import text
from bigmodel_lab.trace._trees import mapped, tensors_of

__all__ = ["as_tree", "bytes_of", "is_loader", "resized", "samples_in", "samples_of", "shapes_of"]


def shapes_of(batch: Any, note: Callable[[str], object] = lambda _: None) -> Any:
    """The same batch on the meta device; of a loader, its largest among those that a bounded look sees.

    What an object's own ``.to(device)`` leaves on the host, such as the batch sizes of a packed sequence, stays there as it is.

    Args:
        batch: A tree (dict, list, tuple, named tuple, dataclass, an object with tensors inside) of tensors on any device, or a
            loader: anything else that gives such trees in turn.
        note: Gets what of a loader was not looked at, in a sentence.

    Raises:
        ConfigError: There is no tensor in it, or one of a layout that cannot be followed.

    >>> batch = shapes_of([(torch.ones(2, 3), torch.ones(2)), (torch.ones(4, 3), torch.ones(4))])
    >>> batch[0].shape, batch[0].device.type
    (torch.Size([4, 3]), 'meta')
    """
    if is_loader(batch):
        if isinstance(batch, list) and all(length_of(one) is None for one in batch):
            note(_list_of_batches(len(batch)))
        chosen = largest_of(batch, bytes_of, note)
    else:
        chosen = batch
    if not tensors_of(chosen):
        raise ConfigError(
            text(
                "error.estimate_batch",
                "The batch is {kind} without a tensor. Give the batch that one step gets: a tensor, or a dict, list or "
                "tuple of tensors (torch.empty(..., device='meta') suffices), or the loader.",
                kind=type(batch).__name__,
            )
        )
    return mapped(chosen, _without_values, _as_it_moves)


def samples_of(batch: Any) -> int:
    """Length of dimension 0, which every tensor with a dimension shares; else of the lists that hold one item a sample.

    Raises:
        ConfigError: Neither tells how many samples there are.

    >>> samples_of({"x": torch.ones(8, 3), "y": torch.ones(8)})
    8
    >>> samples_of(([torch.ones(3, 8, 8), torch.ones(3, 9, 9)], [{"boxes": torch.ones(1, 4)}, {"boxes": torch.ones(7, 4)}]))
    2
    """
    found = samples_in(batch)
    if found is None:
        raise ConfigError(
            text(
                "error.estimate_dimension_0",
                "Dimension 0 of every tensor of the batch counts the samples, but here it is {lengths}. "
                "Put what does not belong to a sample into the model or the step, or give step=: then the batch is taken as it is.",
                lengths=_lengths(batch),
            )
        )
    return found


def samples_in(batch: Any) -> int | None:
    """As :func:`samples_of`; None where nobody can tell.

    >>> samples_in({"nodes": torch.ones(30, 4), "edges": torch.ones(2, 90)}) is None
    True
    """
    shared = length_of(batch)
    return columns_of(batch) if shared is None else shared


def resized(batch: Any, samples: int) -> Any:
    """The batch with another number of samples, on the meta device.

    Args:
        batch: As :func:`shapes_of` gives it.
        samples: New length of dimension 0, from 1; of lists that hold one item a sample, their length, the items in turn.

    Raises:
        ConfigError: Nobody can say what the batch looks like with another number of samples.

    >>> resized(torch.empty(8, 3, device="meta"), 2).shape
    torch.Size([2, 3])
    """
    present = samples_in(batch)
    if present is None:
        raise ConfigError(
            text(
                "error.estimate_unscalable",
                "The tensors of this batch do not share dimension 0 (it is {lengths}), so nobody can say what it looks like with "
                "{samples} samples. Give a batch of the size that you ask about, and estimate it as it is.",
                lengths=_lengths(batch),
                samples=samples,
            )
        )
    if samples == present:
        return batch
    if length_of(batch) is None:
        return repeated(batch, present, samples, _of_length)
    return mapped(batch, lambda tensor: _of_length(tensor, samples))


def bytes_of(batch: Any) -> int:
    """Bytes of all tensors of the batch."""
    return sum(_bytes(tensor) for tensor in tensors_of(batch))


def as_tree(batch: Any) -> Any:
    """The batch as a tree that torch knows: the ``BatchEncoding`` of Transformers' collators is a dict in another dress.

    >>> from collections import UserDict
    >>> as_tree(UserDict(x=1)), as_tree([2])
    ({'x': 1}, [2])
    """
    return dict(batch) if isinstance(batch, UserDict) else batch


def _of_length(tensor: Tensor, samples: int) -> Tensor:
    if not tensor.dim():
        return tensor
    shape = (samples, *tensor.shape[1:])
    made = torch.empty_strided(shape, _strides(shape, tensor), dtype=tensor.dtype, device="meta")
    return made.requires_grad_(tensor.requires_grad)


def _strides(shape: tuple[int, ...], like: Tensor) -> tuple[int, ...]:
    """Without gaps, in the order of another tensor's: channels last stay last."""
    strides = [1] * len(shape)
    step = 1
    for dimension in sorted(range(len(shape)), key=lambda d: (like.stride(d), -d)):
        strides[dimension] = step
        step *= shape[dimension]
    return tuple(strides)


def _without_values(tensor: Tensor) -> Tensor:
    if tensor.layout in {torch.sparse_coo, torch.jagged}:
        return tensor.detach()  # on the meta device it would forget how many values it holds
    if tensor.is_nested or tensor.layout != torch.strided:
        raise _unusual(tensor)
    made = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
    return made.requires_grad_(tensor.requires_grad)


def _as_it_moves(thing: Any) -> Any:
    """An object on the meta device by its own ``.to``, which knows what belongs on the card; None where it has none."""
    if not callable(getattr(thing, "to", None)):
        return None
    try:  # of a copy with containers of its own: many such methods change the object itself
        again: Any = thing if isinstance(thing, PackedSequence) else mapped(thing, lambda tensor: tensor.detach())
        moved = again.to("meta")
    except (TypeError, ValueError, AttributeError, RuntimeError):  # another kind of ``to``
        return None
    if not any(tensor.is_meta for tensor in tensors_of(moved)):
        return None
    return moved


def _bytes(tensor: Tensor) -> int:
    if tensor.is_nested:
        return tensor.values().numel() * tensor.element_size() if tensor.layout == torch.jagged else 0
    if tensor.layout == torch.strided:
        return tensor.numel() * tensor.element_size()
    if tensor.layout == torch.sparse_coo:
        return _bytes(tensor._values()) + _bytes(tensor._indices())  # noqa: SLF001 (those of a tensor that is not coalesced)
    return _bytes(tensor.values())


def _lengths(batch: Any) -> str:
    return ", ".join(map(str, sorted({t.shape[0] for t in tensors_of(batch) if t.dim()}))) or "missing"


def _list_of_batches(count: int) -> str:
    return text(
        "estimate.list_of_batches",
        "The list of {count} was taken for {count} batches, of which the largest counts. If it is one batch, a list of samples, "
        "give it as a tuple.",
        count=count,
    )


def _unusual(tensor: Tensor) -> ConfigError:
    if tensor.is_nested:
        return ConfigError(
            text(
                "error.estimate_nested",
                "The batch has a nested tensor of layout {layout}. Give it padded, e.g. torch.nested.to_padded_tensor(x, 0.0), "
                "which takes at least as much memory.",
                layout=tensor.layout,
            )
        )
    return ConfigError(
        text(
            "error.estimate_layout",
            "The batch has a tensor of layout {layout}, which cannot be followed. Give it dense, which takes at least as much "
            "memory, or as the indices and values that it is made of.",
            layout=tensor.layout,
        )
    )
