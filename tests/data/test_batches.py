"""Batches out of memory: every sample once an epoch, in an order that can be made again."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.data import Batches, Split, epoch_order


@given(st.integers(1, 200), st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_order_visits_every_sample_once(samples, seed, epoch):
    """An epoch is a permutation, whatever the seed."""
    assert epoch_order(samples, seed, epoch).sort().values.tolist() == list(range(samples))


def test_order_depends_on_seed_and_epoch():
    """The same numbers give the same order; another seed or epoch another one."""
    order = epoch_order(50, 1, 2)

    assert torch.equal(order, epoch_order(50, 1, 2))
    assert not torch.equal(order, epoch_order(50, 1, 3))
    assert not torch.equal(order, epoch_order(50, 2, 2))


def test_order_leaves_the_random_numbers_of_the_person():
    """Shuffling draws from a generator of its own."""
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)

    epoch_order(10, 0, 0)

    assert torch.equal(torch.rand(2), expected)


def test_pixels_are_scaled_to_float():
    """uint8 pixels become float32 from 0 to 1, with their labels."""
    pixels = torch.tensor([[0], [51], [255]], dtype=torch.uint8)
    x, y = Batches(Split(pixels, torch.arange(3)), 1 / 255).take(torch.tensor([2, 1]))

    assert x.dtype == torch.float32
    assert torch.allclose(x, torch.tensor([[1.0], [0.2]]))
    assert y.tolist() == [2, 1]


def test_other_samples_are_handed_over_as_they_are():
    """Floats and tokens are not scaled."""
    tokens = torch.arange(6).reshape(3, 2)
    x, _ = Batches(Split(tokens, torch.arange(3)), 1 / 255).take(torch.tensor([1]))

    assert x.tolist() == [[2, 3]]


def test_scale_of_none_leaves_pixels():
    """Without a factor uint8 stays uint8."""
    pixels = torch.tensor([[7]], dtype=torch.uint8)

    assert Batches(Split(pixels, torch.zeros(1)), None).take(torch.tensor([0]))[0].dtype == torch.uint8


def test_in_order_keeps_the_ragged_batch():
    """All samples come as they lie; the last batch is smaller."""
    batches = list(Batches(Split(torch.arange(10.0), torch.arange(10)), None).in_order(4))

    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert torch.cat([x for x, _ in batches]).tolist() == list(range(10))


def test_batches_do_not_change_the_data():
    """Scaling a batch in place leaves the samples in memory alone."""
    split = Split(torch.full((4, 2), 200, dtype=torch.uint8), torch.zeros(4))
    batches = Batches(split, 1 / 255)
    batches.take(torch.arange(4)), list(batches.in_order(2))

    assert split.x.unique().tolist() == [200]
