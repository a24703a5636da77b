"""A program whose way depends on values is traced more than once: what raises is not the way that trains."""

from __future__ import annotations

import dis
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from bigmodel_lab.errors import BigModelLabError, TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.trace._decisions import Answers, Read, Where, user_line

_MOST_RUNS = 12
"""Traces in search of a way that does not raise."""
_TORCH = str(Path(torch.__file__).parent)
_MOST_COMPARED = 3
"""Decisions of which both ways are traced, where both go through."""
_LARGEST_COMPARED = 40_000
"""Requests of a trace up to which it is cheap to trace it again for that."""


@dataclass
class Ended:
    """How one trace ended."""

    answers: Answers
    trace: RequestTrace | None = None
    error: BaseException | None = None


class Caught:
    """Keeps the error of what runs inside, ``sys.exit`` included; interruptions and errors of this library go through.

    >>> with Caught() as caught:
    ...     raise ValueError("own")
    >>> caught.error
    ValueError('own')
    """

    error: BaseException | None = None

    def __enter__(self) -> Caught:  # noqa: PYI034 (Self needs Python 3.11)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception | SystemExit) or isinstance(error, BigModelLabError):
            return False
        self.error = error
        return True


Run = Callable[[Answers], Ended]
"""Traces the program once with these answers."""


def way_through(run: Run, *, compare: bool) -> RequestTrace:
    """The trace of a program in which no guard raised; of two ways that both go through, the one that takes more.

    Args:
        run: Traces it from the beginning.
        compare: Look at the other way of decisions, too, where both are possible.

    Raises:
        TraceError: No way was found; or a size of the program depends on a value.
        Exception: The program's own error, where it does not depend on what was answered.
    """
    first = run(Answers())
    found = first if first.error is None else _without_error(run, first)
    if found.answers.reads:
        found = _compared(run, found) if compare else found
        assert found.trace is not None
        note = _note(found.answers)
        return replace(found.trace, notes=(*found.trace.notes, note))
    assert found.trace is not None
    return found.trace


def _without_error(run: Run, first: Ended) -> Ended:
    assert first.error is not None
    search = _Search(run)
    found = search.from_here(first, {}, frozenset())
    if found is not None:
        return found
    if first.answers.reads and (_is_raised_by_hand(first.error) or not _same_error(run, first)):
        raise TraceError(_advice(first)) from first.error
    raise first.error


class _Search:
    """Depth first: the last decision before an error is the likeliest to have caused it."""

    def __init__(self, run: Run) -> None:
        self._run, self._left = run, _MOST_RUNS

    def from_here(self, ended: Ended, other: dict[Where, bool | int], settled: frozenset[Where]) -> Ended | None:
        """A way without error that answers otherwise where it was not settled before; None where none was found."""
        for read in reversed(list(ended.answers.reads.values())):
            if read.where in settled or not self._left:
                continue
            self._left -= 1
            changed = {**other, read.where: _opposite(read)}
            settled |= {read.where}
            tried = self._run(Answers(changed))
            if tried.error is None:
                return tried
            asks_more = not tried.answers.reads.keys() <= ended.answers.reads.keys()
            if asks_more or not _alike(tried.error, ended.error):
                deeper = self.from_here(tried, changed, settled)
                if deeper is not None:
                    return deeper
        return None


def _opposite(read: Read) -> bool | int:
    return not read.usual if read.is_decision else 0 if read.usual else 1


def _compared(run: Run, found: Ended) -> Ended:
    """Both ways of each decision, and another number for each that is read."""
    assert found.trace is not None
    if len(found.trace.sequence) > _LARGEST_COMPARED:
        return found
    usual = found.answers.other
    for read in [r for r in found.answers.reads.values() if r.is_decision and r.where not in usual][:_MOST_COMPARED]:
        other = _other_way(run, read, usual)
        if other is not None and _peak(other) > _peak(found):
            found = other
    whole = [read for read in found.answers.reads.values() if read.is_whole and read.where not in usual]
    if whole:
        larger = _quiet(run, Answers(found.answers.other, number=2))
        if larger is not None and _sizes(larger) != _sizes(found):
            raise TraceError(_size_advice(whole[-1]))
    return found


def _other_way(run: Run, read: Read, usual: dict[Where, bool | int]) -> Ended | None:
    """What the program does where a decision is taken otherwise; None where that raises.

    Raises:
        TraceError: The decision is the test of a loop, which went on for ever; how often it turns for real is not known.
    """
    answers = Answers({**usual, read.where: _opposite(read)})
    try:
        ended = run(answers)
    except TraceError:
        if read.in_test and answers.reads[read.where].turns_for_long:
            raise
        return None
    return ended if ended.error is None else None


def _quiet(run: Run, answers: Answers) -> Ended | None:
    """A trace that goes through; None for one that does not."""
    try:
        ended = run(answers)
    except TraceError:
        return None
    return ended if ended.error is None else None


def _sizes(ended: Ended) -> list[int]:
    assert ended.trace is not None
    return [allocation.bytes for allocation in ended.trace.allocations]


def _peak(ended: Ended) -> int:
    trace = ended.trace
    assert trace is not None
    now = most = 0
    for entry in trace.sequence:
        now += trace.allocations[entry].bytes if entry >= 0 else -trace.allocations[~entry].bytes
        most = max(most, now)
    return most


def _same_error(run: Run, first: Ended) -> bool:
    """The error is the same whatever number is read."""
    again = run(Answers(number=2))
    return again.error is not None and first.error is not None and _alike(again.error, first.error)


def _alike(one: BaseException, other: BaseException | None) -> bool:
    return type(one) is type(other) and str(one) == str(other) and _raised_at(one) == _raised_at(other)


def _raised_at(error: BaseException | None) -> tuple[Any, int] | None:
    last = None if error is None else _innermost(error)
    return None if last is None else (last.tb_frame.f_code, last.tb_lasti)


def _innermost(error: BaseException) -> TracebackType | None:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last


def _is_raised_by_hand(error: BaseException) -> bool:
    """By ``raise``, ``assert`` or ``sys.exit``, and not by an operation."""
    if isinstance(error, SystemExit):
        return True
    last = _innermost(error)
    if last is None or (last.tb_frame.f_code.co_filename.startswith(_TORCH) and not isinstance(error, AssertionError)):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def error_line(error: BaseException) -> str:
    """Line of the user's own code in which an error was raised."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    return user_line(reversed(places))


def _advice(ended: Ended) -> str:
    assert ended.error is not None
    return text(
        "error.trace_guard",
        "The step cannot be followed without data: it reads values of the card ({lines}), and with every answer that was tried it "
        "ended in {kind}: {error} ({line}). Estimate a step without that check: step=lambda model, batch: ….",
        lines=ended.answers.lines(),
        kind=type(ended.error).__name__,
        error=str(ended.error) or "–",
        line=error_line(ended.error),
    )


def _size_advice(read: Read) -> str:
    return text(
        "error.trace_size",
        "The step cannot be followed without data: it reads a whole number of the card at {line}, and how much memory it takes depends "
        "on that number. Estimate a step that takes the largest it can be from a shape, e.g. x.shape[1] in the place of "
        "int(lengths.max()).",
        line=read.line,
    )


def _note(answers: Answers) -> str:
    return text(
        "trace.read",
        "The step reads a number of the card (item(), float(), if) at {lines}: 1 stands for it, no number is NaN or infinite, "
        "and of two ways it goes the one that does not raise and takes more.",
        lines=answers.lines(),
    )
