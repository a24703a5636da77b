"""Whatever holds numbers becomes a tensor in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bigmodel_lab.data._tensors import as_tensor
from bigmodel_lab.errors import DataError, ShapeError


@pytest.mark.parametrize(
    "values", [[[1, 2], [3, 4]], ((1, 2), (3, 4)), np.array([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 4]])]
)
def test_every_container_gives_the_same(values):
    """Lists, tuples, arrays and tensors hold the same numbers."""
    assert as_tensor("x", values).tolist() == [[1, 2], [3, 4]]


def test_a_number_is_a_scalar():
    """One number has no dimension."""
    assert as_tensor("x", 3.5).shape == ()


def test_gradients_stay_behind():
    """A tensor that learns is read without its graph."""
    assert not as_tensor("x", torch.ones(2, requires_grad=True)).requires_grad


@pytest.mark.parametrize("kind", [">f4", ">i2", "<f8", "u1", "?"])
def test_other_orders_of_bytes(kind):
    """Values are kept where bytes lie the other way round."""
    assert as_tensor("x", np.array([0, 1], kind)).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_wide_unsigned_numbers(kind):
    """Torch knows few operations on them, so they become int64."""
    assert as_tensor("x", np.array([1, 2], kind)).dtype == torch.int64


@pytest.mark.parametrize(
    "view", [np.arange(12).reshape(3, 4).T, np.arange(12).reshape(3, 4)[::-1], np.broadcast_to(np.arange(4), (3, 4))]
)
def test_views_are_read_in_their_order(view):
    """Turned, reversed and repeated arrays are read as they look."""
    assert as_tensor("x", view).tolist() == view.tolist()


def test_a_read_only_array_is_copied():
    """What may not be written is not shared."""
    array = np.zeros(3)
    array.flags.writeable = False
    as_tensor("x", array)[0] = 1

    assert array[0] == 0


@pytest.mark.parametrize("values", [["a", "b"], [1, None], np.array([1j]), [object()]])
def test_what_is_no_number_is_named(values):
    """The message names the values by their role."""
    with pytest.raises(DataError, match=r"y holds .*, not numbers"):
        as_tensor("y", values)


def test_lists_of_different_lengths():
    """What is no array is told as a matter of shape."""
    with pytest.raises(ShapeError, match="x cannot become one array"):
        as_tensor("x", [[1, 2], [3]])
