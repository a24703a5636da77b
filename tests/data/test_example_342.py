"""The two samples of the documents' worked example."""

from __future__ import annotations

from bigmodel_lab.data import load_data


def test_the_samples_are_those_of_the_document():
    """X and y as printed in D1 §4.3."""
    data = load_data("example_342")

    assert data.train.x.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert data.train.y.tolist() == [0, 1]
    assert data.classes == 2


def test_nothing_is_held_back():
    """Two samples are not divided, whatever share is asked for."""
    data = load_data("example_342", validation_fraction=0.5, test_fraction=0.5)

    assert [len(split) for split in data.splits.values()] == [2, 0, 0]
