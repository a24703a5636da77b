"""Importing is free."""

from benchmarks.import_time import LIMIT_MS, import_once


def test_the_import_is_quick_in_a_fresh_interpreter() -> None:
    """At most 150 ms in the best of five."""
    assert min(import_once().milliseconds for _ in range(5)) <= LIMIT_MS


def test_the_import_loads_nothing_heavy() -> None:
    """Neither torch nor IPython, nor NumPy, widgets or matplotlib."""
    assert import_once().heavy == []
