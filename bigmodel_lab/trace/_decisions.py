"""Values of the card that a program reads while it is traced: nobody knows them, so each is answered, and where it was asked is kept."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeAlias

import torch

from bigmodel_lab.errors import TraceError
from bigmodel_lab.i18n import text
from bigmodel_lab.trace._inert import is_library_file

Place: TypeAlias = tuple[int, ...]
"""Line and instruction; in the test of a loop, which Python compiles twice, line and columns (from Python 3.11 on)."""
Where: TypeAlias = tuple[tuple[CodeType, Place], ...]
"""The places that led to a read, the innermost first: the same in every trace of one program."""
_OURS = str(Path(__file__).parent)
_BELOW = str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<"
_MOST_IN_A_TEST, _MOST_IN_A_WHILE, _MOST = 200, 1000, 100_000
"""Reads by one instruction before a loop is taken for one that ends only by a value: in its own test, in its body, in any other."""


@dataclass
class Read:
    """One place of the program that reads values."""

    where: Where
    line: str
    """File and line of the user's own code, as ``train.py:12``."""
    is_decision: bool
    """A yes or no; else a number."""
    is_whole: bool
    """A whole number, which may become a size."""
    usual: bool | int
    """What is answered where nothing speaks against it."""
    in_test: bool
    """It decides whether a ``while`` loop goes on."""
    times: int = 0
    """How often it was read."""

    @property
    def turns_for_long(self) -> bool:
        """More often than a loop in whose test it stands is followed."""
        return self.times > _MOST_IN_A_TEST


@dataclass
class Answers:
    """What a trace answers, and what it was asked."""

    other: dict[Where, bool | int] = field(default_factory=dict)
    """Answers that differ from the usual ones, by place."""
    number: int = 1
    """Stands for every number of which nothing else is said."""
    reads: dict[Where, Read] = field(default_factory=dict)
    """What was asked, in the order of the first time."""

    def answer(self, usual: bool | int, *, is_decision: bool, is_whole: bool) -> bool | int:
        """What stands for a value that the program reads now.

        Raises:
            TraceError: A loop that may end only by this value has been turning for long.
        """
        where = _here()
        read = self.reads.pop(where, None) or _asked(where, usual, is_decision=is_decision, is_whole=is_whole)
        self.reads[where] = read  # the last one asked stands last
        read.times += 1
        if read.times > _MOST_IN_A_TEST:
            _check_loop(read)
        if where in self.other:
            return self.other[where]
        return usual if is_decision or usual != 1 else self.number

    def lines(self) -> str:
        """Where the user's program read values, at most three places."""
        lines = list(dict.fromkeys(read.line for read in self.reads.values()))
        return ", ".join(lines[:3]) + (", …" if len(lines) > 3 else "")


def user_line(frames: Iterator[tuple[CodeType, int]]) -> str:
    """The innermost line of the user's own code; that of a library where there is none.

    Args:
        frames: Code and line, the innermost first.
    """
    found = list(frames)
    own = [place for place in found if not is_library_file(place[0].co_filename)]
    of_models = [place for place in found if not place[0].co_filename.startswith(_BELOW)]
    for code, line in own or of_models or found:
        return f"{Path(code.co_filename).name}:{line}"
    return "?"


def _asked(where: Where, usual: bool | int, *, is_decision: bool, is_whole: bool) -> Read:
    lines = [(code, place[0]) for code, place in where]
    return Read(where, user_line(iter(lines)), is_decision, is_whole, usual, in_test="test" in _loops_around(where))


def _here() -> Where:
    """From the code that asks up to the trace that runs it, without the code of the trace."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    found = []
    while frame is not None and not _runs_the_trace(frame):
        if not frame.f_code.co_filename.startswith(_OURS):
            found.append((frame.f_code, _place(frame.f_code, frame.f_lasti)))
        frame = frame.f_back
    return tuple(found)


def _runs_the_trace(frame: FrameType) -> bool:
    return frame.f_code.co_name == "_run" and frame.f_code.co_filename == str(Path(_OURS) / "__init__.py")


@cache
def _place(code: CodeType, instruction: int) -> Place:
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end and line is not None)
    line = next(lines, code.co_firstlineno)
    if is_library_file(code.co_filename) or _loops(code, line) != "test":
        return (line, instruction)
    if sys.version_info < (3, 11):
        return (line,)
    _, _, column, end_column = next(islice(code.co_positions(), instruction // 2, None))
    return (line, column or 0, end_column or 0)


def _check_loop(read: Read) -> None:
    kinds = _loops_around(read.where)
    most = _MOST_IN_A_TEST if "test" in kinds else _MOST_IN_A_WHILE if "body" in kinds else _MOST
    if read.times > most:
        raise TraceError(
            text(
                "error.trace_loop",
                "The loop at {line} ends by a value of the card, which nobody knows without data: it was followed for {times} turns. "
                "Give a step with a fixed number of turns, e.g. for _ in range(…) in the place of while.",
                line=read.line,
                times=most,
            )
        )


def _loops_around(where: Where) -> set[str]:
    """How the user's own lines on the way to a read stand to ``while`` loops."""
    own = [(code, place[0]) for code, place in where if not is_library_file(code.co_filename)]
    return {_loops(code, line) for code, line in own}


def _loops(code: CodeType, line: int) -> str:
    """How a line stands to the innermost ``while`` around it: ``"test"``, ``"body"``, or ``""`` where there is none."""
    for kind, first, last in _whiles(code.co_filename, code.co_firstlineno):
        if first <= line <= last:
            return kind
    return ""


@cache
def _whiles(file: str, first_line: int) -> tuple[tuple[str, int, int], ...]:
    """Lines of the tests and bodies of all ``while`` loops of the function that begins at a line; tests first."""
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source)
    except SyntaxError:  # cells of a notebook with magic commands, say: then nothing is known of loops
        return ()
    inside = [node for node in ast.walk(tree) if isinstance(node, ast.While) and node.lineno >= first_line]
    tests = [("test", node.test.lineno, node.test.end_lineno or node.test.lineno) for node in inside]
    return (*tests, *(("body", node.lineno, node.end_lineno or node.lineno) for node in inside))
