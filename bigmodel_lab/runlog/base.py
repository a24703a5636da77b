"""What travels between a run log and those who read it.

A run log holds *streams*: tables of numbers that grow at the end, one row a step or a
sample. Readers keep a cursor (the index of the next row) for each stream and pull. A
live :class:`~bigmodel_lab.runlog.RunLog` and a file opened with
:class:`~bigmodel_lab.runlog.RunReader` are both a :class:`Source`, so a view cannot tell
a running run from a recorded one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Axis = Literal["step", "time"]


class Status(str, Enum):
    """Where a run stands."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    """Every step was made."""
    STOPPED = "stopped"
    """Ended early by a person; can be resumed."""
    FAILED = "failed"
    """Ended by an error."""
    LOST = "lost"
    """Its process is gone without a word: killed, or the machine went down."""

    @property
    def ended(self) -> bool:
        """No further step will come by itself."""
        return self not in (Status.RUNNING, Status.PAUSED)


@dataclass(frozen=True)
class StreamHeader:
    """Name and columns of a stream."""

    name: str
    """``"step"``, ``"epoch"``, or the name of a sampler."""
    axis: Axis
    """What views draw it against by default."""
    keys: tuple[str, ...]
    """Metric keys of the columns. Keys may be added at the end, never removed."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one stream."""

    stream: str
    """Name of the stream."""
    first: int
    """Index of the first row. Larger than what was asked for when rows in between are lost
    (a gap: the reader was slower than the ring is long)."""
    step: NDArray[np.int64]
    """Optimizer step of each row, shape (rows,); of a sample: the last step before it, or -1."""
    monotonic_ns: NDArray[np.int64]
    """``time.monotonic_ns()`` of each row, shape (rows,); comparable within one run only."""
    values: NDArray[np.float64]
    """Values, shape (rows, keys); NaN where nothing is known."""

    @property
    def next(self) -> int:
        """Cursor for the following read."""
        return self.first + len(self.step)

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class Event:
    """Something that happened once, with its data."""

    index: int
    """Position among the events of the run, from 0."""
    kind: str
    """``"started"``, ``"device"``, ``"paused"``, ``"resumed"``, ``"command"``, ``"unknown"``,
    ``"known"``, ``"gap"``, ``"ended"`` …"""
    step: int
    """Optimizer steps made so far."""
    wall_ns: int
    """``time.time_ns()`` when it happened."""
    monotonic_ns: int
    """``time.monotonic_ns()`` when it happened."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Details, values of JSON."""


ProposalState = Literal["proposed", "applied", "kept", "reverted", "inconclusive", "undone", "withdrawn"]
"""What became of a proposal: proposed; applied and not measured yet; measured and kept, taken back or without a clear
effect; undone by a person; no longer proposed."""


@dataclass(frozen=True)
class ProposalRecord:
    """A tip as it was proposed to a run, and what became of it."""

    id: int
    """Number among the proposals of the run, from 1."""
    tip: str
    """Name of the tip."""
    state: str
    """One of :data:`ProposalState`."""
    wall_ns: int
    """``time.time_ns()`` of the latest change."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What a person is shown of it, values of JSON."""


class Source(Protocol):
    """What a view pulls from: a live run log or a run file."""

    def header(self) -> Mapping[str, Any]:
        """Facts about the run that do not change, values of JSON.

        Always there: ``run_id``, ``name``, ``origin`` (``"measured"``, ``"simulated"`` or
        ``"recorded"``), ``started_wall_ns``, ``started_monotonic_ns``. Where known:
        ``total_steps``, ``steps_per_epoch``, ``epochs``, ``device``, ``device_reason``,
        ``model``, ``parameters``, ``config``, ``data``.
        """

    def status(self) -> Status:
        """Where the run stands now."""

    def streams(self) -> tuple[StreamHeader, ...]:
        """Every stream so far."""

    def count(self, stream: str) -> int:
        """Rows that this stream has so far."""

    def read(self, stream: str, start: int = 0, limit: int | None = None) -> Block:
        """Rows from index ``start`` on, at most ``limit``; an empty block when there are none yet.

        Reading stops before a gap (rows that were lost), and the next read, from the
        block's ``next``, begins behind it.
        """

    def reduced(self, stream: str, buckets: int, start: int = 0, stop: int | None = None) -> Reduced:
        """Rows ``start`` … ``stop`` as at most ``buckets`` buckets of minimum and maximum.

        Buckets are powers of two of rows and begin at multiples of that number, so that
        they stay the same while a view moves.
        """

    def events(self, start: int = 0) -> tuple[Event, ...]:
        """Events from index ``start`` on."""

    def proposals(self) -> tuple[ProposalRecord, ...]:
        """Every proposal as it stands now, in the order of the numbers."""

    def unknown(self) -> Mapping[str, str]:
        """Why a metric has no value now, in words, by metric key."""


@dataclass(frozen=True)
class Reduced:
    """A stretch of a stream, reduced so that every spike survives."""

    step: NDArray[np.int64]
    """Step of the first row of each bucket, shape (buckets,)."""
    monotonic_ns: NDArray[np.int64]
    """Time of the first row of each bucket, shape (buckets,)."""
    low: NDArray[np.float64]
    """Smallest value of each bucket, shape (buckets, keys); NaN where nothing is known."""
    high: NDArray[np.float64]
    """Largest value of each bucket, shape (buckets, keys)."""
    rows_per_bucket: int
    """1 when the buckets are the rows themselves."""
