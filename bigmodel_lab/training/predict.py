"""What a trained model answers: its output over many samples, and classes with their probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab._table import Table
from bigmodel_lab.data import Batches, Data, Split
from bigmodel_lab.i18n import text
from bigmodel_lab.training.samples import as_samples
from bigmodel_lab.training.step import LossFunction, Task
from bigmodel_lab.training.trainer import Trainer
from bigmodel_lab.units import format_value

Kept: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""Maps (output, labels) of a batch to what is kept of it, tensors with one row a sample."""
_SHOWN = 20  # samples that a printed prediction lists


def outputs(task: Task, batches: Batches, batch_size: int, keep: Kept | None = None) -> tuple[Tensor, ...]:
    """What a model gives for samples in the order in which they lie, on the CPU.

    Args:
        task: With its model in evaluation mode, as :meth:`Trainer.judging` has it.
        batches: At least one sample.
        batch_size: Samples computed at once.
        keep: What is kept of each batch; None keeps the output as float32, and the labels.

    Returns:
        What was kept, each tensor with one row a sample.

    >>> from torch import nn
    >>> from bigmodel_lab.training.precision import Arithmetic
    >>> from bigmodel_lab.training.objectives import correct_of_scores
    >>> task = Task(nn.Identity(), F.cross_entropy, correct_of_scores, Arithmetic())
    >>> split = Split(torch.eye(3), torch.arange(3))
    >>> output, labels = outputs(task, Batches(split, scale=None), batch_size=2)
    >>> output.argmax(1).tolist(), labels.tolist()
    ([0, 1, 2], [0, 1, 2])
    """
    keep = keep or _everything
    kept = []
    with torch.inference_mode():
        for x, y in batches.in_order(batch_size):
            with task.arithmetic.forward():
                output = task.model(x)
            kept.append(tuple(part.cpu() for part in keep(output, y)))
        columns = [torch.cat(parts) for parts in zip(*kept, strict=True)]
    return tuple(column.clone() for column in columns)  # made outside, so that autograd may use them


def probabilities(output: Tensor, loss: LossFunction) -> Tensor:
    """Probability of each class from the output of a model, float64.

    The cross-entropy takes scores, so they go through the softmax. Under another loss the output may hold
    probabilities already: it is left as it is where every row lies within 0 … 1 and adds up to 1.

    Args:
        output: Shape (samples, classes).
        loss: What the model was trained with.

    >>> probabilities(torch.tensor([[0.0, 0.0]]), F.cross_entropy).tolist()
    [[0.5, 0.5]]
    """
    output = output.double()  # in float32 many sure answers would all become 1
    done = loss is not F.cross_entropy and bool(((output >= 0) & (output <= 1)).all())
    if done and torch.allclose(output.sum(1), output.new_ones(len(output)), atol=1e-4):
        return output
    return output.softmax(1)


@dataclass(frozen=True, repr=False)
class Prediction:
    """The classes that a model gives to samples; prints as a table.

    >>> Prediction(np.array([1]), np.array([[0.2, 0.8]]), ("dog",))
    sample  class  probability
         0  dog           80 %
    """

    classes: NDArray[np.int64]
    """Class number of each sample, shape (samples,)."""
    probabilities: NDArray[np.float64]
    """Probability of each class, shape (samples, classes); each row adds up to 1."""
    names: tuple[str, ...]
    """What the class of each sample is called; its number where classes have no names."""

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        return "\n".join([self._table().text(), *self._more()])

    def _repr_html_(self) -> str:
        return "".join([self._table().html(), *(f"<p>{line}</p>" for line in self._more())])

    def _table(self) -> Table:
        heads = (
            text("prediction.sample", "sample"),
            text("prediction.class", "class"),
            text("prediction.probability", "probability"),
        )
        best = self.probabilities.max(axis=1)
        rows = zip(range(_SHOWN), self.names, best, strict=False)
        return Table(heads, tuple((str(i), name, format_value(float(p), "fraction")) for i, name, p in rows), {0, 2})

    def _more(self) -> list[str]:
        hidden = len(self) - _SHOWN
        return [text("prediction.more", "… and {count} more", count=hidden)] if hidden > 0 else []


def predict(trainer: Trainer, x: Any) -> Prediction | NDArray[np.float32]:
    """What the trainer's model answers to samples of the person's own.

    Args:
        trainer: With no step running.
        x: As :func:`bigmodel_lab.training.samples.as_samples` takes it.

    Returns:
        Classes with their probabilities; of other tasks the model's output, shape (samples, …), float32.

    Raises:
        DataError: Samples that the model does not take; says what it takes.
    """
    samples = as_samples(x, trainer.data)
    nothing = torch.zeros(len(samples), dtype=torch.int64)  # there are no labels
    batches = Batches(Split(samples, nothing), trainer.data.scale, trainer.device)
    with trainer.judging() as task:
        output, _ = outputs(task, batches, trainer.config.micro_batch_size)
    if not gives_classes(trainer):
        return output.numpy()
    shares = probabilities(output, trainer.objective.loss)
    classes = shares.argmax(1)
    names = tuple(class_name(trainer.data, number) for number in classes.tolist())
    return Prediction(classes.numpy(), shares.numpy(), names)


def gives_classes(trainer: Trainer) -> bool:
    """Whether the output is one score a class for each sample."""
    return trainer.data.task == "classification" and trainer.objective.unknown_accuracy is None


def class_name(data: Data, number: int) -> str:
    """What a class is called; its number where classes have no names."""
    return data.class_names[number] if number < len(data.class_names) else str(number)


def _everything(output: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    return output.float(), labels
