"""Rows for a training loop that is not ours: any named values a step, and a row an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from time import monotonic_ns

import torch
from torch import Tensor

from bigmodel_lab.errors import ShapeError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training.readings import ScalarQueue

Values = Mapping[str, "float | Tensor"]
"""Scalars by metric key."""

_OWN_KEYS = ("step_seconds", "samples_per_second", "data_wait_share")
_MOST_ON_DEVICE = 16  # scalars on a GPU in one row; more are read at once, which waits


class OwnSteps:
    """Records what someone's own loop reports; never waits for the GPU.

    >>> from bigmodel_lab.runlog import RunLog
    >>> log = RunLog.create("example")
    >>> steps = OwnSteps(log, torch.device("cpu"))
    >>> steps.step(0, samples=32, values={"loss": torch.tensor(0.5)})
    >>> log.read("step").values[0, 3].item()
    0.5
    >>> log.close()
    """

    def __init__(self, log: RunLog, device: torch.device) -> None:
        self._steps = log.stream("step", axis="step", keys=_OWN_KEYS)
        self._names = self._steps.keys[len(_OWN_KEYS) :]
        self._log = log
        self._queue = ScalarQueue(device, _MOST_ON_DEVICE) if device.type != "cpu" else None
        self.start_clock()

    def start_clock(self) -> None:
        """The next step begins now: what came before (a pause, a validation) is not its time."""
        self._last_ns = monotonic_ns()
        self._came_ns = 0

    def batch_has_come(self) -> None:
        """The batch of this step is there: the loop has waited for it since the step began."""
        self._came_ns = monotonic_ns()

    def step(self, step: int, samples: int | None, values: Values) -> None:
        """A step has ended; its time is that since the last one, or since :meth:`start_clock`.

        Args:
            step: Number of the step, from 0.
            samples: Samples of the step; None is unknown.
            values: Scalars by metric key.

        Raises:
            ShapeError: A value has more than one number.
        """
        now = monotonic_ns()
        begun, came = self._last_ns, self._came_ns
        self._last_ns, self._came_ns = now, 0
        seconds = (now - begun) * 1e-9
        own = (
            seconds,
            samples / seconds if samples and seconds else nan,
            (came - begun) / (now - begun) if came and now > begun else nan,
        )
        on_device = self._on_device(values)
        if on_device and self._queue is not None:
            known = {k: v for k, v in values.items() if k not in on_device}
            facts = (step, now, own, known, tuple(on_device))
            self._queue.put(self._arrived, facts, tuple(on_device.values()))
        else:
            self._append(step, now, own, values)

    def epoch(self, step: int, values: Values) -> None:
        """An epoch, or a validation, has ended; waits for the GPU, as a validation does anyway.

        Args:
            step: Steps made so far, less one.
            values: Scalars by metric key, e.g. ``validation_loss``.
        """
        numbers = {key: _number(key, value) for key, value in values.items()}
        stream = self._log.stream("epoch", axis="step", keys=tuple(numbers))
        stream.append(step, monotonic_ns(), [numbers.get(key, nan) for key in stream.keys])

    def drain(self) -> None:
        """Deliver what is still on the device; waits for it."""
        if self._queue is not None:
            self._queue.drain()

    def _on_device(self, values: Values) -> dict[str, Tensor]:
        """The values that cannot be read without waiting, as far as they fit into a row of the queue."""
        if self._queue is None:
            return {}
        waiting = {k: v.detach() for k, v in values.items() if isinstance(v, Tensor) and v.device.type != "cpu"}
        return {key: _scalar(key, waiting[key]) for key in list(waiting)[:_MOST_ON_DEVICE]}

    def _arrived(
        self, step: int, now: int, own: tuple[float, ...], known: Values, keys: tuple[str, ...], *numbers: float
    ) -> None:
        self._append(step, now, own, {**known, **dict(zip(keys, numbers, strict=True))})

    def _append(self, step: int, now: int, own: tuple[float, ...], values: Values) -> None:
        if tuple(values) == self._names:  # as in most loops, the same names at every step: the short way
            row = [*own, *[v if type(v) is float else _number(k, v) for k, v in values.items()]]
        else:
            row = self._row_by_name({**dict(zip(_OWN_KEYS, own, strict=True)), **values})
        self._steps.append(step, now, row)

    def _row_by_name(self, values: Values) -> list[float]:
        """New names get their columns; names that this step lacks are unknown."""
        for key in values:
            self._steps.add_key(key)
        keys = self._steps.keys
        self._names = keys[len(_OWN_KEYS) :]
        return [_number(key, values.get(key, nan)) for key in keys]


def _number(key: str, value: float | Tensor) -> float:
    if not isinstance(value, Tensor):
        return float(value)
    if value.numel() != 1:
        raise _not_a_scalar(key, value)
    return value.item()


def _scalar(key: str, value: Tensor) -> Tensor:
    if value.numel() != 1:
        raise _not_a_scalar(key, value)
    return value.reshape(())


def _not_a_scalar(key: str, value: Tensor) -> ShapeError:
    return ShapeError(
        text(
            "watch.not_a_scalar",
            "log({key}=…) got a tensor of shape {shape}; a recorded value is one number. Take its mean() first.",
            key=key,
            shape=tuple(value.shape),
        )
    )
