"""What a person's own step or loss gives back, and what it does besides: seen from outside while it is traced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.trace._optimizers import takes_lists
from bigmodel_lab.training.precision import Arithmetic

Note = Callable[[str], object]


class Watched:
    """A function of the person's own, with the passes and updates that it makes itself.

    >>> layer = nn.Linear(2, 1)
    >>> watched = Watched(lambda x: layer(x).sum().backward(), layer, print)
    >>> watched(torch.ones(3, 2)), watched.has_gone_back, watched.has_stepped
    (None, True, False)
    """

    def __init__(self, run: Callable[..., Any], model: nn.Module, note: Note) -> None:
        """Args: the function; the model whose gradients tell; and what gets remarks."""
        self._run, self._note = run, note
        self.has_gone_back = False
        """The last call made gradients: the backward pass is its own matter."""
        self.has_stepped = False
        """The last call made the step of an optimizer."""
        self._inside = False
        self._kept: Any = None
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._got_gradient)  # type: ignore[no-untyped-call]

    def __call__(self, *args: Any) -> Any:
        """Call it, and watch; what it gives back beside a loss lives till the next call has given back, as in a loop that names it."""
        self.has_gone_back = self.has_stepped = False
        self._inside = True
        try:
            with noticing_updates(self._stepped):
                result = self._run(*args)
        finally:
            self._inside = False
        self._kept = None if isinstance(result, Tensor) else result
        return result

    def loss(self, result: Any) -> Tensor:
        """What backward starts from; where the call has gone back itself, a number that takes no memory.

        Args:
            result: What the last call gave back.

        Raises:
            ConfigError: There is no loss in it.
        """
        if not self.has_gone_back:
            return scalar_in(result, self._note)
        if self.has_stepped:
            self._note(
                text(
                    "estimate.own_update",
                    "The step makes its backward pass and its optimizer's step itself: they are followed as they are, and no other "
                    "optimizer is counted.",
                )
            )
        else:
            self._note(
                text("estimate.own_backward", "The step makes its backward pass itself; no second one is counted.")
            )
        return torch.zeros((), device="meta")

    def _got_gradient(self, _parameter: Tensor) -> None:
        if self._inside:
            self.has_gone_back = True

    def _stepped(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if not all(isinstance(parameter, FakeTensor) for parameter in parameters):
            raise ConfigError(
                text(
                    "error.estimate_own_optimizer",
                    "The step calls {kind}.step() over the weights of your own model; an estimate follows a copy and must not change "
                    "them. Return the loss from step= and give optimizer={kind}, or make the optimizer inside the step from "
                    "model.parameters().",
                    kind=type(optimizer).__name__,
                )
            )
        for group in optimizer.param_groups:
            if takes_lists(optimizer, group):
                group["foreach"] = True
        self.has_stepped = self.has_gone_back = True


class WhatIsLeft(Arithmetic):
    """An arithmetic around a watched function: it makes the passes and updates that the function has not made itself."""

    def __init__(self, inner: Arithmetic, watched: Watched) -> None:
        self._inner, self._watched = inner, watched

    def forward(self) -> AbstractContextManager[object]:
        """As the other does."""
        return self._inner.forward()

    def backward(self, loss: Tensor) -> None:
        """As the other does, where it is left to do."""
        if not self._watched.has_gone_back:
            self._inner.backward(loss)

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """As the other does, where it is left to do; gradients of one's own backward pass are not scaled."""
        if self._watched.has_stepped:
            return
        if self._watched.has_gone_back:
            optimizer.step()
        else:
            self._inner.update(optimizer)


@contextmanager
def noticing_updates(stepped: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    """Inside, every step of any optimizer in this thread is announced before it is made.

    Args:
        stepped: Gets the optimizer; what it raises stops the step.
    """
    here = threading.get_ident()

    def hook(optimizer: torch.optim.Optimizer, _args: Any, _settings: Any) -> None:
        if threading.get_ident() == here:
            stepped(optimizer)

    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def scalar_in(result: Any, note: Note) -> Tensor:
    """The loss in what a step gave back: a scalar, in a mapping or an object under ``loss``, or first in a tuple.

    Args:
        result: Of a step or a loss.
        note: Gets what was chosen where the result leaves a choice.

    Raises:
        ConfigError: There is none.

    >>> scalar_in({"loss": torch.ones((), requires_grad=True), "logits": torch.ones(3)}, print).item()
    1.0
    """
    found = _chosen(result, note)
    if not isinstance(found, Tensor) or found.is_complex() or not found.requires_grad:
        raise _no_loss(result, found)
    if found.numel() == 1:
        return found
    if found.dim() == 1:
        note(
            text(
                "estimate.loss_vector",
                "The step gives back {count} losses and backward starts from one number: their mean stands for it.",
                count=found.shape[0],
            )
        )
        return found.mean()
    raise _no_loss(result, found)


def _chosen(result: Any, note: Note) -> Any:
    if isinstance(result, Tensor):
        return result
    if isinstance(result, Mapping):
        return result["loss"] if result.get("loss") is not None else _sum_of(result, note)
    if getattr(result, "loss", None) is not None:
        return result.loss
    if isinstance(result, tuple | list):
        candidates = [one for one in result if isinstance(one, Tensor) and one.numel() == 1 and one.requires_grad]
        if candidates:
            if len(candidates) > 1:
                note(
                    text(
                        "estimate.first_loss",
                        "Of several losses that the step gives back, backward starts from the first.",
                    )
                )
            return candidates[0]
    return None


def _sum_of(result: Mapping[Any, Any], note: Note) -> Any:
    """Detectors return one loss for each of their parts."""
    parts = [one for one in result.values() if isinstance(one, Tensor) and one.numel() == 1 and one.requires_grad]
    if not parts:
        return None
    if len(parts) > 1:
        note(
            text(
                "estimate.sum_of_losses",
                "The step gives back {count} losses by name; backward starts from their sum.",
                count=len(parts),
            )
        )
    return sum(parts[1:], parts[0])


def _no_loss(result: Any, found: Any) -> ConfigError:
    return ConfigError(
        text(
            "error.estimate_step_result",
            "The step (or loss) gave back {came}, and made no gradients itself. Backward starts from one number that depends on the "
            "weights: return the loss as a tensor of one element that has not been detached (no .item(), no float()), alone, first "
            "in a tuple, or under 'loss' in a dict; or call loss.backward() in the step.{hint}",
            came=_in_words(result if not isinstance(found, Tensor) else found),
            hint=_hint(result),
        )
    )


def _in_words(result: Any) -> str:
    if isinstance(result, Tensor):
        gradient = "" if result.requires_grad else text("estimate.without_gradient", " without a gradient")
        return text(
            "estimate.a_tensor",
            "a tensor of shape {shape}, {dtype}{gradient}",
            shape=tuple(result.shape),
            dtype=result.dtype,
            gradient=gradient,
        )
    if isinstance(result, Mapping):
        return text("estimate.a_mapping", "{kind} with {names}", kind=type(result).__name__, names=list(result))
    return text("estimate.a_thing", "{kind}", kind="None" if result is None else type(result).__name__)


def _hint(result: Any) -> str:
    if isinstance(result, nn.Module):
        name = type(result).__name__
        return text("estimate.loss_class", " loss={name} is a class; give an instance of it: loss={name}().", name=name)
    if getattr(result, "logits", None) is not None:
        return text(
            "estimate.labels_missing", " Models of the Transformers library return a loss where the batch has 'labels'."
        )
    return ""
