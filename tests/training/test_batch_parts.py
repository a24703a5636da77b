"""A batch is cut into parts only where it is known which things belong to which sample."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch

from bigmodel_lab.training.batch_parts import part_of, samples_in

Pair = namedtuple("Pair", "x y")  # noqa: PYI024 (the kind that libraries give)


def test_samples_of_nested_batches_are_counted():
    """Lists, tuples and mappings may hold each other."""
    assert samples_in([torch.zeros(4, 2), {"y": (torch.zeros(4), torch.tensor(3.0))}]) == 4


@pytest.mark.parametrize(
    "batch",
    [
        (torch.zeros(4, 2), torch.zeros(3)),
        (torch.zeros(4, 2), ["a", "b"]),
        (torch.zeros(4, 2), object()),
        torch.tensor(1.0),
        iter([torch.zeros(4)]),
        torch.zeros(0, 2),
    ],
)
def test_what_cannot_be_cut_without_a_guess_has_no_number(batch):
    """Different lengths, unknown objects, and nothing at all."""
    assert samples_in(batch) is None


def test_a_part_is_of_the_same_kind():
    """A named tuple stays one."""
    part = part_of(Pair(torch.arange(4), ["a", "b", "c", "d"]), slice(1, 3))

    assert isinstance(part, Pair)
    assert (part.x.tolist(), part.y) == ([1, 2], ["b", "c"])


def test_a_part_costs_no_memory():
    """Its tensors are views."""
    whole = torch.zeros(4, 2)

    assert part_of([whole], slice(0, 2))[0].data_ptr() == whole.data_ptr()
