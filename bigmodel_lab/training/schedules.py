"""Learning-rate schedules by name, on :mod:`torch.optim.lr_scheduler`, with a warm-up in front of any of them.

A schedule counts optimizer steps, not epochs; only ``plateau`` looks at the validation loss at the end of each
epoch. What a schedule is not told, it takes from the length of the run, so that its name alone is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import Text, text

_END_SHARE = 0.01  # of the learning rate that an exponential decay leaves at the end of the run


@dataclass(frozen=True)
class ScheduleKind:
    """One way in which the learning rate goes on."""

    meaning: Text
    """What it does, for a person."""
    scheduler: type[lr_scheduler.LRScheduler] | None
    """The class of torch that does it; None leaves the learning rate alone."""
    defaults: Callable[[torch.optim.Optimizer, int], dict[str, Any]]
    """Arguments that are not given, from the optimizer and the steps after the warm-up."""


class Schedule:
    """The learning rate of a run from step to step.

    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    >>> schedule = Schedule(optimizer, None, warmup_steps=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(round(schedule.learning_rate, 3))
    ...     schedule.step_made()
    >>> rates
    [0.1, 0.2, 0.3, 0.3]
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, scheduler: lr_scheduler.LRScheduler | None, warmup_steps: int
    ) -> None:
        """The optimizer gets the learning rate of its first step.

        Args:
            optimizer: That whose learning rate is set.
            scheduler: Torch's, made over this optimizer; None keeps the learning rate after the warm-up.
            warmup_steps: Steps with a smaller learning rate, from 0: the n-th has n / (warmup_steps + 1) of it.
        """
        self._optimizer = optimizer
        self._by_loss = scheduler if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else None
        self._by_step = None if self._by_loss is not None else scheduler
        self._scheduler = scheduler
        self._warmup_steps = warmup_steps
        self._starts = [float(group["lr"]) for group in optimizer.param_groups]
        self._made = 0
        self._warm_up()
        # An fp16 scaler may skip the first updates, which torch would take for a mistake and warn of.
        optimizer._opt_called = True  # type: ignore[attr-defined]  # noqa: SLF001

    @property
    def learning_rate(self) -> float:
        """That of the next step, of the first group of parameters."""
        return float(self._optimizer.param_groups[0]["lr"])

    @property
    def follows_validation(self) -> bool:
        """It looks at the validation loss."""
        return self._by_loss is not None

    def step_made(self) -> None:
        """The optimizer has made a step: set the learning rate of the next."""
        self._made += 1
        if self._made <= self._warmup_steps:
            self._warm_up()
        elif self._by_step is not None:
            self._by_step.step()

    def epoch_made(self, validation_loss: float | None) -> None:
        """An epoch has ended.

        Args:
            validation_loss: Mean loss of the validation samples; None is unknown, and counts as no improvement.
        """
        if self._by_loss is not None and self._made >= self._warmup_steps:
            self._by_loss.step(math.nan if validation_loss is None else validation_loss)

    def scale(self, factor: float) -> None:
        """Every learning rate that is still to come, times this factor; the optimizer's own are scaled beside it."""
        self._starts = [start * factor for start in self._starts]
        for name in ("base_lrs", "min_lrs", "_last_lr"):  # what the classes of torch keep beside the optimizer
            rates = getattr(self._scheduler, name, None)
            if rates is not None:
                setattr(self._scheduler, name, [float(rate) * factor for rate in rates])

    def state(self) -> dict[str, Any]:
        """What it needs to go on, as plain values; the optimizer's own state holds the learning rate."""
        own = None if self._scheduler is None else dict(self._scheduler.state_dict())
        return {"made": self._made, "scheduler": own}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; the optimizer's own state is loaded beside it."""
        self._made = int(state["made"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(dict(state["scheduler"]))

    def _warm_up(self) -> None:
        """The share of the learning rate that the next step has; all of it when the warm-up is over."""
        share = min(1.0, (self._made + 1) / (self._warmup_steps + 1))
        for group, start in zip(self._optimizer.param_groups, self._starts, strict=True):
            group["lr"] = start * share


def check_schedule(name: str) -> None:
    """There is a schedule of this name.

    Raises:
        UnknownNameError: There is none; lists those that exist.

    >>> check_schedule("cosine")
    """
    if name not in SCHEDULES:
        raise UnknownNameError(text("schedule.kind", "schedule"), str(name), SCHEDULES)


def make_schedule(
    name: str, options: Mapping[str, Any], optimizer: torch.optim.Optimizer, *, steps: int, warmup_steps: int = 0
) -> Schedule | None:
    """The schedule with this name over an optimizer that has made no step yet.

    Args:
        name: A key of :data:`SCHEDULES`.
        options: Arguments of torch's class; what is missing is taken from the length of the run.
        optimizer: Its present learning rate is that which the schedule starts from.
        steps: Optimizer steps of the whole run, from 1.
        warmup_steps: Steps before the schedule begins, from 0.

    Returns:
        None where the learning rate never changes.

    Raises:
        UnknownNameError: There is no such schedule.
        ConfigError: Torch refuses the options; quotes what it says.

    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> schedule = make_schedule("linear", {}, optimizer, steps=4)
    >>> schedule.step_made()
    >>> round(schedule.learning_rate, 3)
    0.075
    """
    check_schedule(name)
    kind = SCHEDULES[name]
    scheduler = None
    if kind.scheduler is not None:
        given = {**kind.defaults(optimizer, max(1, steps - warmup_steps)), **options}
        scheduler = _make(name, kind.scheduler, optimizer, given)
    elif options:
        raise _refused(name, options, text("schedule.constant_options", "it takes no options"))
    return Schedule(optimizer, scheduler, warmup_steps) if scheduler is not None or warmup_steps else None


def _make(
    name: str, make: Callable[..., lr_scheduler.LRScheduler], optimizer: torch.optim.Optimizer, given: dict[str, Any]
) -> lr_scheduler.LRScheduler:
    try:
        _rehearse(make, optimizer, given)
        return make(optimizer, **given)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise _refused(name, given, error) from error


def _rehearse(
    make: Callable[..., lr_scheduler.LRScheduler], optimizer: torch.optim.Optimizer, given: dict[str, Any]
) -> None:
    """Make one step with a stand-in: torch looks at some options only then, which would end a run in its middle."""
    stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], optimizer.defaults["lr"], momentum=0.9)
    scheduler = make(stand_in, **given)
    stand_in.step()
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(0.0)
    else:
        scheduler.step()


def _refused(name: str, options: Mapping[str, Any], why: object) -> ConfigError:
    return ConfigError(
        text(
            "error.schedule_options",
            "The schedule {name!r} cannot be used with schedule_options {options}: {why}",
            name=name,
            options=dict(options),
            why=why,
        )
    )


def _nothing(_optimizer: torch.optim.Optimizer, _steps: int) -> dict[str, Any]:
    return {}


def _one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Any]:
    """Torch would give momentum to an optimizer that was asked for without it."""
    has_momentum = "betas" in optimizer.defaults or optimizer.defaults.get("momentum", 0) > 0
    return {"max_lr": optimizer.defaults["lr"], "total_steps": steps, "cycle_momentum": has_momentum}


SCHEDULES: Mapping[str, ScheduleKind] = {
    "constant": ScheduleKind(Text("schedule.constant", "The learning rate stays as it is."), None, _nothing),
    "linear": ScheduleKind(
        Text("schedule.linear", "Falls in a straight line to end_factor (0) of it at the end of the run."),
        lr_scheduler.LinearLR,
        lambda _, steps: {"start_factor": 1.0, "end_factor": 0.0, "total_iters": steps},
    ),
    "cosine": ScheduleKind(
        Text("schedule.cosine", "Falls along half a cosine to eta_min (0) at the end of the run."),
        lr_scheduler.CosineAnnealingLR,
        lambda _, steps: {"T_max": steps},
    ),
    "step": ScheduleKind(
        Text("schedule.step", "Times gamma (0.1) every step_size steps (a third of the run)."),
        lr_scheduler.StepLR,
        lambda _, steps: {"step_size": max(1, steps // 3)},
    ),
    "multi_step": ScheduleKind(
        Text("schedule.multi_step", "Times gamma (0.1) at each of the milestones (a half and three quarters)."),
        lr_scheduler.MultiStepLR,
        lambda _, steps: {"milestones": [steps // 2, steps * 3 // 4]},
    ),
    "exponential": ScheduleKind(
        Text("schedule.exponential", "Times gamma at each step, so that a hundredth is left at the end."),
        lr_scheduler.ExponentialLR,
        lambda _, steps: {"gamma": _END_SHARE ** (1 / steps)},
    ),
    "one_cycle": ScheduleKind(
        Text("schedule.one_cycle", "Rises from a 25th to the learning rate, then falls to almost nothing."),
        lr_scheduler.OneCycleLR,
        _one_cycle,
    ),
    "plateau": ScheduleKind(
        Text("schedule.plateau", "Times factor (0.1) after more than patience (2) epochs without a better validation."),
        lr_scheduler.ReduceLROnPlateau,
        lambda _optimizer, _steps: {"patience": 2},
    ),
}
"""Every schedule by name; options are those of torch's class, in optimizer steps."""
