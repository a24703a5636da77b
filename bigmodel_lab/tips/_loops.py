"""The two loops whose steps are tried: a person's own, and that of ``fit``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.tips._real_samples import RealSamples
from bigmodel_lab.tips._real_trials import Step
from bigmodel_lab.training.stepper import Stepper

LossStep = Callable[[nn.Module, Any], Tensor]
"""Maps (model, batch) to the loss, as a person's loop computes it."""


class OwnLoop:
    """Steps of a loop that is somebody else's: forward and loss are theirs, all else is as everybody does it."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        step: LossStep,
        samples: RealSamples,
        *,
        scaler: torch.amp.GradScaler | None,
        passes: int,
        host: Callable[[], AbstractContextManager[object]],
        device: torch.device,
    ) -> None:
        """Nothing is run yet.

        Args:
            model: In training mode.
            optimizer: Over its parameters.
            step: Forward pass and loss.
            samples: Where batches come from.
            scaler: Of the gradients; None for none.
            passes: Forward and backward passes of one optimizer step.
            host: What it surrounds lies in main memory, also where the CPU stands for a card.
            device: Where batches are moved to.
        """
        self._model, self._optimizer, self._step, self._samples = model, optimizer, step, samples
        self._scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
        self._passes, self._host, self._device = passes, host, device

    def step_of(self, size: int) -> Step:
        """A step on a batch of this many samples."""
        with self._host():
            batch = self._samples.batch(size)
        batch = self._samples.moved(batch, self._device)

        def step() -> None:
            self._optimizer.zero_grad(set_to_none=True)
            if isinstance(self._optimizer, torch.optim.LBFGS):
                self._line_search(self._optimizer, batch)
                return
            for _ in range(self._passes):
                self._backward(batch)
            self._scaler.step(self._optimizer)
            self._scaler.update()

        return step

    def has_stepped(self) -> bool:
        """State is born, or nothing could have skipped the step."""
        return not self._scaler.is_enabled() or _has_state(self._optimizer)

    def let_go(self) -> None:
        """Gradients, and how far the scaler had come in a step."""
        for parameter in self._model.parameters():
            parameter.grad = None
        stages = getattr(self._scaler, "_per_optimizer_states", None)
        if isinstance(stages, defaultdict):
            stages.clear()

    def _line_search(self, optimizer: torch.optim.LBFGS, batch: Any) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            return self._backward(batch)

        optimizer.step(closure)  # type: ignore[no-untyped-call]

    def _backward(self, batch: Any) -> Tensor:
        loss = self._step(self._model, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise ConfigError(
                text(
                    "error.no_loss",
                    "step(model, batch) gave back {kind}, but it must give the loss: a tensor of one number from which "
                    "backward() can start. Leave backward() and optimizer.step() to the trial.",
                    kind=type(loss).__name__ if not isinstance(loss, Tensor) else tuple(loss.shape),
                )
            )
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss


class FitLoop:
    """Steps as ``fit`` makes them."""

    def __init__(self, stepper: Stepper) -> None:
        """Nothing is run yet.

        Args:
            stepper: On its device; its settings say all but the micro-batch.
        """
        self._stepper = stepper

    def step_of(self, size: int) -> Step:
        """A step on so many samples in each pass, taken again from the beginning where the data has fewer."""
        stepper = self._stepper
        passes = min(2, stepper.config.gradient_accumulation_steps)
        stepper.switch(
            replace(stepper.config, micro_batch_size=size, gradient_accumulation_steps=passes, samples_per_step=None)
        )
        with stepper.memory.host():
            indices = torch.arange(size * passes) % len(stepper.data.train)
        indices = indices.to(stepper.device)

        def step() -> None:
            stepper.make_step(indices)

        return step

    def has_stepped(self) -> bool:
        """State is born, or nothing could have skipped the step."""
        return self._stepper.precision.name != "fp16" or _has_state(self._stepper.optimizer)

    def let_go(self) -> None:
        """Gradients, and how far the scaler had come in a step."""
        self._stepper.start_over()


def _has_state(optimizer: torch.optim.Optimizer) -> bool:
    """Its state is born, or it never has one."""
    plain = isinstance(optimizer, torch.optim.SGD) and not any(group["momentum"] for group in optimizer.param_groups)
    return plain or bool(optimizer.state)
