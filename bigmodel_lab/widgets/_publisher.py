"""Sends a run to a view: pulls what is new by cursor, a few times a second.

Training never waits for it: it reads the run log, and whatever goes wrong with sending
stays here and is told in :attr:`Publisher.failure`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from bigmodel_lab.runlog.base import Source, StreamHeader
from bigmodel_lab.widgets import _frames, _tips
from bigmodel_lab.widgets._cell import sending_errors
from bigmodel_lab.widgets._frames import Frame, Group
from bigmodel_lab.widgets._state import RunState, StateReader
from bigmodel_lab.widgets._stream import FollowedStream, RangeRequest

STATE_SECONDS = 1.0
"""Most time between two messages while the run lives."""
KEYFRAME_SECONDS = 5.0
"""Time between two views of the whole run, for a browser that missed something."""
_FAILURES = 3


class Publisher:
    """Turns a run into messages. Any thread may call any method; one at a time works in :meth:`tick`."""

    def __init__(
        self,
        source: Source,
        send: Callable[[Frame], None],
        *,
        on_structure: Callable[[tuple[StreamHeader, ...]], None] = lambda _: None,
        facts: Callable[[RunState], Mapping[str, Any]] = lambda _: {},
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow a run.

        Args:
            source: The run.
            send: Takes each message; may be slow or fail.
            on_structure: Called before the first message with new streams or keys, in the order of their indices.
            facts: More facts for the browser, merged into the state; a change of them is sent at once.
            now: Clock in seconds.
        """
        self._source, self._send, self._on_structure = source, send, on_structure
        self._facts, self._now = facts, now
        self._reader = StateReader(source)
        self._streams: dict[str, FollowedStream] = {}
        self._one_at_a_time = threading.Lock()
        self._outbox: deque[Frame | RangeRequest] = deque()
        self._wants_keyframe = True  # the first message carries what was recorded before
        self._greeted = False  # a hello waits for its answer
        self._seq = 0
        self._last_sent = self._last_keyframe = float("-inf")
        self._unknown: Mapping[str, str] = {}
        self._shown: Mapping[str, Any] = {}
        self._told: tuple[object, ...] = ()
        self._told_unknown: Mapping[str, str] = {}
        self._told_tips: Mapping[str, Any] | None = {"cards": [], "held": None}  # nothing needs no telling
        self._failures = 0
        self.failure: str | None = None
        """Why nothing is sent any more; None while sending works."""
        self.state: RunState = self._reader.read()
        """Where the run stood at the last look."""
        self.ended = False
        """The run has ended and all of it was sent."""

    def hello(self) -> None:
        """A view appeared: it needs the whole run, and to know that it was heard."""
        self._wants_keyframe = self._greeted = True

    def ack(self, name: str, *, ok: bool, number: object = None) -> None:
        """Tell the browser what became of a command, and about which proposal it was where it was about one."""
        self._outbox.append(_frames.ack(name, ok=ok, number=number))

    def request_range(self, request: RangeRequest) -> None:
        """A view wants finer data of a stretch."""
        self._outbox.append(request)

    def tick(self) -> None:
        """Send what is new. Returns at once where another thread is doing so, or sending has failed for good."""
        if self.failure is not None or not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            self._update()
            self._failures = 0
        except sending_errors() as error:
            self._note_failure(error)
        finally:
            self._one_at_a_time.release()

    def _update(self) -> None:
        self.state, self._unknown = self._reader.read(), dict(self._source.unknown())
        self._shown = self._facts(self.state)
        self._follow_structure()
        self._empty_outbox()
        if self._wants_keyframe:
            self._send_keyframe()
        groups = self._new_groups()
        if groups or self._state_is_due():
            self._deliver(_frames.delta(self._next_seq(), groups, self._message(whole=False)))
        if self._now() - self._last_keyframe >= KEYFRAME_SECONDS:
            self._send_keyframe()
        advised = self._tell_tips()
        # A tick without news says that nothing is left to read.
        self.ended = self.state.status.ended and not (groups or advised or self._outbox or self._wants_keyframe)

    def _follow_structure(self) -> None:
        changed = not self._unknown.keys() <= self._told_unknown.keys()
        for header in self._source.streams():
            followed = self._streams.get(header.name)
            if followed is None:
                self._streams[header.name] = FollowedStream(self._source, header)
            elif followed.header.keys != header.keys:
                followed.grow(header)
            else:
                continue
            changed = True
        if changed:
            self._wants_keyframe = True
            self._on_structure(tuple(followed.header for followed in self._streams.values()))

    def _empty_outbox(self) -> None:
        while self._outbox:
            entry = self._outbox.popleft()
            frame = self._answer(entry) if isinstance(entry, RangeRequest) else entry
            if frame is not None:
                self._deliver(frame)

    def _answer(self, request: RangeRequest) -> Frame | None:
        streams = list(self._streams.values())
        if not 0 <= request.stream < len(streams):
            return None  # a view of an older spec; it asks again with the new one
        followed = streams[request.stream]
        rows = followed.between(request.start, request.stop, request.buckets)
        return _frames.range_answer(request.request, Group(request.stream, rows, followed.last(self._unknown)))

    def _send_keyframe(self) -> None:
        """The history as far as deltas told it, so that a view may take it before or after any of them."""
        streams = list(self._streams.values())
        caught_up = [followed.catch_up() for followed in streams]  # all of them, not only the first
        if any(caught_up):
            self._next_seq()  # these rows come in no delta: a number left out makes every view take the keyframe
        histories = [(i, followed.history, followed.last(self._unknown)) for i, followed in enumerate(streams)]
        self._deliver(_frames.keyframe(self._next_seq(), histories, self._message(whole=True)))
        self._last_keyframe = self._now()
        self._wants_keyframe = False
        if self._greeted:
            self._greeted = False
            self._tell_tips(again=True)
            self._deliver(_frames.ack("hello", ok=True))

    def _tell_tips(self, *, again: bool = False) -> bool:
        """Send cards and what ran out of memory where they changed; whether they were sent."""
        tips = {"cards": _tips.cards(self._source.proposals()), "held": _tips.held(self.state)}
        if tips == self._told_tips and not again:
            return False
        self._deliver(_frames.tips(tips))
        self._told_tips = tips
        return True

    def _new_groups(self) -> list[Group]:
        groups = []
        for index, followed in enumerate(self._streams.values()):
            rows = followed.new_rows()
            if rows is not None:
                groups.append(Group(index, rows, followed.last(self._unknown)))
        return groups

    def _state_is_due(self) -> bool:
        waited = self._now() - self._last_sent >= STATE_SECONDS
        return self._told != self._worth_telling() or (waited and not self.state.status.ended)

    def _worth_telling(self) -> tuple[object, ...]:
        return (self.state.status, self._shown, self._unknown)

    def _message(self, *, whole: bool) -> dict[str, Any]:
        message = {**self.state.message(), **self._shown}
        if whole or self._unknown != self._told_unknown:
            message["unknown"] = self._unknown
        self._told, self._told_unknown = self._worth_telling(), self._unknown
        return message

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _deliver(self, frame: Frame) -> None:
        self._send(frame)
        self._last_sent = self._now()

    def _note_failure(self, error: Exception) -> None:
        self._wants_keyframe = True  # what was lost comes again, as a whole
        self._told_tips = None
        self._seq += 1
        self._failures += 1
        if self._failures >= _FAILURES:
            self.failure = f"{type(error).__name__}: {error}"
