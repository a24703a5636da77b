"""Every operator that a traced step meets, one after another: what a card really takes for it, and what the trace says."""

from __future__ import annotations

from functools import cache

from benchmarks.gpu.operator_sweep import (
    attention,
    elementwise,
    images,
    indexing,
    norms,
    products,
    reductions,
    updates,
)
from benchmarks.gpu.operator_sweep.case import Operator

_PARTS = (elementwise, products, norms, reductions, indexing, images, attention, updates)


@cache
def operators() -> dict[str, Operator]:
    """Every case by its title.

    Raises:
        ValueError: Two have the same title.
    """
    found: dict[str, Operator] = {}
    for case in (case for part in _PARTS for case in part.operators()):
        if case.title in found:
            message = f"two operators are called {case.title!r}"
            raise ValueError(message)
        found[case.title] = case
    return found
