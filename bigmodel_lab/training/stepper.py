"""The steps of a training: a model, its data and optimizer, and how they compute; no log, no epochs, no commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Batches, Data, Split, check_not_empty, epoch_order
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import HandWritten
from bigmodel_lab.training.arrangement import Arrangement
from bigmodel_lab.training.augment import TrainingBatches, augmented
from bigmodel_lab.training.changing import change_learning_rate, change_memory, change_optimizer
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice
from bigmodel_lab.training.device_memory import DeviceMemory, memory_of
from bigmodel_lab.training.dropout import dropping
from bigmodel_lab.training.evaluate import evaluating
from bigmodel_lab.training.freezing import freeze
from bigmodel_lab.training.objectives import Objective
from bigmodel_lab.training.optimizers import make_optimizer
from bigmodel_lab.training.penalties import penalty_of
from bigmodel_lab.training.precision import Arithmetic, Precision, arithmetic_of, resolve_precision
from bigmodel_lab.training.probe import Fit, probe
from bigmodel_lab.training.randomness import Randomness
from bigmodel_lab.training.schedules import make_schedule
from bigmodel_lab.training.snapshot import Snapshot, StepSnapshot
from bigmodel_lab.training.step import LossFunction, Task, training_step
from bigmodel_lab.training.suitability import check_settings, check_single_sample


class Stepper:
    """Makes the optimizer steps of a run, one by one, under settings that may change between them.

    >>> from bigmodel_lab.data import load_data
    >>> from bigmodel_lab.models import MODELS
    >>> from bigmodel_lab.training import choose_device
    >>> stepper = Stepper(MODELS.get("mlp").create(seed=0), load_data(), TrainConfig(), device=choose_device("cpu"))
    >>> loss, correct = stepper.make_step(stepper.upcoming(1)[0])
    >>> loss.shape
    torch.Size([])
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        config: TrainConfig,
        *,
        device: DeviceChoice,
        loss: LossFunction | None = None,
        documented_loss: LossFunction | None = None,
        name: str | None = None,
        memory: DeviceMemory | None = None,
    ) -> None:
        """Move model and data to the device and check that they go together; nothing is trained yet.

        Args:
            model: Any module that maps a batch (samples, …) to scores (samples, classes).
            data: What to train on.
            config: The settings.
            device: Where to compute.
            loss: The person's own; maps (output, labels) to the mean loss; None is the usual one.
            documented_loss: The same of a documented model.
            name: What the model is called; None takes its class.
            memory: Of the device; None asks PyTorch.

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
        self.memory = memory or memory_of(device.device)
        self._device = device
        self._name = name or type(model).__name__
        self._randomness = Randomness(config.seed, device.device)
        fit = self._probed(data, loss, documented_loss)
        self.data = fit.data
        self._objective = fit.objective
        self._arrangement = Arrangement(self._task(), device, self.memory)
        self._arrangement.switch(config)
        self.optimizer = make_optimizer(
            config.optimizer, model.parameters(), config.learning_rate, config.optimizer_options
        )
        batches = Batches.of(self.data, "train", device.device)
        self._train: TrainingBatches = augmented(batches, config.augment, self.data)
        self._schedule = make_schedule(
            config.schedule,
            config.schedule_options,
            self.optimizer,
            steps=self.total_steps,
            warmup_steps=config.warmup_steps,
        )

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
        return self._arrangement.precision

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
        self.memory.computes_here()
        with self._randomness.borrowed(), self._arrangement.in_force(), evaluating(self.model):
            yield self._arrangement.task

    def snapshot(self) -> Snapshot:
        """Weights, buffers, optimizer, scaler and random numbers, copied to main memory."""
        return Snapshot(self.model, self.optimizer, lambda: self._arrangement.arithmetic, self._randomness, self.memory)

    def before_step(self) -> StepSnapshot:
        """What a step changes before its optimizer runs."""
        return StepSnapshot(self.model, self._randomness)

    def start_over(self) -> None:
        """A step was broken off: its gradients and the stage of its scaler are forgotten."""
        self.optimizer.zero_grad(set_to_none=True)
        self._arrangement.arithmetic.start_over()

    def switch(self, config: TrainConfig) -> None:
        """As :meth:`change`, for a while: nothing is checked and nothing recorded."""
        before = self.config
        change_memory(self.memory, before, config)
        self._arrangement.switch(config)
        if config.optimizer_options != before.optimizer_options:
            change_optimizer(self.optimizer, config.optimizer_options)
        if config.learning_rate != before.learning_rate:
            change_learning_rate(self.optimizer, self._schedule, config.learning_rate / before.learning_rate)
        self.config = config

    def make_step(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step on the samples with these indices; its mean loss and how many were correct, on the device."""
        micro = self.config.micro_batch_size
        samples = indices.shape[0]
        parts = (indices,) if samples <= micro else torch.split(indices, micro)
        return training_step(self._arrangement.task, self.optimizer, map(self._train.take, parts), samples)

    def upcoming(self, steps: int) -> tuple[Tensor, ...]:
        """Indices of the samples of the coming steps; towards the end of an epoch, of its first steps."""
        left = self._indices_left()
        return left[:steps] if len(left) >= steps else self._steps_of(0)[:steps]

    def _indices_left(self) -> tuple[Tensor, ...]:
        """The samples of each step that is left of the present epoch."""
        epoch, made = divmod(self.steps_made, self.steps_per_epoch)
        return self._steps_of(epoch)[made : made + self.total_steps - self.steps_made]

    def _steps_of(self, epoch: int) -> tuple[Tensor, ...]:
        order = epoch_order(len(self._train), self.config.seed, epoch).to(self._device.device)
        return torch.split(order, self.config.effective_batch_size)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The run's random numbers, number format and dropout are in force; the person's return afterwards."""
        with (
            self._randomness.in_use(),
            self._arrangement.in_force(),
            dropping(self.model, self.config.dropout),
        ):
            change_memory(self.memory, TrainConfig(), self.config)
            self.memory.computes_here(trains=True)
            try:
                yield
            finally:
                if self.config.memory_fraction is not None:  # a cap of the person's own is none of ours
                    self.memory.set_fraction(None)

    def _probed(self, data: Data, loss: LossFunction | None, documented_loss: LossFunction | None) -> Fit:
        """How model and data go together, found out before anything is trained."""
        model, config, device = self.model, self.config, self._device
        precision = resolve_precision(config.precision, device.device, device.capability)
        check_settings(config, model, data, precision)
        if config.freeze:
            freeze(model, *config.freeze)
        arithmetic = arithmetic_of(precision, device.device)
        self.memory.computes_here()
        with self._randomness.borrowed():
            fit = probe(model, data, device.device, arithmetic, own_loss=loss, documented_loss=documented_loss)
        check_single_sample(config, len(data.train), fit.needs_two)
        return fit

    def _task(self) -> Task:
        model, config, judged = self.model, self.config, self._objective
        by_hand = model if isinstance(model, HandWritten) else None
        penalty = penalty_of(model, config.l1, config.l2)
        return Task(model, judged.loss, judged.count_correct, Arithmetic(), by_hand, penalty)
