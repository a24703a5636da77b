"""Folds: every sample is held out exactly once, every class in proportion."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigmodel_lab.data import Data, Split, folds_of
from bigmodel_lab.errors import ConfigError


def data_of(y: torch.Tensor, validation: int = 0, **facts: object) -> Data:
    """Data whose samples are their own numbers, the last of them for validation."""
    x = torch.arange(len(y))
    cut = len(y) - validation
    train, held = Split(x[:cut], y[:cut]), Split(x[cut:], y[cut:])
    return Data("numbers", "Numbers.", train, held, Split(x[:2], y[:2]), None, 3, **facts)


def held_out(folds: tuple[Data, ...]) -> list[list[int]]:
    """The samples for validation of each fold."""
    return [fold.validation.x.tolist() for fold in folds]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_every_sample_is_held_out_exactly_once(labels: list[int], folds: int, seed: int):
    """Whatever the labels: the parts do not overlap, and together they are all samples."""
    made = folds_of(data_of(torch.tensor(labels), validation=2), folds, seed)

    assert sorted(chain.from_iterable(held_out(made))) == list(range(len(labels)))
    assert all(sorted([*f.train.x.tolist(), *f.validation.x.tolist()]) == list(range(len(labels))) for f in made)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=60), st.integers(2, 6))
def test_sizes_and_classes_differ_by_one_sample_at_most(labels: list[int], folds: int):
    """No part has more than one sample more than another, in all or of a class."""
    made = folds_of(data_of(torch.tensor(labels)), folds)
    counts = torch.stack([fold.validation.y.bincount(minlength=3) for fold in made])

    assert int((counts.amax(0) - counts.amin(0)).max()) <= 1
    assert int(counts.sum(1).max() - counts.sum(1).min()) <= 1


def test_labels_stay_with_their_samples():
    """Each sample has the label that it had before."""
    y = torch.arange(30) % 3
    made = folds_of(data_of(y, validation=5), 4, seed=3)

    assert all(torch.equal(y[part.x], part.y) for fold in made for part in (fold.train, fold.validation))


def test_the_test_samples_stay_aside():
    """They are those of the data, in every fold."""
    data = data_of(torch.arange(30) % 3)

    assert all(fold.test is data.test for fold in folds_of(data, 3))


def test_the_seed_alone_decides():
    """One seed repeats the folds, another deals anew."""
    data = data_of(torch.arange(60) % 3)

    assert held_out(folds_of(data, 3, seed=1)) == held_out(folds_of(data, 3, seed=1))
    assert held_out(folds_of(data, 3, seed=1)) != held_out(folds_of(data, 3, seed=2))


@pytest.mark.parametrize("y", [torch.linspace(0, 1, 20).reshape(20, 1), torch.zeros(20, 4, dtype=torch.int64)])
def test_without_class_numbers_samples_are_dealt_at_random(y: torch.Tensor):
    """Numbers and tokens have no classes to keep together."""
    task = "regression" if y.is_floating_point() else "next_token"
    parts = held_out(folds_of(data_of(y, task=task), 4, seed=1))

    assert sorted(chain.from_iterable(parts)) == list(range(20))
    assert parts[0] != [0, 4, 8, 12, 16]


def test_a_fold_says_which_part_it_is_judged_by():
    """The description goes into the header of its run."""
    assert "part 2 of 3" in folds_of(data_of(torch.arange(9) % 3), 3)[1].description


@pytest.mark.parametrize("folds", [0, 1, 10, 2.0, True])
def test_a_number_of_folds_that_cannot_be_had_is_refused(folds: object):
    """The error says what is allowed."""
    with pytest.raises(ConfigError, match="from 2 to 9"):
        folds_of(data_of(torch.arange(9) % 3), folds)
