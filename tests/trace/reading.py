"""Small traces, and questions to ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.trace import Prepare, Prepared, Target, trace_steps

Forward = Callable[[nn.Module, Any], Tensor]
WORKSPACE = 8_519_680
"""What cuBLAS keeps on an Ampere card for each thread, 4096 KiB × 2 + 16 KiB × 8."""


def total(model: nn.Module, x: Tensor) -> Tensor:
    """A loss that keeps nothing but the output's shape."""
    return model(x).sum()


def training(forward: Forward = total, optimizer: Callable[[Any], torch.optim.Optimizer] | None = None) -> Prepare:
    """Zero the gradients, forward, backward, update; SGD without state unless told otherwise."""

    def prepare(model: nn.Module) -> Prepared:
        chosen = (optimizer or (lambda weights: torch.optim.SGD(weights, lr=0.1)))(model.parameters())

        def step(batch: Any) -> None:
            chosen.zero_grad()
            forward(model, batch).backward()
            chosen.step()

        return Prepared(step, chosen)

    return prepare


def forward_only(forward: Callable[[nn.Module, Any], Any]) -> Prepare:
    """Runs a function of (model, batch) and throws away what it returns."""

    def prepare(model: nn.Module) -> Prepared:
        def step(batch: Any) -> None:
            forward(model, batch)

        return Prepared(step)

    return prepare


def trained(
    model: nn.Module,
    batch: Any,
    forward: Forward = total,
    optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
    target: Target | None = None,
) -> RequestTrace:
    """Two steps of training."""
    return trace_steps(model, batch, training(forward, optimizer), target=target)


def ran(
    forward: Callable[[nn.Module, Any], Any], *batch: Tensor, model: nn.Module | None = None, **kwargs: Any
) -> RequestTrace:
    """One run of a function of (model, batch)."""
    given = batch[0] if len(batch) == 1 else batch
    return trace_steps(model or nn.Identity(), given, forward_only(forward), steps=1, **kwargs)


def made_by(trace: RequestTrace, maker: str) -> list[Allocation]:
    """Allocations of one operation."""
    return [allocation for allocation in trace.allocations if allocation.maker == maker]


def phase(trace: RequestTrace, name: str, step: int = 0) -> range:
    """Positions of the first stretch of this phase in a step."""
    marks = list(trace.marks)
    index = next(i for i, mark in enumerate(marks) if (mark.phase, mark.step) == (name, step))
    end = marks[index + 1].position if index + 1 < len(marks) else len(trace.sequence)
    return range(marks[index].position, end)


def alive(trace: RequestTrace, position: int, *, workspaces: bool = False) -> list[Allocation]:
    """What is alive just before a position, in the order of birth; without the workspaces of cuBLAS."""
    numbers: dict[int, None] = {}
    for entry in trace.sequence[:position]:
        if entry >= 0:
            numbers[entry] = None
        else:
            del numbers[~entry]
    found = [trace.allocations[number] for number in numbers]
    return [a for a in found if workspaces or "cuBLAS" not in a.maker]


def alive_bytes(trace: RequestTrace, position: int, category: str | None = None) -> int:
    """Bytes alive just before a position, of one category or of all, without the workspaces of cuBLAS."""
    return sum(a.bytes for a in alive(trace, position) if category in {None, a.category})


def after_forward(trace: RequestTrace, step: int = 0) -> int:
    """Position of the first entry of the backward pass."""
    return phase(trace, "backward", step).start


def peak_bytes(trace: RequestTrace, positions: range | None = None) -> int:
    """Most bytes at once, without the workspaces of cuBLAS, at the end of any of these entries."""
    now, most = 0, 0
    for position, entry in enumerate(trace.sequence):
        allocation = trace.allocations[entry if entry >= 0 else ~entry]
        if "cuBLAS" not in allocation.maker:
            now += allocation.bytes if entry >= 0 else -allocation.bytes
        if positions is None or position in positions:
            most = max(most, now)
    return most


def lifetime(trace: RequestTrace, allocation: Allocation) -> tuple[int, int | None]:
    """Positions of birth and death; None where it lives to the end."""
    number = next(i for i, other in enumerate(trace.allocations) if other is allocation)
    sequence = list(trace.sequence)
    return sequence.index(number), sequence.index(~number) if ~number in sequence else None
