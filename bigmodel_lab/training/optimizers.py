"""Optimizers by name: every class of ``torch.optim`` that takes dense gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.i18n import Text, text

UNSUITABLE = {
    "sparseadam": Text("optimizer.sparseadam", "takes sparse gradients only"),
}
"""Optimizers that the textbook step cannot drive, and why."""
MATRICES_ONLY = frozenset({"muon"})
"""Optimizers that refuse biases, convolutions and whatever else is no matrix."""


def optimizer_classes() -> dict[str, type[torch.optim.Optimizer]]:
    """Every usable optimizer of the installed torch by its lower-case name.

    >>> "adamw" in optimizer_classes(), "sparseadam" in optimizer_classes()
    (True, False)
    """
    found = {name.lower(): member for name, member in vars(torch.optim).items() if _is_optimizer(member)}
    return {name: found[name] for name in sorted(found) if name not in UNSUITABLE}


def check_optimizer(name: str) -> None:
    """The name is that of a usable optimizer.

    Raises:
        UnknownNameError: There is none; lists those that exist.
        ConfigError: There is one, but it needs another kind of gradients.
    """
    if name in UNSUITABLE:
        raise ConfigError(
            text(
                "error.optimizer_unsuitable",
                "The optimizer {name!r} cannot be used here: it {reason}. Take one of {known}.",
                name=name,
                reason=UNSUITABLE[name],
                known=", ".join(optimizer_classes()),
            )
        )
    if name not in optimizer_classes():
        raise UnknownNameError(text("optimizer.kind", "optimizer"), str(name), optimizer_classes())


def make_optimizer(
    name: str, parameters: Iterable[torch.nn.Parameter], learning_rate: float, options: Any
) -> torch.optim.Optimizer:
    """The optimizer with this name over the trainable parameters, with torch's own defaults.

    Raises:
        ConfigError: Nothing is trainable, a parameter is of a shape that the optimizer does not take, or torch
            refuses the options; quotes what it says.

    >>> model = torch.nn.Linear(2, 1)
    >>> type(make_optimizer("sgd", model.parameters(), 0.1, {"momentum": 0.9})).__name__
    'SGD'
    """
    check_optimizer(name)
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise ConfigError(
            text(
                "error.nothing_trainable",
                "The model has 0 trainable parameters. Set requires_grad = True on those that shall learn.",
            )
        )
    if name in MATRICES_ONLY:
        _check_matrices(name, trainable)
    make: Any = optimizer_classes()[name]  # each class has arguments of its own
    try:
        optimizer: torch.optim.Optimizer = make(trainable, lr=learning_rate, **dict(options))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            text(
                "error.optimizer_options",
                "torch.optim refuses the optimizer {name!r} with learning_rate {learning_rate} and "
                "optimizer_options {options}: {error}",
                name=name,
                learning_rate=learning_rate,
                options=dict(options),
                error=error,
            )
        ) from error
    return optimizer


def _check_matrices(name: str, trainable: Sequence[torch.nn.Parameter]) -> None:
    others = [tuple(parameter.shape) for parameter in trainable if parameter.ndim != 2]
    if others:
        raise ConfigError(
            text(
                "error.matrices_only",
                "The optimizer {name!r} trains matrices only, and {count} of {all} trainable parameters are none, the "
                "first of shape {shape}. Freeze those that need not learn, e.g. freeze=('*bias',), or take adamw.",
                name=name,
                count=len(others),
                all=len(trainable),
                shape=others[0],
            )
        )


def _is_optimizer(member: object) -> bool:
    base = torch.optim.Optimizer
    return isinstance(member, type) and issubclass(member, base) and member is not base
