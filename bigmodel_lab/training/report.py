"""How well a trained model does on a part of the data, and where it goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bigmodel_lab.data import Batches, Data, TaskKind
from bigmodel_lab.errors import TrainingError
from bigmodel_lab.i18n import text
from bigmodel_lab.training.class_measures import class_measures
from bigmodel_lab.training.measures import Measures, PictureMeasures, number_measures, token_measures
from bigmodel_lab.training.mistakes import Answer, Mistake, in_words, words_of, worst
from bigmodel_lab.training.objectives import cross_entropy_of_tokens
from bigmodel_lab.training.predict import class_name, outputs, probabilities
from bigmodel_lab.training.step import LossFunction, Task
from bigmodel_lab.training.trainer import Trainer
from bigmodel_lab.units import format_number

_MOST_MISTAKES = 12
_EXAMPLES = 6  # samples of a reconstruction that are shown beside their input


@dataclass(frozen=True)
class SplitReport:
    """What is measured of a model on one part of the data."""

    model: str
    """Name of the model."""
    data: str
    """Name of the data."""
    split: str
    """Which part."""
    samples: int
    """How many it has."""
    loss: float
    """Mean over the samples."""
    measures: Measures | None
    """By the task; None where the output is judged by a loss of the person's own only."""
    reasons: tuple[str, ...]
    """Why something is unknown."""
    mistakes: tuple[Mistake, ...]
    """The worst, highest loss first; empty where every class is right."""


class _Judged(NamedTuple):
    """What one task makes of the answers."""

    losses: Tensor
    """Of each sample, shape (samples,)."""
    measures: Measures | None
    wrong: Tensor
    """Which samples can be mistakes, shape (samples,), bool."""
    answer: Callable[[int], Answer]
    """What was true and what was said, by index."""


class _Asked(NamedTuple):
    """A model, and the samples that it is asked about."""

    trainer: Trainer
    task: Task
    batches: Batches

    @property
    def data(self) -> Data:
        return self.trainer.data

    def each(self, keep: Callable[[Tensor, Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What is kept of all samples, and before it the loss of each."""
        loss = self.trainer.objective.loss

        def with_losses(output: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
            output = output.float()
            return loss_of_each(loss, output, labels), *keep(output, labels)

        losses, *kept = outputs(self.task, self.batches, self.trainer.config.micro_batch_size, with_losses)
        unusable = int(losses.isnan().sum())
        if unusable:
            raise _not_a_number(unusable, len(losses))
        return losses, *kept

    def some(self, index: Tensor) -> tuple[Tensor, ...]:
        """Samples and what the model makes of them, on the CPU."""
        x, _ = self.batches.take(index.to(self.trainer.device))
        with torch.inference_mode(), self.task.arithmetic.forward():
            output = self.task.model(x)
        return x.cpu().clone(), output.float().cpu().clone()


def report_on(trainer: Trainer, split: str = "test") -> SplitReport:
    """Judge the trainer's model in its present state.

    Args:
        trainer: With no step running.
        split: ``"test"``, ``"validation"`` or ``"train"``.

    Raises:
        UnknownNameError: There is no such part.
        EmptyDataError: It has no samples.
        TrainingError: The loss of some samples is no number.
        MissingPackageError: scikit-learn is not installed.
    """
    part = trainer.part(split)
    with trainer.judging() as task:
        asked = _Asked(trainer, task, Batches.of(trainer.data, split, trainer.device))
        judged = _judge_of(asked)(asked)
        chosen = worst(judged.losses, judged.wrong, _MOST_MISTAKES)
        mistakes = tuple(
            Mistake(i, float(judged.losses[i]), judged.answer(i), part.x[i], in_words(part.x[i], trainer.data))
            for i in chosen
        )
    unknown = trainer.objective.unknown_accuracy
    reasons = judged.measures.reasons if judged.measures else (str(unknown),)
    loss = float(judged.losses.double().mean())
    return SplitReport(trainer.name, trainer.data.name, split, len(part), loss, judged.measures, reasons, mistakes)


def loss_of_each(loss: LossFunction, output: Tensor, labels: Tensor) -> Tensor:
    """The loss of every sample by itself, shape (samples,).

    Args:
        loss: Maps (output, labels) to the mean over the samples.
        output: Shape (samples, …).
        labels: Shape (samples, …).

    >>> loss_of_each(F.mse_loss, torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.zeros(2, 2)).tolist()
    [5.0, 0.0]
    """
    if loss in {F.cross_entropy, F.mse_loss}:  # the usual ones, at once
        each: Tensor = loss(output, labels, reduction="none")
        return each.reshape(len(labels), -1).mean(1)
    return torch.stack([loss(output[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]).float()


def _judge_of(asked: _Asked) -> Callable[[_Asked], _Judged]:
    """The way to judge this task; by the loss alone where the output is of another kind."""
    kind = asked.data.task
    if kind in {"classification", "next_token"}:
        return _JUDGES[kind] if asked.trainer.objective.unknown_accuracy is None else _by_loss
    first = torch.zeros(1, dtype=torch.int64, device=asked.trainer.device)
    _, output = asked.some(first)
    _, wanted = asked.batches.take(first)
    return _JUDGES[kind] if output.shape == wanted.shape else _by_loss


def _classes(asked: _Asked) -> _Judged:
    losses, output, labels = asked.each(lambda output, labels: (output, labels))
    shares = probabilities(output, asked.trainer.objective.loss)
    names = [class_name(asked.data, number) for number in range(output.shape[1])]
    predicted = shares.argmax(1)

    def answer(i: int) -> Answer:
        guess = int(predicted[i])
        return Answer(names[int(labels[i])], names[guess], float(shares[i, guess]))

    return _Judged(losses, class_measures(shares, labels, names), predicted != labels, answer)


def _tokens(asked: _Asked) -> _Judged:
    # only the winners are kept: the scores of a whole vocabulary at each place would not fit
    losses, predicted, labels = asked.each(lambda output, labels: (output.argmax(2), labels))
    vocabulary = asked.data.vocabulary
    usual = asked.trainer.objective.loss is cross_entropy_of_tokens
    measured = token_measures(predicted, labels, vocabulary, float(losses.double().mean()) if usual else None)

    def answer(i: int) -> Answer:
        return Answer(words_of(labels[i], vocabulary), words_of(predicted[i], vocabulary))

    return _Judged(losses, measured, predicted.ne(labels).any(1), answer)


def _numbers(asked: _Asked) -> _Judged:
    losses, output, labels = asked.each(lambda output, labels: (output, labels))

    def answer(i: int) -> Answer:
        return Answer(_written(labels[i]), _written(output[i]))

    return _Judged(losses, number_measures(output, labels), torch.ones(len(losses), dtype=torch.bool), answer)


def _pictures(asked: _Asked) -> _Judged:
    def keep(output: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        return (loss_of_each(F.mse_loss, output, labels),)

    losses, errors = asked.each(keep)  # outputs are computed again where they are shown: all would fill the memory
    shown = torch.arange(min(_EXAMPLES, len(losses)))
    examples = tuple(zip(*asked.some(shown), strict=True))

    def answer(i: int) -> Answer:
        _, output = asked.some(torch.tensor([i]))
        return Answer("", "", picture=output[0])

    measured = PictureMeasures(float(errors.double().mean()), examples)
    return _Judged(losses, measured, torch.ones(len(losses), dtype=torch.bool), answer)


def _by_loss(asked: _Asked) -> _Judged:
    (losses,) = asked.each(lambda _output, _labels: ())
    return _Judged(losses, None, torch.ones(len(losses), dtype=torch.bool), lambda _: Answer("", ""))


def _not_a_number(count: int, total: int) -> TrainingError:
    return TrainingError(
        text(
            "error.nan_loss",
            "The loss of {count} of {total} samples is NaN, so nothing can be said about the model: its weights or these "
            "samples hold NaN or infinite values. Train it anew with a smaller learning rate, or look at the data.",
            count=count,
            total=total,
        )
    )


def _written(numbers: Tensor) -> str:
    return ", ".join(format_number(value) for value in numbers.flatten().tolist())


_JUDGES: dict[TaskKind, Callable[[_Asked], _Judged]] = {
    "classification": _classes,
    "next_token": _tokens,
    "regression": _numbers,
    "reconstruction": _pictures,
}
