"""Model and data that do not go together are refused before anything is trained."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.data import from_arrays
from bigmodel_lab.errors import ConfigError, LabelRangeError, ShapeError
from tests.training.fakes import tiny_model


def test_own_loss_with_an_output_that_is_no_score(make, log):
    """Any loss may be given; accuracy is then unknown with a reason, and the run trains."""
    model = nn.Sequential(nn.Linear(64, 1))

    trainer = make(model, loss=lambda output, y: F.mse_loss(output[:, 0], y.float()))
    trainer.run()

    assert "not one score" in log.unknown["accuracy"]
    assert math.isnan(log.streams["step"].column("accuracy")[0])
    assert trainer.evaluate("test").accuracy is None


def test_channel_is_added_for_a_convolution(make, log):
    """Grey images without a channel train a convolution."""
    images = from_arrays((torch.rand(40, 8, 8), torch.arange(40) % 10))
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10))

    make(model, data=images, max_steps=1).run()

    assert log.header["data"]["input_shape"] == [1, 8, 8]


def test_model_that_refuses_the_samples(make):
    """The error names the shape of the samples, the first layer, and what PyTorch says."""
    with pytest.raises(ShapeError, match=r"\(64,\).*in_features=5.*PyTorch says"):
        make(nn.Linear(5, 10))


def test_model_with_too_few_classes(make):
    """Labels without a score are named before anything is trained."""
    with pytest.raises(LabelRangeError, match="outside 0 … 3: y"):
        make(nn.Linear(64, 4))


def test_output_that_is_no_score_needs_a_loss(make):
    """Cross-entropy over something else than scores is refused, with both shapes."""
    with pytest.raises(ShapeError, match=r"\(2, 3, 10\).*\(2, 10\)"):
        make(nn.Sequential(nn.Linear(64, 30), nn.Unflatten(1, (3, 10))))


def test_frozen_model_is_refused(make):
    """A model without trainable weights cannot be trained."""
    with pytest.raises(ConfigError, match="0 trainable"):
        make(tiny_model().requires_grad_(requires_grad=False))


def test_probing_leaves_the_model_as_it_was(make):
    """Running statistics and modes are those of before."""
    model = nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10))
    make(model, micro_batch_size=27)

    assert model.training
    assert model[1].running_mean.tolist() == [0.0] * 10
    assert int(model[1].num_batches_tracked) == 0
