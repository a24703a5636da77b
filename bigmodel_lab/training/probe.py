"""Does this model take this data? Asked with two samples, before a run begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigmodel_lab.data import Batches, Data, suit_model
from bigmodel_lab.errors import ShapeError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.evaluate import evaluating
from bigmodel_lab.training.freezing import learning_norms
from bigmodel_lab.training.objectives import Objective, objective_of, without_accuracy
from bigmodel_lab.training.own_loss import check_own_loss
from bigmodel_lab.training.precision import Arithmetic
from bigmodel_lab.training.step import LossFunction


@dataclass(frozen=True)
class Fit:
    """How a model and data go together."""

    data: Data
    """The data in the shape that the model takes."""
    objective: Objective
    """How the model's output is judged."""
    needs_two: str | None = None
    """Name of a layer that cannot be trained with a single sample; None where there is none."""


def probe(
    model: nn.Module,
    data: Data,
    device: str,
    arithmetic: Arithmetic,
    *,
    own_loss: LossFunction | None,
    documented_loss: LossFunction | None = None,
) -> Fit:
    """Compute two samples, without learning from them.

    Args:
        model: On the device.
        data: With training samples.
        device: A torch device.
        arithmetic: Number format of the forward pass.
        own_loss: The person's own loss, for which the output need not be scores; None is the usual one.
        documented_loss: The loss of a documented model, over scores; None is the usual one of the task.

    Raises:
        ConfigError: The person's own loss gives no number to start from.
        ShapeError: The model cannot compute such samples, or its output is not what the task asks for.
        LabelRangeError: There are labels for which the output has no score.
    """
    with _noting_pairs(model) as lonely:
        fitting, output, labels = _compute(model, data, device, arithmetic)
    needs_two = next(iter(lonely), None)
    shape = tuple(output.shape) if isinstance(output, Tensor) else None
    if own_loss is not None:
        with arithmetic.forward():
            check_own_loss(own_loss, output, labels)
        scores = shape is not None and len(shape) == 2 and shape[0] == 2 and shape[1] >= data.classes
        counted = scores and data.task == "classification"
        judged = objective_of(data.task, own_loss) if counted else without_accuracy(own_loss)
        return Fit(fitting, judged, needs_two)
    _check_output(fitting, output, shape)
    if data.task == "classification":
        assert shape is not None
        fitting = suit_model(fitting, fitting.input_shape, shape[1])
    return Fit(fitting, objective_of(data.task, documented_loss), needs_two)


@contextmanager
def _noting_pairs(model: nn.Module) -> Iterator[list[str]]:
    """Names of the batch normalizations that get one value a channel from each of the two samples.

    With a single sample they would have nothing to take a variance of; torch refuses that in training mode.
    """
    found: list[str] = []
    hooks = [layer.register_forward_pre_hook(_NotePair(name, found)) for name, layer in learning_norms(model).items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class _NotePair:
    """Before a layer: note its name where each channel of its input has two values."""

    name: str
    found: list[str]

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del layer
        for x in inputs[:1]:  # empty where it is called by keyword
            if x.ndim > 1 and x.numel() == 2 * x.shape[1]:
                self.found.append(self.name)


def _check_output(data: Data, output: object, shape: tuple[int, ...] | None) -> None:
    """The output of two samples has the shape that the task asks for."""
    wanted: tuple[int, ...] | None
    if data.task == "classification":
        wanted = (2, shape[1]) if shape is not None and len(shape) == 2 else None
        if shape is None or shape != wanted:
            raise _not_scores(output, data.classes)
        return
    if data.task == "next_token":
        wanted = (2, *data.input_shape, data.classes)
    else:
        wanted = (2, *(data.input_shape if data.task == "reconstruction" else data.train.y.shape[1:]))
    if shape != wanted:
        raise ShapeError(
            text(
                "error.output_shape",
                "For 2 samples the model returns {found}; {data} asks for {wanted} ({task}). Change the last layer, "
                "or give a loss of your own: loss=….",
                found=shape if shape is not None else type(output).__name__,
                data=data.name,
                wanted=wanted,
                task=data.task.replace("_", " "),
            )
        )


def _compute(model: nn.Module, data: Data, device: str, arithmetic: Arithmetic) -> tuple[Data, object, Tensor]:
    """The output of two samples, and their labels, with the channel of grey images added where the model wants one."""
    if len(data.input_shape) == 2 and _wants_channels(model):
        data = suit_model(data, (1, *data.input_shape))
    try:
        return data, *_output_of_two(model, data, device, arithmetic)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:  # what torch raises for shapes that do not fit
        raise ShapeError(
            text(
                "error.model_refuses",
                "The model {model} cannot compute samples of shape {shape} from {data}. Its first layer is {layer}. "
                "PyTorch says: {error}",
                model=type(model).__name__,
                shape=data.input_shape,
                data=data.name,
                layer=_first_layer(model),
                error=error,
            )
        ) from error


def _output_of_two(model: nn.Module, data: Data, device: str, arithmetic: Arithmetic) -> tuple[object, Tensor]:
    # Two samples, because some layers take a single one for a sample without its batch.
    first_and_last = torch.tensor([0, len(data.train) - 1])
    batches = Batches(data.train.select(first_and_last), data.scale, device)
    x, labels = batches.take(torch.arange(2, device=device))
    # no_grad rather than inference_mode: what a model caches here may be used in training.
    with evaluating(model), torch.no_grad(), arithmetic.forward():
        return model(x), x if data.task == "reconstruction" else labels


def _not_scores(output: object, classes: int) -> ShapeError:
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    return ShapeError(
        text(
            "error.not_scores",
            "For 2 samples the model returns {found}; the cross-entropy loss needs one score a class: "
            "(2, {classes}). Change the last layer, or give a loss of your own: loss=….",
            found=found,
            classes=classes,
        )
    )


def _wants_channels(model: nn.Module) -> bool:
    return isinstance(_first_layer(model), nn.Conv2d)


def _first_layer(model: nn.Module) -> nn.Module:
    """The first part that has weights of its own."""
    leaves = (part for part in model.modules() if not list(part.children()) and list(part.parameters()))
    return next(leaves, model)
