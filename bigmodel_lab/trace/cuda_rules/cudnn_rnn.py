"""LSTM and GRU on CUDA are one operation of cuDNN with a reserve for the backward pass; a CPU takes them step by step.

How large the reserve is, cuDNN says only on a card. Charged is what its backward pass needs
by the formulas of the gates: each gate's activation, and for an LSTM the cell and its tanh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

from bigmodel_lab.i18n import Text
from bigmodel_lab.trace._autocast import in_autocast_dtype, without_autocast
from bigmodel_lab.trace.cuda_rules.base import Replacement, Rule, Target

_KEPT = {"lstm": 6, "gru": 5, "rnn_tanh": 1, "rnn_relu": 1}
"""Numbers a unit and time step that the backward pass needs: four gates, cell, tanh(cell); three gates and two sums."""


class _Recurrent(torch.autograd.Function):
    """Outputs, final states and what is kept, with cuDNN's shapes; the numbers mean nothing."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, x: Tensor, hidden: Tensor, cell: Tensor | None, kept: int, width: int, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        output = x.new_empty((*x.shape[:-1], width))
        states = [torch.empty_like(state) for state in (hidden, cell) if state is not None]
        reserve = x.new_empty(kept)
        ctx.save_for_backward(x, hidden, cell, output, reserve, *weights)
        return (output, *states)

    @staticmethod
    def backward(ctx: Any, *_gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, cell, _output, _reserve, *weights = ctx.saved_tensors
        needs = ctx.needs_input_grad
        states = [torch.empty_like(state) if state is not None else None for state in (x, hidden, cell)]
        flat = x.new_empty(sum(w.numel() for w in weights))  # cuDNN writes all weights' gradients into one buffer
        pieces = [piece.view_as(w) for piece, w in zip(flat.split([w.numel() for w in weights]), weights, strict=True)]
        wanted = [piece if need else None for piece, need in zip(pieces, needs[5:], strict=True)]
        given = [state if need else None for state, need in zip(states, needs[:3], strict=True)]
        return (*given, None, None, *wanted)


def _replacement(kind: str) -> Replacement:
    def run(_target: Target, _function: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        return _recurrent(kind, args)

    return run


def _recurrent(kind: str, args: tuple[Any, ...]) -> Any:
    """Both layouts take the same memory, and so do packed sequences, whose sizes of batches come second."""
    x, states, weights, _bias, layers, dropout, train, bidirectional, *_ = _without_sizes(args)
    first, *rest = states if kind == "lstm" else (states,)
    tensors = [in_autocast_dtype(t) for t in (x, first, *rest, *weights)]
    directions = 2 if bidirectional else 1
    units = x.shape[:-1].numel() * directions * layers * (first, *rest)[-1].shape[-1]
    kept = units * _KEPT[kind] + (units * (layers - 1) // layers if dropout else 0) if train else 0
    cell = tensors[2] if rest else None
    with without_autocast():
        output, *ends = _Recurrent.apply(  # type: ignore[no-untyped-call]
            tensors[0], tensors[1], cell, kept, directions * first.shape[-1], *tensors[2 + len(rest) :]
        )
    return (output, *ends)


def _without_sizes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """(input, states, weights, …) of a whole batch and of packed sequences, (input, sizes, states, weights, …)."""
    return args if isinstance(args[3], bool) else (args[0], *args[2:])


def _pack(_target: Target, _function: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """As if every sequence had the full length, the most that it can be: the lengths are not known."""
    x, _lengths, batch_first = args
    steps_first = x.transpose(0, 1) if batch_first else x
    with unset_fake_temporarily():
        sizes = torch.full((steps_first.shape[0],), steps_first.shape[1])  # stays on the host, as on CUDA
    return torch.cat([steps_first.contiguous().flatten(0, 1)]), sizes


def _pad(_target: Target, _function: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """Back into a padded batch, which is filled in place, and the lengths, which are on the host."""
    data, sizes, batch_first, _padding, total = args
    steps, samples = len(sizes), int(sizes[0])
    padded = data.new_zeros((max(total, steps), samples, *data.shape[1:]))
    padded[:steps] = data.unflatten(0, (steps, samples))
    with unset_fake_temporarily():
        lengths = torch.full((samples,), steps)
    return padded.transpose(0, 1) if batch_first else padded, lengths


def _functions() -> Mapping[Callable[..., Any], Replacement]:
    place = torch._C._VariableFunctions  # noqa: SLF001
    packing = {place._pack_padded_sequence: _pack, place._pad_packed_sequence: _pad}  # noqa: SLF001
    return {**{getattr(place, kind): _replacement(kind) for kind in _KEPT}, **packing}


RULE = Rule(
    name="cudnn_rnn",
    meaning=Text("rule.cudnn_rnn", "LSTM and GRU run in one operation that keeps a reserve for the backward pass."),
    source="pytorch aten/src/ATen/native/cudnn/RNN.cpp, _cudnn_rnn; the reserve is derived from the gates' formulas",
    functions=_functions,
)
