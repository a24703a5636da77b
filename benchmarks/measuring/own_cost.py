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
REFERENCE_SECONDS = 0.0095
"""CPU of the calibration loop, of :data:`_TURNS` turns, on the kind of machine of the records (a shared 2-core machine,
AMD EPYC) at its full speed: the best of 15 on 2026-11-28, when ``fit`` added 3.1 µs and ``watch`` 2.9 µs. In a slow
hour, as those of the records of 2026-11-23 were, the same machine takes a third more for everything."""
_TURNS = 50_000  # about as long as a pass of the loops, so that a quiet moment is as likely for each
_BREAK_SECONDS = 2.0
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
        patience: So many times as many rounds, as long as the limit is not kept, with a break before each further
            time: others may be busy here, for a while.
    """
    torch.set_num_threads(1)
    bare, ours, calibrations = [], [], []
    with TemporaryDirectory() as folder:
        for attempt in range(patience):
            time.sleep(_BREAK_SECONDS if attempt else 0)
            for _ in range(rounds):
                calibrations.append(_calibration())
                bare.append(empty_step.bare(steps, Path(folder)))
                ours.append(_LOOPS[loop](steps, Path(folder)))
            cost = OwnCost(loop, min(bare), min(ours), min(calibrations))
            if cost.added_us <= cost.limit_us:
                break
    return cost


def _calibration() -> float:
    """CPU of the calibration loop on this thread, in seconds."""
    began = time.thread_time()
    calibration.loop(_TURNS)
    return time.thread_time() - began
