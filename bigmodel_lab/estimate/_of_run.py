"""The estimate of a run of our own training loop: the same model, data and settings, traced beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bigmodel_lab.data import Data
from bigmodel_lab.estimate._estimate import MemoryEstimate, estimate_of
from bigmodel_lab.estimate._models import on_meta
from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.trace import Target
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.stepper import Stepper


def estimate_run(trainer: Stepper, card: Card) -> MemoryEstimate:
    """Peak memory of a step of this trainer on a card; its data, which lie there too, are not in it.

    Call it while no step is running, on a thread that charges no simulated card.

    Args:
        trainer: Its model is copied without memory, never changed.
        card: Where it runs.

    Raises:
        TraceError: The step cannot be followed without data.
    """
    target = replace(Target.of(card), forward_threads=trainer.memory.computing_threads())
    source = ModelSource(trainer.name, partial(on_meta, trainer.model))
    plan = Plan(
        source,
        trainer.objective,
        _batch(trainer.data),
        target=target,
        replaces_formats=True,
        **plan_settings(trainer.config),
    )
    settings = AllocatorSettings.parse("expandable_segments:True" if trainer.config.expandable_segments else "")
    return estimate_of(plan, card, settings)


def plan_settings(config: TrainConfig) -> dict[str, Any]:
    """Settings of a run as fields of a :class:`Plan`.

    >>> plan_settings(TrainConfig(micro_batch_size=8))["micro_batch_size"]
    8
    """
    names = tuple(config.activation_checkpointing)
    return {
        "micro_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "optimizer": config.optimizer,
        "optimizer_options": dict(config.optimizer_options),
        "precision": config.precision,
        "checkpointing": True if names == ("*",) else names,
        "offload": config.activation_offload,
    }


def resident_bytes(data: Data) -> int:
    """What the samples of a run take of its device from beginning to end.

    Args:
        data: As the trainer has it.
    """
    parts: Mapping[str, Any] = data.splits
    held = (tensor for part in ("train", "validation") for tensor in (parts[part].x, parts[part].y))
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _batch(data: Data) -> tuple[Tensor, Tensor]:
    """One sample as the step gets it, on the meta device."""
    train = data.splits["train"]
    scaled = data.scale is not None and train.x.dtype == torch.uint8
    x = torch.empty(1, *train.x.shape[1:], dtype=torch.float32 if scaled else train.x.dtype, device="meta")
    if data.task == "reconstruction":
        return x, torch.empty_like(x)
    return x, torch.empty(1, *train.y.shape[1:], dtype=train.y.dtype, device="meta")
