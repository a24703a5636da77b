"""What a run log knows, in memory: facts, status, streams, events, reasons.

Every method may be called from any thread and none waits for the disk. The writer
thread copies what is new into the file.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.runlog.base import Axis, Event, ProposalRecord, ProposalState, Status
from bigmodel_lab.runlog.ring import Start, Stream

_EVENTS = 4096  # newest events kept in memory; older ones are read from the file


@dataclass
class Past:
    """What the file held when it was opened again."""

    events: int = 0
    """Number of events."""
    shift_ns: int = 0
    """Added to ``time.monotonic_ns()``, so that times go on after a reboot."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Reasons that held at the end."""
    starts: dict[str, tuple[Axis, tuple[str, ...], Start]] = field(default_factory=dict)
    """Axis, keys and end of each stream."""
    proposals: tuple[ProposalRecord, ...] = ()
    """As they stood at the end."""


class Record:
    """The state of one run that is being written."""

    def __init__(self, header: Mapping[str, Any], past: Past | None = None) -> None:
        past = past or Past()
        self.shift_ns = past.shift_ns
        self.status = Status.RUNNING
        self.header: dict[str, Any] = as_json(header)  # replaced, never changed, so that readers need no lock
        self.unknown: dict[str, str] = dict(past.unknown)
        self.proposals: dict[int, ProposalRecord] = {one.id: one for one in past.proposals}  # replaced as well
        self._streams = {name: Stream(name, axis, keys, start) for name, (axis, keys, start) in past.starts.items()}
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self.next_event = past.events
        self._lock = threading.RLock()  # never held while something slow is done

    @property
    def step(self) -> int:
        """Last step appended to the stream ``"step"``; -1 before the first."""
        stream = self._streams.get("step")
        return stream.last_step if stream else -1

    def now_ns(self) -> int:
        """``time.monotonic_ns()`` in the clock of this run."""
        return time.monotonic_ns() + self.shift_ns

    def update_header(self, facts: Mapping[str, Any]) -> None:
        """Add facts, or replace them."""
        with self._lock:
            self.header = {**self.header, **as_json(facts)}

    def streams(self) -> tuple[Stream, ...]:
        """Every stream, in the order in which they were made."""
        with self._lock:
            return tuple(self._streams.values())

    def stream(self, name: str) -> Stream:
        """The stream with this name.

        Raises:
            UnknownNameError: There is none.
        """
        try:
            return self._streams[name]
        except KeyError:
            raise UnknownNameError("stream", name, tuple(self._streams)) from None

    def make_stream(self, name: str, axis: Axis, keys: Sequence[str]) -> Stream:
        """The stream with this name, made when it does not exist; missing columns are added."""
        with self._lock:
            if name not in self._streams:
                start = Start(shift_ns=self.shift_ns)
                self._streams = {**self._streams, name: Stream(name, axis, keys, start)}
            stream = self._streams[name]
            for key in keys:
                stream.add_key(key)
            return stream

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Note that something happened now."""
        plain = as_json(data)
        with self._lock:
            now = (time.time_ns(), self.now_ns())
            self._events.append(Event(self.next_event, kind, max(self.step, 0), *now, plain))
            self.next_event += 1

    def events(self, start: int) -> tuple[Event, ...]:
        """Events from index ``start`` on that are still in memory."""
        with self._lock:
            return tuple(event for event in self._events if event.index >= start)

    def set_unknown(self, key: str, reason: str | None) -> None:
        """Say why a metric has no value, or that it has one again (None); an event when that is new."""
        with self._lock:
            if self.unknown.get(key) == reason:
                return
            others = {k: v for k, v in self.unknown.items() if k != key}
            self.unknown = others if reason is None else {**others, key: reason}
            self.event(*unknown_event(key, reason))

    def propose(self, tip: str, data: Mapping[str, Any]) -> int:
        """Add a proposal; its number."""
        with self._lock:
            number = len(self.proposals) + 1
            self._put(ProposalRecord(number, tip, "proposed", time.time_ns(), as_json(data)))
            return number

    def update_proposal(self, number: int, state: str, data: Mapping[str, Any]) -> None:
        """Say what became of a proposal; new data comes to the old.

        Raises:
            UnknownNameError: There is no proposal of this number, or no such state.
        """
        if state not in get_args(ProposalState):
            raise UnknownNameError("state", state, get_args(ProposalState))
        with self._lock:
            old = self.proposals.get(number)
            if old is None:
                raise UnknownNameError("proposal", str(number), map(str, self.proposals))
            self._put(ProposalRecord(number, old.tip, state, time.time_ns(), {**old.data, **as_json(data)}))

    def _put(self, record: ProposalRecord) -> None:
        self.proposals = {**self.proposals, record.id: record}

    def set_status(self, status: Status, why: Mapping[str, Any] | None = None) -> None:
        """Say where the run stands; an event, with the facts of ``why``, when that is new."""
        with self._lock:
            before, self.status = self.status, status
            if before is not status:
                self.event(_status_event(status), {"status": status.value, **(why or {})})

    def new_locks(self) -> None:
        """For a forked child: the lock may be held by a thread that does not exist here."""
        self._lock = threading.RLock()


def _status_event(status: Status) -> str:
    if status.ended:
        return "ended"
    return "paused" if status is Status.PAUSED else "resumed"


def unknown_event(key: str, reason: str | None) -> tuple[str, dict[str, str]]:
    """Kind and data of the event that tells of a reason."""
    return ("known", {"metric": key}) if reason is None else ("unknown", {"metric": key, "reason": reason})


def unknown_after(events: Sequence[Event]) -> dict[str, str]:
    """The reasons that hold after these events."""
    reasons: dict[str, str] = {}
    for event in events:
        reasons.pop(event.data["metric"], None)
        if event.kind == "unknown":
            reasons[event.data["metric"]] = event.data["reason"]
    return reasons


def as_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of plain values: NumPy's numbers as Python's, what JSON lacks as its text.

    >>> as_json({"rate": np.float32(0.5), "device": ValueError("none")})
    {'rate': 0.5, 'device': 'none'}
    """
    return cast("dict[str, Any]", json.loads(json.dumps(data, default=_plain, skipkeys=True)))


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
