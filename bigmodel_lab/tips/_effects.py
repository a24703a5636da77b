"""What a change is expected to do."""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_bytes

SPREAD = 0.05
"""Range of a predicted peak to either side; a prediction of the peak itself is asked to be within 3 % in 95 of 100
cases, and a difference of two has the errors of both."""


@dataclass(frozen=True)
class MemoryEffect:
    """Peak of the allocated memory before and after a change."""

    before_bytes: int
    """As measured, or where nothing was measured as predicted."""
    after_bytes: int
    """Predicted."""
    least_bytes: int
    """Least that is expected afterwards."""
    most_bytes: int
    """Most that is expected afterwards."""

    @classmethod
    def predicted(cls, before_bytes: int, after_bytes: int) -> MemoryEffect:
        """With the usual range of a prediction around the peak afterwards."""
        least, most = (round(factor * after_bytes) for factor in (1 - SPREAD, 1 + SPREAD))
        return cls(before_bytes, after_bytes, least, most)

    @property
    def short(self) -> str:
        """Both peaks alone, for a narrow place."""
        return f"{format_bytes(self.before_bytes)} → {format_bytes(self.after_bytes)}"

    @property
    def saved_bytes(self) -> int:
        """What the change frees at the peak; negative where it takes more."""
        return self.before_bytes - self.after_bytes

    def __str__(self) -> str:
        return text(
            "tip.memory_effect",
            "peak memory {before} → {after} ({least} – {most}, predicted)",
            before=format_bytes(self.before_bytes),
            after=format_bytes(self.after_bytes),
            least=format_bytes(self.least_bytes),
            most=format_bytes(self.most_bytes),
        )


@dataclass(frozen=True)
class SpeedEffect:
    """Time of a step after a change, as a multiple of that before; 0.5 is twice as fast."""

    least: float
    """Least that is expected."""
    most: float
    """Most that is expected."""
    source: str
    """Where the figures come from, in words: a publication with its card, or how they follow from what was measured."""

    @property
    def short(self) -> str:
        """The factors alone, for a narrow place."""
        return text("tip.speed_short", "time × {least:.2g} – {most:.2g}", least=self.least, most=self.most)

    def __str__(self) -> str:
        return text(
            "tip.speed_effect",
            "step time × {least:.2g} – {most:.2g} (expected: {source})",
            least=self.least,
            most=self.most,
            source=self.source,
        )
