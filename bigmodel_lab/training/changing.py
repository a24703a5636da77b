"""New settings for a run in its middle: what can be changed between two steps, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.optimizer_state import load_optimizer_state
from bigmodel_lab.training.schedules import Schedule

if TYPE_CHECKING:
    from bigmodel_lab.training.device_memory import DeviceMemory

_OF_THE_STEP = frozenset(("precision", "activation_checkpointing", "activation_offload", "channels_last", "compile"))
BATCH_FIELDS = ("micro_batch_size", "gradient_accumulation_steps", "samples_per_step")
"""Fields of :class:`TrainConfig` that say together how the samples of a step are taken."""
_OF_THE_MEMORY = frozenset(("expandable_segments", "memory_fraction"))
_READ_WHEN_NEEDED = frozenset(("evaluation_batch_size", "early_stopping", "on_oom", "checkpoint"))
CHANGEABLE = _OF_THE_STEP | _OF_THE_MEMORY | _READ_WHEN_NEEDED | {*BATCH_FIELDS, "optimizer_options", "learning_rate"}
"""Fields of :class:`TrainConfig` that a run can change between two steps; all others need a new run."""
_KERNELS = frozenset(("fused", "foreach", "capturable"))
"""Options of an optimizer that change how it computes, not what."""
_UNTOLD: Mapping[str, bool | None] = {"fused": None, "foreach": None, "capturable": False}
"""What they are where nobody says it: torch's defaults."""
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Of a parameter group: its learning rate, and those that schedules of torch keep beside it."""


def changes(before: TrainConfig, after: TrainConfig) -> dict[str, Any]:
    """New values of the fields in which two settings differ.

    >>> changes(TrainConfig(), TrainConfig(precision="bf16"))
    {'precision': 'bf16'}
    """
    names = [field.name for field in fields(TrainConfig)]
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


def changed(config: TrainConfig, change: Mapping[str, Any]) -> TrainConfig:
    """The settings with these fields changed; a new micro-batch keeps the samples of a step.

    Args:
        config: The settings.
        change: New values of fields; of those of the batch only ``micro_batch_size`` is looked at.

    Raises:
        ConfigError: They cannot be used together.

    >>> after = changed(TrainConfig(micro_batch_size=64), {"micro_batch_size": 16, "precision": "bf16"})
    >>> after.micro_batch_size, after.gradient_accumulation_steps, after.precision
    (16, 4, 'bf16')
    """
    rest = {name: value for name, value in change.items() if name not in BATCH_FIELDS}
    size = change.get("micro_batch_size")
    return replace(config if size is None else config.with_micro_batch(size), **rest)


def check_change(before: TrainConfig, after: TrainConfig) -> None:
    """A run with the one settings can go on with the other.

    Raises:
        ConfigError: It cannot; says which field needs a new run.
    """
    fixed = sorted(changes(before, after).keys() - CHANGEABLE)
    if fixed:
        raise ConfigError(
            text(
                "error.change_fixed",
                "{names} cannot be changed in the middle of a run. Start a new one: lab.fit(…, {example}).",
                names=", ".join(fixed),
                example=f"{fixed[0]}={getattr(after, fixed[0])!r}",
            )
        )
    if after.effective_batch_size != before.effective_batch_size:
        raise ConfigError(
            text(
                "error.change_effective_batch",
                "The change would put {after} samples behind each optimizer step, and this run has {before}. Give "
                "micro-batches that add up to them, e.g. config.with_micro_batch(…), or start a new run.",
                after=after.effective_batch_size,
                before=before.effective_batch_size,
            )
        )
    _check_optimizer_options(before.optimizer_options, after.optimizer_options)


def change_optimizer(optimizer: torch.optim.Optimizer, options: Mapping[str, Any]) -> None:
    """The optimizer goes on with other kernels and the same state.

    Args:
        optimizer: Changed in place.
        options: All of its options; only ``fused``, ``foreach`` and ``capturable`` are looked at, and what is
            missing is torch's default.
    """
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group.update({name: options.get(name, _UNTOLD[name]) for name in _KERNELS if name in group})
    load_optimizer_state(optimizer, state)


def change_learning_rate(optimizer: torch.optim.Optimizer, schedule: Schedule | None, factor: float) -> None:
    """The learning rate of the next step, and of all that its schedule still has, times this factor."""
    for group in optimizer.param_groups:
        group.update({name: group[name] * factor for name in _RATES if name in group})
    if schedule is not None:
        schedule.scale(factor)


def change_memory(memory: DeviceMemory, before: TrainConfig, after: TrainConfig) -> None:
    """The allocator goes on with other limits.

    Raises:
        ConfigError: It cannot while it is in use.
    """
    if after.expandable_segments != before.expandable_segments:
        memory.set_expandable(after.expandable_segments)
    if after.memory_fraction != before.memory_fraction:
        memory.set_fraction(after.memory_fraction)


def _check_optimizer_options(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    old, new = _without_kernels(before), _without_kernels(after)
    if old != new:
        raise ConfigError(
            text(
                "error.change_optimizer",
                "Of optimizer_options only {names} can be changed in the middle of a run, not {before} to {after}. Start "
                "a new run.",
                names=", ".join(sorted(_KERNELS)),
                before=old,
                after=new,
            )
        )


def _without_kernels(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _KERNELS}
