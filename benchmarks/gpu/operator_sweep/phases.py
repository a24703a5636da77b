"""Forward and backward pass of one operator, with a sign between them that both sides can see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.gpu.operator_sweep.case import Operator, leaves

Passing = Callable[[], None]


@dataclass(frozen=True)
class Bytes:
    """What was asked for, above what lay there before; before any rounding."""

    forward_peak: int
    """Most during the forward pass."""
    forward_kept: int
    """After it: results, and what autograd keeps."""
    backward_peak: int
    """Most during the backward pass, with the gradients that it began from."""
    backward_kept: int
    """After it: the gradients."""

    def largest_error(self, other: Bytes) -> int:
        """Most bytes by which any of the four differs from another's.

        Args:
            other: Of the same operator.
        """
        return max(abs(a - b) for a, b in zip(self.values(), other.values(), strict=True))

    def values(self) -> tuple[int, int, int, int]:
        """In the order of the fields."""
        return self.forward_peak, self.forward_kept, self.backward_peak, self.backward_kept


def both_passes(case: Operator, model: nn.Module, tensors: Sequence[Tensor], device: str, passes: Passing) -> None:
    """Forward and backward pass; ``passes`` is called before, between and behind, and once after the first gradients were made.

    Args:
        case: The operator.
        model: Its module.
        tensors: Its inputs.
        device: That autocast is for.
        passes: Gives the sign.
    """
    for tensor in (*tensors, *model.parameters()):
        tensor.grad = None
    passes()
    with case.mode(device), case.without_graph():
        results = case.run(model, *tensors)
    passes()
    ends = leaves(results) if case.grad == "backward" else []
    gradients = [torch.ones_like(end) for end in ends]
    passes()
    if ends:
        del results
        torch.autograd.backward(ends, gradients)
    del gradients, ends
    passes()


SIGN_BYTES = 777_777
"""Size of the tensor that is made as a sign: no operator asks for so many."""


def by_phase(changes: Iterable[int]) -> Bytes:
    """Sorts one pass by its signs.

    Args:
        changes: Bytes of each request, negative where they are given back, from the first sign to the last.
    """
    now, signs, bases, peaks, kept = 0, 0, [0] * 5, [0] * 5, [0] * 5
    for change in changes:
        if abs(change) == SIGN_BYTES:
            if change > 0:
                signs += 1
                bases[signs], kept[signs] = now, now
                peaks[signs] = now
            continue
        now += change
        peaks[signs] = max(peaks[signs], now)
    base = bases[1]
    return Bytes(peaks[1] - base, kept[2] - base, peaks[3] - base, kept[4] - base)
