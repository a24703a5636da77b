"""``find_learning_rate``: which learning rates a model learns with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bigmodel_lab.api._fit import config_for, fresh, load_for, name_of, prepare
from bigmodel_lab.api._run import Run
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training import LossFunction, RangeCurve, RangeTrainer, range_curve, rising_rates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST_STEPS = 20
_CONSTANT: dict[str, Any] = {
    "schedule": "constant",
    "schedule_options": {},
    "warmup_steps": 0,
    "checkpoint": "off",
    "early_stopping": None,
}


@dataclass(frozen=True)
class RangeTest:
    """What a learning-rate range test has shown."""

    curve: RangeCurve
    """Rates and losses, arrays of shape (steps,)."""
    run: Run
    """The run that was recorded."""

    @property
    def suggestion(self) -> float | None:
        """A learning rate to begin with; None where the loss fell at none of them."""
        return self.curve.steepest

    @property
    def reason(self) -> str:
        """How the suggestion was found, or why there is none."""
        if self.suggestion is None:
            return text(
                "range.none",
                "The smoothed loss fell at no learning rate: let more of them be tried (low, high) in more steps, and look at the data.",
            )
        return text(
            "range.steepest",
            "There the smoothed loss falls fastest, seen over the logarithm of the learning rate. Where the loss "
            "is lowest, the rate is too high already: it is about to explode.",
        )

    def plot(self, *, dark: bool = False) -> Figure:
        """Loss against learning rate as a matplotlib figure.

        Args:
            dark: Light letters on a dark ground.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets._range_plot import range_figure

        return range_figure(self.curve, self.run.name, dark=dark)

    def __repr__(self) -> str:
        rate = "–" if self.suggestion is None else f"{self.suggestion:.2g}"
        return text(
            "range.repr",
            "<RangeTest of {steps} steps: suggested learning rate {rate}. {reason}>",
            steps=len(self.curve.rates),
            rate=rate,
            reason=self.reason,
        )


def find_learning_rate(
    model: str | nn.Module,
    data: Any = None,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    loss: LossFunction | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    sample_hz: float = 2.0,
    **settings: Any,
) -> RangeTest:
    """Let the learning rate rise from ``low`` to ``high`` in a short run, and see where the loss falls fastest.

    The test ends early where the smoothed loss is four times its best. It trains a copy: weights, batch statistics
    and random numbers of the model that is given stay as they are, to the bit. Source: L. N. Smith 2017 (first
    2015), arXiv:1506.01186, section 3.3.

    Args:
        model: As for :func:`bigmodel_lab.fit`.
        data: As for :func:`bigmodel_lab.fit`.
        low: First learning rate, above 0.
        high: Last learning rate, above ``low``.
        steps: Optimizer steps, from 20.
        loss: As for :func:`bigmodel_lab.fit`.
        runs_dir: Folder for the run file; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
        name: Name of the run; None makes one of the model's.
        sample_hz: Samples of GPU and host a second, 1 … 10.
        settings: Fields of :class:`~bigmodel_lab.training.TrainConfig`; those on the length of a run and on its
            learning rate do not count here.

    Raises:
        ConfigError: Rates or steps with which there is no test, or another setting that cannot be used.

    >>> import bigmodel_lab as lab
    >>> test = lab.find_learning_rate("mlp", low=1e-5, high=1.0, steps=40)
    >>> 1e-5 < test.suggestion < 1
    True
    """
    _check(low, high, steps)
    rising = {**settings, **_CONSTANT, "learning_rate": low, "max_steps": steps}
    config = config_for(model, rising)
    loaded = load_for(model, data, config)
    nothing = loaded.validation.select(torch.tensor([], dtype=torch.int64))  # nothing is judged on the way
    rates = rising_rates(low, high, steps)
    run = prepare(
        fresh(model),
        replace(loaded, validation=nothing),
        {**rising, "epochs": ceil(steps * config.effective_batch_size / len(loaded.train))},
        loss=loss,
        runs_dir=runs_dir,
        name=name or text("range.run", "{name} learning-rate range test", name=name_of(model)),
        sample_hz=sample_hz,
        trainer=partial(RangeTrainer, rates),
    )
    run.start()
    return RangeTest(range_curve(rates, run.series("loss").value.tolist()), run)


def _check(low: float, high: float, steps: int) -> None:
    if not all(isinstance(rate, (int, float)) for rate in (low, high)) or not 0 < low < high < inf:
        raise ConfigError(
            text(
                "error.range_rates",
                "low is {low!r} and high is {high!r}, but must be numbers with 0 < low < high < ∞, e.g. low=1e-6, high=1.0.",
                low=low,
                high=high,
            )
        )
    if not isinstance(steps, int) or steps < _FEWEST_STEPS:
        raise ConfigError(
            text(
                "error.range_steps",
                "steps is {steps!r}, but must be a whole number from {least}.",
                steps=steps,
                least=_FEWEST_STEPS,
            )
        )
