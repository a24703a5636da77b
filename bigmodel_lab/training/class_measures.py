"""How well samples are classified, judged by scikit-learn.

What is not defined (the precision of a class that was never predicted) is None with a reason, and left out of
the means; scikit-learn would put 0 by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bigmodel_lab._table import Table
from bigmodel_lab.i18n import text
from bigmodel_lab.training.measures import Fact, share, sklearn_metrics
from bigmodel_lab.units import format_number, format_value

_MOST_CLASSES = 30  # rows of a printed table
_SHORT = 5  # letters of a class name that can stand above a column of counts
_MATRIX_CLASSES = 20  # a wider matrix does not fit into a terminal


class RocCurve(NamedTuple):
    """One class against the rest: what is gained and what is paid when the bar for "yes" is lowered."""

    false_positive_rate: NDArray[np.float64]
    """Share of the other samples that are taken for the class, 0 … 1, rising."""
    true_positive_rate: NDArray[np.float64]
    """Share of the samples of the class that are found, 0 … 1."""


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others; None is unknown, for a reason that stands beside."""

    name: str
    """What the class is called."""
    precision: float | None
    """Share of the samples given to this class that belong to it."""
    recall: float | None
    """Share of its samples that were found."""
    f1: float | None
    """Harmonic mean of both: 2·precision·recall / (precision + recall)."""
    support: int
    """Samples of the class."""
    auc: float | None
    """Area under its ROC curve: chance that one of its samples is rated above one of another class."""

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (self.name, *map(share, (self.precision, self.recall, self.f1, self.auc)), format_number(self.support))


@dataclass(frozen=True)
class ClassMeasures:
    """How well samples are classified."""

    accuracy: float
    """Share of the samples whose class is right."""
    classes: tuple[ClassScore, ...]
    """One a class, in the order of their numbers."""
    macro: ClassScore
    """Means over the classes."""
    weighted: ClassScore
    """Means over the classes, weighted by their samples."""
    confusion: NDArray[np.int64]
    """Samples by true class (row) and predicted class (column), shape (classes, classes)."""
    roc: Mapping[int, RocCurve]
    """By class number; without the classes for which there is none."""
    reasons: tuple[str, ...]
    """Why something is unknown."""

    def facts(self) -> list[Fact]:
        """The numbers to read first."""
        return [
            (text("measure.accuracy", "accuracy"), format_value(self.accuracy, "fraction")),
            (text("measure.macro_f1", "F1 (macro mean)"), share(self.macro.f1)),
            (text("measure.macro_auc", "AUC (macro mean)"), share(self.macro.auc)),
        ]

    def tables(self) -> list[Table]:
        """Scores by class and the confusion matrix."""
        shown = sorted(sorted(self.classes, key=_weakest)[:_MOST_CLASSES], key=self.classes.index)
        hidden = len(self.classes) - len(shown)
        title = text("measure.by_class", "By class")
        if hidden:
            title += text("measure.weakest", " (the {shown} weakest of {all})", shown=len(shown), all=len(self.classes))
        rows = tuple(score.cells for score in (*shown, self.macro, self.weighted))
        scores = Table(_class_heads(), rows, range(1, 6), title)
        return [scores, self._matrix()] if len(self.classes) <= _MATRIX_CLASSES else [scores]

    def _matrix(self) -> Table:
        names = [score.name for score in self.classes]
        heads = names
        if max(map(len, names)) > _SHORT:
            heads = [str(number) for number in range(len(names))]
            names = [f"{number} {name}" for number, name in enumerate(names)]
        rows = tuple(
            (name, *(str(count) if count else "·" for count in row))
            for name, row in zip(names, self.confusion.tolist(), strict=True)
        )
        title = text("measure.confusion", "Confusion matrix: true class down, predicted class across")
        return Table(("", *heads), rows, range(1, len(heads) + 1), title)


def class_measures(shares: Tensor, labels: Tensor, names: Sequence[str]) -> ClassMeasures:
    """Measures of classified samples.

    Args:
        shares: Probability of each class, shape (samples, classes).
        labels: True class numbers, shape (samples,).
        names: What the classes are called.

    Raises:
        MissingPackageError: scikit-learn is not installed.

    >>> import torch
    >>> shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    >>> measured = class_measures(shares, torch.tensor([0, 1, 1, 1]), ("no", "yes"))
    >>> measured.accuracy, measured.confusion.tolist(), measured.classes[1].auc
    (0.75, [[1, 0], [1, 2]], 1.0)
    """
    metrics = sklearn_metrics()
    true, rated = labels.numpy(), shares.numpy().astype(np.float64)
    predicted = rated.argmax(axis=1)
    confusion = metrics.confusion_matrix(true, predicted, labels=range(len(names)))
    roc = {n: _roc(metrics, true == n, rated[:, n]) for n in range(len(names)) if 0 < (true == n).sum() < len(true)}
    areas = [float(metrics.auc(*roc[n])) if n in roc else math.nan for n in range(len(names))]
    judge = _Judge(metrics, true, predicted, range(len(names)))
    support = confusion.sum(axis=1)
    classes = tuple(
        _score(name, scores, area, int(count))
        for name, scores, count, area in zip(names, zip(*judge.scores(None), strict=True), support, areas, strict=True)
    )
    return ClassMeasures(
        float((true == predicted).mean()),
        classes,
        _mean(text("measure.macro", "macro mean"), judge.scores("macro"), areas, np.ones(len(names)), len(true)),
        _mean(text("measure.weighted", "weighted mean"), judge.scores("weighted"), areas, support, len(true)),
        confusion,
        roc,
        tuple(_missing_scores(classes, confusion)),
    )


class _Judge(NamedTuple):
    """Precision, recall and F1 of scikit-learn, NaN where they are not defined."""

    metrics: Any
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    labels: range

    def scores(self, average: str | None) -> tuple[Any, Any, Any]:
        found = self.metrics.precision_recall_fscore_support(
            self.true, self.predicted, labels=self.labels, average=average, zero_division=np.nan
        )
        return found[0], found[1], found[2]


def _roc(metrics: Any, belongs: NDArray[np.bool_], rated: NDArray[np.float64]) -> RocCurve:
    false_rate, true_rate, _ = metrics.roc_curve(belongs, rated)
    return RocCurve(false_rate, true_rate)


def _mean(name: str, scores: Sequence[Any], areas: Sequence[float], weights: Any, samples: int) -> ClassScore:
    area = np.asarray(areas)
    known = ~np.isnan(area)
    mean = float(np.average(area[known], weights=np.asarray(weights)[known])) if known.any() else math.nan
    return _score(name, scores, mean, samples)


def _score(name: str, scores: Sequence[Any], area: float, support: int) -> ClassScore:
    """Precision, recall and F1 with the area, None where they are not defined."""
    precision, recall, f1 = map(_known, scores)
    return ClassScore(name, precision, recall, f1, support, _known(area))


def _missing_scores(classes: Sequence[ClassScore], confusion: NDArray[np.int64]) -> list[str]:
    """Which classes have no score, and why."""
    total = int(confusion.sum())
    absent = [score.name for score in classes if score.support == 0]
    alone = [score.name for score in classes if score.support == total]
    unused = [s.name for s, count in zip(classes, confusion.sum(axis=0), strict=True) if not count and s.support]
    found = []
    if absent:
        found.append(
            text(
                "measure.absent",
                "No recall and no ROC curve, as no sample has the class: {names}.",
                names=", ".join(absent),
            )
        )
    if unused:
        found.append(
            text("measure.unused", "No precision, as it was never predicted: {names}.", names=", ".join(unused))
        )
    if alone:
        found.append(text("measure.alone", "No ROC curve, as every sample has the class {names}.", names=alone[0]))
    return found


def _class_heads() -> tuple[str, ...]:
    return (
        text("measure.class", "class"),
        text("measure.precision", "precision"),
        text("measure.recall", "recall"),
        "F1",
        "AUC",
        text("measure.support", "support"),
    )


def _weakest(score: ClassScore) -> float:
    return -1.0 if score.f1 is None else score.f1


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
