"""A stand-in for an estimate, made of a trace and a real replay."""

from __future__ import annotations

from dataclasses import dataclass, field

from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.cards import Card, card
from bigmodel_lab.memory.fits import Fit, fit_on
from bigmodel_lab.memory.replay import Replay, replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.memory.timeline import by_category_at, largest_at
from tests.memory.traces import training_trace


@dataclass(frozen=True)
class FakeMoment:
    """When the peak comes."""

    phase: str = "backward"
    step: int = 1
    module: str = "blocks.3.up"
    maker: str = "aten.mm"
    largest: tuple[Allocation, ...] = ()


@dataclass(frozen=True)
class FakeEstimate:
    """What the views read of an estimate."""

    trace: RequestTrace = field(default_factory=training_trace)
    card: Card | None = field(default_factory=lambda: card("T4"))
    micro_batch_size: int = 64
    precision: str = "fp32"
    notes: tuple[str, ...] = ()
    settings: AllocatorSettings = field(default_factory=AllocatorSettings)
    reserved_factor: float = 1.1

    @property
    def replay(self) -> Replay:
        """In a real simulated allocator."""
        return replay(self.trace, CachingAllocator(self.settings))

    @property
    def peak_allocated_bytes(self) -> int:
        """Of the replay."""
        return self.replay.peak_allocated_bytes

    @property
    def reserved_range(self) -> tuple[int, int]:
        """From the replay's peak upwards."""
        least = self.replay.peak_reserved_bytes
        return least, int(least * self.reserved_factor)

    @property
    def device_bytes(self) -> int | None:
        """With the context of the card."""
        return None if self.card is None else self.replay.peak_reserved_bytes + self.card.context_bytes

    @property
    def by_category(self) -> dict[str, int]:
        """At the peak."""
        played = self.replay
        return by_category_at(self.trace, played, played.peak_position)

    @property
    def moment_of_peak(self) -> FakeMoment:
        """With the largest of the replay."""
        return FakeMoment(largest=largest_at(self.trace, self.replay.peak_position))

    def fits(self, gpu: str | Card | None = None) -> Fit:
        """On a card, or its own."""
        return fit_on(self.reserved_range, gpu or self.card)
