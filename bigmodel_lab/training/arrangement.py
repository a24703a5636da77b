"""How the step of a run computes: number format, what is kept for the backward pass, layout, compilation.

All of it can be switched between two steps. Weights keep their names and values, and the optimizer its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bigmodel_lab.training.checkpointing import checkpoint_modules
from bigmodel_lab.training.config import TrainConfig
from bigmodel_lab.training.device import DeviceChoice
from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.precision import (
    Arithmetic,
    MatmulPrecision,
    OffloadedArithmetic,
    arithmetic_of,
    resolve_precision,
)
from bigmodel_lab.training.step import Task


class Arrangement:
    """The task of a run, as it is computed now.

    >>> from bigmodel_lab.training.objectives import objective_of
    >>> from bigmodel_lab.training.device_memory import memory_of
    >>> judged, model = objective_of("regression"), nn.Linear(2, 1)
    >>> task = Task(model, judged.loss, judged.count_correct, Arithmetic())
    >>> arrangement = Arrangement(task, DeviceChoice("cpu", "example"), memory_of("cpu"))
    >>> arrangement.switch(TrainConfig(precision="bf16"))
    >>> arrangement.precision.name
    'fp32'
    """

    def __init__(self, task: Task, device: DeviceChoice, memory: DeviceMemory) -> None:
        """The task as it is; nothing is switched on.

        Args:
            task: In fp32.
            device: Where it computes.
            memory: Of that device.
        """
        self.task = task
        """What the step gets."""
        self.precision = resolve_precision("fp32", device.device)
        """Number format, and why."""
        self._model = task.model  # the person's own, never the compiled one
        self._device, self._memory = device, memory
        self._arithmetic: Arithmetic = task.arithmetic
        self._matmul = MatmulPrecision()
        self._in_force = False
        self._now = TrainConfig()
        self._input_hook: RemovableHandle | None = None
        self._compiled: nn.Module | None = None  # kept, since compiling takes minutes

    @property
    def arithmetic(self) -> Arithmetic:
        """How it computes, whatever surrounds it: what has a state to be kept."""
        return self._arithmetic

    def switch(self, config: TrainConfig) -> None:
        """Compute as these settings say from the next step on.

        Args:
            config: Only what is about computing counts.

        Raises:
            UnknownNameError: ``activation_checkpointing`` names a module that the model has not.
        """
        before, self._now = self._now, config
        if config.precision != before.precision:
            self._switch_precision(config.precision)
        if config.activation_checkpointing != before.activation_checkpointing:
            checkpoint_modules(self._model, config.activation_checkpointing)
        if config.channels_last != before.channels_last:
            self._switch_layout(channels_last=config.channels_last)
        arithmetic = self._arithmetic
        if config.activation_offload:
            arithmetic = OffloadedArithmetic(arithmetic, self._memory.offloading)
        model = self.task.model
        if config.compile != before.compile:
            model = self._compile() if config.compile else self._model
        self.task = replace(self.task, model=model, arithmetic=arithmetic)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """What torch keeps for the whole process is as the run wants it; the person's settings return afterwards."""
        if self._in_force:
            yield
            return
        self._in_force = True
        self._matmul.use(self.precision, self._device.device)
        try:
            yield
        finally:
            self._in_force = False
            self._matmul.restore()

    def _switch_precision(self, requested: str) -> None:
        device = self._device.device
        self.precision = resolve_precision(requested, device, self._device.capability)
        self._arithmetic = arithmetic_of(self.precision, device)
        if self._in_force:
            self._matmul.use(self.precision, device)

    def _compile(self) -> nn.Module:
        if self._compiled is None:
            compiler: Callable[..., Any] = torch.compile
            self._compiled = compiler(self._model)
        return self._compiled

    def _switch_layout(self, *, channels_last: bool) -> None:
        """Weights of convolutions in place, and each batch as it comes."""
        if self._input_hook is not None:
            self._input_hook.remove()
            self._input_hook = None
        layout = torch.channels_last if channels_last else torch.contiguous_format
        convert: Any = self._model.to  # its annotations leave this argument out
        convert(memory_format=layout)
        if channels_last:
            self._input_hook = self._model.register_forward_pre_hook(_images_by_channel)

    def __repr__(self) -> str:
        return f"Arrangement({self.precision.name})"


def _images_by_channel(_model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        one.contiguous(memory_format=torch.channels_last) if isinstance(one, Tensor) and one.dim() == 4 else one
        for one in inputs
    )
