"""The training loop. One body for every way to drive it: blocking, in a thread, awaited.

The loop appends to the run log and never waits for those who read it. What a person wants
meanwhile reaches it through the mailbox, of which it reads one flag a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from time import monotonic_ns
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Batches, Data
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.training.changing import changes, check_change
from bigmodel_lab.training.commands import Commands
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice
from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.early_stopping import EarlyStopping
from bigmodel_lab.training.ending import RecordedEnd
from bigmodel_lab.training.evaluate import Evaluation, evaluate
from bigmodel_lab.training.freezing import hold_frozen_norms
from bigmodel_lab.training.observers import BestEpoch, EpochEnd, load_states, states_of
from bigmodel_lab.training.optimizer_state import load_optimizer_state
from bigmodel_lab.training.out_of_memory import forget_failure, is_out_of_memory
from bigmodel_lab.training.readings import Readings, readings_for
from bigmodel_lab.training.recorder import RATE_KEYS, Recorder
from bigmodel_lab.training.recovery import Guard, Recovery
from bigmodel_lab.training.safe_steps import RolledBack, SafeSteps
from bigmodel_lab.training.step import LossFunction
from bigmodel_lab.training.stepper import Stepper

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


class Trainer(Stepper):
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
        memory: DeviceMemory | None = None,
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
            memory: Of the device; None asks PyTorch.

        Raises:
            DataError: The data is empty, or does not suit the model.
            ConfigError: Optimizer or schedule cannot be made from these settings, or one does not suit the model,
                the data or the device.
            UnknownNameError: ``freeze`` names a parameter that the model has not.
        """
        super().__init__(
            model,
            data,
            config,
            device=device,
            loss=loss,
            documented_loss=documented_loss,
            name=name,
            memory=memory,
        )
        self._given_observers = tuple(observers)
        self._recovery: Recovery | None = None
        self._safe: SafeSteps | None = None
        self._best = BestEpoch()
        self._validation = Batches.of(self.data, "validation", device.device)
        self.attach(log)

    def recover_by(self, recovery: Recovery | None) -> None:
        """Who decides when a step runs out of memory, from the next :meth:`run` on; None ends the run."""
        self._recovery = recovery

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
        guard = None if self._recovery is None else Guard(self._log, self.memory, self._recovery)
        self._safe = None if guard is None else SafeSteps(self, guard)
        with RecordedEnd(self._log, self._readings) as end, self.computing(), torch.enable_grad():
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

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on to the bit: tensors and plain values only.

        Call it while no step is running. ``torch.load(…, weights_only=True)`` reads what ``torch.save`` makes of it.
        The tensors are those that the training goes on to change: save or copy them before it does.
        """
        self._readings.drain()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "arithmetic": self._arrangement.arithmetic.state(),
            "randomness": self._randomness.state(),
            **self.position(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where another trainer of the same model, data and settings stood.

        Args:
            state: What :meth:`state` gave.
        """
        self.model.load_state_dict(state["model"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self._arrangement.arithmetic.load_state(state["arithmetic"])
        self._randomness.load_state(state["randomness"])
        self.go_to(state)

    def position(self) -> dict[str, Any]:
        """Where the run stands, as plain values: the part of :meth:`state` without tensors."""
        return {
            "steps_made": self.steps_made,
            "epoch_sums": self._recorder.sums,
            "schedule": self._schedule.state() if self._schedule else {},
            "best_epoch": self._best.known,
            "observers": states_of(self._observers()),
        }

    def go_to(self, position: Mapping[str, Any]) -> None:
        """Stand where :meth:`position` was asked for."""
        self.steps_made = int(position["steps_made"])
        self._recorder.sums = tuple(position["epoch_sums"])
        if self._schedule:
            self._schedule.load_state(position["schedule"])
        self._best.known = position["best_epoch"]
        load_states(self._observers(), position["observers"])

    def hold(self, until: Callable[[], bool]) -> bool:
        """Wait between two steps as in a pause, until something has happened.

        Args:
            until: Asked after each command that was obeyed; True goes on.

        Returns:
            False when a stop is wanted.
        """
        return self._commands.hold(until)

    def change(self, config: TrainConfig) -> None:
        """Go on with other settings, between two steps. Weights, optimizer, random numbers and place in the data stay.

        Args:
            config: As many samples behind each optimizer step as before; see
                :data:`bigmodel_lab.training.changing.CHANGEABLE` for what may differ.

        Raises:
            ConfigError: Something differs that only a new run can have, or the device cannot do it now.
            UnknownNameError: ``activation_checkpointing`` names a module that the model has not.
        """
        check_change(self.config, config)
        was, new = changes(config, self.config), changes(self.config, config)
        self.switch(config)
        if self._safe is not None:
            self._safe.begin()  # what was changed must not be lost when an optimizer rolls back
        self._log.event("changed", was=_plain(was), now=_plain(new))
        self._log.update_header(config=config.facts)

    def _observers(self) -> tuple[EpochObserver, ...]:
        patience = self.config.early_stopping
        return self._given_observers if patience is None else (EarlyStopping(patience), *self._given_observers)

    def _all_epochs(self) -> Status:
        while self.steps_made < self.total_steps:
            try:
                stopped = not self._epoch()
            except RolledBack:
                continue
            if stopped:
                return Status.STOPPED
            reason = self._end_epoch()
            if reason is not None:
                best = self._best.known
                self._log.event("ended_early", reason=reason, best_epoch=best and best[0])
                return Status.FINISHED
        return Status.FINISHED

    def _epoch(self) -> bool:
        """The steps that are left of the present epoch; False when a stop is wanted before its end."""
        mailbox, readings, scheduled = self._log.mailbox, self._readings, self._schedule is not None
        make = self.make_step
        if self._safe is not None:
            self._safe.begin()
            make = self._safe.make
        readings.start_clock()
        for indices in self._indices_left():
            if mailbox.flag:
                if self._commands.stop_wanted():
                    return False
                readings.start_clock()
            loss, correct = make(indices)
            step = self.steps_made
            self.steps_made = step + 1
            readings.step(step, indices.shape[0], loss, correct)
            if scheduled:
                self._follow_schedule(step)
        return True

    def _follow_schedule(self, step: int) -> None:
        """Record the learning rate that the step had, and set that of the next."""
        assert self._schedule is not None
        assert self._rates is not None
        self._rates.append(step, monotonic_ns(), (self._schedule.learning_rate,))
        self._schedule.step_made()

    def _end_epoch(self) -> str | None:
        """Validate, and add the row of the epoch; why the run shall end now, None to go on."""
        validated = len(self._validation)
        nothing = torch.tensor(torch.nan)
        loss, correct = self._measure(self._validation) if validated else (nothing, nothing)
        self._readings.epoch(self.steps_made - 1, validated, loss, correct)
        epoch = -(-self.steps_made // self.steps_per_epoch)
        self._log.event("epoch", epoch=epoch)
        observers = self._observers()
        if not observers and not (self._schedule and self._schedule.follows_validation):
            return None
        numbers = self._as_numbers(loss, correct, validated)
        if self._schedule:
            self._schedule.epoch_made(numbers[0])
        end = EpochEnd(epoch, self.steps_made, *numbers, self._best.after(epoch, numbers[0]))
        reasons = [observer.epoch_ended(self, end) for observer in observers]
        return next(filter(None, reasons), None)

    @staticmethod
    def _as_numbers(loss: Tensor, correct: Tensor, validated: int) -> tuple[float | None, float | None]:
        """Validation loss and accuracy; waits for the device, as the end of an epoch may."""
        values = (loss.item(), correct.item() / validated) if validated else (torch.nan, torch.nan)
        return tuple(None if isnan(value) else value for value in values)  # type: ignore[return-value]

    def _measure(self, batches: Batches) -> tuple[Tensor, Tensor]:
        """Loss and correct samples; where the memory does not suffice, of fewer samples at once."""
        while True:
            size = self.config.evaluation_batch_size or self.config.micro_batch_size
            try:
                return evaluate(self._arrangement.task, batches, size)
            except (RuntimeError, MemoryError) as error:
                if size == 1 or self.config.on_oom == "raise" or not is_out_of_memory(error):
                    raise
                forget_failure(error)
            self.memory.empty_cache()
            self.change(replace(self.config, evaluation_batch_size=-(-size // 2)))

    def _announce(self) -> None:
        """The log itself notes that a run started, paused, resumed or ended."""
        self._log.set_status(Status.RUNNING)
        self._log.event("device", device=self._device.device, reason=self._device.reason)
        self._log.event("precision", **self.precision.facts)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As values of JSON."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
