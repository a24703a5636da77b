"""A trained model is judged by the task of its data."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bigmodel_lab.data import Data, Split
from bigmodel_lab.errors import EmptyDataError, TrainingError, UnknownNameError
from bigmodel_lab.training.class_measures import ClassMeasures
from bigmodel_lab.training.measures import NumberMeasures, PictureMeasures, TokenMeasures
from bigmodel_lab.training.report import loss_of_each, report_on
from tests.training.fakes import tiny_model


class Answers(nn.Module):
    """Gives each sample the row of a table whose number its first feature is."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x: Tensor) -> Tensor:
        """The rows, shape (samples, …)."""
        return self.rows[x.flatten(1)[:, 0].long()]


def data_of(x: Tensor, y: Tensor, **more: object) -> Data:
    """These samples in all three parts."""
    part = Split(x, y)
    return replace(Data("some", "", part, part, part, scale=None, classes=3), **more)


NUMBERED = torch.arange(4).float()[:, None]


@pytest.fixture
def three_of_four(make):
    """A model that is sure of three samples, and as sure of a wrong class in the last."""
    rows = torch.tensor([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0], [4.0, 0, 0]])
    data = data_of(NUMBERED, torch.tensor([0, 1, 2, 1]), class_names=("cat", "dog", "owl"))
    return make(model=Answers(rows), data=data)


def test_loss_and_accuracy_equal_those_of_evaluate(make):
    """Two ways to judge, one result."""
    trainer = make(epochs=2)
    trainer.run()
    report, evaluation = report_on(trainer, "test"), trainer.evaluate("test")

    assert report.loss == pytest.approx(evaluation.loss, rel=1e-6)
    assert report.measures.accuracy == pytest.approx(evaluation.accuracy)
    assert report.samples == evaluation.samples


def test_a_classification_has_scores_by_class(three_of_four):
    """Names, confusion and accuracy of the model's answers."""
    measures = report_on(three_of_four).measures

    assert isinstance(measures, ClassMeasures)
    assert measures.accuracy == 0.75
    assert [score.name for score in measures.classes] == ["cat", "dog", "owl"]
    assert measures.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_the_worst_mistake_is_named(three_of_four):
    """Place, true and predicted class, probability and loss by hand."""
    (mistake,) = report_on(three_of_four).mistakes
    share = math.exp(4) / (math.exp(4) + 2)

    assert (mistake.index, mistake.answer.true, mistake.answer.predicted) == (3, "dog", "cat")
    assert mistake.answer.probability == pytest.approx(share, rel=1e-5)
    assert mistake.loss == pytest.approx(-math.log(1 / (math.exp(4) + 2)), rel=1e-5)
    assert mistake.words == "3"


def test_a_perfect_model_makes_no_mistake(make):
    """Where every class is right nothing is listed."""
    data = data_of(NUMBERED[:3], torch.arange(3))

    assert report_on(make(model=Answers(10 * torch.eye(3)), data=data)).mistakes == ()


def test_next_tokens_have_perplexity_and_words(make):
    """Four places, three right; sure scores of two words."""
    tokens = torch.tensor([[2, 3], [2, 2]])
    scores = F.one_hot(torch.tensor([[2, 3], [2, 3]]), 4).float() * 3
    data = data_of(torch.tensor([[0, 5], [1, 5]]), tokens, task="next_token", classes=4, vocabulary=("", "?", "a", "b"))
    report = report_on(make(model=Answers(scores), data=data))

    assert isinstance(report.measures, TokenMeasures)
    assert report.measures.accuracy == 0.75
    assert report.measures.perplexity == pytest.approx(math.exp(report.loss))
    assert report.loss == pytest.approx(F.cross_entropy(scores.flatten(0, 1), tokens.flatten()).item())
    assert [(m.index, m.answer.true, m.answer.predicted) for m in report.mistakes] == [(1, "a a", "a b")]


def test_a_regression_has_errors(make):
    """Predicted 0, 1, 2, 3 where 0, 1, 2, 5 is true: the largest error comes first."""
    data = data_of(NUMBERED, torch.tensor([0.0, 1, 2, 5])[:, None], task="regression", classes=1)
    report = report_on(make(model=Answers(NUMBERED.clone()), data=data))

    assert isinstance(report.measures, NumberMeasures)
    assert (report.measures.mae, report.measures.mse) == (0.5, 1.0)
    assert (report.mistakes[0].index, report.mistakes[0].answer.true) == (3, "5")
    assert report.loss == pytest.approx(1.0)


def test_a_reconstruction_shows_what_was_made_of_the_input(make):
    """The error is the mean over all numbers; examples and mistakes hold both pictures."""
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model = nn.Conv2d(1, 1, 1)
    report = report_on(make(model=model, data=data_of(x, torch.zeros(5, dtype=torch.int64), task="reconstruction")))

    assert isinstance(report.measures, PictureMeasures)
    assert report.measures.mse == pytest.approx(F.mse_loss(model(x), x).item(), rel=1e-5)
    sample, output = report.measures.examples[0]
    torch.testing.assert_close(output, model(sample[None])[0].detach())
    assert report.mistakes[0].answer.picture.shape == (1, 6, 6)


def test_an_output_of_another_kind_is_judged_by_its_loss(make, data):
    """With a loss of one's own the output may be anything; the reason says what that costs."""
    trainer = make(model=nn.Linear(64, 1), loss=lambda output, labels: (output.squeeze(1) - labels).abs().mean())
    report = report_on(trainer)

    assert report.measures is None
    assert "not one score a class" in report.reasons[0]
    assert report.loss == pytest.approx(trainer.evaluate("test").loss, rel=1e-5)
    assert len(report.mistakes) == 10


def test_a_part_can_be_chosen(make):
    """Validation and training samples can be judged too."""
    trainer = make()

    assert [report_on(trainer, split).samples for split in ("train", "validation", "test")] == [81, 9, 10]


def test_an_unknown_part_is_answered_with_those_there_are(make):
    """A misspelt name is answered with the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        report_on(make(), "tset")


def test_a_part_without_samples_is_refused(make, data):
    """Nothing cannot be judged."""
    with pytest.raises(EmptyDataError, match="test samples"):
        report_on(make(data=replace(data, test=data.test.select(torch.arange(0)))))


def test_judging_between_two_halves_changes_not_one_bit(make):
    """A report draws no random number of the run and leaves the model in its mode."""
    whole = make()
    whole.run()
    asked = make(max_steps=None)
    report_on(asked)
    asked.run()
    report_on(asked, "train")

    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), asked.model.parameters(), strict=True))


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.CrossEntropyLoss()])
def test_losses_of_samples_have_the_mean_of_the_batch(loss):
    """At once or one by one: their mean is the loss of all."""
    model = tiny_model().eval()
    x, labels = torch.rand(6, 64), torch.arange(6)
    each = loss_of_each(loss, model(x), labels)

    assert each.shape == (6,)
    torch.testing.assert_close(each.mean(), F.cross_entropy(model(x), labels))


# cases that the usual ones leave out


def test_a_loss_of_ones_own_over_scores_still_has_classes(make):
    """The output is one score a class, so accuracy and confusion are known; the loss is the person's."""
    data = data_of(NUMBERED[:3], torch.arange(3))
    trainer = make(model=Answers(5 * torch.eye(3)), data=data, loss=nn.MultiMarginLoss())
    report = report_on(trainer)

    assert report.measures.accuracy == 1.0
    assert report.loss == pytest.approx(0.0)


def test_next_tokens_under_another_loss_have_no_words(make):
    """A loss of one's own may judge anything: only the loss is told."""
    tokens = torch.tensor([[2, 3], [2, 2]])
    scores = F.one_hot(tokens, 4).float()
    data = data_of(torch.tensor([[0, 5], [1, 5]]), tokens, task="next_token", classes=4, vocabulary=("", "?", "a", "b"))
    report = report_on(make(model=Answers(scores), data=data, loss=lambda output, _: output.mean() * 0 + 1))

    assert (report.measures, report.loss) == (None, 1.0)
    assert report.reasons != ()


def test_a_regression_of_another_shape_is_judged_by_its_loss(make):
    """Two outputs for one number: no error of numbers can be told."""
    data = data_of(NUMBERED, NUMBERED.clone(), task="regression", classes=1)
    trainer = make(model=nn.Linear(1, 2), data=data, loss=lambda output, labels: (output - labels).square().mean())
    report = report_on(trainer)

    assert report.measures is None
    assert report.loss == pytest.approx(trainer.evaluate("test").loss, rel=1e-5)


def test_a_regression_with_a_loss_of_ones_own_has_its_errors(make):
    """The output has the shape of the numbers, so the usual errors are told beside the loss."""
    data = data_of(NUMBERED, torch.tensor([0.0, 1, 2, 5])[:, None], task="regression", classes=1)
    report = report_on(make(model=Answers(NUMBERED.clone()), data=data, loss=nn.L1Loss()))

    assert report.loss == pytest.approx(0.5)
    assert report.measures.mse == 1.0


def test_several_numbers_a_sample_are_written_in_a_row(make):
    """True and predicted, with commas."""
    data = data_of(NUMBERED, torch.zeros(4, 2), task="regression", classes=2)
    rows = torch.tensor([[0.0, 0], [0, 0], [0, 0], [1, 2.5]])
    worst = report_on(make(model=Answers(rows), data=data)).mistakes[0]

    assert (worst.answer.true, worst.answer.predicted) == ("0, 0", "1, 2.5")


def test_twelve_mistakes_are_enough(make):
    """The worst of them, highest loss first."""
    data = data_of(torch.arange(30).float()[:, None], torch.ones(30, dtype=torch.int64))
    rows = torch.stack((torch.arange(30).float(), torch.zeros(30), torch.zeros(30)), 1)
    mistakes = report_on(make(model=Answers(rows), data=data)).mistakes

    assert [mistake.index for mistake in mistakes] == list(range(29, 17, -1))


def test_features_of_a_mistake_are_shown(make):
    """What is no picture is written as numbers."""
    mistakes = report_on(make()).mistakes

    assert mistakes[0].words.endswith("…")
    assert mistakes[0].words.count(",") == 5


def test_a_text_is_shown_in_words(make):
    """The tokens of a misjudged document, without its padding."""
    tokens = torch.tensor([[0, 0, 0], [1, 2, 0]])
    words = ("<padding>", "<unknown>", "open")
    data = data_of(tokens, torch.tensor([0, 0]), vocabulary=words, classes=2)
    report = report_on(make(model=Answers(torch.tensor([[5.0, 0], [0, 5.0]])), data=data))

    assert [mistake.words for mistake in report.mistakes] == ["<unknown> open"]


def test_scores_for_more_classes_than_there_are_get_numbers(make):
    """A model may have more outputs than the data has names."""
    data = data_of(NUMBERED[:3], torch.arange(3), class_names=("cat", "dog", "owl"))
    report = report_on(make(model=Answers(5 * torch.eye(3, 4)), data=data))

    assert [score.name for score in report.measures.classes] == ["cat", "dog", "owl", "3"]
    assert report.measures.classes[3].recall is None


def test_batches_of_any_size_give_one_report(make, data):
    """How many samples are computed at once changes nothing."""
    small, large = (report_on(make(micro_batch_size=size)) for size in (3, 64))

    assert small.loss == pytest.approx(large.loss)
    assert small.measures.confusion.tolist() == large.measures.confusion.tolist()


def test_a_reconstruction_by_another_loss_has_its_squared_error(make):
    """The loss is the person's; the error of the pictures is told beside it."""
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    data = data_of(x, torch.zeros(5, dtype=torch.int64), task="reconstruction")
    model = nn.Conv2d(1, 1, 1)
    report = report_on(make(model=model, data=data, loss=nn.L1Loss()))

    assert report.loss == pytest.approx(F.l1_loss(model(x), x).item(), rel=1e-5)
    assert report.measures.mse == pytest.approx(F.mse_loss(model(x), x).item(), rel=1e-5)


def test_pixels_of_a_reconstruction_are_scaled(make):
    """Bytes are judged as the numbers 0 … 1 that the model gives back."""
    x = torch.full((5, 1, 6, 6), 255, dtype=torch.uint8)
    data = data_of(x, torch.zeros(5, dtype=torch.int64), task="reconstruction", scale=1 / 255)
    report = report_on(make(model=nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sigmoid()), data=data))
    sample, output = report.measures.examples[0]

    assert float(sample.max()) == 1.0
    assert report.measures.mse == pytest.approx(float((1 - output).square().mean()), rel=1e-4)


def test_a_model_that_is_broken_is_not_judged(make):
    """Weights of NaN give no scores that could be counted; the message says how many samples that concerns."""
    data = data_of(NUMBERED[:3], torch.arange(3))
    rows = 5 * torch.eye(3)
    trainer = make(model=Answers(rows), data=data)
    with torch.no_grad():
        trainer.model.rows[1] = float("nan")

    with pytest.raises(TrainingError, match="1 of 3 samples is NaN"):
        report_on(trainer)
