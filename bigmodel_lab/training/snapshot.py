"""The state of a training in main memory: taken, and put back to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.optimizer_state import load_optimizer_state
from bigmodel_lab.training.precision import Arithmetic
from bigmodel_lab.training.randomness import Randomness, RandomNumbers


class Snapshot:
    """Weights, buffers, optimizer, scaler and random numbers of one moment.

    Everything is put back in place: parameters and buffers stay the tensors that they are, so that whoever holds them
    (an optimizer, a compiled model) need not know.

    >>> from bigmodel_lab.training.device_memory import memory_of
    >>> model = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> saved = Snapshot(model, optimizer, Arithmetic, Randomness(0, "cpu"), memory_of("cpu"))
    >>> before = model.weight.clone()
    >>> _ = nn.init.ones_(model.weight)
    >>> saved.restore()
    >>> bool((model.weight == before).all())
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        arithmetic: Callable[[], Arithmetic],
        randomness: Randomness,
        memory: DeviceMemory,
    ) -> None:
        """Copy everything; waits for the device.

        Args:
            model: Whose weights and buffers are copied.
            optimizer: Over them.
            arithmetic: Gives that which is in use, as it may be another one when everything is put back.
            randomness: Of the run.
            memory: Of the device.
        """
        self._model, self._optimizer, self._arithmetic = model, optimizer, arithmetic
        self._randomness, self._memory = randomness, memory
        with memory.host(), torch.no_grad():
            self._tensors = [on_host(tensor) for tensor in tensors_of(model)]
            self._state = tree_map_only(Tensor, on_host, optimizer.state_dict())
        self._scaler = arithmetic().state()
        self._random = randomness.state()

    def restore(self) -> None:
        """As it was; gradients are gone."""
        self._optimizer.zero_grad(set_to_none=True)
        self._optimizer.state.clear()  # first, so that old and new need not lie on the device together
        with self._memory.host(), torch.no_grad():  # what is read here stays in main memory
            for tensor, saved in zip(tensors_of(self._model), self._tensors, strict=True):
                tensor.copy_(saved)
            load_optimizer_state(self._optimizer, _copied(self._state))
        now = self._arithmetic()
        now.start_over()
        if self._scaler:  # of another number format there may be none
            now.load_state(self._scaler)
        self._randomness.put(self._random)


class StepSnapshot:
    """What a step changes before its optimizer runs: buffers such as the statistics of batch norms, and random numbers."""

    def __init__(self, model: nn.Module, randomness: RandomNumbers) -> None:
        """Copy them where they lie; a model without buffers costs the random numbers alone."""
        self._model, self._randomness = model, randomness
        self._buffers = [buffer.clone() for buffer in model.buffers()]
        self._random = randomness.state()

    def restore(self) -> None:
        """As before the step."""
        with torch.no_grad():
            for buffer, saved in zip(self._model.buffers(), self._buffers, strict=True):
                buffer.copy_(saved)
        self._randomness.put(self._random)


def tensors_of(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers, also those that no checkpoint holds."""
    return [*model.parameters(), *model.buffers()]


def on_host(tensor: Tensor) -> Tensor:
    """A copy in main memory, in the same order of strides."""
    return tensor.detach().to("cpu", copy=True)


def _copied(state: Mapping[str, Any]) -> Any:
    """The optimizer takes over what it is given, so that a second restore needs its own."""
    return tree_map_only(Tensor, torch.clone, state)
