"""Judging samples that the model does not learn from."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.data import Batches, Split
from bigmodel_lab.training import Task
from bigmodel_lab.training.evaluate import evaluate, evaluating
from bigmodel_lab.training.objectives import correct_of_scores
from bigmodel_lab.training.precision import Arithmetic


@pytest.fixture
def model() -> nn.Module:
    """A linear layer with a batch normalization and dropout, which training and evaluation treat differently."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


def judged(model: nn.Module, batch_size: int) -> tuple[float, int]:
    """Loss and hits over seven samples."""
    numbers = torch.Generator().manual_seed(3)
    split = Split(torch.rand(7, 3, generator=numbers), torch.arange(7) % 4)
    task = Task(model, F.cross_entropy, correct_of_scores, Arithmetic())
    loss, correct = evaluate(task, Batches(split, scale=None), batch_size)
    return loss.item(), int(correct)


@pytest.mark.parametrize("batch_size", [1, 3, 6, 100])
def test_the_loss_is_the_mean_over_samples_in_batches_of_any_size(model: nn.Module, batch_size: int):
    """A last batch of one sample counts as one, and a norm computes it."""
    loss, correct = judged(model, batch_size)

    assert (pytest.approx(loss, rel=1e-6), correct) == judged(model, 7)


def test_judging_moves_no_running_mean(model: nn.Module):
    """The model learns nothing of the samples, neither by weights nor by statistics."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    judged(model, 2)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_modes_return_after_an_error(model: nn.Module):
    """A loss that fails does not leave a model that no longer drops."""
    model[2].eval()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError

    assert [part.training for part in model] == [True, True, False]


def test_judging_leaves_no_gradient(model: nn.Module):
    """It costs no memory for what nobody learns from."""
    judged(model, 2)

    assert all(parameter.grad is None for parameter in model.parameters())
