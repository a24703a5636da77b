"""The worst mistakes, as people can look at them."""

from __future__ import annotations

import torch

from bigmodel_lab.data import Data, Split
from bigmodel_lab.training.mistakes import Answer, Mistake, as_picture, in_words, mistakes_table, words_of, worst


def test_worst_are_the_wrong_ones_with_the_highest_loss():
    """A right answer is no mistake, however unsure it was."""
    losses = torch.tensor([0.1, 5.0, 2.0, 3.0])

    assert worst(losses, torch.tensor([True, False, True, True]), 2) == [3, 2]


def test_without_a_wrong_answer_there_is_no_mistake():
    """Then the list is empty."""
    assert worst(torch.rand(5), torch.zeros(5, dtype=torch.bool), 3) == []


def test_pixels_become_shares():
    """A pixel of 255 is 1; the channel of a grey picture goes."""
    picture = as_picture(torch.full((1, 6, 6), 255, dtype=torch.uint8))

    assert picture.shape == (6, 6)
    assert (picture == 1).all()


def test_colours_come_last():
    """As those who draw pictures want them."""
    assert as_picture(torch.zeros(3, 6, 8)).shape == (6, 8, 3)


def test_normalised_pixels_are_spread():
    """Values around 0 still make a picture from black to white."""
    picture = as_picture(torch.linspace(-2, 3, 36).reshape(6, 6))

    assert (picture.min(), picture.max()) == (0, 1)


def test_what_is_no_picture_is_none():
    """Features, tokens, two channels, and a strip of two pixels."""
    shapes = [torch.zeros(36), torch.zeros(6, 6, dtype=torch.int64), torch.zeros(2, 6, 6), torch.zeros(2, 30)]

    assert [as_picture(sample) for sample in shapes] == [None] * 4


def test_long_texts_lose_their_end():
    """Ten words, then three dots."""
    shown = words_of(torch.full((20,), 2), ("", "?", "word"))

    assert shown.split() == ["word"] * 10 + ["…"]


def test_features_are_shown_as_numbers():
    """The first six of them."""
    part = Split(torch.zeros(1, 8), torch.zeros(1, dtype=torch.int64))
    data = Data("some", "", part, part, part, scale=None, classes=2)

    assert in_words(torch.arange(8) / 4, data) == "0, 0.25, 0.5, 0.75, 1, 1.25 …"


def test_the_table_leaves_out_what_nobody_said():
    """A picture has no words, and a number no probability."""
    table = mistakes_table([Mistake(3, 0.5, Answer("1.2", "0.9"), torch.zeros(1, 6, 6), "")])

    assert table.heads == ("index", "loss", "true", "predicted")
    assert table.rows == (("3", "0.500", "1.2", "0.9"),)
