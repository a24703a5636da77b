"""Batches as they come: objects of libraries, named tuples, dataclasses, nested and sparse tensors, lists of samples."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate import estimate_memory
from bigmodel_lab.estimate._batch import bytes_of, resized, samples_in, samples_of, shapes_of
from bigmodel_lab.trace._trees import tensors_of

X, Y = torch.ones(4, 8), torch.zeros(4, dtype=torch.long)


class Pair(NamedTuple):
    """Inputs and targets."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Frozen:
    """As collators return it."""

    x: Tensor
    y: Tensor


class Slotted:
    """Without a dictionary, and with a way of its own to the card."""

    __slots__ = ("x", "y")

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def to(self, device: str) -> Slotted:
        """Moves itself, as many such classes do."""
        self.x, self.y = self.x.to(device), self.y.to(device)
        return self


def of_names(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of a batch with attributes."""
    return F.cross_entropy(model(batch.x), batch.y)


OBJECTS = [Pair(X, Y), Frozen(X, Y), Slotted(X, Y), SimpleNamespace(x=X, y=Y, name="a")]


@pytest.mark.parametrize("batch", OBJECTS, ids=lambda batch: type(batch).__name__)
def test_an_object_with_tensors_takes_what_its_tensors_take(batch: Any) -> None:
    """To the byte what a plain pair takes."""
    plain = estimate_memory(nn.Linear(8, 4), (X, Y), loss=F.cross_entropy)

    assert estimate_memory(nn.Linear(8, 4), batch, step=of_names).peak_allocated_bytes == plain.peak_allocated_bytes


@pytest.mark.parametrize("batch", OBJECTS, ids=lambda batch: type(batch).__name__)
def test_a_batch_is_not_changed_by_looking_at_it(batch: Any) -> None:
    """Also where its own ``to`` changes it."""
    shapes = shapes_of(batch)

    assert type(shapes) is type(batch)
    assert all(tensor.is_meta for tensor in tensors_of(shapes))
    assert batch.x is X
    assert batch.y is Y


def test_a_dict_in_another_dress_stays_one() -> None:
    """As the encodings of tokenizers are."""
    shapes = shapes_of(UserDict(x=X, y=Y))

    assert isinstance(shapes, UserDict)
    assert samples_of(shapes) == 4


def test_what_its_own_way_leaves_on_the_host_stays_there() -> None:
    """The batch sizes of a packed sequence are numbers that its layers read."""
    shapes = shapes_of(pack_sequence([torch.ones(5, 8), torch.ones(3, 8)]))

    assert shapes.data.is_meta
    assert shapes.batch_sizes.tolist() == [2, 2, 2, 1, 1]


GRAPH = {"x": torch.zeros(30, 8), "edges": torch.zeros(2, 90, dtype=torch.long), "y": torch.zeros(8, dtype=torch.long)}


def of_graph(model: nn.Module, batch: Any) -> Tensor:
    """Scores of nodes, added up along edges."""
    h = model(batch["x"])
    return torch.zeros_like(h).index_add(0, batch["edges"][1], h[batch["edges"][0]]).mean()


def test_a_batch_without_a_common_dimension_is_taken_as_it_is() -> None:
    """With a note; what was said of its samples is kept."""
    estimate = estimate_memory(nn.Linear(8, 4), GRAPH, step=of_graph, micro_batch_size=8)

    assert estimate.micro_batch_size == 8
    assert sum(a.bytes for a in estimate.trace.allocations if a.category == "input") == bytes_of(GRAPH)
    assert any("dimension 0" in note for note in estimate.notes)


@pytest.mark.parametrize(
    "ask", [lambda e: e.scaled(16), lambda e: e.again(micro_batch_size=2), lambda e: e.max_micro_batch_size("T4")]
)
def test_another_size_of_it_is_refused_with_the_reason(ask: Any) -> None:
    """Nobody can say what it looks like."""
    estimate = estimate_memory(nn.Linear(8, 4), GRAPH, step=of_graph, micro_batch_size=8)

    with pytest.raises(ConfigError, match="2, 8, 30"):
        ask(estimate)


IMAGES = ([torch.zeros(3, 8, 9), torch.zeros(3, 7, 6)], [{"boxes": torch.zeros(3, 4)}, {"boxes": torch.zeros(5, 4)}])


def test_lists_with_an_item_a_sample_are_scaled_by_their_items() -> None:
    """In turn."""
    images, targets = resized(shapes_of(IMAGES), 3)

    assert samples_in(IMAGES) == 2
    assert [tuple(image.shape) for image in images] == [(3, 8, 9), (3, 7, 6), (3, 8, 9)]
    assert len(targets) == 3


def test_a_nested_tensor_counts_its_values() -> None:
    """And no padding."""
    nested = torch.nested.nested_tensor([torch.zeros(3, 8), torch.zeros(5, 8)], layout=torch.jagged)
    estimate = estimate_memory(nn.Linear(8, 4), nested, step=lambda model, x: model(x).values().mean())

    assert [a.bytes for a in estimate.trace.allocations if a.category == "input"] == [8 * 8 * 4]
    assert any(a.shape == (8, 4) for a in estimate.trace.allocations)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR")
@pytest.mark.parametrize("make", [lambda: torch.nested.nested_tensor([X, X]), X.to_sparse_csr], ids=["nested", "csr"])
def test_a_layout_that_cannot_be_followed_says_what_can(make: Any) -> None:
    """Dense or padded."""
    x = make()
    with pytest.raises(ConfigError, match=r"dense|padded"):
        estimate_memory(nn.Linear(8, 4), {"x": x, "y": Y}, step=lambda model, batch: model(batch["x"]).mean())


def test_a_sparse_batch_counts_places_and_values() -> None:
    """Two numbers of eight bytes and one of four for each."""
    batch = {"x": X, "a": torch.eye(4).to_sparse()}
    estimate = estimate_memory(nn.Linear(8, 4), batch, step=lambda m, b: torch.sparse.mm(b["a"], m(b["x"])).mean())

    assert sum(a.bytes for a in estimate.trace.allocations if a.category == "input") == 4 * 8 * 4 + 4 * (2 * 8 + 4)
