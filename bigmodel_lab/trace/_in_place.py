"""Where CUDA's backward pass works in place and that of stand-ins does not.

Stand-ins are a subclass of tensors, and formulas of derivatives take a way without work in place for those
(``areAnyTensorSubclassLike`` in FunctionsManual.cpp, ``accumulate`` in input_buffer.cpp and ``accumulateGrad`` in
accumulate_grad.h of PyTorch 2.13). There the result takes the place of the first operand, which nobody needs
afterwards. So it is known again: the operand dies before anything else happens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

import torch

from bigmodel_lab.memory.requests import Allocation, Mark

_graph_task = torch._C._current_graph_task_id  # noqa: SLF001 (-1: no backward pass runs)
_current_node = torch._C._current_autograd_node  # noqa: SLF001
_FORMULAS = frozenset(
    f"aten.{name}"
    for name in ("scatter", "scatter_add", "index_put", "index_add", "index_fill", "put", "masked_scatter")
)
_OF_NODES = {"BinaryCrossEntropyWithLogitsBackward": ("aten.sub", "aten.mul")}
"""Formulas that work in place with operations that elsewhere do not."""
_SUM = "aten.add"
_ENGINE = "_engine_run_backward"
_SUMMING = ("VarMeanBackward", "StdMeanBackward", "CumprodBackward", "ProdBackward", "CdistBackward", "RenormBackward")
"""Nodes whose own formulas add; every other sum that the engine itself asks for is one of gradients of one tensor."""


def is_in_place(name: str, first: Any, node: Any, *, inside: bool) -> bool:
    """On CUDA this operation works in the memory of its first operand, if nobody else needs that.

    Args:
        name: Of the operation, without overload.
        first: Its first operand. The gradients of a tensor are not added into a view, which holds its base.
        node: Of autograd, that runs now; None outside.
        inside: The forward pass of a module is running, as activation checkpointing runs it again.
    """
    if inside or node is None or _graph_task() == -1:
        return False
    if name == _SUM:
        return not first._is_view() and not node.name().startswith(_SUMMING) and _asked_by_engine()  # noqa: SLF001
    own = next((names for start, names in _OF_NODES.items() if node.name().startswith(start)), ())
    return name in _FORMULAS or name in own


def _asked_by_engine() -> bool:
    """No function written in Python is between the engine and the mode that sees the operation."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 (the only way to ask who calls)
    while frame is not None and __package__ in str(frame.f_globals.get("__package__")):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == _ENGINE


def moment() -> tuple[int, int]:
    """The backward pass and the node of it that runs now: what dies in another moment was needed until then."""
    node = _current_node()
    return _graph_task(), 0 if node is None else id(node)


Joint = tuple[int, int]
"""Allocation of the first operand and that of the result, which took its place."""
Requests = tuple[tuple[Allocation, ...], tuple[int, ...], tuple[Mark, ...]]


def joined(
    allocations: Sequence[Allocation], sequence: Sequence[int], marks: Iterable[Mark], joints: Sequence[Joint]
) -> Requests:
    """The same requests, where results take the place of operands.

    Args:
        allocations: By number.
        sequence: As :attr:`RequestTrace.sequence`.
        marks: By position.
        joints: In the order of the operations.
    """
    kept = list(allocations)
    owner: dict[int, int] = {}
    gone: set[int] = set()
    for operand, result in joints:
        owner[result] = owner.get(operand, operand)
        kept[owner[result]] = kept[result]
        gone |= {~operand, result}
    numbers = {old: new for new, old in enumerate(n for n in range(len(kept)) if n not in owner)}
    entries: list[int] = []
    moved: list[int] = []
    for entry in sequence:
        moved.append(len(entries))
        if entry not in gone:
            number = entry if entry >= 0 else ~entry
            new = numbers[owner.get(number, number)]
            entries.append(new if entry >= 0 else ~new)
    moved.append(len(entries))
    return (
        tuple(allocation for number, allocation in enumerate(kept) if number not in owner),
        tuple(entries),
        tuple(Mark(moved[mark.position], mark.phase, mark.step) for mark in marks),
    )
