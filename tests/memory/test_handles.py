"""Handles of cuBLAS: one for each thread that multiplies, and one more for the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest

from bigmodel_lab.memory.handles import Handles


def in_thread(work: Callable[[], object]) -> None:
    """Done by a thread that has ended."""
    thread = Thread(target=work)
    thread.start()
    thread.join()


def test_a_thread_keeps_its_handle() -> None:
    """However often it multiplies."""
    handles = Handles()

    assert [handles.of_this_thread(), handles.of_backward(), handles.of_this_thread()] == [0, 1, 0]


def test_a_run_in_the_background_has_one_more() -> None:
    """It was tried out on this thread, and runs on another."""
    handles = Handles()
    handles.of_this_thread()
    with ThreadPoolExecutor(1) as background:
        background.submit(handles.of_this_thread).result()
        background.submit(handles.of_backward).result()

        assert handles.beside_backward == 2


def test_the_next_thread_takes_the_handle_of_one_that_has_ended() -> None:
    """Ten runs in the background, one behind the other, have no more than the first."""
    handles = Handles()
    handles.of_this_thread()
    handles.of_backward()
    for _ in range(10):
        in_thread(handles.of_this_thread)

    assert handles.beside_backward == 2


def test_a_handle_of_a_thread_that_has_ended_keeps_its_workspace() -> None:
    """A run in the foreground behind one in the background has both beside it."""
    handles = Handles()
    handles.of_this_thread()
    handles.of_backward()
    in_thread(handles.of_this_thread)
    handles.of_this_thread()

    assert handles.beside_backward == 2


@pytest.mark.parametrize("had_run", [False, True])
def test_the_backward_pass_takes_over_as_well(had_run: bool) -> None:
    """Where a thread that has ended left a handle before the first backward pass, there is none more."""
    handles = Handles()
    handles.of_this_thread()
    in_thread(handles.of_this_thread)
    if had_run:
        handles.of_backward()

    assert handles.beside_backward == 1


def test_where_nobody_has_one_the_step_itself_will() -> None:
    """Also behind a clearing of all workspaces."""
    handles = Handles()
    handles.of_this_thread()
    in_thread(handles.of_this_thread)
    handles.forget()

    assert handles.beside_backward == 1
