"""`autoencoder`: its code, its dropout and batch normalization, and its training through `fit`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import bigmodel_lab as lab
from bigmodel_lab.data import load_data
from bigmodel_lab.models.autoencoder import MODEL, Autoencoder
from bigmodel_lab.runlog import Status


def images(count: int) -> Tensor:
    """Noise with pixels 0 … 1, the same each time."""
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_code_is_all_that_passes():
    """Between encoder and decoder lie 32 numbers an image."""
    assert MODEL.create(seed=0).encoder(images(5)).shape == (5, 32)


@pytest.mark.parametrize("code", [1, 8, 64])
def test_code_of_another_length(code):
    """The length of the code is an option."""
    model = MODEL.create(seed=0, code=code)

    assert model.encoder(images(2)).shape == (2, code)
    assert model(images(2)).shape == (2, 1, 28, 28)


def test_pixels_come_back_between_0_and_1():
    """The sigmoid at the end keeps pixels where the data has them."""
    back = MODEL.create(seed=0)(100 * images(3))

    assert 0 <= back.min() <= back.max() <= 1


def test_dropout_and_batch_normalization_are_in_both_halves():
    """As the document asks, each half has both."""
    model = Autoencoder()

    for half in (model.encoder, model.decoder):
        kinds = {type(layer) for layer in half.modules()}
        assert {nn.Dropout, nn.BatchNorm2d} <= kinds


def test_dropout_acts_in_training_alone():
    """Two passes differ in training and agree in evaluation."""
    model, x = MODEL.create(seed=0, dropout=0.5), images(4)
    in_training = torch.equal(model(x), model(x))
    model.eval()

    assert not in_training
    assert torch.equal(model(x), model(x))


def test_batch_of_one_image_can_be_trained_on():
    """The last batch of an epoch may be a single image: batch normalization averages over its places."""
    assert MODEL.create(seed=0).train()(images(1)).isfinite().all()


def test_evaluation_of_an_image_does_not_depend_on_its_neighbours():
    """In evaluation batch normalization takes what it has learned, not the batch."""
    model, x = MODEL.create(seed=0).eval(), images(6)

    torch.testing.assert_close(model(x)[:1], model(x[:1]))


def test_trains_through_fit(tmp_path):
    """By its name alone it gets the digits as their own target, and gives them back better than grey images."""
    run = lab.fit("autoencoder", epochs=1, device="cpu", runs_dir=tmp_path)
    x = load_data("digits_reconstruction").test.x / 255
    grey = ((x - x.mean()) ** 2).mean().item()

    assert run.status is Status.FINISHED
    assert run.evaluate("test").loss < grey
    assert run.evaluate("test").accuracy is None
