"""Rows survive their record."""

from __future__ import annotations

import json

from benchmarks.gpu.cases import grid
from benchmarks.gpu.rows import Row, from_json, rows_of
from tests.benchmarks.gpu.standins import estimate, truth


def test_a_row_comes_back_from_json_as_it_was() -> None:
    """Tuples included."""
    whole = Row("a", truth=truth(), estimate=estimate(), recording="a.json.gz")

    assert from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_an_empty_row_comes_back_too() -> None:
    """With its reasons."""
    empty = Row("a", why_not="out of memory", no_estimate="a sparse layer")

    assert from_json(json.loads(json.dumps(empty.to_json()))) == empty


def test_a_new_prediction_takes_the_place_of_the_old() -> None:
    """The measurement stays."""
    row = Row("a", truth=truth(), estimate=estimate(1))

    assert row.predicted(None, "not any more") == Row("a", truth=truth(), no_estimate="not any more")


def test_every_case_gets_its_row() -> None:
    """The known one, an empty one for a new case; rows of former cases go."""
    first, second = grid()[:2]
    known = Row(second.name, truth=truth())

    assert rows_of((first, second), [known, Row("gone")]) == [Row(first.name, why_not="not run"), known]
