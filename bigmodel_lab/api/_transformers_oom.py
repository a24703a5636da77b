"""The Hugging Face Trainer's part of ``on_oom``: a training step in parts, and a checkpoint of the last completed step."""

from __future__ import annotations

import os
from functools import wraps
from typing import Any

import transformers
from torch import Tensor

from bigmodel_lab.api._foreign_oom import ForeignOom, InParts
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text


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
    """Stands in the place of a Trainer's ``training_step`` while it trains, and weighs what its ``compute_loss`` gives."""

    def __init__(self, oom: ForeignOom, parts: InParts, trainer: transformers.Trainer) -> None:
        """Take the place of both methods; ``oom`` puts them back."""
        self._parts, self._trainer = parts, trainer
        self._step, self._compute = trainer.training_step, trainer.compute_loss
        self._weight: float | None = None
        self._computed = 0

        @wraps(self._step)
        def training_step(model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
            return self._training_step(model, inputs, num_items_in_batch)

        @wraps(self._compute)
        def compute_loss(*args: Any, **named: Any) -> Any:
            return self._weighed(self._compute(*args, **named))

        oom.replace(trainer, "training_step", training_step)
        oom.replace(trainer, "compute_loss", compute_loss)

    def _training_step(self, model: Any, inputs: Any, items: Any) -> Tensor:
        self._parts.begin(inputs)
        try:
            loss = self._parts.until_it_fits(lambda: self._passes(model, items))
        finally:
            self._weight = None
            self._parts.end()
        self._parts.first = False
        return loss

    def _passes(self, model: Any, items: Any) -> Tensor:
        """Both passes of every part; the sum of their losses is that of the batch."""
        losses = []
        for part, share in self._parts.pieces:
            if self._parts.first:  # no gradient of an earlier batch can be lost, whatever the step does
                self._parts.backward_begins()
            self._parts.phase, self._computed = "forward", 0
            self._weight = 1.0 if self._summed(items) else share
            losses.append(self._step(model, part, items))
            self._need_one_loss()
        return sum(losses[1:], losses[0])

    def _weighed(self, made: Any) -> Any:
        """What ``compute_loss`` gave, weighed by the part's share; as it is in an evaluation."""
        if self._weight is None:
            return made
        self._computed += 1
        self._parts.backward_begins()
        return (made[0] * self._weight, *made[1:]) if isinstance(made, tuple) else made * self._weight

    def _summed(self, items: Any) -> bool:
        """Whether losses are sums over a number of items that is the same for each part, so that they just add up.

        As the Trainer itself decides it in ``training_step``.
        """
        trainer = self._trainer
        if items is None:
            return False
        scaled: bool | None = getattr(trainer, "loss_is_scaled_for_ga", None)
        return bool(trainer.model_accepts_loss_kwargs or trainer.compute_loss_func) if scaled is None else scaled

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
