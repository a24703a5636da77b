"""pandas frames as samples: labels by name, words as classes, rows with gaps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from bigmodel_lab.data import Division, from_arrays
from bigmodel_lab.data._columns import class_numbers, stretches
from bigmodel_lab.errors import DataError, EmptyDataError, ShapeError

KEEP = Division(validation_fraction=0, test_fraction=0)


@pytest.fixture
def frame() -> pd.DataFrame:
    """Twenty flowers of two kinds."""
    return pd.DataFrame({"kind": [0, 1] * 10, "width": np.arange(20.0), "height": range(20)})


def test_a_frame_alone_has_its_label_last(frame):
    """Without a column that is called so, the last one is the label."""
    data = from_arrays(frame[["width", "height", "kind"]], division=KEEP)

    assert (data.input_shape, data.classes) == ((2,), 2)


@pytest.mark.parametrize("name", ["label", "Target", "class", "y"])
def test_a_named_column_is_the_label(frame, name):
    """A column with a usual name is the label wherever it stands."""
    data = from_arrays(frame.rename(columns={"kind": name}), division=KEEP)
    order = data.train.x[:, 0].argsort()

    assert data.train.y[order].tolist() == [0, 1] * 10


def test_frame_and_series(frame):
    """(DataFrame, Series) is (x, y), whatever their row names are."""
    y = frame["kind"].set_axis(range(100, 120))
    train = from_arrays((frame[["width"]], y), division=KEEP).train
    order = train.x[:, 0].argsort()

    assert (train.x.dtype, train.y.dtype) == (torch.float32, torch.int64)
    assert train.y[order].tolist() == [0, 1] * 10


@pytest.mark.parametrize("kind", [object, "string", "category"])
def test_words_become_classes(frame, kind):
    """Labels in words of any type of pandas are numbered in alphabetical order, with their names kept."""
    words = frame["kind"].map({0: "rose", 1: "lily"}).astype(kind)
    data = from_arrays((frame[["width"]], words), division=KEEP)

    assert data.class_names == ("lily", "rose")
    assert data.train.y[data.train.x[:, 0] == 0].tolist() == [1]


def test_splits_share_their_classes(frame):
    """A word means the same class in every split of a dict."""
    words = frame.assign(label=["b", "c"] * 10)[["width", "label"]]
    test = pd.DataFrame({"width": [1.0, 2.0], "label": ["c", "a"]})
    data = from_arrays({"train": words, "test": test}, division=KEEP)

    assert data.class_names == ("a", "b", "c")
    assert data.test.y.tolist() == [2, 0]


def test_rows_with_gaps_are_named(frame):
    """A row without a value or label is left out, and named."""
    frame.loc[3, "width"] = np.nan
    kinds = frame["kind"].astype("Int64")
    kinds[7] = pd.NA
    data = from_arrays((frame[["width", "height"]], kinds), division=KEEP)

    assert len(data.train) == 18
    assert "2 of 20 rows are left out" in data.notes[0]
    assert "3, 7 (counted from 0)" in data.notes[0]


def test_mostly_gaps_are_an_error(frame):
    """More than half of the rows without a value are no data."""
    frame.loc[:10, "width"] = np.nan

    with pytest.raises(DataError, match=r"11 of 20 rows.*more than half"):
        from_arrays(frame[["width", "kind"]])


def test_columns_of_words_are_named(frame):
    """A feature that is no number is named, with what turns it into numbers."""
    with pytest.raises(DataError, match=r"\['colour'\]. Turn categories.*get_dummies"):
        from_arrays(frame.assign(colour="red", label=0))


def test_labels_of_another_number(frame):
    """Both lengths stand in the message."""
    with pytest.raises(ShapeError, match="20 rows and its labels 19"):
        from_arrays((frame[["width"]], frame["kind"][:19]))


def test_two_columns_of_labels(frame):
    """One label a sample; the message says what to do with several numbers to predict."""
    with pytest.raises(ShapeError, match=r"2 columns.*y\.to_numpy\(\)"):
        from_arrays((frame[["width"]], frame[["kind", "height"]]))


def test_an_array_with_a_series(frame):
    """An array of images may come with a Series of labels."""
    data = from_arrays((np.zeros((20, 1, 4, 4), np.float32), frame["kind"]), division=KEEP)

    assert data.input_shape == (1, 4, 4)


def test_numbers_to_predict(frame):
    """A Series of floats is a regression where it is called one."""
    data = from_arrays((frame[["height"]], frame["width"] / 4), task="regression", division=KEEP)

    assert (data.task, data.train.y.shape) == ("regression", (20, 1))


def test_pandas_is_never_imported():
    """Reading arrays does not import pandas."""
    code = """
import sys, torch
from bigmodel_lab.data import from_arrays
from_arrays((torch.zeros(20, 2), torch.arange(20) % 2))
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout.strip() == "False"


def test_whole_numbers_stay_classes():
    """Labels that are whole numbers from 0 keep their value and have no names."""
    numbers, names = class_numbers({"train": ["3", "0", "10.0"]})

    assert (numbers["train"].tolist(), names) == ([3, 0, 10], ())


def test_many_row_numbers_are_cut():
    """After forty stretches the rest is counted."""
    assert stretches(range(0, 200, 2)).endswith(", 78 and 60 more")


@pytest.mark.parametrize("kind", ["float64", "Int64", "int8", "bool", "Float32"])
def test_types_of_columns(frame, kind):
    """Numbers of every type of pandas become float32."""
    x = frame[["height"]].clip(upper=1).astype(kind)
    data = from_arrays((x, frame["kind"]), division=KEEP)

    assert data.train.x.dtype == torch.float32
    assert data.train.x.sum() == 19


def test_infinite_values_are_gaps(frame):
    """A value without end cannot be learned from."""
    frame.loc[2, "width"] = np.inf

    assert ": 2 (counted from 0)" in from_arrays(frame[["width", "kind"]], division=KEEP).notes[0]


def test_a_clean_frame_has_no_notes(frame):
    """Where nothing is left out nothing is said."""
    assert from_arrays(frame[["width", "kind"]], division=KEEP).notes == ()


def test_frames_and_arrays_side_by_side(frame):
    """Splits may come as frames and as arrays."""
    data = from_arrays(
        {"train": (frame[["width"]], frame["kind"]), "test": (np.zeros((3, 1)), np.array([0, 1, 1]))}, division=KEEP
    )

    assert (len(data.train), data.test.y.tolist()) == (20, [0, 1, 1])


def test_notes_name_their_split(frame):
    """Of several frames it is said in which the gap is."""
    gap = frame[["width", "kind"]].assign(width=lambda rows: rows["width"].where(rows["width"] != 4))
    data = from_arrays({"train": frame[["width", "kind"]], "test": gap}, division=KEEP)

    assert data.notes[0].startswith("the frame test: 1 of 20 rows")


def test_a_frame_stays_as_it_was(frame):
    """Reading changes nothing."""
    before = frame.copy()
    from_arrays(frame)

    assert frame.equals(before)


def test_columns_of_the_same_name(frame):
    """Two columns with one name are two features."""
    twice = pd.concat([frame[["width"]], frame[["width"]], frame[["kind"]]], axis=1)

    assert from_arrays(twice, division=KEEP).input_shape == (2,)


def test_a_series_of_features(frame):
    """One Series as x is one feature."""
    assert from_arrays((frame["width"], frame["kind"]), division=KEEP).input_shape == (1,)


def test_three_parts_are_refused(frame):
    """Data is (x, y)."""
    with pytest.raises(DataError, match=r"is \(x, y\); 3 parts came"):
        from_arrays((frame, frame, frame))


@pytest.mark.parametrize("kind", ["float64", "Int64"])
def test_missing_labels(frame, kind):
    """A row without label is left out whatever its type."""
    labels = frame["kind"].astype(kind)
    labels[0] = None

    assert len(from_arrays((frame[["width"]], labels), division=KEEP).train) == 19


@pytest.mark.parametrize("shape", [(20, 4, 4), (20, 3, 4, 4)])
def test_pixels_with_a_series_of_labels_stay_bytes(shape):
    """Images whose labels come from pandas are scaled like any others: they stay uint8."""
    pixels = np.full(shape, 255, np.uint8)
    data = from_arrays((pixels, pd.Series([0, 1] * 10)), division=KEEP)

    assert (data.train.x.dtype, data.input_shape) == (torch.uint8, shape[1:])


def test_tokens_with_a_series_of_labels_stay_whole():
    """Token numbers do not become fractions, which no embedding takes."""
    data = from_arrays((torch.arange(40).reshape(20, 2), pd.Series(["a", "b"] * 10)), division=KEEP)

    assert data.train.x.dtype == torch.int64


def test_gaps_in_an_array_with_a_series_are_left_out():
    """A NaN in any place of a sample leaves out its row."""
    x = np.ones((20, 2, 2), np.float32)
    x[4, 1, 1] = np.nan
    data = from_arrays((x, pd.Series([0, 1] * 10)), division=KEEP)

    assert len(data.train) == 19
    assert ": 4 " in data.notes[0]


def test_a_frame_without_rows(frame):
    """A filter that leaves nothing is said to leave nothing."""
    with pytest.raises(EmptyDataError, match="no training samples"):
        from_arrays(frame[frame.width > 100])


def test_words_with_a_series_of_labels():
    """Texts as samples are refused in words, not with an error of NumPy."""
    with pytest.raises(DataError, match="Turn words or categories into numbers first"):
        from_arrays((["good", "bad"], pd.Series([1, 0])))


def test_lists_of_different_lengths_with_a_series():
    """Ragged samples are refused the same way as without pandas."""
    with pytest.raises(ShapeError, match="x cannot become one array"):
        from_arrays(([[1], [2, 3]], pd.Series([1, 0])))
