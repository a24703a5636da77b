"""What every recorded number means."""

from __future__ import annotations

import re

import pytest

from bigmodel_lab.metrics import Metric, describe, known
from bigmodel_lab.units import format_value

UNIT_SUFFIX = {"bytes": "_bytes", "percent": "_percent", "watts": "_watts", "celsius": "_celsius", "joules": "_joules"}
UNIT_SUFFIX |= {"megahertz": "_megahertz", "seconds": "_seconds"}


@pytest.fixture(params=known(), ids=lambda metric: metric.key)
def metric(request: pytest.FixtureRequest) -> Metric:
    """Each metric that the library records."""
    return request.param


def test_key_is_a_name_that_python_takes(metric: Metric):
    """A key can be a keyword, a column and a file name."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.key)


def test_key_ends_with_its_unit(metric: Metric):
    """A name with a unit says so itself."""
    assert metric.key.endswith(UNIT_SUFFIX.get(metric.unit, ""))
    assert not any(metric.key.endswith(s) and metric.unit != unit for unit, s in UNIT_SUFFIX.items())


def test_value_can_be_shown(metric: Metric):
    """The unit is one that the views know: it is not shown as a bare word."""
    shown = format_value(1.0, metric.unit)

    assert shown[0].isdigit()
    assert metric.unit in ("", "samples/s") or not shown.endswith(metric.unit)


def test_meaning_is_a_sentence(metric: Metric):
    """Every number answers "what is this?"."""
    meaning = str(metric.meaning)

    assert meaning[0].isupper()
    assert meaning.endswith(".")
    assert len(meaning) > 20


def test_label_fits_into_a_legend(metric: Metric):
    """Labels are short."""
    assert 0 < len(str(metric.label)) <= 30


def test_texts_have_keys_of_their_own(metric: Metric):
    """Label and meaning are translated by keys that name the metric."""
    assert metric.label.key == f"metric.{metric.key}.label"
    assert metric.meaning.key == f"metric.{metric.key}.meaning"


def test_describe_gives_the_known_metric(metric: Metric):
    """A known key gets its own entry."""
    assert describe(metric.key) is metric


def test_a_metric_of_ones_own_is_labelled_with_its_key():
    """A number that the library does not know is shown under its name, without a unit."""
    own = describe("my_score")

    assert (own.key, own.unit, str(own.label)) == ("my_score", "", "my_score")
    assert "your own code" in str(own.meaning)
