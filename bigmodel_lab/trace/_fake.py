"""Stand-ins: tensors with shape, strides and type, and no memory behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.trace._copying import copy_of_model
from bigmodel_lab.trace._sparse import is_jagged, is_sparse, sparse_of
from bigmodel_lab.trace._trees import mapped, tensors_of

OnHost = Callable[[Tensor], Tensor]
"""Gives what a trace uses in the place of a tensor that stays in main memory with its values."""


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def stand_in(tensor: Tensor, on_host: OnHost = _itself) -> Tensor:
    """A stand-in for a tensor on any device, as it would be copied to the card; a parameter stays one. Call it inside a fake mode.

    A copy keeps the order of the strides, but neither the gaps of a slice nor the single element behind an ``expand``.

    Args:
        tensor: Dense, sparse or nested.
        on_host: For the offsets of a nested tensor, whose values tell the lengths.
    """
    if is_jagged(tensor):
        nested: Any = tensor
        made: Tensor = torch.nested.nested_tensor_from_jagged(stand_in(nested.values()), on_host(nested.offsets()))
        return made
    if is_sparse(tensor):
        with unset_fake_temporarily():
            indices, values = tensor._indices(), tensor._values()  # noqa: SLF001 (those of a tensor that is not coalesced)
        return sparse_of(stand_in(indices), stand_in(values), tensor.size())
    made = torch.empty_strided(tensor.size(), _copied_strides(tensor), dtype=tensor.dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)


def _copied_strides(tensor: Tensor) -> tuple[int, ...]:
    if tensor.is_contiguous():
        return tensor.stride()
    bare = torch.empty_strided(tensor.size(), tensor.stride(), device="meta")
    return torch.empty_like(bare, memory_format=torch.preserve_format).stride()


def check_can_be_copied(model: nn.Module) -> None:
    """Refuses what cannot be copied as a program in Python.

    Raises:
        TraceError: A part of it is a script.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TraceError(
            text(
                "error.trace_script",
                "A part of the model is a script (torch.jit), which cannot be followed. Give the model it was made of.",
            )
        )


def check_has_shapes(model: nn.Module) -> None:
    """Refuses what has no shapes to follow.

    Raises:
        TraceError: It has weights whose shape is not known yet.
    """
    if any(nn.parameter.is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()]):
        raise TraceError(
            text(
                "error.trace_lazy",
                "The model has weights whose shape is not known yet (lazy layers). Run it once on a batch, or name the sizes.",
            )
        )


def model_of_stand_ins(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """A copy of the model whose parameters and buffers are stand-ins; the model itself is not touched.

    Args:
        model: On any device, the meta device included.
        mode: All stand-ins of one trace belong to it.
    """

    def made(tensor: Tensor) -> Tensor:
        with mode:
            return stand_in(tensor)

    return copy_of_model(model, made)


def batch_of_stand_ins(batch: Any, mode: FakeTensorMode, on_host: OnHost = _itself) -> Any:
    """The same batch, every tensor a stand-in; beside tensors of the meta device, one with values stays on the host.

    Args:
        batch: Of any kind.
        mode: All stand-ins of one trace belong to it.
        on_host: For what stays on the host.
    """
    on_meta = any(tensor.is_meta for tensor in tensors_of(batch))

    def one(tensor: Tensor) -> Tensor:
        moves = tensor.is_meta or is_sparse(tensor) or is_jagged(tensor) or not on_meta
        return stand_in(tensor, on_host) if moves else on_host(tensor)

    with mode:
        return mapped(batch, one)


def load_order(model: nn.Module) -> list[tuple[str, Tensor]]:
    """(Module, tensor) in the order in which ``model.to(device)`` moves them: children first, then its own.

    >>> model = nn.Sequential(nn.Linear(2, 1))
    >>> [(module, tuple(tensor.shape)) for module, tensor in load_order(model)]
    [('0', (1, 2)), ('0', (1,))]
    """
    return list(_moved("", model))


def _moved(name: str, module: nn.Module) -> list[tuple[str, Tensor]]:
    prefix = f"{name}." if name else ""
    below = [pair for child, inner in module.named_children() for pair in _moved(f"{prefix}{child}", inner)]
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [*below, *((name, tensor) for tensor in own)]
