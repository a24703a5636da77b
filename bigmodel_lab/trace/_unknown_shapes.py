"""Results whose shape depends on values: the most that they can be stands in, or an expert's even share of its tokens.

Where a model sends each row to one of several ways (experts), the masks of all ways together choose each row once. So the even
share is not a guess of one expert's load but, over all of them, the very number of rows.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

Outputs: TypeAlias = Any
_aten = torch.ops.aten

_PASSES_ON = frozenset(
    {
        *(
            "aten.eq",
            "aten.index",
            "aten.select",
            "aten.clone",
            "aten._to_copy",
            "aten.gt",
            "aten.scatter_",
            "aten.scatter",
        ),
        *(
            "aten.slice",
            "aten.transpose",
            "aten.permute",
            "aten.view",
            "aten.reshape",
            "aten._unsafe_view",
            "aten.flatten",
        ),
    }
)
"""Operations whose result chooses among as many ways as their first input does."""
_CHOOSES = frozenset({"aten.topk", "aten.argmax", "aten.max", "aten.sort", "aten.argsort"})
"""Operations that give the numbers of places along a dimension."""


class UnknownShapes:
    """Stand-ins for what the values of a tensor would decide, in one trace."""

    def __init__(self) -> None:
        self._ways: dict[int, tuple[int, weakref.ref[Any]]] = {}

    def follow(self, name: str, args: tuple[Any, ...], outputs: Outputs) -> None:
        """Remember between how many ways the result of an operation chooses.

        Args:
            name: Of the operation, without overload.
            args: As called.
            outputs: What it returned.
        """
        if name in _CHOOSES:
            made = outputs[-1] if isinstance(outputs, tuple) else outputs
            self._remember(made, _places(name, args))
        elif name == "aten.one_hot":
            self._remember(outputs, outputs.shape[-1])
        elif name in _PASSES_ON and args and isinstance(args[0], Tensor):
            inner = args[3] if name.startswith("aten.scatter") and len(args) > 3 else args[0]
            ways = args[0].shape[-1] if name.startswith("aten.scatter") and _is_one(inner) else self._ways_of(args[0])
            self._remember(outputs, ways)

    def stand_in(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outputs | None:
        """What stands for the result of an operation; None where nothing can. Call it inside the mode of the stand-ins.

        Args:
            func: The operation.
            args: As called.
            kwargs: As called.
        """
        make = _BOUNDS.get(func)
        return None if make is None else make(self, *args, **kwargs)

    def chosen(self, mask: Tensor) -> int:
        """Places of a mask that are not zero: its even share where it is one of several ways, else all."""
        return math.ceil(mask.numel() / (self._ways_of(mask) or 1))

    def _remember(self, made: Any, ways: int | None) -> None:
        if ways is None or ways < 2 or not isinstance(made, Tensor) or made.layout != torch.strided:
            return
        storage = made.untyped_storage()
        key = storage._cdata  # noqa: SLF001 (the only name that a storage has)
        self._ways[key] = (ways, weakref.ref(storage))

    def _ways_of(self, tensor: Tensor) -> int | None:
        if tensor.layout != torch.strided:
            return None
        storage = tensor.untyped_storage()
        ways, alive = self._ways.get(storage._cdata, (None, None))  # noqa: SLF001
        return ways if alive is not None and alive() is not None else None


def follows(name: str) -> bool:
    """Whether :meth:`UnknownShapes.follow` wants to hear of an operation."""
    return name in _CHOOSES or name in _PASSES_ON or name == "aten.one_hot"


def _places(name: str, args: tuple[Any, ...]) -> int | None:
    """Length of the dimension along which an operation chose."""
    tensor = args[0]
    position = 2 if name == "aten.topk" else 1
    dimension = args[position] if len(args) > position else (-1 if name != "aten.argmax" else None)
    return tensor.shape[dimension] if isinstance(dimension, int) and tensor.dim() else None


def _is_one(value: Any) -> bool:
    return isinstance(value, int) and value == 1


def _nonzero(shapes: UnknownShapes, mask: Tensor) -> Tensor:
    return torch.empty(shapes.chosen(mask), mask.dim(), dtype=torch.int64)


def _index(shapes: UnknownShapes, tensor: Tensor, indices: Any) -> Tensor:
    """A mask among the indices stands for the places where it is true."""
    places: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in {torch.bool, torch.uint8}:
            places.extend(torch.empty(shapes.chosen(index), dtype=torch.int64) for _ in range(index.dim()))
        else:
            places.append(index)
    found: Tensor = _aten.index.Tensor(tensor, places)
    return found


def _masked_select(shapes: UnknownShapes, tensor: Tensor, mask: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(tensor.shape, mask.shape)  # type: ignore[no-untyped-call]
    share = shapes.chosen(mask) / max(1, mask.numel())
    return torch.empty(math.ceil(math.prod(shape) * share), dtype=tensor.dtype)


def _unique2(
    _shapes: UnknownShapes,
    tensor: Tensor,
    _sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    return _unique(tensor, tensor.numel(), return_inverse=return_inverse, return_counts=return_counts)


def _unique_consecutive(
    _shapes: UnknownShapes, tensor: Tensor, return_inverse: bool = False, return_counts: bool = False, _dim: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    return _unique(tensor, tensor.numel(), return_inverse=return_inverse, return_counts=return_counts)


def _unique(tensor: Tensor, count: int, *, return_inverse: bool, return_counts: bool) -> tuple[Tensor, Tensor, Tensor]:
    inverse = torch.empty(tensor.shape if return_inverse else (0,), dtype=torch.int64)
    counts = torch.empty(count if return_counts else 0, dtype=torch.int64)
    return torch.empty(count, dtype=tensor.dtype), inverse, counts


def _ctc_loss(
    _shapes: UnknownShapes,
    scores: Tensor,
    targets: Tensor,
    _input_lengths: Any,
    target_lengths: Any,
    *_: Any,
    **__: Any,
) -> tuple[Tensor, Tensor]:
    """By LossCTC.cu: scores (time, samples, classes) and a table (samples, time, 2 × longest target + 1)."""
    time, samples, _classes = scores.shape if scores.dim() == 3 else (scores.shape[0], 1, scores.shape[-1])
    if isinstance(target_lengths, tuple | list):
        longest = max(target_lengths, default=0)
    elif not isinstance(target_lengths, FakeTensor):  # of the host, with values
        with unset_fake_temporarily():
            longest = int(target_lengths.max()) if target_lengths.numel() else 0
    else:
        longest = targets.shape[1] if targets.dim() == 2 else min(targets.shape[0], time)
    likelihood = torch.empty(samples, dtype=scores.dtype)
    return likelihood, torch.empty(samples, time, 2 * longest + 1, dtype=scores.dtype)


def _grouped(
    _shapes: UnknownShapes,
    left: Tensor,
    right: Tensor,
    offsets: Tensor | None = None,
    _bias: Any = None,
    out_dtype: Any = None,
) -> Tensor:
    """By GroupedMMUtils.h (``create_grouped_gemm_output_tensor``): rows begin at multiples of 16 bytes."""
    flat = left.dim() == 2
    shape = [left.shape[-2], right.shape[-1]]
    if flat == (right.dim() == 2):
        groups = left.shape[0] if offsets is None else offsets.shape[0]
        shape = [groups, *shape]
    dtype = out_dtype or left.dtype
    each = 16 // dtype.itemsize
    padded = -(-shape[-1] // each) * each
    strides = [shape[-2] * padded, padded, 1][-len(shape) :]
    return torch.empty_strided(shape, strides, dtype=dtype)


_BOUNDS: dict[Any, Callable[..., Any]] = {
    _aten.nonzero.default: _nonzero,
    _aten.index.Tensor: _index,
    _aten.masked_select.default: _masked_select,
    _aten._unique2.default: _unique2,  # noqa: SLF001
    _aten.unique_consecutive.default: _unique_consecutive,
    _aten._ctc_loss.default: _ctc_loss,  # noqa: SLF001
    _aten._ctc_loss.Tensor: _ctc_loss,  # noqa: SLF001
    _aten._ctc_loss_backward.default: lambda _shapes, _grad, scores, *_, **__: torch.empty_like(scores),  # noqa: SLF001
}
OWN_STAND_INS = {_aten._ctc_loss_backward.default}  # noqa: SLF001
"""Operations for which torch has no stand-in, or, as for products of groups, one for bf16 alone; their shapes are known."""
if hasattr(_aten, "_grouped_mm"):
    _BOUNDS[_aten._grouped_mm.default] = _grouped  # noqa: SLF001
    OWN_STAND_INS.add(_aten._grouped_mm.default)  # noqa: SLF001
