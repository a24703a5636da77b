"""What a card takes for an operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.gpu.operator_sweep.case import DTYPES, Operator
from benchmarks.gpu.operator_sweep.phases import SIGN_BYTES, Bytes, both_passes, by_phase

_EVENTS = 100_000
_TAKEN, _GIVEN = "alloc", "free_completed"


def measured(case: Operator) -> Bytes:
    """The second of two passes on the card, as the allocator wrote it down; workspaces of libraries are there since the first.

    Args:
        case: The operator.
    """
    return by_phase(size for size, _ in events(case))


def events(case: Operator) -> list[tuple[int, str]]:
    """Bytes asked for, negative where they were given back, and what asked, of the second pass.

    Args:
        case: The operator.
    """
    model, tensors = _on_card(case), case.inputs("cuda")
    both_passes(case, model, tensors, "cuda", _sign)
    torch.cuda.memory._record_memory_history(context=None, max_entries=_EVENTS, stacks="python")  # noqa: SLF001
    try:
        both_passes(case, model, tensors, "cuda", _sign)
        history = torch.cuda.memory._snapshot()["device_traces"][0]  # noqa: SLF001
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)  # noqa: SLF001
    return [_change(event) for event in history if event["action"] in {_TAKEN, _GIVEN}]


def _change(event: dict[str, Any]) -> tuple[int, str]:
    return (event["size"] if event["action"] == _TAKEN else -event["size"]), event["action"]


def _sign() -> None:
    torch.empty(SIGN_BYTES, dtype=torch.uint8, device="cuda")


def _on_card(case: Operator) -> nn.Module:
    made = case.module().to_empty(device="cuda")
    for buffer in made.buffers():
        buffer.zero_()
    return made if case.autocast else made.to(DTYPES[case.dtype])
