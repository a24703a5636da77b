"""Samples of the person's own become what the model was trained on, or an error says how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bigmodel_lab.data import Data, Split
from bigmodel_lab.errors import DataError, EmptyDataError, ShapeError
from bigmodel_lab.training.samples import as_samples


def some_data(x: torch.Tensor, **more: object) -> Data:
    """Data with these samples in all parts."""
    part = Split(x, torch.zeros(len(x), dtype=torch.int64))
    return replace(Data("some", "", part, part, part, scale=1 / 255, classes=3), **more)


GREY = some_data(torch.zeros(4, 1, 6, 6, dtype=torch.uint8))
COLOUR = some_data(torch.zeros(4, 3, 6, 6, dtype=torch.uint8))
FEATURES = some_data(torch.zeros(4, 5))
TEXT = some_data(torch.zeros(4, 5, dtype=torch.int64), vocabulary=("<padding>", "<unknown>", "open", "file"))
SEQUENCE = some_data(torch.zeros(4, 6, 6))


# shapes


@pytest.mark.parametrize("shape", [(6, 6), (1, 6, 6), (1, 1, 6, 6)])
def test_one_picture_may_come_without_batch_and_channel(shape: tuple[int, ...]):
    """All become a batch of one."""
    assert as_samples(torch.zeros(shape), GREY).shape == (1, 1, 6, 6)


@pytest.mark.parametrize("shape", [(5, 6, 6), (5, 1, 6, 6)])
def test_several_pictures_may_come_without_channel(shape: tuple[int, ...]):
    """The batch stays."""
    assert as_samples(np.zeros(shape), GREY).shape == (5, 1, 6, 6)


def test_a_coloured_picture_needs_its_channels():
    """A grey one has not enough to tell."""
    with pytest.raises(ShapeError, match=r"one sample of shape \(3, 6, 6\)"):
        as_samples(torch.zeros(6, 6), COLOUR)


def test_one_sample_of_features_is_a_row():
    """A list of five numbers is one sample of five features."""
    assert as_samples([1, 2, 3, 4, 5], FEATURES).tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]]


def test_several_samples_of_features_are_rows():
    """Lists of lists, as one types them."""
    assert as_samples([[1, 2, 3, 4, 5]] * 3, FEATURES).shape == (3, 5)


def test_a_shape_of_one_number_is_written_as_python_has_it():
    """With the comma of a tuple of one."""
    with pytest.raises(ShapeError, match=r"one sample of shape \(5,\), or several of shape \(samples, 5\)"):
        as_samples(torch.zeros(7), FEATURES)


def test_a_sequence_of_rows_has_no_channel():
    """Where the training samples have none, none is added."""
    assert as_samples(torch.zeros(6, 6), SEQUENCE).shape == (1, 6, 6)
    assert as_samples(torch.zeros(2, 6, 6), SEQUENCE).shape == (2, 6, 6)


def test_another_shape_is_answered_with_those_allowed():
    """The message names what came, one sample and several."""
    with pytest.raises(ShapeError, match=r"\(3, 7, 7\).*\(1, 6, 6\).*\(samples, 1, 6, 6\)"):
        as_samples(torch.zeros(3, 7, 7), GREY)


def test_a_single_number_is_no_sample():
    """The message names its shape."""
    with pytest.raises(ShapeError, match=r"x has shape \(\)"):
        as_samples(3.0, FEATURES)


def test_lists_of_different_lengths_are_refused():
    """They make no array."""
    with pytest.raises(ShapeError, match="one array"):
        as_samples([[1, 2], [3]], FEATURES)


def test_no_sample_is_refused():
    """An empty array is not answered with an empty prediction."""
    with pytest.raises(EmptyDataError, match="length 0"):
        as_samples(torch.zeros(0, 1, 6, 6), GREY)


# numbers


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_whole_numbers_are_pixels_where_the_data_has_pixels(kind: type):
    """Whatever their type: they are scaled as the training was."""
    found = as_samples(np.full((6, 6), 255, kind), GREY)

    assert found.dtype == torch.uint8
    assert found.unique().tolist() == [255]


@pytest.mark.parametrize("value", [-1, 256])
def test_whole_numbers_outside_a_byte_are_no_pixels(value: int):
    """They are not wrapped around silently."""
    with pytest.raises(DataError, match="pixels run from 0 to 255"):
        as_samples(np.full((6, 6), value), GREY)


def test_fractional_numbers_are_taken_as_they_are():
    """Values 0 … 1 are scaled already."""
    found = as_samples(np.full((6, 6), 0.5), GREY)

    assert found.dtype == torch.float32
    assert found.unique().tolist() == [0.5]


def test_bytes_for_a_model_of_values_become_values():
    """The training had no pixels, so nothing is scaled."""
    assert as_samples(np.full(5, 255, np.uint8), FEATURES).tolist() == [[255.0] * 5]


def test_truth_values_become_numbers():
    """False and true are 0 and 1."""
    assert as_samples([True, False, True, True, False], FEATURES).tolist() == [[1.0, 0.0, 1.0, 1.0, 0.0]]


def test_a_tensor_with_a_gradient_is_read():
    """What the person goes on doing with it is not touched."""
    x = torch.ones(5, requires_grad=True)

    assert not as_samples(x, FEATURES).requires_grad


def test_words_are_no_features():
    """The message says that there is no vocabulary."""
    with pytest.raises(DataError, match="no vocabulary"):
        as_samples(["a", "b"], FEATURES)


def test_a_mixture_of_words_and_numbers_is_refused():
    """It is neither text nor numbers."""
    with pytest.raises(DataError, match="not numbers"):
        as_samples(["a", 1, 2, 3, 4], FEATURES)


# text


def test_a_text_becomes_tokens_of_the_vocabulary():
    """Unknown words become token 1, the rest is padding."""
    assert as_samples("Open the file", TEXT).tolist() == [[2, 1, 3, 0, 0]]


def test_a_long_text_loses_its_end():
    """It has the length of the training samples."""
    assert as_samples("open " * 9, TEXT).tolist() == [[2] * 5]


def test_an_empty_text_is_all_padding():
    """Nothing to read is no error; the model answers to padding."""
    assert as_samples("", TEXT).tolist() == [[0] * 5]


@pytest.mark.parametrize("texts", [["open", "file"], ("open", "file"), np.array(["open", "file"])])
def test_several_texts_become_a_row_each(texts: object):
    """Lists, tuples and arrays of strings."""
    assert as_samples(texts, TEXT)[:, 0].tolist() == [2, 3]


def test_tokens_may_be_given_as_numbers():
    """As another tokenizer with the same vocabulary makes them."""
    assert as_samples([2, 3, 0, 0, 0], TEXT).dtype == torch.int64


@pytest.mark.parametrize("token", [-1, 4])
def test_tokens_outside_the_vocabulary_are_refused(token: int):
    """An index error deep in the embedding would tell nobody anything."""
    with pytest.raises(DataError, match="token numbers run from 0 to 3"):
        as_samples([[0, 1, 2, 3, token]], TEXT)


def test_fractional_tokens_are_refused():
    """The message names both ways that are allowed."""
    with pytest.raises(DataError, match=r"whole numbers \(int64\), or texts"):
        as_samples(torch.zeros(1, 5), TEXT)
