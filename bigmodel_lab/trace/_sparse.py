"""Sparse tensors: torch's stand-ins for them forget how many values they hold, so the parts are kept beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
_PARTS = "_parts_of_a_sparse_tensor"


def is_sparse(tensor: Tensor) -> bool:
    """Of the layout with one list of places and one of values (COO)."""
    return tensor.layout is torch.sparse_coo


def is_jagged(tensor: Tensor) -> bool:
    """A nested tensor: samples of different lengths, one after another."""
    return tensor.layout is torch.jagged


def parts_of(tensor: Tensor) -> tuple[Tensor, ...]:
    """Places and values of a sparse stand-in, which are what takes memory; empty where they are not known."""
    found: tuple[Tensor, ...] = getattr(tensor, _PARTS, ())
    return found


def in_memory(tensor: Tensor) -> tuple[Tensor, ...]:
    """The tensors whose storages hold this one: of a nested tensor its values, of a sparse one its places and values, else itself."""
    if is_jagged(tensor):
        return (tensor.values(),)
    return parts_of(tensor) if is_sparse(tensor) else (tensor,)


def sparse_of(indices: Tensor, values: Tensor, size: Any) -> Tensor:
    """A sparse stand-in made of its parts. Call it inside a fake mode.

    Args:
        indices: Shape (dimensions, count).
        values: Shape (count, …).
        size: Of the whole.
    """
    made = torch.sparse_coo_tensor(indices, values, size, check_invariants=False)
    made._coalesced_(False)
    return _with(made, indices, values)


def run_sparse(func: Any, args: tuple[Any, ...], dispatch: Callable[[], Any]) -> Any:
    """An operation on sparse tensors, with the parts of its result.

    Args:
        func: One of :data:`SPARSE`.
        args: As called.
        dispatch: Runs the operation on the stand-ins as torch does.
    """
    return SPARSE[func](args, dispatch)


def _with(tensor: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    setattr(tensor, _PARTS, (indices, values))
    return tensor


def _part(number: int) -> Callable[[Any, Any], Any]:
    def run(args: Any, dispatch: Callable[[], Any]) -> Any:
        parts = parts_of(args[0])
        return parts[number].detach() if parts else dispatch()

    return run


def _made_of(first: int) -> Callable[[Any, Any], Any]:
    """Of places and values, which stand from this argument on."""

    def run(args: Any, dispatch: Callable[[], Any]) -> Any:
        made = dispatch()
        made._coalesced_(False)  # without values torch takes it for sorted
        return _with(made, args[first], args[first + 1])

    return run


def _same(args: Any, dispatch: Callable[[], Any]) -> Any:
    made, parts = dispatch(), parts_of(args[0])
    return _with(made, *parts) if parts and is_sparse(made) else made


def _coalesced(args: Any, dispatch: Callable[[], Any]) -> Any:
    """Sorted into new parts; as many as before where no place comes twice."""
    parts = parts_of(args[0])
    return _with(dispatch(), *map(torch.empty_like, parts)) if parts else dispatch()


def _masked(args: Any, dispatch: Callable[[], Any]) -> Any:
    """The values of a dense tensor at the places of a sparse one."""
    dense, mask = args[:2]
    parts = parts_of(mask)
    if not parts:
        return dispatch()
    return _with(dispatch(), parts[0], torch.empty(parts[1].shape, dtype=dense.dtype))


SPARSE: dict[Any, Callable[[Any, Any], Any]] = {
    _aten._indices.default: _part(0),  # noqa: SLF001
    _aten._values.default: _part(1),  # noqa: SLF001
    _aten._sparse_coo_tensor_with_dims_and_tensors.default: _made_of(3),  # noqa: SLF001
    _aten._sparse_coo_tensor_unsafe.default: _made_of(0),  # noqa: SLF001
    _aten._coalesce.default: _coalesced,  # noqa: SLF001
    _aten.sparse_mask.default: _masked,
    _aten.detach.default: _same,
    _aten.alias.default: _same,
    _aten._coalesced_.default: _same,
}
"""Operations that make a sparse tensor, or take one apart."""
MADE_OF_DENSE = {_aten._sparse_coo_tensor_with_dims_and_tensors.default, _aten._sparse_coo_tensor_unsafe.default}  # noqa: SLF001
"""Those of them that take dense tensors alone."""
