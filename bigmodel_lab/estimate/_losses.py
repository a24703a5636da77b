"""The step of a model: its forward pass and the loss that backward starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._plan import Step, uncounted
from bigmodel_lab.estimate._source import ModelSource
from bigmodel_lab.i18n import text
from bigmodel_lab.training.objectives import Objective, objective_of

Loss = Callable[[Tensor, Any], Tensor]


def step_of(source: ModelSource, batch: Any, step: Step | None, loss: Loss | None) -> Step | Objective:
    """What runs in the place of forward pass and loss.

    Args:
        source: The model.
        batch: On the meta device.
        step: The person's own, which comes first; None for none.
        loss: Of a batch that is a pair; None for none.

    Raises:
        ConfigError: Both are given; or neither, and nobody can say what the loss is.
    """
    if step is not None and loss is not None:
        raise ConfigError(
            text("error.step_and_loss", "Give step=(model, batch) -> loss or loss=(output, targets) -> loss, not both.")
        )
    for name, own in (("step", step), ("loss", loss)):
        if own is not None and not callable(own):
            raise _not_callable(name, own)
    if step is not None:
        return step
    if loss is not None:
        return _of_pair(loss, batch)
    return source.loss or _usual(batch)


def forward_only(model: nn.Module, batch: Any) -> Any:
    """The model's output, as inference asks for it: of a mapping by its names, of a pair from the inputs alone."""
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(batch[0] if _is_pair(batch) else batch)


def _usual(batch: Any) -> Step | Objective:
    """Of a dict the loss that the model returns; of a pair cross-entropy for whole numbers, else mean squared error."""
    if isinstance(batch, Mapping):
        return _own_loss
    if _is_pair(batch):
        return _of_pair(_by_targets, batch)
    raise ConfigError(
        text(
            "error.estimate_no_loss",
            "What is the loss of this batch? Give a pair (inputs, targets), or step=lambda model, batch: …, which returns "
            "the loss, e.g. step=lambda model, x: model(x).mean().",
        )
    )


def _not_callable(name: str, own: object) -> ConfigError:
    return ConfigError(
        text(
            "error.estimate_not_callable",
            "{name} is {value!r}, which cannot be called. Give a function: step=lambda model, batch: …, which returns the loss, or "
            "loss=lambda output, targets: ….",
            name=name,
            value=own,
        )
    )


def _of_pair(loss: Loss, batch: Any) -> Objective:
    if not _is_pair(batch):
        raise ConfigError(
            text(
                "error.estimate_pair",
                "loss= needs a batch that is a pair (inputs, targets), and this one is {kind}. Give step= instead.",
                kind=type(batch).__name__,
            )
        )
    return Objective(loss, uncounted)


def _is_pair(batch: Any) -> bool:
    return isinstance(batch, tuple | list) and len(batch) == 2


def _by_targets(output: Any, targets: Any) -> Tensor:
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
        raise ConfigError(
            text(
                "error.estimate_no_usual_loss",
                "The usual loss takes one tensor of outputs and one of targets; here the model returned {output} and the targets are "
                "{targets}. Give loss=lambda output, targets: … or step=lambda model, batch: ….",
                output=type(output).__name__,
                targets=type(targets).__name__,
            )
        )
    if targets.is_floating_point():
        return objective_of("regression").loss(output, targets)
    return objective_of("next_token" if targets.dim() == 2 and output.dim() == 3 else "classification").loss(
        output, targets
    )


def _own_loss(model: nn.Module, batch: Any) -> Tensor:
    """As models of the Transformers library return it."""
    output = model(**batch)
    found = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", output)
    if isinstance(found, Tensor) and not found.dim():
        return found
    if isinstance(output, Mapping) and "loss" not in output and "logits" not in output:
        return output  # type: ignore[return-value]  # losses by name, as detectors return them
    raise ConfigError(
        text(
            "error.estimate_no_own_loss",
            "The model returned no loss for this batch. Put the labels into it (batch['labels']), or give step=.",
        )
    )
