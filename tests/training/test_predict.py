"""A trained model answers to samples of the person's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.data import Batches, Data, Split
from bigmodel_lab.training.predict import Prediction, outputs, predict, probabilities


def some_data(x: torch.Tensor, **more: object) -> Data:
    """Data with these samples in all parts."""
    part = Split(x, torch.zeros(len(x), dtype=torch.int64))
    return replace(Data("some", "", part, part, part, scale=1 / 255, classes=3), **more)


GREY = some_data(torch.zeros(4, 1, 6, 6, dtype=torch.uint8))


# outputs and probabilities


def test_outputs_are_in_the_order_of_the_samples(make, data):
    """In batches of any size they are those of the model, with the labels beside them."""
    trainer = make()
    with trainer.judging() as task:
        found, labels = outputs(task, Batches.of(data, "test"), batch_size=3)
        expected = trainer.model(data.test.x)

    torch.testing.assert_close(found, expected)
    assert torch.equal(labels, data.test.y)


def test_outputs_can_be_used_with_autograd(make, data):
    """They are plain tensors, not ones of inference mode."""
    with make().judging() as task:
        found, _ = outputs(task, Batches.of(data, "test"), batch_size=3)

    assert not found.is_inference()


def test_judging_leaves_modes_and_random_numbers_as_they_were(make, data):
    """Dropout is off inside and on again afterwards; the person's random numbers do not move."""
    trainer = make()
    trainer.model.train()
    before = torch.get_rng_state()
    with trainer.judging() as task:
        inside = task.model.training
        torch.rand(3)

    assert (inside, trainer.model.training) == (False, True)
    assert torch.equal(torch.get_rng_state(), before)


def test_scores_become_probabilities_by_the_softmax():
    """Under the cross-entropy the output is scores, even where they look like probabilities."""
    scores = torch.tensor([[0.0, 1.0]])

    torch.testing.assert_close(probabilities(scores, F.cross_entropy), scores.double().softmax(1))


def test_probabilities_stay_as_they_are():
    """A model with another loss that returns probabilities already is believed."""
    shares = torch.tensor([[0.25, 0.75], [1.0, 0.0]])

    torch.testing.assert_close(probabilities(shares, F.nll_loss), shares.double())


def test_scores_under_another_loss_go_through_the_softmax():
    """Rows that do not add up to 1 are scores."""
    assert probabilities(torch.tensor([[0.9, 0.9]]), F.multi_margin_loss).tolist() == [[0.5, 0.5]]


# predict


def test_predict_gives_class_and_probability(make, data):
    """Classes are those with the highest probability, which adds up to 1."""
    trainer = make(epochs=20)
    trainer.run()
    found = predict(trainer, data.test.x)

    assert isinstance(found, Prediction)
    assert (found.classes == data.test.y.numpy()).mean() > 0.9
    assert (found.classes == found.probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_predict_names_the_classes(make, data):
    """Where classes have names, the prediction uses them."""
    named = replace(data, class_names=tuple("abcdefghij"))
    found = predict(make(data=named), data.test.x[:3])

    assert found.names == tuple("abcdefghij"[number] for number in found.classes)


def test_predict_scales_pixels_as_the_training_did(make):
    """A pixel of 255 reaches the model as 1, so both answers are the same."""
    trainer = make(model=nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), data=GREY)

    pixels = predict(trainer, np.full((6, 6), 255, np.uint8))
    scaled = predict(trainer, np.ones((6, 6), np.float32))
    np.testing.assert_allclose(pixels.probabilities, scaled.probabilities)


def test_predict_of_numbers_gives_numbers(make):
    """A regression answers with the output itself."""
    x = torch.linspace(0, 1, 20)[:, None]
    part = Split(x, 2 * x)
    data = Data("line", "", part, part, part, scale=None, classes=1, task="regression")
    model = nn.Linear(1, 1)
    found = predict(make(model=model, data=data), x)

    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-6)


def test_a_long_prediction_shows_its_start():
    """Twenty rows and how many more there are."""
    shares = np.full((30, 2), 0.5)
    shown = repr(Prediction(shares.argmax(axis=1), shares, ("a",) * 30))

    assert len(shown.splitlines()) == 1 + 20 + 1
    assert "10 more" in shown


def test_a_prediction_shows_itself_in_a_notebook():
    """As a table without colours of its own."""
    html = Prediction(np.array([1]), np.array([[0.2, 0.8]]), ("<dog>",))._repr_html_()

    assert "&lt;dog&gt;" in html
    assert "80 %" in html
