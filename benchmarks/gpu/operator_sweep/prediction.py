"""What the trace says of an operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.gpu.operator_sweep.case import Operator
from benchmarks.gpu.operator_sweep.phases import SIGN_BYTES, Bytes, both_passes, by_phase
from bigmodel_lab.trace import Prepared, Target, trace_steps


def predicted(case: Operator, target: Target) -> Bytes:
    """The second of two passes, traced.

    Args:
        case: The operator.
        target: The card.
    """
    return by_phase(size for size, _ in events(case, target))


def events(case: Operator, target: Target) -> list[tuple[int, str]]:
    """Bytes asked for, negative where they were given back, and what asked, of the second pass.

    Args:
        case: The operator.
        target: The card.
    """

    def prepare(model: nn.Module) -> Prepared:
        return Prepared(lambda batch: _step(case, model, batch))

    trace = trace_steps(case.module(), case.inputs("meta"), prepare, target=target)
    allocations = [trace.allocations[number] for _, number in trace]
    kinds = [kind for kind, _ in trace]
    changes = [
        (entry.bytes if kind == "alloc" else -entry.bytes, entry.maker)
        for kind, entry in zip(kinds, allocations, strict=True)
    ]
    signs = [position for position, (size, _) in enumerate(changes) if size == SIGN_BYTES]
    return changes[signs[len(signs) // 2] :]


def _step(case: Operator, model: nn.Module, batch: Any) -> None:
    both_passes(case, model, batch, "cuda", _sign)


def _sign() -> None:
    torch.empty(SIGN_BYTES, dtype=torch.uint8, device="cuda")
