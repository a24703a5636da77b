"""A batch as shapes and types."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._batch import bytes_of, resized, samples_of, shapes_of

X, Y = torch.ones(4, 3), torch.ones(4, dtype=torch.int64)


@pytest.mark.parametrize("batch", [X, (X, Y), [X, Y], {"x": X, "labels": Y}, {"x": [X, {"deep": Y}], "name": "a"}])
def test_any_tree_keeps_its_form(batch: object) -> None:
    """Shapes and types on the meta device; what is no tensor stays."""
    shapes = shapes_of(batch)

    assert type(shapes) is type(batch)
    assert samples_of(shapes) == 4
    assert bytes_of(shapes) == bytes_of(batch)
    assert str(shapes).count("meta") == str(batch).count("tensor(")


def test_the_order_of_strides_is_kept() -> None:
    """Channels last stay last."""
    x = torch.empty(2, 3, 4, 4).to(memory_format=torch.channels_last)

    assert shapes_of(x).stride() == x.stride()


def test_a_loader_gives_its_largest_batch() -> None:
    """Here the first: the last is smaller."""
    loader = DataLoader(TensorDataset(torch.ones(10, 3), torch.ones(10)), batch_size=4)

    assert shapes_of(loader)[0].shape == (4, 3)


class Again:
    """Gives the same batches each time."""

    def __init__(self, batches: list[Tensor]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._batches)


def test_batches_of_words_differ_in_length() -> None:
    """The largest is the one of most bytes, wherever it comes."""
    loader = [torch.ones(4, 5), torch.ones(4, 9), torch.ones(4, 7)]

    assert shapes_of(Again(loader)).shape == (4, 9)


@pytest.mark.parametrize("batch", [[], {}, "text", (), [1, 2]])
def test_nothing_without_a_tensor_is_a_batch(batch: object) -> None:
    """The message says what one is."""
    with pytest.raises(ConfigError, match="without a tensor"):
        shapes_of(batch)


def test_samples_are_counted_by_dimension_0() -> None:
    """Numbers without a dimension do not count."""
    assert samples_of({"x": X, "temperature": torch.tensor(1.0)}) == 4


@pytest.mark.parametrize(("batch", "found"), [((X, torch.ones(5)), "4, 5"), (torch.tensor(1.0), "missing")])
def test_other_lengths_are_refused(batch: object, found: str) -> None:
    """With the lengths that were found."""
    with pytest.raises(ConfigError, match=found):
        samples_of(batch)


def test_a_batch_of_another_size() -> None:
    """Dimension 0 alone changes, in every tensor that has one."""
    shapes = resized(shapes_of({"x": X, "y": Y, "t": torch.tensor(1.0)}), 7)

    assert [tuple(t.shape) for t in shapes.values()] == [(7, 3), (7,), ()]
    assert [t.dtype for t in shapes.values()] == [torch.float32, torch.int64, torch.float32]


def test_the_same_size_is_the_same_batch() -> None:
    """Nothing is made."""
    shapes = shapes_of(X)

    assert resized(shapes, 4) is shapes


@pytest.mark.parametrize(
    "x",
    [
        torch.empty(2, 3, 4, 5),
        torch.empty(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.empty(4, 2, 3).transpose(0, 1),
        torch.empty(1, 1, 4),
    ],
)
def test_another_size_keeps_the_order_of_strides(x: Tensor) -> None:
    """Channels last stay last, and steps that came first stay first; without gaps."""
    found = resized(shapes_of(x), 6)
    order = sorted(range(x.dim()), key=lambda d: -x.stride(d))

    assert (
        found.stride()
        == torch.empty([found.shape[d] for d in order]).permute(*map(order.index, range(x.dim()))).stride()
    )
    assert found.is_contiguous() == x.is_contiguous()


def test_bytes_of_all_tensors() -> None:
    """4 × 3 of 4 bytes and 4 of 8."""
    assert bytes_of((X, Y)) == 48 + 32
