"""Every way to say which optimizer is meant becomes a name, or a function of the model that makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._small_states import STATES, states_only
from bigmodel_lab.i18n import text

Make = Callable[[nn.Module], torch.optim.Optimizer]


def optimizer_of(given: Any, model: Any, options: Mapping[str, Any]) -> str | Make:
    """A name, or what makes the optimizer for a copy of the model.

    Args:
        given: A name; an optimizer's class, as it is or with settings (``functools.partial``); an optimizer over the model's weights,
            of which the settings count and not the state; or a function of the model.
        model: As the person gave it.
        options: Keywords of an optimizer's class.

    Raises:
        ConfigError: It is none of these.

    >>> optimizer_of("sgd", None, {})
    'sgd'
    >>> type(optimizer_of(torch.optim.Adam, None, {"lr": 0.1})(nn.Linear(2, 1))).__name__
    'Adam'
    """
    if isinstance(given, str):
        return states_only(given) if given in STATES else given
    if isinstance(given, torch.optim.Optimizer):
        return partial(_checked, partial(_over_copy, given, model))
    if _makes_from_parameters(given):
        return partial(_checked, partial(_from_parameters, given, options))
    if callable(given):
        return partial(_checked, given)
    raise ConfigError(
        text(
            "error.estimate_optimizer",
            "optimizer is {value!r}. Give a name such as 'adamw', a class of torch.optim, an optimizer over the model's weights, or a "
            "function of the model that makes one; of several, estimate with the one that holds the most weights.",
            value=given,
        )
    )


def _makes_from_parameters(given: Any) -> bool:
    made = given.func if isinstance(given, partial) else given
    return isinstance(made, type) and issubclass(made, torch.optim.Optimizer)


def _from_parameters(given: Any, options: Mapping[str, Any], model: nn.Module) -> Any:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        return given(trainable, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            text(
                "error.estimate_optimizer_class",
                "{kind} cannot be made from the model's trainable weights and optimizer_options {options}: {error}",
                kind=getattr(given, "__name__", repr(given)),
                options=dict(options),
                error=error,
            )
        ) from error


def _over_copy(optimizer: torch.optim.Optimizer, model: Any, copied: nn.Module) -> torch.optim.Optimizer:
    """The same settings over the weights of a copy, without state."""
    theirs = (
        dict(zip(map(id, model.parameters()), copied.parameters(), strict=False))
        if isinstance(model, nn.Module)
        else {}
    )
    groups = [
        {**group, "params": [theirs[id(p)] for p in group["params"] if id(p) in theirs]}
        for group in optimizer.param_groups
    ]
    if sum(len(group["params"]) for group in groups) < sum(len(group["params"]) for group in optimizer.param_groups):
        raise ConfigError(
            text(
                "error.estimate_optimizer_elsewhere",
                "The {kind} that was given steps weights that are not the model's. Give the optimizer over this model's own weights, its "
                "class with optimizer_options, or a function of the model that makes one.",
                kind=type(optimizer).__name__,
            )
        )
    made = copy(optimizer)
    made.state = type(optimizer.state)(dict)
    made.param_groups = groups
    return made


def _checked(make: Make, model: nn.Module) -> torch.optim.Optimizer:
    made: Any = make(model)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(
            text(
                "error.estimate_made_optimizer",
                "The function given as optimizer made {kind}; it must make one torch.optim.Optimizer over the model that it gets, "
                "e.g. lambda model: torch.optim.SGD(model.parameters(), lr=0.1).",
                kind="None" if made is None else type(made).__name__,
            )
        )
    return made
