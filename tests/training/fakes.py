"""A run log in memory with the methods that training uses, and a way to act between two steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bigmodel_lab.runlog import Mailbox, Status
from bigmodel_lab.training import DeviceChoice

CPU = DeviceChoice("cpu", "a test", None)


def tiny_model() -> nn.Module:
    """64 → 16 → 10 with dropout, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))


class FakeStream:
    """Keeps its rows; calls ``after_row`` with each step, on the loop's own thread."""

    def __init__(self, keys: tuple[str, ...], after_row: Callable[[int], object]) -> None:
        self.keys = keys
        self.rows: list[tuple[int, int, tuple[float, ...]]] = []
        self._after_row = after_row

    def append(self, step: int, monotonic_ns: int, values: tuple[float, ...]) -> None:
        """Add a row."""
        self.rows.append((step, monotonic_ns, tuple(values)))
        self._after_row(step)

    def column(self, key: str) -> list[float]:
        """All values of one metric."""
        return [values[self.keys.index(key)] for _, _, values in self.rows]

    @property
    def steps(self) -> list[int]:
        """The step of every row."""
        return [step for step, _, _ in self.rows]


class FakeLog:
    """The writing half of a run log."""

    def __init__(self, after_step: Callable[[int], object] = id) -> None:
        self.mailbox = Mailbox()
        self.after_step = after_step
        self.header: dict[str, Any] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[Status] = []
        self.why: Mapping[str, Any] | None = None
        self.unknown: dict[str, str | None] = {}
        self.streams: dict[str, FakeStream] = {}

    def stream(self, name: str, axis: str, keys: tuple[str, ...]) -> FakeStream:
        """The stream with this name."""
        assert axis == "step"
        after = (lambda step: self.after_step(step)) if name == "step" else id  # noqa: PLW0108 - looked up late
        return self.streams.setdefault(name, FakeStream(keys, after))

    def update_header(self, **facts: Any) -> None:
        """Add facts."""
        self.header.update(facts)

    def event(self, kind: str, **data: Any) -> None:
        """Note that something happened."""
        self.events.append((kind, data))

    def set_unknown(self, key: str, reason: str | None) -> None:
        """Say why a metric has no value."""
        self.unknown[key] = reason

    def set_status(self, status: Status, why: Mapping[str, Any] | None = None) -> None:
        """Say where the run stands, and why."""
        self.statuses.append(status)
        self.why = why
