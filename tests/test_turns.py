"""Tests that run beside each other take turns at the machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.turns import turn

Begin = Callable[..., tuple[threading.Event, threading.Event]]
SOON, PATIENCE = 0.2, 30.0


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts a turn in a thread; gives the event that it has come, and the one that ends it."""
    with ExitStack() as ends:

        def start(*, alone: bool) -> tuple[threading.Event, threading.Event]:
            come, end = threading.Event(), threading.Event()

            def take() -> None:
                with turn(tmp_path, alone=alone):
                    come.set()
                    end.wait(PATIENCE)

            thread = threading.Thread(target=take)
            thread.start()
            ends.callback(thread.join)
            ends.callback(end.set)
            return come, end

        yield start


def test_ordinary_turns_overlap(begin: Begin) -> None:
    """The second begins while the first is not over."""
    first, _ = begin(alone=False)
    second, _ = begin(alone=False)

    assert first.wait(PATIENCE)
    assert second.wait(PATIENCE)


@pytest.mark.parametrize(("one", "other"), [(False, True), (True, False), (True, True)])
def test_a_turn_alone_overlaps_with_none(begin: Begin, *, one: bool, other: bool) -> None:
    """Whichever of two came first, the second waits until that is over."""
    first, end_of_first = begin(alone=one)
    assert first.wait(PATIENCE)
    second, _ = begin(alone=other)

    assert not second.wait(SOON)
    end_of_first.set()
    assert second.wait(PATIENCE)


def test_who_waits_to_be_alone_is_not_passed_by(begin: Begin) -> None:
    """An ordinary turn that is asked for later comes later, or a turn alone might never come."""
    first, end_of_first = begin(alone=False)
    assert first.wait(PATIENCE)
    waiting, end_of_waiting = begin(alone=True)
    assert not waiting.wait(SOON)
    late, _ = begin(alone=False)

    assert not late.wait(SOON)
    end_of_first.set()
    assert waiting.wait(PATIENCE)
    assert not late.is_set()
    end_of_waiting.set()
    assert late.wait(PATIENCE)
