"""The training loop. One body for every way to drive it: blocking, in a thread, awaited.

The loop appends to the run log and never waits for those who read it. What a person wants
meanwhile reaches it through the mailbox, of which it reads one flag a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isnan
from time import monotonic_ns
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Batches, Data, Split, check_not_empty, epoch_order
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import HandWritten
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.training.augment import TrainingBatches, augmented
from bigmodel_lab.training.commands import Commands
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice
from bigmodel_lab.training.dropout import dropping
from bigmodel_lab.training.early_stopping import EarlyStopping
from bigmodel_lab.training.ending import RecordedEnd
from bigmodel_lab.training.evaluate import Evaluation, evaluate, evaluating
from bigmodel_lab.training.freezing import freeze, hold_frozen_norms
from bigmodel_lab.training.objectives import Objective
from bigmodel_lab.training.observers import BestEpoch, EpochEnd, load_states, states_of
from bigmodel_lab.training.optimizers import make_optimizer
from bigmodel_lab.training.penalties import penalty_of
from bigmodel_lab.training.precision import Precision, arithmetic_of, matmul_precision, resolve_precision
from bigmodel_lab.training.probe import probe
from bigmodel_lab.training.randomness import Randomness
from bigmodel_lab.training.readings import Readings, readings_for
from bigmodel_lab.training.recorder import RATE_KEYS, Recorder
from bigmodel_lab.training.schedules import make_schedule
from bigmodel_lab.training.step import LossFunction, Task, training_step
from bigmodel_lab.training.suitability import check_settings, check_single_sample

__all__ = ["EpochEnd", "EpochObserver", "Trainer"]


class EpochObserver(Protocol):
    """Looks at the trainer after each epoch, e.g. to keep the best weights or to end early.

    One that also has ``state()`` and ``load_state(state)`` is remembered in the state of the trainer.
    """

    def epoch_ended(self, trainer: Trainer, end: EpochEnd) -> str | None:
        """An epoch was validated; may read and save, must not train.

        Returns:
            Why the run shall end now, in words; None to go on.
        """


class Trainer:
    """Trains one model on one set of data, and can stop and go on.

    >>> from bigmodel_lab.data import load_data
    >>> from bigmodel_lab.models import MODELS
    >>> from bigmodel_lab.runlog import RunLog
    >>> from bigmodel_lab.training import choose_device
    >>> log = RunLog.create("example")
    >>> config = TrainConfig(max_steps=3)
    >>> trainer = Trainer(MODELS.get("mlp").create(seed=0), load_data(), config, log, device=choose_device("cpu"))
    >>> trainer.run().value, trainer.steps_made
    ('finished', 3)
    >>> log.close(Status.FINISHED)
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        config: TrainConfig,
        log: RunLog,
        *,
        device: DeviceChoice,
        loss: LossFunction | None = None,
        documented_loss: LossFunction | None = None,
        name: str | None = None,
        observers: Sequence[EpochObserver] = (),
    ) -> None:
        """Move model and data to the device and check that they go together; nothing is trained yet.

        Args:
            model: Any module that maps a batch (samples, …) to scores (samples, classes).
            data: What to train on.
            config: The settings.
            log: Where everything is recorded; opened and closed by the caller.
            device: Where to compute.
            loss: The person's own; maps (output, labels) to the mean loss; None is the usual one.
            documented_loss: The same of a documented model.
            name: What the model is called; None takes its class.
            observers: Asked after each epoch, in this order.

        Raises:
            DataError: The data is empty, or does not suit the model.
            ConfigError: Optimizer or schedule cannot be made from these settings, or one does not suit the model,
                the data or the device.
            UnknownNameError: ``freeze`` names a parameter that the model has not.
        """
        check_not_empty("training", data.train)
        self.config = config
        self.model = model.to(device.device)
        self.steps_made = 0
        self._device = device
        self._name = name or type(model).__name__
        self._randomness = Randomness(config.seed, device.device)
        self._precision = resolve_precision(config.precision, device.device)
        arithmetic = arithmetic_of(self._precision, device.device)
        check_settings(config, model, data, self._precision)
        if config.freeze:
            freeze(model, *config.freeze)
        with self._randomness.borrowed():
            fit = probe(model, data, device.device, arithmetic, own_loss=loss, documented_loss=documented_loss)
        check_single_sample(config, len(data.train), fit.needs_two)
        self.data = fit.data
        self._objective = fit.objective
        early = () if config.early_stopping is None else (EarlyStopping(config.early_stopping),)
        self._observers: Sequence[EpochObserver] = (*early, *observers)
        self._best = BestEpoch()
        by_hand = model if isinstance(model, HandWritten) else None
        penalty = penalty_of(model, config.l1, config.l2)
        self._task = Task(model, fit.objective.loss, fit.objective.count_correct, arithmetic, by_hand, penalty)
        self.optimizer = make_optimizer(
            config.optimizer, model.parameters(), config.learning_rate, config.optimizer_options
        )
        batches = Batches.of(self.data, "train", device.device)
        self._train: TrainingBatches = augmented(batches, config.augment, self.data)
        self._validation = Batches.of(self.data, "validation", device.device)
        self._schedule = make_schedule(
            config.schedule,
            config.schedule_options,
            self.optimizer,
            steps=self.total_steps,
            warmup_steps=config.warmup_steps,
        )
        self.attach(log)

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._name

    @property
    def device(self) -> str:
        """Where it computes, as PyTorch writes it."""
        return self._device.device

    @property
    def precision(self) -> Precision:
        """The number format it computes in, and why."""
        return self._precision

    @property
    def objective(self) -> Objective:
        """How the model's output is judged."""
        return self._objective

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the training data; the last may have fewer samples."""
        return -(-len(self._train) // self.config.effective_batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        planned = self.config.epochs * self.steps_per_epoch
        return planned if self.config.max_steps is None else min(planned, self.config.max_steps)

    def attach(self, log: RunLog) -> None:
        """Record into this log from now on, e.g. into the reopened one of a stopped run."""
        self._log = log
        self._recorder = Recorder(log)
        self._rates = log.stream("schedule", axis="step", keys=RATE_KEYS) if self._schedule else None
        self._readings: Readings = readings_for(self._device.device, self._recorder)
        self._commands = Commands(log, self._readings.drain)
        log.update_header(
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            device=self._device.device,
            device_reason=self._device.reason,
            model=self._name,
            parameters=sum(p.numel() for p in self.model.parameters()),
            config=self.config.facts,
            data=self.data.facts,
        )
        if self._objective.unknown_accuracy is not None:
            reason = str(self._objective.unknown_accuracy)
            log.set_unknown("accuracy", reason)
            log.set_unknown("validation_accuracy", reason)

    def run(self) -> Status:
        """Train until all steps are made or a stop is wanted; called again, go on from there.

        A stopped and continued run ends with exactly the weights of one that was not
        stopped (on a CPU to the bit). torch's random numbers are the person's own again
        afterwards. The log stays open.

        Returns:
            ``FINISHED`` or ``STOPPED``.

        Raises:
            NonFiniteLossError: The loss became NaN or infinite.
        """
        with RecordedEnd(self._log, self._readings) as end, self._computing(), torch.enable_grad():
            self._announce()
            if not self.model.training:  # parts that the person froze by .eval() are left so
                self.model.train()
            hold_frozen_norms(self.model)
            status = self._all_epochs()
            self._readings.drain()
            end.status = status
        return status

    def evaluate(self, split: str = "test") -> Evaluation:
        """Loss and accuracy on a part of the data; waits for the device.

        Args:
            split: ``"test"``, ``"validation"`` or ``"train"``.

        Raises:
            UnknownNameError: There is no such part.
            EmptyDataError: It has no samples.
        """
        part = self.part(split)
        with self.judging():
            loss, correct = self._measure(Batches.of(self.data, split, self._device.device))
        hits = None if self._objective.unknown_accuracy else correct.item()
        return Evaluation(loss.item(), None if hits is None else hits / len(part), len(part))

    def part(self, split: str) -> Split:
        """A part of the data that has samples.

        Args:
            split: ``"test"``, ``"validation"`` or ``"train"``.

        Raises:
            UnknownNameError: There is no such part.
            EmptyDataError: It has no samples.
        """
        if split not in self.data.splits:
            raise UnknownNameError(text("split.kind", "part of the data"), split, self.data.splits)
        part = self.data.splits[split]
        check_not_empty(split, part)
        return part

    @contextmanager
    def judging(self) -> Iterator[Task]:
        """The task in evaluation mode and in the run's number format; random numbers drawn leave no trace."""
        with self._randomness.borrowed(), matmul_precision(self._precision), evaluating(self.model):
            yield self._task

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on to the bit: tensors and plain values only.

        Call it while no step is running. ``torch.load(…, weights_only=True)`` reads what ``torch.save`` makes of it.
        The tensors are those that the training goes on to change: save or copy them before it does.
        """
        self._readings.drain()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "arithmetic": self._task.arithmetic.state(),
            "randomness": self._randomness.state(),
            "steps_made": self.steps_made,
            "epoch_sums": self._recorder.sums,
            "schedule": self._schedule.state() if self._schedule else {},
            "best_epoch": self._best.known,
            "observers": states_of(self._observers),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where another trainer of the same model, data and settings stood.

        Args:
            state: What :meth:`state` gave.
        """
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._task.arithmetic.load_state(state["arithmetic"])
        self._randomness.load_state(state["randomness"])
        self.steps_made = int(state["steps_made"])
        self._recorder.sums = tuple(state["epoch_sums"])
        if self._schedule:
            self._schedule.load_state(state["schedule"])
        self._best.known = state["best_epoch"]
        load_states(self._observers, state["observers"])

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """The run's random numbers, number format and dropout are in force; the person's return afterwards."""
        with (
            self._randomness.in_use(),
            matmul_precision(self._precision),
            dropping(self.model, self.config.dropout),
        ):
            yield

    def _all_epochs(self) -> Status:
        while self.steps_made < self.total_steps:
            if not self._epoch():
                return Status.STOPPED
            reason = self._end_epoch()
            if reason is not None:
                best = self._best.known
                self._log.event("ended_early", reason=reason, best_epoch=best and best[0])
                return Status.FINISHED
        return Status.FINISHED

    def _epoch(self) -> bool:
        """The steps that are left of the present epoch; False when a stop is wanted before its end."""
        task, optimizer, take = self._task, self.optimizer, self._train.take
        mailbox, readings, scheduled = self._log.mailbox, self._readings, self._schedule is not None
        micro = self.config.micro_batch_size
        readings.start_clock()
        for indices in self._indices_left():
            if mailbox.flag:
                if self._commands.stop_wanted():
                    return False
                readings.start_clock()
            samples = indices.shape[0]
            parts = (indices,) if samples <= micro else torch.split(indices, micro)
            loss, correct = training_step(task, optimizer, map(take, parts), samples)
            step = self.steps_made
            self.steps_made = step + 1
            readings.step(step, samples, loss, correct)
            if scheduled:
                self._follow_schedule(step)
        return True

    def _follow_schedule(self, step: int) -> None:
        """Record the learning rate that the step had, and set that of the next."""
        assert self._schedule is not None
        assert self._rates is not None
        self._rates.append(step, monotonic_ns(), (self._schedule.learning_rate,))
        self._schedule.step_made()

    def _indices_left(self) -> tuple[Tensor, ...]:
        """The samples of each step that is left of the present epoch."""
        epoch, made = divmod(self.steps_made, self.steps_per_epoch)
        order = epoch_order(len(self._train), self.config.seed, epoch).to(self._device.device)
        steps = torch.split(order, self.config.effective_batch_size)
        return steps[made : made + self.total_steps - self.steps_made]

    def _end_epoch(self) -> str | None:
        """Validate, and add the row of the epoch; why the run shall end now, None to go on."""
        validated = len(self._validation)
        nothing = torch.tensor(torch.nan)
        loss, correct = self._measure(self._validation) if validated else (nothing, nothing)
        self._readings.epoch(self.steps_made - 1, validated, loss, correct)
        epoch = -(-self.steps_made // self.steps_per_epoch)
        self._log.event("epoch", epoch=epoch)
        if not self._observers and not (self._schedule and self._schedule.follows_validation):
            return None
        numbers = self._as_numbers(loss, correct, validated)
        if self._schedule:
            self._schedule.epoch_made(numbers[0])
        end = EpochEnd(epoch, self.steps_made, *numbers, self._best.after(epoch, numbers[0]))
        reasons = [observer.epoch_ended(self, end) for observer in self._observers]
        return next(filter(None, reasons), None)

    @staticmethod
    def _as_numbers(loss: Tensor, correct: Tensor, validated: int) -> tuple[float | None, float | None]:
        """Validation loss and accuracy; waits for the device, as the end of an epoch may."""
        values = (loss.item(), correct.item() / validated) if validated else (torch.nan, torch.nan)
        return tuple(None if isnan(value) else value for value in values)  # type: ignore[return-value]

    def _measure(self, batches: Batches) -> tuple[Tensor, Tensor]:
        return evaluate(self._task, batches, self.config.micro_batch_size)

    def _announce(self) -> None:
        """The log itself notes that a run started, paused, resumed or ended."""
        self._log.set_status(Status.RUNNING)
        self._log.event("device", device=self._device.device, reason=self._device.reason)
        self._log.event("precision", **self._precision.facts)
