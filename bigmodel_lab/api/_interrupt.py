"""The notebook's Interrupt button (SIGINT), turned into a command for the training loop.

First press: pause, where a way to resume was proved in this run, otherwise stop. Second
press: stop. One more, when the loop does not answer: KeyboardInterrupt, as ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bigmodel_lab.runlog import RunLog, Status


@contextmanager
def interrupts_to(log: RunLog, *, may_pause: bool, tell: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, Interrupt becomes a command; off the main thread nothing changes.

    Args:
        log: The run whose mailbox gets the commands.
        may_pause: A paused loop could be resumed from here (a notebook, not a script).
        tell: Called from inside the signal handler with the command that was posted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _Handler(log, may_pause=may_pause, tell=tell))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Handler:
    """Decides what a press means from where the run stands."""

    def __init__(self, log: RunLog, *, may_pause: bool, tell: Callable[[str], None]) -> None:
        self._log = log
        self._may_pause = may_pause
        self._tell = tell
        self._stopping = False

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        command = "pause" if self._pausable() else "stop"
        self._stopping = command == "stop"
        self._log.mailbox.post(command, "interrupt")
        self._tell(command)

    def _pausable(self) -> bool:
        mailbox = self._log.mailbox
        asked_already = self._log.status() is Status.PAUSED or mailbox.holds("pause")
        return self._may_pause and mailbox.inbound is not None and not asked_already
