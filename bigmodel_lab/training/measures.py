"""How good answers are where they are not classes: next tokens, numbers, samples given back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bigmodel_lab._table import Table
from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_number, format_value

Fact = tuple[str, str]
"""What was measured, and its value as a person reads it."""
_FREQUENT_TOKENS = 12


class Measures(Protocol):
    """What was measured of the answers to one kind of task."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why something is unknown."""

    def facts(self) -> list[Fact]:
        """The numbers to read first."""

    def tables(self) -> list[Table]:
        """Everything else that can be read."""


class TokenScore(NamedTuple):
    """How often one token is foreseen."""

    token: str
    """The token as text; its number where there is no vocabulary."""
    places: int
    """At how many it follows."""
    accuracy: float
    """Share of them at which it was predicted."""


@dataclass(frozen=True)
class TokenMeasures:
    """How well the next token is foreseen."""

    accuracy: float
    """Share of the places whose next token is right."""
    perplexity: float | None
    """exp(loss): among how many equally likely tokens the model is undecided; None under another loss."""
    places: int
    """Tokens that were predicted."""
    tokens: tuple[TokenScore, ...]
    """The most frequent tokens, most frequent first."""
    reasons: tuple[str, ...] = ()
    """Why something is unknown."""

    def facts(self) -> list[Fact]:
        """The numbers to read first."""
        return [
            (text("measure.token_accuracy", "accuracy by token"), format_value(self.accuracy, "fraction")),
            (text("measure.perplexity", "perplexity"), format_number(self.perplexity)),
            (text("measure.places", "tokens"), format_number(self.places)),
        ]

    def tables(self) -> list[Table]:
        """The most frequent tokens."""
        heads = (
            text("measure.token", "token"),
            text("measure.count", "count"),
            text("measure.predicted_share", "predicted"),
        )
        rows = tuple(
            (repr(t.token), format_number(t.places), format_value(t.accuracy, "fraction")) for t in self.tokens
        )
        return [Table(heads, rows, {1, 2}, text("measure.frequent", "Most frequent tokens"))]


def token_measures(
    predicted: Tensor, tokens: Tensor, vocabulary: Sequence[str], mean_cross_entropy: float | None
) -> TokenMeasures:
    """Measures of foreseen tokens.

    Args:
        predicted: Token numbers, shape (samples, length).
        tokens: Those that follow indeed, same shape.
        vocabulary: The word of each token number; empty where there are none.
        mean_cross_entropy: Over all places, in nats; None where the model was trained with another loss.

    >>> import torch
    >>> token_measures(torch.tensor([[1, 2]]), torch.tensor([[1, 1]]), ("", "a", "b"), 0.0).tokens
    (TokenScore(token='a', places=2, accuracy=0.5),)
    """
    right = predicted.eq(tokens)
    counts = tokens.flatten().bincount()
    hits = tokens[right].bincount(minlength=len(counts))
    frequent = [int(t) for t in counts.argsort(descending=True, stable=True)[:_FREQUENT_TOKENS] if counts[t] > 0]
    names = [vocabulary[t] if t < len(vocabulary) else str(t) for t in frequent]
    scores = (TokenScore(n, int(counts[t]), float(hits[t] / counts[t])) for n, t in zip(names, frequent, strict=True))
    why = text("measure.no_perplexity", "No perplexity: the model was trained with a loss other than cross-entropy.")
    return TokenMeasures(
        float(right.double().mean()),
        None if mean_cross_entropy is None else math.exp(mean_cross_entropy),
        tokens.numel(),
        tuple(scores),
        (why,) if mean_cross_entropy is None else (),
    )


@dataclass(frozen=True)
class NumberMeasures:
    """How near predicted numbers are."""

    mse: float
    """Mean squared error."""
    mae: float
    """Mean absolute error, in the unit of the numbers."""
    r2: float | None
    """Share of the variance that is explained: 1 is perfect, 0 is no better than the mean; None with a reason."""
    true: NDArray[np.float32]
    """Numbers to predict, shape (samples, numbers)."""
    predicted: NDArray[np.float32]
    """Predicted numbers, same shape."""
    reasons: tuple[str, ...] = ()
    """Why something is unknown."""

    def facts(self) -> list[Fact]:
        """The numbers to read first."""
        return [
            (text("measure.mse", "mean squared error"), format_number(self.mse)),
            (text("measure.mae", "mean absolute error"), format_number(self.mae)),
            ("R²", share(self.r2)),
        ]

    def tables(self) -> list[Table]:
        """Nothing beyond the facts."""
        return []


def number_measures(predicted: Tensor, true: Tensor) -> NumberMeasures:
    """Measures of predicted numbers.

    Args:
        predicted: Shape (samples, …).
        true: Same shape.

    Raises:
        MissingPackageError: scikit-learn is not installed.

    >>> import torch
    >>> number_measures(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])).mae
    0.5
    """
    metrics = sklearn_metrics()
    y, guess = true.reshape(len(true), -1).numpy(), predicted.reshape(len(true), -1).numpy()
    varies = len(y) > 1 and bool((np.ptp(y, axis=0) > 0).all())
    why = text("measure.no_r2", "No R²: the numbers to predict are all the same, so there is no variance to explain.")
    return NumberMeasures(
        float(metrics.mean_squared_error(y, guess)),
        float(metrics.mean_absolute_error(y, guess)),
        float(metrics.r2_score(y, guess)) if varies else None,
        y,
        guess,
        () if varies else (why,),
    )


@dataclass(frozen=True)
class PictureMeasures:
    """How well samples are given back."""

    mse: float
    """Mean squared error over all numbers of all samples."""
    examples: tuple[tuple[Tensor, Tensor], ...]
    """Some samples, each with what the model made of it."""
    reasons: tuple[str, ...] = ()
    """Why something is unknown; always empty."""

    def facts(self) -> list[Fact]:
        """The numbers to read first."""
        return [(text("measure.mse", "mean squared error"), format_number(self.mse))]

    def tables(self) -> list[Table]:
        """Nothing beyond the facts; the pictures are in the plot."""
        return []


def share(value: float | None) -> str:
    """A number between 0 and 1 with three places, so that the numbers of a column compare."""
    return "–" if value is None else f"{value:.3f}"


def sklearn_metrics() -> Any:
    """scikit-learn's module of measures.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise MissingPackageError("scikit-learn", text("measure.purpose", "judge a model"), "train") from error
    return metrics
