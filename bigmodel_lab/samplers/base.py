"""The contract of a sampler: a source of numbers about the machine.

A sampler never initialises CUDA, never raises for a missing device, and never reports 0
for what it does not know: an unknown value is None, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Sample:
    """What a sampler saw at one moment."""

    monotonic_ns: int
    """``time.monotonic_ns()`` when the values were read."""
    values: Mapping[str, float | None]
    """Value by metric key; None is unknown. Always the same keys for one sampler."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a value is unknown, in words for a person, by metric key; one entry for every None."""


@runtime_checkable
class Sampler(Protocol):
    """A source of numbers about the machine, read by the poller thread."""

    name: str
    """Name of the sampler and of its stream in the run log: its file name."""
    keys: tuple[str, ...]
    """Metric keys that every sample carries, in this order."""

    def sample(self) -> Sample:
        """Read all values now. Must not raise for a missing or lost device."""

    def close(self) -> None:
        """Give back what the sampler holds. May be called twice."""
