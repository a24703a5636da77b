"""The digits as their own target."""

from __future__ import annotations

import torch

from bigmodel_lab.data import Batches, load_data


def test_task_is_reconstruction():
    """A batch gives the images twice: as input and as what is to be learned, scaled alike."""
    data = load_data("digits_reconstruction")
    x, y = Batches.of(data, "train").take(torch.arange(5))

    assert data.task == "reconstruction"
    assert torch.equal(x, y)
    assert (x.dtype, x.shape) == (torch.float32, (5, 1, 28, 28))
    assert 0 <= x.min() < x.max() <= 1


def test_images_and_parts_are_those_of_the_digits():
    """The same images lie in the same parts."""
    one, other = load_data("digits", seed=3), load_data("digits_reconstruction", seed=3)

    assert all(torch.equal(one.splits[part].x, other.splits[part].x) for part in one.splits)


def test_labels_stay_for_people():
    """Which digit an image shows is still known."""
    data = load_data("digits_reconstruction")

    assert data.test.y.unique().tolist() == list(range(10))


def test_name_and_description_are_its_own():
    """The header of a run says what was learned."""
    data = load_data("digits_reconstruction")

    assert data.name == "digits_reconstruction"
    assert "the image itself" in data.description
