"""The learning-rate range test: a short run whose learning rate rises until the loss explodes.

Source: L. N. Smith 2017, Cyclical learning rates for training neural networks (arXiv:1506.01186, first version
2015), section 3.3. Smith lets the rate rise linearly; here it rises by the same factor at each step, smoothed loss
and the stop at a multiple of the best one come with it, as in fast.ai's ``lr_find``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigmodel_lab.errors import NonFiniteLossError
from bigmodel_lab.runlog import Status
from bigmodel_lab.training.recorder import RATE_KEYS, STEP_KEYS
from bigmodel_lab.training.trainer import Trainer

EXPLODED = 4.0
"""The test ends where the smoothed loss is this many times the best one."""
_MEMORY = 0.9  # share of the smoothed loss that stays at each step
_SETTLING = 10  # first steps, whose smoothed loss is the mean of too few


@dataclass(frozen=True)
class RangeCurve:
    """How the loss went while the learning rate rose; arrays of shape (steps,)."""

    rates: NDArray[np.float64]
    """Learning rate of each step."""
    losses: NDArray[np.float64]
    """Mean loss of the step's samples, measured before the step changed the weights."""
    smoothed: NDArray[np.float64]
    """The same, smoothed."""
    steepest: float | None
    """Learning rate at which the smoothed loss falls fastest; None where it falls nowhere."""


class RangeTrainer(Trainer):
    """A trainer whose learning rate rises from step to step; it ends where the loss explodes."""

    def __init__(self, rates: Sequence[float], *parts: Any, **named: Any) -> None:
        """Args: ``rates`` has one for each step; the others are those of :class:`Trainer`."""
        super().__init__(*parts, **named)
        self._rising = rates
        self._smoothing = _Smoothing()
        self._seen = 0
        self._lowest = float("inf")
        self._exploded = False

    def run(self) -> Status:
        """Make all steps, or those until the loss has exploded: both are an end as it should be."""
        hook = self.optimizer.register_step_pre_hook(self._before_step)
        try:
            with suppress(NonFiniteLossError):  # on a GPU losses are read late, those behind the explosion too
                return super().run()
        finally:
            hook.remove()
        return Status.FINISHED

    def _all_epochs(self) -> Status:
        with suppress(NonFiniteLossError):
            status = super()._all_epochs()
            return Status.FINISHED if self._exploded else status
        return Status.FINISHED

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rate = self._rising[self.steps_made]
        for group in optimizer.param_groups:
            group["lr"] = rate
        self._log.stream("schedule", axis="step", keys=RATE_KEYS).append(self.steps_made, monotonic_ns(), (rate,))
        self._look()

    def _look(self) -> None:
        """Judge the losses that have arrived; on a GPU they come some steps late."""
        if self._log.count("step") == self._seen:
            return
        rows = self._log.read("step", self._seen)
        self._seen = rows.next
        for loss in rows.values[:, STEP_KEYS.index("loss")]:
            smoothed = self._smoothing.after(float(loss))
            self._lowest = min(self._lowest, smoothed)
            if smoothed > EXPLODED * self._lowest and not self._exploded:
                self._exploded = True
                self._log.mailbox.post("stop", "range_test")


def rising_rates(low: float, high: float, steps: int) -> list[float]:
    """Rates from ``low`` to ``high``, each by the same factor above the one before.

    >>> [round(rate, 6) for rate in rising_rates(0.001, 0.1, 3)]
    [0.001, 0.01, 0.1]
    """
    return [float(rate) for rate in np.geomspace(low, high, steps)]


def range_curve(rates: Sequence[float], losses: Sequence[float]) -> RangeCurve:
    """What a range test has shown; steps without a number for a loss are left out.

    Args:
        rates: Learning rate of each step that was planned.
        losses: Loss of each step that was made.

    >>> curve = range_curve(rising_rates(1e-4, 1, 40), [1.0] * 15 + [1 - 0.05 * n for n in range(15)] + [0.3] * 10)
    >>> 0.01 < curve.steepest < 1
    True
    """
    known = np.isfinite(losses)
    shown = np.asarray(rates[: len(losses)])[known]
    loss = np.asarray(losses, dtype=np.float64)[known]
    smoothing = _Smoothing()
    smoothed = np.array([smoothing.after(float(value)) for value in loss])
    return RangeCurve(shown, loss, smoothed, _steepest(shown, smoothed))


def _steepest(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> float | None:
    """Where the slope over the logarithm of the rate is most negative, up to the lowest loss."""
    first = min(_SETTLING, len(rates) // 4)
    if len(rates) - first < 2:
        return None
    slope = np.gradient(smoothed, np.log(rates))[first : max(int(smoothed.argmin()), first + 1) + 1]
    return float(rates[first + int(slope.argmin())]) if slope.min() < 0 else None


class _Smoothing:
    """Exponential moving average, corrected for its start at 0 (D. P. Kingma and J. Ba 2015, section 3)."""

    def __init__(self) -> None:
        self._average, self._count = 0.0, 0

    def after(self, value: float) -> float:
        self._average = _MEMORY * self._average + (1 - _MEMORY) * value
        self._count += 1
        return self._average / (1 - _MEMORY**self._count)
