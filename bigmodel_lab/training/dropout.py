"""Dropout as a setting: in training a share of the values is dropped, whatever the model.

Source: D0 (000_7729297fffeb390e), section 9.1: units that cannot rely on each other depend less on single samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.i18n import text

DropoutLayer: TypeAlias = (
    nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout | nn.FeatureAlphaDropout
)
"""Every layer of torch that drops values."""


def check_dropout(model: nn.Module) -> None:
    """The model has a place for dropout.

    Raises:
        ConfigError: It has neither a dropout nor a linear layer.

    >>> check_dropout(nn.Linear(2, 2))
    """
    if not _layers(model):
        _last_linear(model)


@contextmanager
def dropping(model: nn.Module, share: float | None) -> Iterator[None]:
    """While the block runs, the model drops this share of its values in training mode.

    Every dropout layer has this share; a model without one drops inputs of its last linear layer. Neither weights
    nor their names change, and afterwards the model is as it was.

    Args:
        model: One that :func:`check_dropout` accepts.
        share: From 0 to below 1; None changes nothing.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    >>> with dropping(model, 0.1):
    ...     model[1].p
    0.1
    >>> model[1].p
    0.5
    """
    if share is None:
        yield
        return
    layers = _layers(model)
    with _shares_set(layers, share) if layers else _inputs_dropped(_last_linear(model), share):
        yield


@dataclass(frozen=True)
class _DropInputs:
    """Before a layer in training mode: a share of its inputs becomes 0, the others grow to keep the mean."""

    share: float

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (F.dropout(inputs[0], self.share, training=layer.training), *inputs[1:])


@contextmanager
def _inputs_dropped(layer: nn.Linear, share: float) -> Iterator[None]:
    hook = layer.register_forward_pre_hook(_DropInputs(share))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _shares_set(layers: Sequence[DropoutLayer], share: float) -> Iterator[None]:
    before = [layer.p for layer in layers]
    for layer in layers:
        layer.p = share
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.p = own


def _layers(model: nn.Module) -> list[DropoutLayer]:
    return [part for part in model.modules() if isinstance(part, DropoutLayer)]


def _last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer that is called as one; attention takes only the weights out of its own."""
    called = [
        part
        for part in model.modules()
        if isinstance(part, nn.Linear) and not isinstance(part, NonDynamicallyQuantizableLinear)
    ]
    if called:
        return called[-1]
    raise ConfigError(
        text(
            "error.no_place_for_dropout",
            "dropout has no place in {model}: it has neither a dropout layer nor a linear layer. Leave dropout "
            "out, or put torch.nn.Dropout into the model.",
            model=type(model).__name__,
        )
    )
