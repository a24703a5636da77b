"""What the library itself adds to a step: CPU of the training thread around a step that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measuring import empty_step

LIMIT_US = 5.0
"""Most CPU that the library's own hooks may take of the training thread at each step."""
_LOOPS = {"fit": empty_step.fit, "watch": empty_step.watch}


@dataclass(frozen=True)
class OwnCost:
    """Best of several rounds of the bare loop and of ours."""

    loop: str
    """``"fit"`` or ``"watch"``."""
    bare_us: float
    """CPU of a step of the bare loop."""
    ours_us: float
    """CPU of a step of ours."""

    @property
    def added_us(self) -> float:
        """What the library adds."""
        return self.ours_us - self.bare_us


def own_cost(loop: str, rounds: int = 9, steps: int = 5000, *, patience: int = 1) -> OwnCost:
    """Measure it; the smallest of the rounds counts, for a busy machine can only add.

    Args:
        loop: ``"fit"`` or ``"watch"``.
        rounds: Passes of each loop, interleaved.
        steps: Steps of a pass.
        patience: So many times as many rounds, as long as the limit is not kept: others may be busy here.
    """
    torch.set_num_threads(1)
    bare, ours = [], []
    with TemporaryDirectory() as folder:
        for number in range(rounds * patience):
            bare.append(empty_step.bare(steps, Path(folder)))
            ours.append(_LOOPS[loop](steps, Path(folder)))
            if number >= rounds - 1 and min(ours) - min(bare) <= LIMIT_US:
                break
    return OwnCost(loop, min(bare), min(ours))
