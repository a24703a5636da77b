"""What is learned, by the task of the data: the loss, and what counts as correct."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.data import TaskKind
from bigmodel_lab.i18n import Text
from bigmodel_lab.training.step import CountCorrect, LossFunction


@dataclass(frozen=True)
class Objective:
    """How the output of a model is judged.

    >>> objective_of("regression").unknown_accuracy is None
    False
    """

    loss: LossFunction
    """Mean loss of (output, labels)."""
    count_correct: CountCorrect
    """Correct samples of (output, labels); of next tokens, the sum of each sample's share of correct places."""
    unknown_accuracy: Text | None = None
    """Why there is no accuracy; None where there is one."""


def objective_of(task: TaskKind, loss: LossFunction | None = None) -> Objective:
    """The usual objective of a task, with the model's own loss where it documents one.

    Args:
        task: What a model learns from the data.
        loss: Maps (output, labels) to the mean loss; None is the usual one: cross-entropy of classes and
            tokens, mean squared error of numbers.
    """
    usual = _USUAL[task]
    return usual if loss is None else Objective(loss, usual.count_correct, usual.unknown_accuracy)


def without_accuracy(loss: LossFunction) -> Objective:
    """A loss of the person's own, over an output of any kind."""
    return Objective(loss, correct_unknown, Text("unknown.accuracy", "The model's output is not one score a class."))


def correct_of_scores(scores: Tensor, labels: Tensor) -> Tensor:
    """How many samples have their highest score at their label.

    >>> float(correct_of_scores(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])))
    1.0
    """
    return scores.argmax(1).eq(labels).sum()


def correct_of_tokens(scores: Tensor, tokens: Tensor) -> Tensor:
    """Each sample's share of places whose highest score is at the token that follows, added up.

    Args:
        scores: Shape (samples, length, vocabulary).
        tokens: Shape (samples, length).

    >>> scores = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> float(correct_of_tokens(scores, torch.tensor([[1, 1]])))
    0.5
    """
    return scores.argmax(2).eq(tokens).to(torch.float32).mean(1).sum()


def correct_unknown(scores: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001 - the shape of CountCorrect
    """NaN: the output is not one score a class, so nothing can be said about accuracy.

    >>> float(correct_unknown(torch.zeros(2, 1), torch.zeros(2)))
    nan
    """
    return scores.new_full((), torch.nan, dtype=torch.float32)


def cross_entropy_of_tokens(scores: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy over all places of all samples, in nats.

    Args:
        scores: Shape (samples, length, vocabulary).
        tokens: Shape (samples, length).

    >>> round(float(cross_entropy_of_tokens(torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.int64))), 4)
    1.3863
    """
    return F.cross_entropy(scores.flatten(0, 1), tokens.flatten())


_USUAL: dict[TaskKind, Objective] = {
    "classification": Objective(F.cross_entropy, correct_of_scores),
    "next_token": Objective(cross_entropy_of_tokens, correct_of_tokens),
    "regression": Objective(
        F.mse_loss, correct_unknown, Text("unknown.accuracy_regression", "The model predicts numbers, not classes.")
    ),
    "reconstruction": Objective(
        F.mse_loss,
        correct_unknown,
        Text("unknown.accuracy_reconstruction", "The model gives back its input; there are no classes."),
    ),
}
