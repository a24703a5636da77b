"""What belongs to each sample, by the task."""

from __future__ import annotations

import pytest
import torch

from bigmodel_lab.data import Split
from bigmodel_lab.data._targets import class_count, targets
from bigmodel_lab.errors import LabelRangeError


@pytest.mark.parametrize("task", ["classification", "reconstruction", "next_token"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float64, torch.bool])
def test_class_numbers_and_tokens_are_whole(task, dtype):
    """Whole numbers of any type become int64."""
    y = targets(torch.tensor([0, 1, 1], dtype=dtype), task)

    assert (y.dtype, y.tolist()) == (torch.int64, [0, 1, 1])


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.float16])
def test_numbers_to_predict_are_float32(dtype):
    """Numbers of any type become float32 with one row a sample."""
    y = targets(torch.tensor([0, 1, 3], dtype=dtype), "regression")

    assert (y.dtype, y.shape) == (torch.float32, (3, 1))


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (5, 2, 4)])
def test_several_numbers_keep_their_shape(shape):
    """Only a plain row of numbers becomes a column."""
    assert targets(torch.rand(shape), "regression").shape == shape


def test_a_column_of_class_numbers_becomes_a_row():
    """Labels of shape (samples, 1) are one a sample."""
    assert targets(torch.tensor([[1], [0]]), "classification").shape == (2,)


def test_one_token_at_one_place_stays_a_column():
    """Texts of one word have next tokens of shape (samples, 1)."""
    assert targets(torch.tensor([[1], [0]]), "next_token").shape == (2, 1)


@pytest.mark.parametrize("value", [0.25, float("nan"), float("inf"), -1.5])
def test_a_label_that_is_no_class_number(value):
    """The first one is named with its place, and the way to a regression with it."""
    with pytest.raises(LabelRangeError, match=r"y\[2\] is .*from_arrays\(\(x, y\), task=\"regression\"\)"):
        targets(torch.tensor([0, 1, value, value]), "classification")


def test_classes_count_to_the_highest_label():
    """Labels of all splits count; an empty split does not matter."""
    parts = [Split(torch.zeros(n, 1), torch.arange(n)) for n in (3, 0, 7)]

    assert class_count(parts, "classification") == 7


def test_tokens_count_in_samples_too():
    """The vocabulary holds every token that occurs, as word or as next word."""
    assert class_count([Split(torch.tensor([[9, 1]]), torch.tensor([[1, 4]]))], "next_token") == 10


@pytest.mark.parametrize(("shape", "numbers"), [((4, 1), 1), ((4, 3), 3), ((4, 2, 5), 10)])
def test_numbers_a_sample(shape, numbers):
    """A regression counts the numbers that a sample has."""
    assert class_count([Split(torch.zeros(4, 2), torch.zeros(shape))], "regression") == numbers
