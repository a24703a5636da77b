"""Is a person's own loss one that training can start from? Asked with two samples, before a run begins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.step import LossFunction

_NOT_YET = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, ValueError)
"""A loss may need what is there only in the run, or more than two samples; what it says in a step is heard there."""


def check_own_loss(loss: LossFunction, output: object, labels: Tensor) -> None:
    """It gives one number from which backward can start; the weights get no gradients here.

    Args:
        loss: Maps (output, labels) to the mean loss.
        output: Of the model for a few samples.
        labels: Of the same samples.

    Raises:
        ConfigError: It cannot be called, or gives something else, or makes the backward pass itself.

    >>> check_own_loss(torch.nn.functional.mse_loss, torch.zeros(2, 1), torch.zeros(2, 1))
    """
    if isinstance(loss, type):
        raise _unsuitable(
            text("own_loss.a_class", "is the class {name}, and no instance: {name}()", name=loss.__name__)
        )
    if not callable(loss):
        raise _unsuitable(text("own_loss.not_callable", "is {value!r}, which cannot be called", value=loss))
    with torch.enable_grad():
        leaves = tree_map_only(Tensor, _leaf, output)
        try:
            found: Any = loss(leaves, labels)
        except TypeError as error:
            raise _unsuitable(text("own_loss.refuses", "refuses (output, labels): {error}", error=error)) from error
        except _NOT_YET:
            return
    if not isinstance(found, Tensor):
        raise _unsuitable(text("own_loss.no_tensor", "returns {kind}", kind=_kind(found)))
    if found.numel() != 1 or found.is_complex():
        raise _unsuitable(
            text(
                "own_loss.shape",
                "returns a tensor of shape {shape}, {dtype}",
                shape=tuple(found.shape),
                dtype=found.dtype,
            )
        )
    if not found.requires_grad:
        raise _unsuitable(text("own_loss.no_gradient", "returns a number without a gradient"))
    if any(leaf.grad is not None for leaf in tree_leaves(leaves) if isinstance(leaf, Tensor) and leaf.is_leaf):
        raise _unsuitable(text("own_loss.goes_back", "calls backward() itself, which the training does"))


def _leaf(tensor: Tensor) -> Tensor:
    """What the model gives, as far as a loss can tell; no gradient goes beyond it."""
    trainable = tensor.is_floating_point() or tensor.is_complex()
    return tensor.detach().clone().requires_grad_(trainable)


def _kind(found: object) -> str:
    return "None" if found is None else type(found).__name__


def _unsuitable(what: str) -> ConfigError:
    return ConfigError(
        text(
            "error.own_loss",
            "The given loss {what}. It must map (output, labels) to one number, the mean loss as a tensor that has not been detached (no "
            ".item(), no float()), e.g. loss=torch.nn.functional.cross_entropy or loss=torch.nn.CrossEntropyLoss().",
            what=what,
        )
    )
