"""The loss and what counts as correct, by the task of the data."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from bigmodel_lab.data import TaskKind
from bigmodel_lab.training.objectives import (
    correct_of_scores,
    correct_of_tokens,
    cross_entropy_of_tokens,
    objective_of,
    without_accuracy,
)


@pytest.mark.parametrize("task", get_args(TaskKind))
def test_accuracy_is_unknown_exactly_where_nothing_can_be_right(task: str):
    """Either samples are counted, or there is a reason why not; never a number without a meaning."""
    objective = objective_of(task)
    output, labels = (torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64))
    if task != "next_token":
        output, labels = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)

    assert math.isnan(objective.count_correct(output, labels)) == (objective.unknown_accuracy is not None)


def test_the_reason_of_a_regression_is_not_that_of_a_reconstruction():
    """A person reads what is true of their own task."""
    assert "numbers" in str(objective_of("regression").unknown_accuracy)
    assert "gives back its input" in str(objective_of("reconstruction").unknown_accuracy)


def test_a_loss_of_the_model_keeps_what_counts_as_correct():
    """Another loss over the same scores: accuracy is still that of the highest score."""
    objective = objective_of("classification", F.multi_margin_loss)

    assert objective.loss is F.multi_margin_loss
    assert objective.count_correct is correct_of_scores


def test_an_own_loss_over_anything_has_a_reason():
    """Nothing is said of an output that may be anything."""
    objective = without_accuracy(F.l1_loss)

    assert objective.loss is F.l1_loss
    assert "not one score a class" in str(objective.unknown_accuracy)


def test_cross_entropy_of_tokens_is_the_mean_over_places():
    """Each place of each sample counts the same."""
    scores, tokens = torch.randn(3, 5, 7), torch.randint(7, (3, 5))
    places = [F.cross_entropy(scores[i, t], tokens[i, t]) for i in range(3) for t in range(5)]

    torch.testing.assert_close(cross_entropy_of_tokens(scores, tokens), torch.stack(places).mean())


def test_shares_of_right_places_add_up_over_samples():
    """One sample all right, one half right: one and a half."""
    scores = F.one_hot(torch.tensor([[1, 2], [1, 2]]), 4).float()

    assert correct_of_tokens(scores, torch.tensor([[1, 2], [1, 3]])).item() == 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_unknown_is_nan_in_every_number_format(dtype: torch.dtype):
    """The log gets one kind of number, whatever the model computes in."""
    found = objective_of("regression").count_correct(torch.zeros(2, 1, dtype=dtype), torch.zeros(2, 1))

    assert found.dtype == torch.float32
    assert math.isnan(found)
