"""One line while something takes its time: silent at first, gone at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from bigmodel_lab.widgets._cell import Cell, sending_errors
from bigmodel_lab.widgets._frontends import FrontEnd, detect

if TYPE_CHECKING:
    from typing_extensions import Self

AFTER_SECONDS = 2.0
"""What takes less shows nothing."""


class WaitingLine:
    """Says in a terminal, or below the cell of a notebook, what is being done; a file and a notebook without a page stay clean.

    >>> with WaitingLine("tracing…") as line:
    ...     line.say("tracing at 64 samples…")
    """

    def __init__(
        self,
        words: str,
        out: TextIO | None = None,
        front: FrontEnd | None = None,
        *,
        after_s: float = AFTER_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the time counts from entering.

        Args:
            words: What is being done, until :meth:`say` says something else.
            out: Where a script writes; None is standard error. Only a terminal is written to, as only there a line goes again.
            front: Where this code runs; None finds it out.
            after_s: Seconds of silence.
            now: Clock in seconds.
        """
        self._words, self._after, self._now = words, after_s, now
        front = detect() if front is None else front
        out = sys.stderr if out is None else out
        self._cell = Cell() if front.kind == "notebook" else None
        self._out = out if front.kind == "script" and out.isatty() else None
        self._by_thread = front.thread_updates
        self._due = float("inf")
        self._width = 0
        self._is_shown = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(after_s, self._appear)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """The time counts from here."""
        self._due = self._now() + self._after
        if self._by_thread and (self._cell or self._out):
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The line goes."""
        self._timer.cancel()
        with self._lock:
            self._due = float("inf")
            if self._is_shown:
                self._show("")

    def say(self, words: str) -> None:
        """Something else is being done now; shown where the silence is over."""
        with self._lock:
            self._words = words
            if self._now() >= self._due:
                self._show(words)

    def _appear(self) -> None:
        """The silence is over."""
        with self._lock:
            if self._due < float("inf") and not self._is_shown:
                self._show(self._words)

    def _show(self, words: str) -> None:
        try:
            if self._cell is not None:
                (self._cell.replace if self._is_shown else self._cell.show)({"text/plain": words})
            elif self._out is not None:
                self._out.write("\r" + words.ljust(self._width) + ("" if words else "\r"))  # blanks hide a longer line
                self._out.flush()
        except sending_errors():  # the work goes on without its line
            self._cell = self._out = None
        self._width, self._is_shown = len(words), True
