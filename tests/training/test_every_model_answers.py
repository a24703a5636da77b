"""Every documented model can be asked what a person asks a trained one: report, prediction, cost, reasons."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from bigmodel_lab.data import Data, Split, load_data
from bigmodel_lab.errors import ConfigError, ShapeError
from bigmodel_lab.models import MODELS, HandWritten
from bigmodel_lab.training import TrainConfig, Trainer
from bigmodel_lab.training.heat_map import heat_of
from bigmodel_lab.training.inference_cost import measure
from bigmodel_lab.training.mistakes import as_picture
from bigmodel_lab.training.predict import Prediction, predict
from bigmodel_lab.training.report import report_on
from tests.training.fakes import CPU, FakeLog

FEW = 6


@lru_cache
def few(name: str) -> Data:
    """Six samples of each part of a data set; of the training part where a part is empty."""
    data = load_data(name)

    def cut(part: Split) -> Split:
        whole = part if len(part) else data.train
        return whole.select(torch.linspace(0, len(whole) - 1, min(FEW, len(whole))).long())

    return replace(data, train=cut(data.train), validation=cut(data.validation), test=cut(data.test))


@pytest.fixture(params=MODELS.names())
def trainer(request: pytest.FixtureRequest) -> Trainer:
    """An untrained model of each documented kind with a few samples of its data."""
    card = MODELS.get(request.param)
    data = few(card.data)
    model = card.create(0, **{key: data.sizes[key] for key in card.takes})
    config = TrainConfig(micro_batch_size=4, optimizer="sgd")
    return Trainer(model, data, config, FakeLog(), device=CPU, documented_loss=card.loss, name=card.name)


def test_its_report_agrees_with_evaluate(trainer: Trainer):
    """Loss and accuracy are those of the loop's own evaluation, whatever the task."""
    report, evaluation = report_on(trainer), trainer.evaluate("test")

    assert report.loss == pytest.approx(evaluation.loss, rel=1e-4)
    assert getattr(report.measures, "accuracy", None) == (
        None if evaluation.accuracy is None else pytest.approx(evaluation.accuracy)
    )


def test_its_numbers_are_finite(trainer: Trainer):
    """Nothing that is shown is NaN: unknown is a dash with a reason."""
    report = report_on(trainer)
    shown = [value for _, value in report.measures.facts()]

    assert math.isfinite(report.loss)
    assert "nan" not in " ".join(shown)
    assert "–" not in shown or report.reasons


def test_its_mistakes_are_the_worst_first(trainer: Trainer):
    """And each can be found again by its place."""
    losses = [mistake.loss for mistake in report_on(trainer).mistakes]

    assert losses == sorted(losses, reverse=True)
    for mistake in report_on(trainer).mistakes:
        assert torch.equal(trainer.data.test.x[mistake.index], mistake.sample)


def test_its_mistakes_can_be_looked_at(trainer: Trainer):
    """As a picture, as words or as numbers."""
    for mistake in report_on(trainer).mistakes:
        assert mistake.words or mistake.answer.true or as_picture(mistake.sample) is not None


def test_it_predicts_what_the_report_says(trainer: Trainer):
    """One sample a row; classes are those that the confusion matrix counts."""
    x = trainer.data.test.x
    found = predict(trainer, x)

    assert len(found) == len(x)
    if isinstance(found, Prediction):
        counted = report_on(trainer).measures.confusion.sum(axis=0)
        assert np.bincount(found.classes, minlength=len(counted)).tolist() == counted.tolist()


def test_its_cost_can_be_measured(trainer: Trainer):
    """Also in batches of one."""
    (batch,) = measure(trainer, (1,), 0.0).batches

    assert batch.median_seconds > 0


def test_pictures_can_be_explained(trainer: Trainer):
    """Where it classifies pictures there is a heat map; elsewhere the error says why not."""
    method = "occlusion" if isinstance(trainer.model, HandWritten) else "saliency"
    if trainer.data.task == "classification" and as_picture(trainer.data.test.x[0]) is not None:
        heat = heat_of(trainer, 0, method)
        assert heat.values.shape == heat.picture.shape[:2]
        assert np.isfinite(heat.values).all()
    else:
        with pytest.raises((ConfigError, ShapeError), match="heat map"):
            heat_of(trainer, 0, method)


def test_asking_changes_no_weight(trainer: Trainer):
    """Not even those statistics that batch normalisation keeps."""
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    report_on(trainer)
    predict(trainer, trainer.data.test.x)
    measure(trainer, (2,), 0.0)

    assert all(torch.equal(before[key], value) for key, value in trainer.model.state_dict().items())
