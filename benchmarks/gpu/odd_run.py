"""One program unlike the textbook's: what it consists of, and its two steps on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Program:
    """Two optimizer steps of one kind."""

    name: str
    """Unique."""
    build: Callable[[], nn.Module]
    """The model, on the host."""
    batch: Callable[[], Any]
    """What one step gets, on the host."""
    step: Callable[[nn.Module, Any], Any]
    """Maps (model, batch) to what the program's loop goes on with."""
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = lambda model: torch.optim.SGD(model.parameters(), lr=0.01)
    """Made for the model."""
    loss_in: Callable[[Any], Tensor] | None = lambda result: result
    """The loss in what the step gives back; None where it has gone back itself."""
    updates: bool = True
    """The loop calls the optimizer; False where the step does."""
    accumulation: int = 1
    """Micro-batches of one optimizer step."""
    keeps: bool = False
    """The loop names what the step gives back, so that it lives till the next is there."""
    pair_loss: Callable[[Any, Any], Tensor] | None = None
    """Given to the estimate as ``loss=`` in the place of the step."""
    shell: str = ""
    """``"ddp"`` or ``"dp"``: what wraps the model."""
    by_values: bool = False
    """Its shapes depend on values, which an emulated card has not."""
    settings: dict[str, Any] = field(default_factory=dict)
    """More that the estimate is told."""


def run(program: Program, device: str) -> None:
    """Both steps on a device, as its user would write them.

    Args:
        program: Which.
        device: Where.
    """
    model = program.build().to(device).train()
    with wrapped(program, model) as shell:
        optimizer = program.optimizer(shell)
        batch = moved(program.batch(), device)
        result = None
        for _ in range(2):
            optimizer.zero_grad()
            for _ in range(program.accumulation):
                if not program.keeps:
                    del result
                result = program.step(shell, batch)
                if program.loss_in is not None:
                    loss = program.loss_in(result)
                    (loss / program.accumulation if program.accumulation > 1 else loss).backward()
                    del loss
            if program.updates:
                optimizer.step()


@contextmanager
def wrapped(program: Program, model: nn.Module) -> Iterator[nn.Module]:
    """The model in its shell.

    Args:
        program: Says in which.
        model: On the device, or on the host for an estimate.
    """
    if program.shell == "dp":
        yield nn.DataParallel(model)
    elif program.shell == "ddp":
        import torch.distributed as dist

        on_card = next(model.parameters()).is_cuda
        dist.init_process_group("nccl" if on_card else "gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            yield nn.parallel.DistributedDataParallel(model, init_sync=False)  # one process has nobody to agree with
        finally:
            dist.destroy_process_group()
    else:
        yield model


def moved(batch: Any, device: str) -> Any:
    """A batch on a device, as loops move it.

    Args:
        batch: Of any kind.
        device: Where to.
    """
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(moved(part, device) for part in batch)
    return batch
