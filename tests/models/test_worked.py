"""Worked examples as text: every number can be read, and nothing stands where the document is right."""

from __future__ import annotations

import pytest
import torch

from bigmodel_lab.i18n import Text
from bigmodel_lab.models._worked import Shown, as_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3.0, "3"), (0.1 + 0.2, "0.3"), (1e-5, "1e-05"), (torch.tensor(0.51803), "0.51803"), (float("nan"), "nan")],
)
def test_a_number_stands_behind_its_formula(value, shown):
    """Six digits are enough to compare with a document; a tensor of one number is a number."""
    assert as_text("t", [Shown("s", value)]) == f"t\n\n 1. s = {shown}"


def test_a_row_stands_below_its_formula():
    """A vector is one line of four decimals."""
    assert as_text("t", [Shown("s", torch.tensor([1.0, -2.5]))]).splitlines()[-1] == "         1.0000   -2.5000"


def test_each_row_of_a_matrix_has_its_line():
    """Columns stand below each other whatever the signs."""
    rows = as_text("t", [Shown("s", torch.tensor([[1.0, -2.0], [-10.0, 20.0]]))]).splitlines()[3:]

    assert len(rows) == 2
    assert [row.rindex(".") for row in rows] == [rows[0].rindex(".")] * 2


def test_no_zero_has_a_sign():
    """A product with 0 may be -0, which would be read as a negative number."""
    assert "-0" not in as_text("t", [Shown("s", torch.tensor([-0.0, 0.0]))])


def test_an_erratum_stands_below_what_is_printed():
    """First what the document has, then why that is wrong."""
    lines = as_text("t", [Shown("s", 1.0, "2", Text("test.worked.why", "Because."))]).splitlines()

    assert lines[3:] == ["    The document prints: 2", "    Because."]


def test_an_erratum_may_stand_alone():
    """Where the document prints nothing, it may still be wrong."""
    lines = as_text("t", [Shown("s", 1.0, erratum=Text("test.worked.alone", "Missing."))]).splitlines()

    assert lines[3:] == ["    Missing."]


def test_numbers_of_ten_steps_stay_aligned():
    """The tenth step does not move to the right."""
    lines = as_text("t", [Shown("s", 1.0)] * 10).splitlines()

    assert len({line.index(".") for line in lines[2:]}) == 1
