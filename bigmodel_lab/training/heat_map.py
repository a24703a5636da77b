"""Which pixels make a model say what it says, through Captum: saliency and occlusion.

Saliency (Simonyan et al. 2013, arXiv 1312.6034) is the size of the gradient of a class's score by each pixel: where a
little more light changes the score most. Occlusion (Zeiler and Fergus 2014, arXiv 1311.2901) covers one square after
the other with black and sees how far the score falls: what the class rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bigmodel_lab.data import Batches, Data, Split
from bigmodel_lab.errors import ConfigError, MissingPackageError, ShapeError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.models import HandWritten
from bigmodel_lab.training.mistakes import as_picture
from bigmodel_lab.training.predict import class_name, gives_classes, probabilities
from bigmodel_lab.training.samples import as_samples
from bigmodel_lab.training.step import Task
from bigmodel_lab.training.trainer import Trainer

Method = Literal["saliency", "occlusion"]
_SQUARES = 6  # squares of occlusion along the shorter side; they overlap by half


@dataclass(frozen=True)
class Heat:
    """How much each pixel of a picture matters for a class."""

    picture: NDArray[np.float32]
    """The picture, 0 … 1, shape (height, width) or (height, width, 3)."""
    values: NDArray[np.float32]
    """Saliency: size of the gradient, from 0. Occlusion: how far the score falls, below 0 where it rises. Shape
    (height, width)."""
    method: Method
    """How it was found."""
    name: str
    """The class that is explained: what the model says."""
    probability: float
    """Of that class, 0 … 1."""


def heat_of(trainer: Trainer, x: Any, method: str) -> Heat:
    """Explain what the trainer's model says about one picture.

    Args:
        trainer: With no step running.
        x: A picture as :func:`bigmodel_lab.training.samples.as_samples` takes it, or the place of a test sample.
        method: ``"saliency"`` or ``"occlusion"``.

    Raises:
        UnknownNameError: There is no such method.
        ConfigError: The model does not classify pictures, or has no gradients to ask for.
        DataError: ``x`` is not one picture.
        MissingPackageError: Captum is not installed.
    """
    if method not in _METHODS:
        raise UnknownNameError(text("heat.kind", "method"), method, get_args(Method))
    captum = _captum()
    _check(trainer, method)
    sample = _one(x, trainer)
    batches = Batches(Split(sample, torch.zeros(1, dtype=torch.int64)), trainer.data.scale, trainer.device)
    inputs, _ = batches.take(torch.zeros(1, dtype=torch.int64, device=trainer.device))
    with trainer.judging() as task:
        with torch.no_grad():
            shares = probabilities(_scores(task)(inputs), trainer.objective.loss)
        chosen = int(shares.argmax(1))
        found = _METHODS[method](captum, _scores(task), inputs, chosen)
    picture = as_picture(sample[0])
    assert picture is not None
    values: NDArray[np.float32] = found.detach().float().cpu().reshape(-1, *inputs.shape[-2:]).numpy()
    strongest = np.take_along_axis(values, np.abs(values).argmax(axis=0)[None], axis=0)[0]  # over the channels
    return Heat(picture, strongest, method, class_name(trainer.data, chosen), float(shares[0, chosen]))  # type: ignore[arg-type]


def _saliency(captum: ModuleType, scores: Callable[[Tensor], Tensor], inputs: Tensor, target: int) -> Tensor:
    with torch.enable_grad():
        found: Tensor = captum.Saliency(scores).attribute(inputs.clone().requires_grad_(), target=target)
    return found


def _occlusion(captum: ModuleType, scores: Callable[[Tensor], Tensor], inputs: Tensor, target: int) -> Tensor:
    side = max(2, min(inputs.shape[-2:]) // _SQUARES)
    window = (*inputs.shape[1:-2], side, side)
    strides = (*inputs.shape[1:-2], side // 2, side // 2)
    with torch.no_grad():
        found: Tensor = captum.Occlusion(scores).attribute(
            inputs, sliding_window_shapes=window, strides=strides, baselines=0, target=target
        )
    return found


def _scores(task: Task) -> Callable[[Tensor], Tensor]:
    def scores(x: Tensor) -> Tensor:
        with task.arithmetic.forward():
            output: Tensor = task.model(x)
        return output.float()

    return scores


def _check(trainer: Trainer, method: str) -> None:
    """There is a class to explain, and a way to do it."""
    if not gives_classes(trainer):
        raise ConfigError(
            text(
                "error.nothing_to_explain",
                "A heat map explains a class, but {model} was trained for {task}, not for classes.",
                model=trainer.name,
                task=trainer.data.task.replace("_", " "),
            )
        )
    if method == "saliency" and _without_autograd(trainer.model):
        raise ConfigError(
            text(
                "error.no_saliency",
                "{model} computes without autograd, so there is no gradient by pixel. Use method='occlusion'.",
                model=trainer.name,
            )
        )


def _without_autograd(model: nn.Module) -> bool:
    return isinstance(model, HandWritten)


def _one(x: Any, trainer: Trainer) -> Tensor:
    """One picture with its batch, shape (1, …)."""
    data = trainer.data
    samples = _test_sample(int(x), data) if isinstance(x, (int, np.integer)) else as_samples(x, data)
    if len(samples) == 1 and as_picture(samples[0]) is not None:
        return samples
    raise ShapeError(
        text(
            "error.not_one_picture",
            "A heat map needs one picture: shape (height, width), (1, height, width) or (3, height, width). This is "
            "{count} × {shape} from {data}.",
            count=len(samples),
            shape=tuple(samples.shape[1:]),
            data=data.name,
        )
    )


def _test_sample(index: int, data: Data) -> Tensor:
    if not 0 <= index < len(data.test):
        raise ConfigError(
            text(
                "error.test_index",
                "There is no test sample {index}: {data} has {count}, numbered from 0.",
                index=index,
                data=data.name,
                count=len(data.test),
            )
        )
    return data.test.x[index : index + 1]


def _captum() -> ModuleType:
    try:
        from captum import attr
    except ImportError as error:
        raise MissingPackageError("captum", text("heat.purpose", "draw heat maps"), "explain") from error
    return attr  # type: ignore[no-any-return]


_METHODS = {"saliency": _saliency, "occlusion": _occlusion}
