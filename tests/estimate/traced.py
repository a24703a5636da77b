"""A step traced on stand-ins, and what its requests tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.trace import Prepared, trace_steps

Step = Callable[[nn.Module, Any], Tensor]


def trained(
    model: nn.Module, batch: Any, step: Step, make: Callable[[nn.Module], torch.optim.Optimizer]
) -> RequestTrace:
    """Two optimizer steps."""

    def prepare(copied: nn.Module) -> Prepared:
        optimizer = make(copied)

        def run(inputs: Any) -> None:
            optimizer.zero_grad(set_to_none=True)
            step(copied, inputs).backward()
            optimizer.step()

        return Prepared(run, optimizer)

    return trace_steps(model, batch, prepare)


def run_once(model: nn.Module, batch: Any, step: Step) -> RequestTrace:
    """One call without an optimizer; what it returns is let go at its end."""

    def prepare(copied: nn.Module) -> Prepared:
        return Prepared(lambda inputs: step(copied, inputs))

    return trace_steps(model, batch, prepare, steps=1)


def peak_bytes(trace: RequestTrace) -> int:
    """Most bytes alive at once, without any rounding."""
    alive = most = 0
    for kind, number in trace:
        alive += trace.allocations[number].bytes * (1 if kind == "alloc" else -1)
        most = max(most, alive)
    return most


def alive_at_end(trace: RequestTrace) -> list[Allocation]:
    """What is never given back."""
    gone = {number for kind, number in trace if kind == "free"}
    return [allocation for number, allocation in enumerate(trace.allocations) if number not in gone]


def lifetimes(trace: RequestTrace, size: int) -> list[int]:
    """How many requests and frees lie between birth and death of each allocation of this size that dies."""
    births = {number: place for place, (kind, number) in enumerate(trace) if kind == "alloc"}
    deaths = {number: place for place, (kind, number) in enumerate(trace) if kind == "free"}
    return [deaths[n] - births[n] for n in births if trace.allocations[n].bytes == size and n in deaths]


def category_bytes(trace: RequestTrace, category: str) -> int:
    """Bytes of one category that are alive at the end."""
    return sum(allocation.bytes for allocation in alive_at_end(trace) if allocation.category == category)
