"""How wishes reach the training loop: everyone posts, the loop takes at its step boundaries.

No channel from a browser to Python works in every front end, so there are several
(widget, terminal, Interrupt), and all end here. Whoever posts only enqueues; only the
loop acts. Posting is safe in a signal handler: nothing here takes a lock that the
interrupted thread could hold.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

_SLICE_S = 0.1  # a wait on the main thread is cut, so that signal handlers run on every platform


@dataclass(frozen=True)
class Command:
    """A wish for the training loop."""

    name: str
    """``"pause"``, ``"resume"``, ``"stop"`` …"""
    source: str
    """Where it came from: ``"widget"``, ``"terminal"``, ``"interrupt"``, ``"api"``."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Details, values of JSON."""
    wall_ns: int = 0
    """``time.time_ns()`` when it was posted."""


class Mailbox:
    """Commands and jobs for the training loop, from any thread.

    >>> mailbox = Mailbox()
    >>> mailbox.post("pause", "widget")
    >>> mailbox.flag
    True
    >>> [command.name for command in mailbox.take()]
    ['pause']
    >>> mailbox.flag
    False
    """

    def __init__(self, on_take: Callable[[Command], None] | None = None) -> None:
        self.flag = False
        """Something waits to be taken: the only thing that the loop reads at each step."""
        self.inbound: str | None = None
        """Which channel has proved that it gets through while the loop is busy; None: none yet."""
        self.answers: dict[str, Callable[[Command], object]] = {}
        """What the loop does at a command that neither pauses nor ends it, e.g. ``"checkpoint"``, by its name."""
        self._on_take = on_take
        self._commands: deque[Command] = deque()
        self._jobs: deque[Callable[[], object]] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()  # its put() may be called inside its get()

    def post(self, name: str, source: str, /, **args: Any) -> None:
        """Leave a command for the loop. Any thread, any signal handler; returns at once."""
        self._commands.append(Command(name, source, args, time.time_ns()))
        self._ring_bell()

    def holds(self, name: str) -> bool:
        """A command of this name was posted and not taken yet. Safe in a signal handler."""
        return any(command.name == name for command in tuple(self._commands))

    def call_soon(self, job: Callable[[], object]) -> None:
        """Have ``job()`` run on the loop's thread at its next step boundary."""
        self._jobs.append(job)
        self._ring_bell()

    def take(self) -> list[Command]:
        """Run the jobs and return the commands in the order in which they came.

        Called by the loop's thread only. An error of a job goes to the caller; the
        commands then stay for the next call.
        """
        self.flag = False  # first, so that what is posted from now on raises it again
        try:
            for _ in range(len(self._jobs)):
                self._jobs.popleft()()
            return self._take_commands()
        finally:
            self.flag = self.flag or bool(self._jobs or self._commands)

    def wait(self, timeout_s: float) -> bool:
        """Wait until something is posted, at most ``timeout_s`` seconds; True when something is there.

        On the main thread signal handlers run meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        while not self.flag:
            rest = deadline - time.monotonic()
            if rest <= 0:
                return False
            self._sleep(min(rest, _SLICE_S))
        return True

    def prove_inbound(self, source: str) -> None:
        """Note that a message from ``source`` arrived while the loop was busy: a way to resume exists."""
        self.inbound = source

    def _take_commands(self) -> list[Command]:
        while not self._wake.empty():
            self._sleep(0)
        taken = [self._commands.popleft() for _ in range(len(self._commands))]
        if self._on_take is not None:
            for command in taken:
                self._on_take(command)
        return taken

    def _ring_bell(self) -> None:
        self.flag = True
        self._wake.put(None)

    def _sleep(self, seconds: float) -> None:
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return
