"""Batches of any size are made from real ones, and nothing of the person's data is changed or used up."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

from bigmodel_lab.errors import ConfigError, EmptyDataError
from bigmodel_lab.tips._real_samples import RealSamples, generators_of


class Endless(IterableDataset[torch.Tensor]):
    """Gives samples for ever, and counts them."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            self.given += 1
            yield torch.zeros(3)


def pairs(samples: int = 10) -> TensorDataset:
    """Numbers and labels."""
    return TensorDataset(torch.arange(samples * 2.0).reshape(samples, 2), torch.arange(samples))


def test_a_larger_batch_repeats_the_samples() -> None:
    """In their order, from the beginning again."""
    batch = RealSamples((torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 2, 3]))).batch(5)

    assert batch[0].tolist() == [1, 2, 3, 1, 2]
    assert batch[1].tolist() == [1, 2, 3, 1, 2]


def test_a_smaller_batch_is_cut() -> None:
    """The first samples stay."""
    assert RealSamples(torch.arange(8)).batch(3).tolist() == [0, 1, 2]


def test_a_tree_stays_a_tree() -> None:
    """Whatever a loop hands to its step."""
    batch = RealSamples({"x": torch.ones(4, 2), "more": [torch.ones(4), "name"]}).batch(6)

    assert batch["x"].shape == (6, 2)
    assert batch["more"][0].shape == (6,)
    assert batch["more"][1] == "name"


def test_one_number_belongs_to_no_sample() -> None:
    """It is handed on as it is."""
    scale = torch.tensor(2.0)

    assert RealSamples((torch.ones(4, 2), scale)).batch(6)[1] is scale


def test_the_longest_of_the_first_batches_is_taken() -> None:
    """A loader pads to the longest of a batch, so some need more memory a sample than others."""
    batches = [torch.ones(4, 5), torch.ones(4, 9), torch.ones(8, 6)]

    assert RealSamples(DataLoader(batches, batch_size=None)).batch(3).shape == (3, 9)


def test_the_last_small_batch_of_a_loader_does_not_count_less() -> None:
    """Bytes a sample are compared, not bytes."""
    assert RealSamples([{"x": torch.ones(4, 5)}, {"x": torch.ones(1, 9)}]).batch(2)["x"].shape == (2, 9)


def test_an_endless_loader_is_read_for_a_while_only() -> None:
    """Sixteen batches."""
    data = Endless()
    RealSamples(DataLoader(data, batch_size=2))

    assert data.given == 32


def test_the_size_of_a_loaders_batch_is_known() -> None:
    """And how many samples there are in all."""
    samples = RealSamples(DataLoader(pairs(), batch_size=4))

    assert (samples.of_batch, samples.in_all) == (4, 10)


def test_how_many_samples_there_are_may_be_unknown() -> None:
    """Of one batch, and of a stream."""
    assert RealSamples(torch.ones(4, 2)).in_all is None
    assert RealSamples(DataLoader(Endless(), batch_size=2)).in_all is None


def test_the_example_is_the_batch_itself() -> None:
    """An estimate looks at its shapes."""
    batch = torch.ones(4, 2)

    assert RealSamples(batch).example is batch


def test_channels_last_stay_last() -> None:
    """Convolutions take other memory otherwise."""
    images = torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)

    assert RealSamples(images).batch(5).is_contiguous(memory_format=torch.channels_last)


def test_usual_layouts_stay_usual() -> None:
    """Also for images."""
    assert RealSamples(torch.ones(2, 3, 4, 4)).batch(5).is_contiguous()


def test_inputs_that_learn_go_on_learning() -> None:
    """And are leaves of their own."""
    batch = RealSamples(torch.ones(2, 3, requires_grad=True)).batch(5)

    assert batch.requires_grad
    assert batch.is_leaf


def test_the_persons_batch_is_not_changed() -> None:
    """A batch is a copy, also of the same size."""
    given = torch.ones(4, 2)
    RealSamples(given).batch(4).zero_()

    assert given.sum() == 8


def test_what_gives_its_batches_once_is_refused() -> None:
    """Trying would use them up."""
    with pytest.raises(ConfigError, match=r"generator gives its batches only once.*Give the DataLoader"):
        RealSamples(torch.ones(2, 2) for _ in range(3))


def test_a_loader_without_batches_is_refused() -> None:
    """There is nothing to try."""
    with pytest.raises(EmptyDataError, match="0 batches"):
        RealSamples(DataLoader(pairs(2), batch_size=4, drop_last=True))


@pytest.mark.parametrize("data", [{"text": "abc"}, torch.tensor(3.0), (torch.ones(2, 2), torch.ones(3))])
def test_data_without_a_count_of_samples_are_refused(data: Any) -> None:
    """Dimension 0 of every tensor counts them."""
    with pytest.raises(ConfigError, match="Dimension 0 of every tensor"):
        RealSamples(data)


def test_generators_of_a_loader_are_found() -> None:
    """Its own, and that of its sampler; each once."""
    one, other = torch.Generator(), torch.Generator()
    loader = DataLoader(pairs(), sampler=RandomSampler(pairs(), generator=other), generator=one)

    assert set(map(id, generators_of(loader))) == {id(one), id(other)}


def test_a_shuffling_loader_shares_its_generator_with_its_sampler() -> None:
    """It is found once."""
    made = torch.Generator()

    assert generators_of(DataLoader(pairs(), shuffle=True, generator=made)) == (made,)


def test_a_batch_has_no_generator() -> None:
    """Nothing is drawn for it."""
    assert generators_of(torch.ones(3)) == ()


def test_a_batch_of_transformers_keeps_its_dress() -> None:
    """Its collators give a ``UserDict``, whose fields a step may read as attributes."""
    given = UserDict(input_ids=torch.ones(4, 7), labels=torch.zeros(4))
    samples = RealSamples([given])

    assert samples.of_batch == 4
    assert isinstance(samples.batch(6), UserDict)
    assert samples.batch(6)["input_ids"].shape == (6, 7)
