"""Where autograd adds two gradients of one tensor: into the first of them on a card, beside them under a mode of torch.

The engine reuses the memory of the first gradient when nobody else holds it. For tensor subclasses, and wherever a
dispatch mode is active, it does not (``InputBuffer::accumulate`` in ``torch/csrc/autograd/input_buffer.cpp``), and a
trace needs both. So the mode answers the addition with the first gradient itself where a card would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._prims_common import is_non_overlapping_and_dense_or_false
from torch.utils._python_dispatch import TorchDispatchMode

_ADD = torch.ops.aten.add.Tensor


class Holders(NamedTuple):
    """How many hold a tensor, as seen from inside a dispatch mode."""

    tensor: int
    python: int
    storage: int


def _holders(tensor: Tensor) -> Holders:
    storage = tensor.untyped_storage()
    count = torch._C._storage_Use_Count(storage._cdata)  # noqa: SLF001 (the only way to ask)
    return Holders(tensor._use_count(), sys.getrefcount(tensor), count)  # type: ignore[attr-defined]  # noqa: SLF001


def adds_in_place(func: Any, args: tuple[Any, ...], made_before: Callable[[Tensor], bool]) -> bool:
    """Whether this is the engine's addition of two gradients that a card makes in the memory of the first.

    Call it in the mode's own ``__torch_dispatch__``, which the numbers of holders are compared for.

    Args:
        func: The operation.
        args: Its arguments.
        made_before: Whether a tensor is older than the node of the backward pass that runs now; what a node adds up
            inside its own formula has a result of its own.
    """
    if func is not _ADD or len(args) != 2 or torch._C._current_graph_task_id() == -1:  # noqa: SLF001
        return False
    first, second = args
    if torch.is_grad_enabled() or not isinstance(second, Tensor) or first is second:
        return False
    same = first.shape == second.shape and first.dtype == second.dtype
    return same and _is_free(_holders(first)) and is_non_overlapping_and_dense_or_false(first) and made_before(first)


def _is_free(holders: Holders) -> bool:
    """Nobody but the engine holds it."""
    usual = usual_holders()
    return all(count <= most for count, most in zip(holders, usual, strict=True))


@cache
def usual_holders() -> Holders:
    """Of a gradient that only the engine holds, counted on an example, as torch may change what it counts.

    The answer is kept. The first call comes before any dispatch mode is entered.
    """
    seen: list[Holders] = []

    class Look(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in PyTorch
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is _ADD and torch._C._current_graph_task_id() != -1:  # noqa: SLF001
                seen.append(_seen_from_a_mode(args))
            return func(*args, **(kwargs or {}))

    with torch.inference_mode(False), torch.enable_grad():
        x = torch.ones(2, requires_grad=True, device="cpu")
        y = x * 2
        output = y.sin() * y.cos()
        with Look():  # type: ignore[no-untyped-call]
            torch.autograd.grad(output, x, torch.ones(2, device="cpu"))
    return seen[0]


def _seen_from_a_mode(args: tuple[Any, ...]) -> Holders:
    """As :func:`adds_in_place` sees it: one call deep, one name for the tensor."""
    first, _second = args
    return _holders(first)
