"""From numbers to rows of the run log: one a step, one an epoch, in order."""

from __future__ import annotations

from math import isfinite, nan

from bigmodel_lab.errors import NonFiniteLossError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog

STEP_KEYS = ("loss", "accuracy", "step_seconds", "samples_per_second")
EPOCH_KEYS = ("validation_loss", "validation_accuracy", "loss", "accuracy")
RATE_KEYS = ("learning_rate",)
"""Of the stream ``schedule``, which only a run with a changing learning rate has."""


class Recorder:
    """Appends what steps and epochs measured, and stops a run whose loss is no number."""

    def __init__(self, log: RunLog) -> None:
        self._append_step = log.stream("step", axis="step", keys=STEP_KEYS).append
        self._append_epoch = log.stream("epoch", axis="step", keys=EPOCH_KEYS).append
        self._start_epoch()

    def step(  # noqa: PLR0917 - called once a step, where keywords would cost
        self, step: int, now_ns: int, elapsed_ns: int, samples: int, loss: float, correct: float
    ) -> None:
        """One row for a step. Costs about a microsecond, most of it the log's.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite; its row is written first.
        """
        self._append_step(
            step,
            now_ns,
            (loss, correct / samples, elapsed_ns * 1e-9, samples * 1e9 / elapsed_ns if elapsed_ns else nan),
        )
        if not isfinite(loss):
            raise _non_finite(step, loss)
        self._loss_sum += loss * samples
        self._correct += correct
        self._samples += samples

    def epoch(self, step: int, now_ns: int, validated: int, loss: float, correct: float) -> None:
        """One row for an epoch: of the ``validated`` samples, and the means of its steps.

        Args:
            step: The epoch's last step.
            now_ns: ``time.monotonic_ns()`` at its end.
            validated: Validation samples; 0 when there are none.
            loss: Mean validation loss.
            correct: Validation samples classified correctly.
        """
        measured = (loss, correct / validated) if validated else (nan, nan)
        samples = self._samples or nan
        self._append_epoch(step, now_ns, (*measured, self._loss_sum / samples, self._correct / samples))
        self._start_epoch()

    @property
    def sums(self) -> tuple[float, float, int]:
        """Loss and correct samples of the epoch so far, each summed over its samples, and their number."""
        return self._loss_sum, self._correct, self._samples

    @sums.setter
    def sums(self, sums: tuple[float, float, int]) -> None:
        """Go on with an epoch that another recorder began."""
        self._loss_sum, self._correct, self._samples = sums

    def _start_epoch(self) -> None:
        self._loss_sum = 0.0
        self._correct = 0.0
        self._samples = 0


def _non_finite(step: int, loss: float) -> NonFiniteLossError:
    return NonFiniteLossError(
        text(
            "error.non_finite_loss",
            "The loss of step {step} is {loss}, so the run was stopped: the weights can no longer be trusted. "
            "Try a smaller learning rate (a tenth); with fp16, try bf16 or fp32; and look for NaN or very large "
            "values in the data.",
            step=step,
            loss=loss,
        ),
        step=step,
    )
