"""Layers that learn their shapes from the first batch: they get it on a copy, without values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from bigmodel_lab.errors import TraceError
from bigmodel_lab.estimate._own_steps import noticing_updates
from bigmodel_lab.i18n import text


class _EnoughError(Exception):
    """The first pass has come as far as an update of weights, which is not made."""


def is_lazy(model: nn.Module) -> bool:
    """Some weights have no shape yet."""
    return any(nn.parameter.is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()])


def initialised(model: nn.Module, run: Callable[[nn.Module, Any], object], batch: Any) -> nn.Module:
    """The model after its lazy layers have seen the shapes of a batch; a model without such layers as it is.

    Args:
        model: On the meta device; is changed.
        run: Its step.
        batch: On the meta device.

    Raises:
        TraceError: Some weights still have no shape.

    >>> model = initialised(nn.LazyLinear(3, device="meta"), lambda model, x: model(x), nn.Linear(2, 5, device="meta").weight)
    >>> model.weight.shape
    torch.Size([3, 2])
    """
    if not is_lazy(model):
        return model
    failed: Exception | None = None
    try:
        with noticing_updates(_enough):
            run(model, batch)
    except _EnoughError:
        pass
    except (
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
    ) as error:  # what wants values comes behind the layers
        failed = error
    if is_lazy(model):
        raise TraceError(
            text(
                "error.estimate_lazy",
                "The model has lazy layers, and the shapes of the batch did not reach all of them{why}. Run the model once on a real batch "
                "before you estimate it, or name the sizes of its layers.",
                why="" if failed is None else f" ({type(failed).__name__}: {failed})",
            )
        ) from failed
    return model


def _enough(_optimizer: object) -> None:
    raise _EnoughError
