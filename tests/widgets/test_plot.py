"""The run as a matplotlib figure."""

from __future__ import annotations

import sys

import pytest
from fakes import full_run

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.widgets import plot


def test_it_draws_the_charts_without_pyplot():
    """Every chart with values is one axes, and pyplot is not even imported."""
    before = "matplotlib.pyplot" in sys.modules
    figure = plot(full_run())

    assert [axes.get_title(loc="left") for axes in figure.axes][:2] == ["Loss", "Accuracy"]
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_it_shows_itself_in_a_cell():
    """As the last line of a cell the figure is a PNG."""
    assert plot(full_run(500))._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """The message says what to install."""
    monkeypatch.setattr("bigmodel_lab.widgets._figure.find_spec", lambda _: None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[train\]"):
        plot(full_run())
