"""The largest micro-batch of a training loop that is somebody else's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from bigmodel_lab._virtual_gpu.card import in_use_here
from bigmodel_lab.api._trial_place import TrialPlace, finding
from bigmodel_lab.api._virtual_gpu import Place, place_for
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._found_batch_size import FoundBatchSize
from bigmodel_lab.tips._loops import LossStep, OwnLoop
from bigmodel_lab.tips._real_samples import RealSamples, generators_of
from bigmodel_lab.training import DeviceChoice
from bigmodel_lab.training.device_memory import DeviceMemory
from bigmodel_lab.training.whole_state import WholeState

_MOST_SAMPLES = 65_535
"""Largest size where the data does not say how many samples there are: more blocks a CUDA grid has not in its second
and third dimension (pytorch issue 142228)."""


@dataclass(frozen=True)
class Limits:
    """What a search may use."""

    capacity_bytes: int | None = None
    """Most memory; None is what is free."""
    at_most: int | None = None
    """Largest size; None is that of the data."""


def find(
    model: str | nn.Module,
    data: Any,
    step: LossStep | None,
    optimizer: str | torch.optim.Optimizer | None,
    *,
    scaler: torch.amp.GradScaler | None,
    device: str | None,
    passes: int,
    limits: Limits,
) -> FoundBatchSize:
    """As :func:`bigmodel_lab.find_batch_size` for one's own loop.

    Args:
        model: As there.
        data: As there.
        step: As there.
        optimizer: As there.
        scaler: As there.
        device: As there.
        passes: Micro-batches of an optimizer step, 1 or 2.
        limits: Memory and size.

    Raises:
        ConfigError: Something is missing, or there is no card.
    """
    if not isinstance(model, nn.Module) or step is None or not isinstance(optimizer, torch.optim.Optimizer):
        raise _incomplete(model, step, optimizer)
    if data is None:
        raise ConfigError(
            text(
                "error.own_data",
                "data is None. Give the DataLoader of your loop, or one of its batches.",
            )
        )
    module = eager(model)
    place = _place(module, device)
    where = TrialPlace.of(place, limits.capacity_bytes)
    with _in_use(place), _as_before(module, optimizer, scaler, data, where.memory) as start_over:
        with where.memory.host():
            samples = RealSamples(data)
        target = torch.device(place.choice.device)
        host = where.memory.host
        loop = OwnLoop(module, optimizer, step, samples, scaler=scaler, passes=passes, host=host, device=target)
        loop.let_go()
        rest = where.rest_bytes(module, optimizer)
        return finding(
            loop,
            where,
            name=type(module).__name__,
            at_most=limits.at_most or samples.in_all or _MOST_SAMPLES,
            typical=samples.of_batch,
            estimate=lambda card: estimate_memory(
                module,
                samples.example,
                step=step,
                optimizer=partial(_on_copy, module, optimizer),
                gpu=card,
                gradient_accumulation_steps=passes,
            ),
            rest_bytes=rest,
            start_over=start_over,
        )


def eager(model: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` was given, where this is what it gave back; its weights are the same tensors.

    Args:
        model: Any module.
    """
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


@contextmanager
def _as_before(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    data: Any,
    memory: DeviceMemory,
) -> Iterator[Callable[[], None]]:
    """Steps run with gradients and eagerly inside, and leave nothing behind; gives what starts over meanwhile."""
    with memory.host():
        before = WholeState(model, optimizer, scaler, generators_of(data))

    def restore() -> None:
        with memory.host():
            before.restore()

    def start_over() -> None:
        restore()
        if not model.training:  # parts that the person froze by .eval() are left so
            model.train()

    try:
        with torch.enable_grad(), _nothing_compiled():
            yield start_over
    finally:
        restore()


def _nothing_compiled() -> AbstractContextManager[object]:
    """Parts that are compiled run eagerly; where nothing was compiled, torch's compiler is not even loaded."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _place(model: nn.Module, device: str | None) -> Place:
    """Where the loop computes: as asked for, else on the simulated card that is in use, else where the model lies."""
    gpu = in_use_here()
    if device is None and gpu is not None:
        reason = text("device.virtual_here", "The CPU; a virtual GPU is in use.")
        return Place(DeviceChoice("cpu", reason, capability=gpu.card.capability), gpu)
    lies = next((str(tensor.device) for tensor in (*model.parameters(), *model.buffers())), "cpu")
    place = place_for(lies if device is None else device)
    if torch.device(lies).type != torch.device(place.choice.device).type:
        raise ConfigError(
            text(
                "error.model_elsewhere",
                "The model lies on {lies}, and device is {device!r}. Move model and optimizer there first, or leave device out.",
                lies=lies,
                device=device,
            )
        )
    return place


@contextmanager
def _in_use(place: Place) -> Iterator[None]:
    """What the block does is charged to the simulated card, if it is not already."""
    if place.gpu is None or place.gpu is in_use_here():
        yield
        return
    with place.gpu:
        yield


def _on_copy(model: nn.Module, optimizer: torch.optim.Optimizer, copied: nn.Module) -> torch.optim.Optimizer:
    """The same optimizer, without its state, over a copy of the model."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    theirs = dict(copied.named_parameters())
    made = copy(optimizer)
    made.state = type(optimizer.state)(dict)
    made.param_groups = [
        {**group, "params": [theirs[names[id(parameter)]] for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    return made


def _incomplete(model: object, step: object, optimizer: object) -> ConfigError:
    came = {"model": model, "step": step, "optimizer": optimizer}
    return ConfigError(
        text(
            "error.own_loop",
            "One's own loop needs model=nn.Module, step=(model, batch) -> loss and optimizer=torch.optim.Optimizer, and these "
            "came: {came}. For the loop of fit leave step out and name the optimizer.",
            came=", ".join(f"{name}={type(value).__name__}" for name, value in came.items()),
        )
    )
