"""What the library itself adds to a step: CPU of the training thread around a step that does nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measuring import calibration, empty_step

LIMIT_US = 5.0
"""Most CPU that the library's own hooks may take of the training thread at each step, on a machine on which the
calibration loop takes :data:`REFERENCE_SECONDS`."""
REFERENCE_SECONDS = 0.0505
"""CPU of the calibration loop in the best of the recorded rounds (benchmarks/records/2026-11-23_estimate.md, a shared
2-core machine, AMD EPYC), where ``fit`` added 2.8 µs and ``watch`` 3.8 µs."""
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
    calibration_seconds: float = REFERENCE_SECONDS
    """CPU of the calibration loop in the best of the same rounds."""

    @property
    def limit_us(self) -> float:
        """The limit on a machine as slow as this one was meanwhile; never less than on that of the records.

        >>> OwnCost("fit", 3.0, 6.0, calibration_seconds=2 * REFERENCE_SECONDS).limit_us
        10.0
        """
        return LIMIT_US * max(1.0, self.calibration_seconds / REFERENCE_SECONDS)

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
    bare, ours, calibrations = [], [], []
    with TemporaryDirectory() as folder:
        for number in range(rounds * patience):
            calibrations.append(_calibration())
            bare.append(empty_step.bare(steps, Path(folder)))
            ours.append(_LOOPS[loop](steps, Path(folder)))
            cost = OwnCost(loop, min(bare), min(ours), min(calibrations))
            if number >= rounds - 1 and cost.added_us <= cost.limit_us:
                break
    return cost


def _calibration() -> float:
    """CPU of the calibration loop on this thread, in seconds."""
    began = time.thread_time()
    calibration.loop()
    return time.thread_time() - began
