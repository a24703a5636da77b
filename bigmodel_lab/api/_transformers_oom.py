"""The Hugging Face Trainer's part of ``on_oom``: a training step in parts, and a checkpoint of the last completed step."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from functools import wraps
from math import isfinite
from typing import Any

import torch
import transformers
from torch import Tensor

from bigmodel_lab.api._foreign_oom import ForeignOom, InParts
from bigmodel_lab.api._watch import device_of
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.randomness import SharedRandomness
from bigmodel_lab.training.snapshot import StepSnapshot


def check(oom: ForeignOom, trainer: transformers.Trainer | None) -> None:
    """Whether this training can be made in parts, or saved by one process.

    Raises:
        ConfigError: It cannot.
    """
    if oom.action == "raise":
        return
    if trainer is None:
        raise ConfigError(
            text(
                "transformers_oom.attach",
                "on_oom={action!r} needs the Trainer itself, and a callback gets only its state. "
                "Call callback.attach(trainer) before trainer.train().",
                action=oom.action,
            )
        )
    args = trainer.args
    if args.auto_find_batch_size:
        raise ConfigError(
            text(
                "transformers_oom.auto_find",
                "on_oom={action!r} and TrainingArguments(auto_find_batch_size=True) both answer an out-of-memory. "
                "Take one of them.",
                action=oom.action,
            )
        )
    if args.world_size > 1 or args.n_gpu > 1 or trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ConfigError(
            text(
                "transformers_oom.one_device",
                "on_oom={action!r} works on one device without DeepSpeed and FSDP; this Trainer has {processes} processes "
                'and {gpus} GPUs each. Set CUDA_VISIBLE_DEVICES to one card, or take on_oom="raise".',
                action=oom.action,
                processes=args.world_size,
                gpus=args.n_gpu,
            )
        )


class StepInParts:
    """Stands in the place of a Trainer's ``training_step`` while it trains, and weighs what its ``compute_loss`` gives.

    A mean over the batch is weighed by the part's share of the samples. A sum that is divided by the number of items in
    the whole step just adds up. Which of them a model has cannot be seen: many take ``num_items_in_batch`` and ignore
    it. So it is measured once, with the first part of the first batch that is cut.
    """

    def __init__(self, oom: ForeignOom, parts: InParts, trainer: transformers.Trainer) -> None:
        """Take the place of both methods; ``oom`` puts them back."""
        self._parts, self._trainer = parts, trainer
        self._step, self._compute = trainer.training_step, trainer.compute_loss
        self._share: float | None = None
        self._computed = 0
        self._adds_up: bool | None = None

        @wraps(self._step)
        def training_step(model: Any, inputs: Any, *items: Any, **named: Any) -> Tensor:
            return self._training_step(inputs, lambda part: self._step(model, part, *items, **named))

        @wraps(self._compute)
        def compute_loss(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            return self._compute_loss(model, inputs, rest, named)

        oom.replace(trainer, "training_step", training_step)
        oom.replace(trainer, "compute_loss", compute_loss)

    def _training_step(self, inputs: Any, step: Callable[[Any], Tensor]) -> Tensor:
        self._parts.begin(inputs)
        try:
            loss = self._parts.until_it_fits(lambda: self._passes(step))
        finally:
            self._share = None
            self._parts.end()
        self._parts.first = False
        return loss

    def _passes(self, step: Callable[[Any], Tensor]) -> Tensor:
        """Both passes of every part; the sum of their losses is that of the batch."""
        losses = []
        for part, share in self._parts.pieces:
            if self._parts.first:  # no gradient of an earlier batch can be lost, whatever the step does
                self._parts.backward_begins()
            self._parts.phase, self._computed, self._share = "forward", 0, share
            losses.append(step(part))
            self._need_one_loss()
        return sum(losses[1:], losses[0])

    def _compute_loss(self, model: Any, inputs: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The loss, weighed within a part; as it is in an evaluation."""
        share = self._share
        if share is None:
            return self._compute(model, inputs, *rest, **named)
        self._computed += 1
        if share < 1 and named.get("num_items_in_batch") is not None and self._adds_up is None:
            self._adds_up = self._measured(model, inputs, rest, named)
        weight = 1.0 if self._adds_up else share
        made = self._compute(model, inputs, *rest, **named)
        self._parts.backward_begins()
        return (made[0] * weight, *made[1:]) if isinstance(made, tuple) else made * weight

    def _measured(self, model: Any, inputs: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> bool | None:
        """Whether the loss is halved by twice the number of items; None where this part's loss is zero and tells nothing."""
        items = named["num_items_in_batch"]
        before = StepSnapshot(model, SharedRandomness(device_of(model)))
        losses = []
        for count in (items, 2 * items):
            with torch.no_grad():
                made = self._compute(model, copy(inputs), *rest, **{**named, "num_items_in_batch": count})
            losses.append(made[0] if isinstance(made, tuple) else made)
            before.restore()
        once, twice = (float(loss) for loss in losses)
        if once == 0 or not isfinite(once):
            return None
        near = 1e-4 if losses[0].dtype in {torch.float32, torch.float64} else 1e-2
        if min(abs(twice / once - 0.5), abs(twice / once - 1)) > near:
            raise ConfigError(
                text(
                    "transformers_oom.mixed_loss",
                    'on_oom="shrink" cannot weigh the loss of {model}: with twice the num_items_in_batch it becomes '
                    '{ratio:.3f} of itself, so only a part of it is divided by that. Take on_oom="checkpoint" or "raise".',
                    model=type(model).__name__,
                    ratio=twice / once,
                )
            )
        return twice / once < 0.75

    def _need_one_loss(self) -> None:
        if self._computed != 1:
            raise ConfigError(
                text(
                    "transformers_oom.compute_loss",
                    'on_oom="shrink" weighs what compute_loss gives, and the training_step of {trainer} called it {count} '
                    'times. Take on_oom="checkpoint" or "raise".',
                    trainer=type(self._trainer).__name__,
                    count=self._computed,
                )
            )


def save(trainer: Any) -> str:
    """Save the training state by the Trainer's own function; the path.

    Args:
        trainer: A ``transformers.Trainer`` whose training was broken off.
    """
    trainer._save_checkpoint(trainer.model, trial=None)  # noqa: SLF001 (the public ones save the weights alone)
    return os.path.join(trainer.args.output_dir, f"checkpoint-{trainer.state.global_step}")  # noqa: PTH118
