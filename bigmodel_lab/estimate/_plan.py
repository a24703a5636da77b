"""All that is needed to trace a training step once more with one thing changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu

from bigmodel_lab.estimate._batch import resized
from bigmodel_lab.estimate._failures import in_words
from bigmodel_lab.estimate._lazy import initialised
from bigmodel_lab.estimate._models import without_memory
from bigmodel_lab.estimate._own_steps import Note, Watched, WhatIsLeft
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.estimate._wrappers import notes_on
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.models import HandWritten
from bigmodel_lab.trace import STEPS, Prepared, Target, program_beside, trace_steps, untouched
from bigmodel_lab.training.checkpointing import EVERY_BLOCK, checkpoint_modules
from bigmodel_lab.training.objectives import Objective
from bigmodel_lab.training.optimizers import make_optimizer
from bigmodel_lab.training.precision import Arithmetic, AutocastArithmetic, OffloadedArithmetic, ScaledArithmetic
from bigmodel_lab.training.step import Task, training_step

Step: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""Maps (model, batch) to the scalar that backward starts from."""
MakeOptimizer: TypeAlias = Callable[[nn.Module], torch.optim.Optimizer]
_WITHOUT_GRADIENTS = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
_RATE = 1e-3
"""Any learning rate takes the same memory."""


@dataclass(frozen=True)
class Plan:
    """A step to trace."""

    source: ModelSource
    """The model."""
    step: Step | Objective
    """Its forward pass and loss in one; or, of a batch that is a pair, the loss of (output, targets)."""
    batch: Any
    """On the meta device, of any number of samples."""
    micro_batch_size: int
    """Samples of one forward pass."""
    as_given: int | None = None
    """Of a batch whose tensors do not tell their samples: for how many it counts, at its own size alone; None where they tell."""
    optimizer: str | MakeOptimizer = "adamw"
    """Name in ``torch.optim``, or what makes one for a model."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the named optimizer."""
    precision: str = "fp32"
    """``"fp32"``, ``"tf32"``, ``"bf16"`` or ``"fp16"``."""
    replaces_formats: bool = False
    """A number format that the card lacks is replaced as ``lab.fit`` replaces it; False: bf16 is emulated, as PyTorch does."""
    checkpointing: bool | tuple[str, ...] = False
    """Activations of repeated blocks, or of the modules of these names, are recomputed in the backward pass."""
    offload: bool = False
    """What the backward pass needs waits on the host."""
    gradient_accumulation_steps: int = 1
    """Micro-batches of one optimizer step."""
    is_training: bool = True
    """False: the step alone, without gradients."""
    grad: str = "no_grad"
    """What surrounds a step without training, ``"no_grad"`` or ``"inference_mode"``; the step may go further by itself."""
    prepare: Callable[[nn.Module], nn.Module] | None = None
    """Changes the model before it is traced: frozen weights, adapters, quantized layers; None changes nothing."""
    target: Target = field(default_factory=Target)
    """The card."""
    notes: tuple[str, ...] = ()
    """What of the person's settings is not followed."""

    def trace(self, steps: int | None = None) -> RequestTrace:
        """Requests of two optimizer steps; without training, of one pass.

        Args:
            steps: How many, instead; without training there is always one.
        """
        notes = list(self.notes)
        model = self.model()
        notes.extend(notes_on(model))
        names = EVERY_BLOCK if self.checkpointing is True else self.checkpointing or ()
        if names and not checkpoint_modules(model, names):
            notes.append(
                text(
                    "estimate.no_blocks", "The model repeats no blocks: activation checkpointing changes nothing here."
                )
            )
        batch = self.batch if self.micro_batch_size == self.as_given else resized(self.batch, self.micro_batch_size)
        steps = (STEPS if steps is None else steps) if self.is_training else 1
        own = self.step, self.optimizer
        with in_words():
            traced = trace_steps(model, batch, self._prepared, target=self.target, steps=steps, program=own)
        return replace(traced, notes=tuple(dict.fromkeys((*traced.notes, *notes))))

    def model(self) -> nn.Module:
        """The model as it is trained: adapters, quantized layers and all, on the meta device."""
        with untouched():
            model = initialised(self.source.build(), self._once, self.batch)
            return model if self.prepare is None else self.prepare(model)

    def _prepared(self, model: nn.Module, own: tuple[Any, Any]) -> Prepared:
        """With copies of the step and of what makes the optimizer, which name the traced model where the user's name his."""
        copied = replace(self, step=own[0], optimizer=own[1])
        return copied._training(model) if self.is_training else copied._inference(model)  # noqa: SLF001

    def _once(self, model: nn.Module, batch: Any) -> object:
        """A first pass, for layers that learn their shapes from it."""
        if isinstance(self.step, Objective):
            return model(batch[0])
        return program_beside(self.step, model, without_memory)(model, batch)

    def _training(self, model: nn.Module) -> Prepared:
        """The step is the very one that trains; the output lives as long as it does there."""
        model.train()
        optimizer, notes = self._optimizer(model), list[str]()
        task = self._task(model, notes.append)
        samples, count = self.micro_batch_size, self.gradient_accumulation_steps

        def step(batch: Any) -> None:
            x, y = batch if task.by_hand else (batch, torch.empty(samples, device="meta"))
            training_step(task, optimizer, ((x, y) for _ in range(count)), samples=samples * count)

        return Prepared(step, optimizer, notes)

    def _task(self, model: nn.Module, note: Note) -> Task:
        """Called with the whole batch in the place of the inputs: only the step knows what its parts are."""
        arithmetic, own = _arithmetic(self.precision), self.step
        if self.offload:
            arithmetic = OffloadedArithmetic(arithmetic, save_on_cpu)
        if isinstance(own, Objective) and isinstance(model, HandWritten):
            return Task(model, own.loss, own.count_correct, arithmetic, model)
        if isinstance(own, Objective):
            judged = _Judged(model, own, note)
            return Task(
                cast("nn.Module", judged.output), judged.loss, judged.correct, WhatIsLeft(arithmetic, judged.watched)
            )
        watched = Watched(partial(own, model), model, note)

        def loss(output: Any, _labels: Tensor) -> Tensor:
            return watched.loss(output)

        return Task(cast("nn.Module", watched), loss, uncounted, WhatIsLeft(arithmetic, watched))

    def _inference(self, model: nn.Module) -> Prepared:
        model.eval()
        arithmetic, run = _arithmetic(self.precision), self.step
        assert not isinstance(run, Objective)

        def step(batch: Any) -> None:
            with _WITHOUT_GRADIENTS[self.grad](), arithmetic.forward():
                run(model, batch)

        return Prepared(step)

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        if callable(self.optimizer):
            return self.optimizer(model)
        return make_optimizer(self.optimizer, model.parameters(), _RATE, self.optimizer_options)


class _Judged:
    """An objective over a batch that is a pair."""

    def __init__(self, model: nn.Module, objective: Objective, note: Note) -> None:
        self._model, self._objective = model, objective
        self._targets: Any = None
        self.watched = Watched(objective.loss, model, note)

    def output(self, batch: Any) -> Any:
        """Of the inputs; in the place of the model."""
        inputs, self._targets = batch
        return self._model(inputs)

    def loss(self, output: Any, _labels: Tensor) -> Tensor:
        """What backward starts from."""
        return self.watched.loss(self.watched(output, self._targets))

    def correct(self, output: Any, _labels: Tensor) -> Tensor:
        """As the training counts."""
        return self._objective.count_correct(output, self._targets)


def uncounted(_output: Any, _labels: Any) -> Tensor:
    """Of a loop that need not count: takes no memory, and keeps none of its turn's."""
    return torch.empty((), device="meta")


def _arithmetic(precision: str) -> Arithmetic:
    """As on a card that has the format; the stand-ins of its tensors look like the CPU's."""
    if precision == "bf16":
        return AutocastArithmetic("cpu", torch.bfloat16)
    return ScaledArithmetic("cpu") if precision == "fp16" else Arithmetic()
