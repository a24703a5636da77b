"""Lightning's part of ``on_oom``: a training step in parts, and a checkpoint of the last completed step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from bigmodel_lab.api._foreign_oom import ForeignOom, InParts
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text


def check(oom: ForeignOom, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
    """Whether this training can be made in parts, or saved by one process.

    Raises:
        ConfigError: It cannot.
    """
    if oom.action == "raise":
        return
    if trainer.world_size > 1 or trainer.strategy.handles_gradient_accumulation:
        raise ConfigError(
            text(
                "lightning_oom.one_device",
                "on_oom={action!r} works on one device, and this Trainer has {strategy} over {count}. "
                'Take Trainer(devices=1), or on_oom="raise".',
                action=oom.action,
                strategy=type(trainer.strategy).__name__,
                count=trainer.world_size,
            )
        )
    if not module.automatic_optimization:
        raise ConfigError(
            text(
                "lightning_oom.manual",
                "on_oom={action!r} needs Lightning's automatic optimization, and {module} has automatic_optimization=False: "
                'only its own training_step knows when gradients and weights change. Take on_oom="raise".',
                action=oom.action,
                module=type(module).__name__,
            )
        )
    if oom.action == "checkpoint" and any(isinstance(one, torch.optim.LBFGS) for one in trainer.optimizers):
        raise ConfigError(
            text(
                "lightning_oom.lbfgs",
                'on_oom="checkpoint" saves weights as the last step left them, and LBFGS moves them between the passes of '
                'one step. Take on_oom="shrink" or "raise".',
            )
        )


class StepInParts:
    """Stands in the place of a module's ``training_step`` and ``backward`` while it trains.

    Lightning calls ``training_step``, sets the gradients to zero, and calls ``backward``. So the first part's forward
    pass is made in the first call, and everything else in the second. Lightning gets a stand-in of the loss, without
    the graph: the only reference to the graph is here, so that a broken pass can be let go of. What Lightning does
    to the loss on the way (accumulation, a scaler) is read off the stand-in's gradient.
    """

    def __init__(self, oom: ForeignOom, parts: InParts, trainer: lightning.Trainer, module: Any) -> None:
        """Take the place of both methods; ``oom`` puts them back."""
        self.loss: Tensor | None = None
        """Of the whole batch, without a graph; None before its backward passes have ended."""
        self._parts, self._trainer, self._module = parts, trainer, module
        self._step: Callable[..., Any] = module.training_step
        self._backward: Callable[..., None] = module.backward
        self._pending: Tensor | None = None
        self._stand_in: Tensor | None = None

        @wraps(self._step)  # Lightning reads the names of its arguments
        def training_step(batch: Any, *rest: Any, **named: Any) -> Any:
            return self._first(batch, rest, named)

        @wraps(self._backward)
        def backward(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            self._all(loss, args, kwargs)

        oom.replace(module, "training_step", training_step)
        oom.replace(module, "backward", backward)

    def _first(self, batch: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The forward pass of the first part; what Lightning gets for it."""
        self.loss = self._pending = self._stand_in = None
        self._rest, self._named = rest, named
        self._parts.begin(batch)
        made = self._parts.until_it_fits(lambda: self._forward(self._parts.pieces[0][0]))
        loss = _loss_in(made)
        if loss is None:  # a batch that is skipped, or Lightning's own complaint
            self._parts.end()
            return made
        self._pending, self._stand_in = loss, loss.detach().clone().requires_grad_()
        if not isinstance(made, Mapping):
            return self._stand_in
        extra = tree_map_only(Tensor, Tensor.detach, dict(made))  # which would keep the graph alive, too
        return {**extra, "loss": self._stand_in}

    def _all(self, loss: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The backward pass of the first part, and both passes of all others."""
        if self._stand_in is None:
            self._backward(loss, *args, **kwargs)
            return
        (factor,) = torch.autograd.grad(loss, self._stand_in)
        self.loss = self._parts.until_it_fits(lambda: self._passes(factor, args, kwargs))
        self._stand_in = None
        self._parts.end()

    def _passes(self, factor: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        whole = torch.zeros_like(factor)
        for part, share in self._parts.pieces:
            made = self._pending if self._pending is not None else _loss_in(self._silent_forward(part))
            self._pending = None
            if made is not None:
                self._parts.backward_begins()
                self._backward(made * (factor * share), *args, **kwargs)
                whole += made.detach() * share
            del made  # nothing of one part is kept while the next is made
        return whole

    def _forward(self, part: Any) -> Any:
        self._parts.phase = "forward"
        return self._step(part, *self._rest, **self._named)

    def _silent_forward(self, part: Any) -> Any:
        """As Lightning makes it, but nothing is logged: the first part has, and Lightning allows it only there."""
        logs = {k: v for k, v in vars(self._module).items() if k == "log"}
        self._module.log = lambda *_, **__: None
        try:
            with self._trainer.precision_plugin.train_step_context():
                return self._forward(part)
        finally:
            del self._module.log
            vars(self._module).update(logs)


def save(trainer: Any) -> str:
    """Save the training state by Lightning's own function; the path.

    Batches of a step that was not completed are made again: their gradients are in no checkpoint.

    Args:
        trainer: A ``lightning.Trainer`` whose training was broken off.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    if progress.current.ready > progress.current.processed:  # in the middle of a batch
        summed = progress.current.processed % trainer.accumulate_grad_batches
        progress.current.completed -= summed
        progress.total.completed -= summed
    path = f"{trainer.default_root_dir}/out_of_memory-step-{trainer.global_step}.ckpt"
    trainer.save_checkpoint(path)
    return path


def _loss_in(made: Any) -> Tensor | None:
    """The loss that ``training_step`` gave; None where nothing can be learned from it."""
    loss = made.get("loss") if isinstance(made, Mapping) else made
    return loss if isinstance(loss, Tensor) and loss.requires_grad else None
