"""Columns and rows of a person's tables: which holds the labels, what labels mean, which rows are left out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.data._columns import class_numbers, label_position, left_out, stretches
from bigmodel_lab.errors import DataError


@pytest.mark.parametrize(
    ("names", "place"),
    [
        (["a", "b"], 1),
        (["label", "b"], 0),
        (["a", "TARGET", "c"], 1),
        (["a", " y ", "c"], 1),
        (["y", "class", "c"], 1),  # a class is more surely a label than y is
        (["class_of_ship", "price"], 1),
        ([0, 1, 2], 2),
    ],
)
def test_which_column_holds_the_labels(names, place):
    """The one that is called so, in the order of how sure the name is; or else the last."""
    assert label_position(names) == place


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (["0", "2", "1"], [0, 2, 1], ()),
        (["1.0", "2.0"], [1, 2], ()),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        (["10", "9", "-1"], [2, 1, 0], ("-1", "9", "10")),
        (["0.5", "1.5"], [0.5, 1.5], ()),
        (["7", "none"], [0, 1], ("7", "none")),
        ([], [], ()),
    ],
)
def test_what_labels_mean(labels, numbers, names):
    """Whole numbers from 0 are class numbers, fractions stay for others to judge, all else are names."""
    found, found_names = class_numbers({"train": labels})

    assert (found["train"].tolist(), found_names) == (numbers, names)


@given(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=30))
def test_names_lead_back_to_the_labels(labels):
    """With names, the number of a label is the place of its name."""
    numbers, names = class_numbers({"train": labels})

    if names:
        assert [names[int(number)] for number in numbers["train"]] == labels


def test_a_label_means_the_same_in_every_part():
    """Names are numbered over all parts together."""
    numbers, names = class_numbers({"train": ["b"], "test": ["a", "b"]})

    assert names == ("a", "b")
    assert (numbers["train"].tolist(), numbers["test"].tolist()) == ([1], [0, 1])


@given(st.sets(st.integers(1, 60), min_size=1, max_size=40))
def test_stretches_name_every_number(numbers):
    """Written out again, the stretches are the numbers."""
    found = []
    for first, last in re.findall(r"(\d+)(?:–(\d+))?", stretches(sorted(numbers))):
        found += range(int(first), int(last or first) + 1)

    assert found == sorted(numbers)


def test_nothing_left_out_is_no_note():
    """Where all rows can be used there is nothing to say."""
    assert left_out("own.csv", [], 10, what="lines", example="") == ()


@pytest.mark.parametrize(("bad", "total"), [([1], 2), ([1, 2, 3], 6)])
def test_half_may_be_left_out(bad, total):
    """Up to half of the rows is a note."""
    (note,) = left_out("own.csv", bad, total, what="lines", example="line 1: nothing in column 'a'")

    assert note.startswith(f"own.csv: {len(bad)} of {total} lines are left out")


def test_more_than_half_is_an_error():
    """The note becomes the message, with what to look at."""
    with pytest.raises(DataError, match=r"3 of 5 rows are left out.*That is more than half\. Is the table separated"):
        left_out("the frame", [0, 1, 2], 5, what="rows", example="counted from 0")
