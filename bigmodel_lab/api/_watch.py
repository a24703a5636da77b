"""``watch``: the same live dashboard over a training loop of one's own."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import nn

from bigmodel_lab.api._card_facts import card_facts, uuid_of
from bigmodel_lab.api._interrupt import interrupts_to
from bigmodel_lab.api._live import FailureRecorded, sampled, tell_interrupt
from bigmodel_lab.api._run import Run
from bigmodel_lab.api._watch_tips import tips_shown
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.tips._own_loop import LoopWatcher, unwrapped
from bigmodel_lab.training import Commands, OwnSteps
from bigmodel_lab.widgets import RunDisplay

Item = TypeVar("Item")


class Watch:
    """A run of a loop that is not ours; made by :func:`watch`, used as a context manager."""

    def __init__(
        self,
        model: nn.Module | None,
        optimizer: torch.optim.Optimizer | None,
        *,
        name: str | None,
        total_steps: int | None,
        interrupt: bool,
        runs_dir: str | Path | None,
        sample_hz: float,
    ) -> None:
        self.stopped = False
        """A stop was wanted: leave your loop. Loops over ``w(loader)`` end by themselves."""
        self._model, self._optimizer = model, unwrapped(optimizer)
        self._name = name or (type(model).__name__ if model is not None else "watched loop")
        self._total_steps = total_steps
        self._interrupt = interrupt
        self._runs_dir = Path(runs_dir) if runs_dir is not None else None
        self._sample_hz = sample_hz
        self._loop_facts: dict[str, Any] = {}
        self._watcher: LoopWatcher | None = None
        self._log: RunLog | None = None
        self._in_loader = False
        self._values: dict[str, Any] = {}
        self._step = 0

    @property
    def run(self) -> Run:
        """The run, also after its end: plot it, export it, read its series.

        Raises:
            ConfigError: The ``with`` block has not begun.
        """
        return Run(self._running(), self._running().path)

    def __enter__(self) -> Watch:  # noqa: PYI034 (Self needs Python 3.11)
        device = device_of(self._model)
        self._log = log = RunLog.create(self._name, folder=self._runs_dir, header=self._facts(device))
        self._steps = OwnSteps(log, device)
        self._commands = Commands(log, self._steps.drain)
        self._mailbox = log.mailbox
        self._display = RunDisplay(log, log.mailbox)
        self._accompaniment = ExitStack()
        self._accompaniment.callback(self._display.finish)
        self._accompaniment.enter_context(FailureRecorded(log))
        self._accompaniment.push(self._close)
        self._accompaniment.enter_context(sampled(log, gpu_uuid=_uuid_of(device), sample_hz=self._sample_hz))
        self._accompaniment.enter_context(tips_shown(log))
        if self._interrupt:
            may_pause = self._display.front.kind == "notebook"
            self._accompaniment.enter_context(interrupts_to(log, may_pause=may_pause, tell=tell_interrupt))
        self._display.show()
        self._watcher = LoopWatcher(self._model, self._optimizer)
        self._steps.start_clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accompaniment.__exit__(kind, error, trace)

    def __call__(self, loader: Iterable[Item]) -> Iterator[Item]:
        """The loader's batches; the end of each turn of the loop is the end of a step.

        A pause waits here, a stop ends the loop here.

        Args:
            loader: Anything that gives batches.
        """
        self.takes(loader)
        self._in_loader = True
        try:
            if self.stopped:
                return
            for batch in loader:
                self._steps.batch_has_come()
                yield batch
                if self.end_turn(batch):
                    return
        finally:
            self._in_loader = False

    def takes(self, loader: Iterable[Any] | None, **known: Any) -> None:
        """Batches come from this loader, where the loop is not over ``w(loader)``; for tips.

        Args:
            loader: Anything that gives batches; None is unknown.
            known: Fields of :class:`~bigmodel_lab.tips._facts.LoopFacts` that need not be found out.
        """
        self._running()
        self._loop_facts |= known
        if self._watcher is not None and loader is not None:
            self._watcher.takes(loader)

    def batch_has_come(self) -> None:
        """The batch of this step is there, where the loop is not over ``w(loader)``: so long it has waited for data."""
        self._steps.batch_has_come()

    def log(self, **values: float | torch.Tensor) -> None:
        """Record values of the present step; nothing waits for the GPU.

        Inside a loop over ``w(loader)`` the step ends with the turn of the loop; elsewhere each call is a step.

        Args:
            values: Scalars by name, e.g. ``loss=loss``. Up to 30 names a run.
        """
        self._values.update(values)
        if not self._in_loader:
            self.end_step()

    def log_epoch(self, **values: float | torch.Tensor) -> None:
        """Record values of an epoch or a validation, e.g. ``validation_loss=…``; waits for the GPU.

        Args:
            values: Scalars by name. ``validation_loss`` and ``validation_accuracy`` (0 … 1) appear in the
                charts of loss and accuracy.
        """
        self._running()
        self._steps.epoch(self._step - 1, values)
        self._steps.start_clock()

    def end_step(self, samples: int | None = None, **values: float | torch.Tensor) -> bool:
        """End a step by hand, where the loop is not over ``w(loader)``.

        Args:
            samples: Samples of the step; None when unknown, then there is no throughput.
            values: More values of the step, as for :meth:`log`.

        Returns:
            True when a stop is wanted.
        """
        if self._watcher is not None:
            self._look(None, samples)
        return self._end_step(samples, values)

    def end_turn(self, batch: object, **values: float | torch.Tensor) -> bool:
        """End a step by hand, as :meth:`end_step`, whose batch is at hand.

        Args:
            batch: Any tree of tensors; anything else says nothing.
            values: As there.

        Returns:
            True when a stop is wanted.
        """
        samples = samples_of(batch)
        if self._watcher is not None:
            self._look(batch, samples)
        return self._end_step(samples, values)

    def _end_step(self, samples: int | None, values: dict[str, Any]) -> bool:
        self._steps.step(self._step, samples, {**self._values, **values} if values else self._values)
        self._step += 1
        self._values = {}
        if self._mailbox.flag:
            self.stopped = self._commands.stop_wanted()
            self._steps.start_clock()
        return self.stopped

    def _look(self, batch: object, samples: int | None) -> None:
        """One of the first turns, which tell what the loop is like."""
        assert self._watcher is not None
        if self._watcher.has_turned(batch, samples):
            self._keep_loop_facts()

    def _keep_loop_facts(self) -> None:
        """What the loop has shown goes into the record, and nobody looks any more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
            self._running().update_header(loop=replace(watcher.facts(), **self._loop_facts).as_json())

    @property
    def steps_made(self) -> int:
        """Steps that have ended."""
        return self._step

    def event(self, kind: str, **facts: Any) -> None:
        """Note in the run that something happened now.

        Args:
            kind: What, in one word.
            facts: More of it, values of JSON.
        """
        self._running().event(kind, **facts)

    def _close(self, kind: type[BaseException] | None, *_: object) -> None:
        """After the samplers have stopped: the last steps, then the end, unless it is a failure."""
        self._keep_loop_facts()
        self._steps.drain()
        if kind is None:
            self._running().close(Status.STOPPED if self.stopped else Status.FINISHED)

    def _running(self) -> RunLog:
        if self._log is None:
            raise ConfigError(
                text("watch.not_entered", "The watch has not begun. Use it as:  with lab.watch(model, optimizer) as w:")
            )
        return self._log

    def _facts(self, device: torch.device) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "device": str(device),
            "total_steps": self._total_steps,
            **card_facts(_uuid_of(device)),
        }
        if self._model is not None:
            facts["model"] = type(self._model).__name__
            facts["parameters"] = sum(p.numel() for p in self._model.parameters())
        if self._optimizer is not None:
            facts["config"] = _settings_of(self._optimizer)
        return facts


def watch(
    model: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    name: str | None = None,
    total_steps: int | None = None,
    interrupt: bool = False,
    runs_dir: str | Path | None = None,
    sample_hz: float = 2.0,
) -> Watch:
    """Watch a training loop of your own in the live dashboard.

    Args:
        model: The model, for its size and device; None is allowed.
        optimizer: The optimizer, for the record; None is allowed.
        name: Name of the run; None takes the model's class.
        total_steps: Optimizer steps that the loop will make, for progress and time left; None is unknown.
        interrupt: Turn the notebook's Interrupt into pause and stop while the block runs; otherwise it
            raises KeyboardInterrupt in your loop, as ever.
        runs_dir: Folder for the run file; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.
        sample_hz: Samples of GPU and host a second, 1 … 10.

    >>> import torch, bigmodel_lab as lab
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with lab.watch(model, optimizer) as w:
    ...     for batch in w(torch.randn(8, 4, 2)):
    ...         loss = model(batch).square().mean()
    ...         loss.backward()
    ...         optimizer.step()
    ...         optimizer.zero_grad()
    ...         w.log(loss=loss)
    >>> w.run
    <Run Linear: finished, 8 steps>
    """
    return Watch(
        model,
        optimizer,
        name=name,
        total_steps=total_steps,
        interrupt=interrupt,
        runs_dir=runs_dir,
        sample_hz=sample_hz,
    )


def device_of(model: nn.Module | None) -> torch.device:
    """Where a model's parameters lie; the CPU where there are none."""
    parameter = next(model.parameters(), None) if model is not None else None
    return parameter.device if parameter is not None else torch.device("cpu")


def _uuid_of(device: torch.device) -> str | None:
    """The driver's name of a CUDA device; None for others, and where it cannot be told."""
    return uuid_of(device.index or 0) if device.type == "cuda" else None


def _settings_of(optimizer: Any) -> dict[str, Any]:
    """Its kind, step width, and the kernels that were chosen, as :class:`~bigmodel_lab.training.TrainConfig` names them."""
    kind = {"optimizer": type(optimizer).__name__.lower()}
    if not isinstance(optimizer, torch.optim.Optimizer):  # of a library that has a class of its own
        return kind
    chosen = {name: True for name in ("fused", "foreach") if optimizer.defaults.get(name)}
    if optimizer.defaults.get("foreach") is False:
        chosen["foreach"] = False
    rate = optimizer.param_groups[0].get("lr")
    return {**kind, "optimizer_options": chosen, **({} if rate is None else {"learning_rate": float(rate)})}


def samples_of(batch: object) -> int | None:
    """Length of the first tensor in a batch; None when there is none."""
    if isinstance(batch, torch.Tensor):
        return batch.shape[0] if batch.ndim else None
    if isinstance(batch, (dict, UserDict)):  # the second: batches of Transformers' collators
        batch = tuple(batch.values())
    if isinstance(batch, (tuple, list)):
        for part in batch:  # a loop, not next() of a generator: this runs at each step
            samples = samples_of(part)
            if samples is not None:
                return samples
    return None
