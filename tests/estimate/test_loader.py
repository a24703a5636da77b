"""A bounded look into a loader."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate import _loader
from bigmodel_lab.estimate._batch import shapes_of


class Endless:
    """Gives batches for ever, the later the larger."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.read, self._seconds = 0, seconds

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            self.read += 1
            time.sleep(self._seconds)
            yield torch.empty(self.read, device="meta")


class Drawing(IterableDataset[Tensor]):
    """Draws random numbers of three kinds for each sample."""

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(3):
            yield torch.rand(2) + random.random()


def test_an_endless_loader_is_left_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the note says how many batches were seen, and of which sizes."""
    monkeypatch.setattr(_loader, "_MOST_BATCHES", 5)
    loader, notes = Endless(), []

    assert shapes_of(loader, notes.append).shape == (5,)
    assert "first 5 batches" in notes[0]
    assert "4 to 20 bytes" in notes[0]


def test_a_slow_loader_is_left_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch more at most."""
    monkeypatch.setattr(_loader, "_MOST_SECONDS", 0.01)
    loader, notes = Endless(seconds=0.02), []
    shapes_of(loader, notes.append)

    assert loader.read == 1
    assert len(notes) == 1


def test_what_was_read_to_its_end_needs_no_note() -> None:
    """Every batch was seen."""
    notes: list[str] = []
    shapes_of(DataLoader(TensorDataset(torch.ones(10, 3)), batch_size=4), notes.append)

    assert notes == []


def test_of_a_generator_the_first_batch_is_taken_and_no_more() -> None:
    """The loop that it was made for gets the others, and a note says what it loses."""
    batches, notes = (torch.ones(n, 3) for n in (2, 4, 6)), []

    assert shapes_of(batches, notes.append).shape == (2, 3)
    assert [len(batch) for batch in batches] == [4, 6]
    assert "only once" in notes[0]


@pytest.mark.parametrize("loader", [DataLoader(TensorDataset(torch.ones(0, 3))), iter([torch.ones(0)][1:])])
def test_a_loader_without_batches_says_so(loader: Any) -> None:
    """And a generator that was read before has none left."""
    with pytest.raises(ConfigError, match="0 batches"):
        shapes_of(loader)


def test_random_numbers_are_as_before() -> None:
    """Those of torch, of Python, and the loader's own generator."""
    own = torch.Generator()
    loaders = [DataLoader(Drawing()), DataLoader(TensorDataset(torch.ones(9, 2)), shuffle=True, generator=own)]
    before = (torch.get_rng_state(), random.getstate(), own.get_state())
    for loader in loaders:
        shapes_of(loader)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.equal(own.get_state(), before[2])


def test_a_list_of_samples_is_told_from_a_list_of_batches() -> None:
    """It is taken for batches, and the note says how to say otherwise."""
    notes: list[str] = []
    shapes_of([{"image": torch.ones(3, 8, 8), "boxes": torch.ones(2, 4)}] * 4, notes.append)

    assert "tuple" in notes[0]


class Broken(Dataset[Tensor]):
    """A file is missing."""

    def __init__(self, good: int) -> None:
        self._good = good

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Tensor:
        if index >= self._good:
            raise FileNotFoundError(f"{index}.jpg")
        return torch.zeros(2)


def test_a_loader_that_raises_at_once_is_refused_with_its_error() -> None:
    """And with the line."""
    with pytest.raises(ConfigError, match=r"DataLoader.*FileNotFoundError: 0\.jpg \(test_loader\.py:\d+\)"):
        shapes_of(DataLoader(Broken(0)), [].append)


def test_of_a_loader_that_raises_later_the_first_batches_count() -> None:
    """With a note, as the training would stop there."""
    notes: list[str] = []

    assert shapes_of(DataLoader(Broken(3)), notes.append).shape == (1, 2)
    assert "FileNotFoundError: 3.jpg" in notes[0]
    assert "after 3 batches" in notes[0]
