"""The table of the machine's cards: what each holds, and who computes on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bigmodel_lab.i18n import text
from bigmodel_lab.units import format_bytes, format_seconds, format_value


@dataclass(frozen=True)
class CardProcess:
    """A program that computes on a card; None is unknown."""

    pid: int
    """Process number as the driver tells it; in a container it may be the number outside."""
    used_bytes: int | None
    """Memory of the card that it holds."""
    user: str | None = None
    """User name."""
    command: str | None = None
    """Start of its command line."""
    notebook: str | None = None
    """Path of its notebook, if it is one."""
    kernel_id: str | None = None
    """Jupyter's id of the kernel, if it is one."""
    started_seconds: float | None = None
    """When it started, seconds since 1970."""
    age_seconds: float | None = None
    """How long it has been running."""
    mine: bool = False
    """It is this process or runs under the same user."""
    reason: str = ""
    """Why something is unknown; empty when nothing is."""


@dataclass(frozen=True)
class Card:
    """One physical card; None is unknown."""

    index: int
    """Place in nvidia-smi's list, which need not be PyTorch's number."""
    uuid: str
    """``"GPU-…"``."""
    name: str
    """Product name."""
    device_used_bytes: int | None = None
    """Memory in use by all programs together."""
    device_free_bytes: int | None = None
    """Memory that programs can still get."""
    device_total_bytes: int | None = None
    """Memory of the card."""
    gpu_utilization_percent: float | None = None
    """Share of time in which a kernel ran."""
    temperature_celsius: float | None = None
    """Temperature of the chip."""
    power_watts: float | None = None
    """Power of the board."""
    power_limit_watts: float | None = None
    """What the board may draw."""
    mig_enabled: bool | None = None
    """It is split into MIG instances."""
    processes: tuple[CardProcess, ...] | None = ()
    """The programs that compute on it."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a value is unknown, by the name of the field."""

    def title(self) -> str:
        """Number and name, e.g. ``"GPU 0 (NVIDIA T4)"``."""
        return text("cards.title", "GPU {index} ({name})", index=self.index, name=self.name)


@dataclass(frozen=True, repr=False)
class CardTable:
    """All cards of the machine at one moment."""

    cards: tuple[Card, ...]
    """In the order of nvidia-smi."""
    reason: str = ""
    """Why there is no card; empty when there are some."""

    def __repr__(self) -> str:
        return self.render()

    def as_json(self) -> dict[str, Any]:
        """The table in values of JSON: ``cards`` (with their fields) and ``reason``.

        >>> CardTable((), "No driver.").as_json()
        {'cards': [], 'reason': 'No driver.'}
        """
        plain = asdict(self)
        for card in plain["cards"]:
            card["processes"] = None if card["processes"] is None else list(card["processes"])
        return {"cards": list(plain["cards"]), "reason": self.reason}

    def render(self) -> str:
        """The table as text: a line for each card, below it one for each program on it.

        >>> print(CardTable((Card(0, "GPU-aa", "NVIDIA T4", 2**30, 14 * 2**30, 15 * 2**30, 37, 55, 70),)).render())
        GPU 0  NVIDIA T4  1 GiB of 15 GiB  37 %  55 °C  70 W
        """
        if not self.cards:
            return self.reason
        heads = _aligned(_card_cells(card) for card in self.cards)
        lines = (line for card, head in zip(self.cards, heads, strict=True) for line in (head, *_below(card)))
        return "\n".join(lines)


def _card_cells(card: Card) -> tuple[str, ...]:
    used, total = format_bytes(card.device_used_bytes), format_bytes(card.device_total_bytes)
    return (
        text("cards.number", "GPU {index}", index=card.index),
        card.name,
        text("cards.memory", "{used} of {total}", used=used, total=total),
        format_value(card.gpu_utilization_percent, "percent"),
        format_value(card.temperature_celsius, "celsius"),
        format_value(card.power_watts, "watts"),
        "MIG" if card.mig_enabled else "",
    )


def _below(card: Card) -> list[str]:
    """The programs of a card, then why something about it is unknown, each reason once."""
    programs = _aligned(_process_cells(process) for process in card.processes or ())
    reasons = dict.fromkeys([*card.reasons.values(), *(p.reason for p in card.processes or () if p.reason)])
    return [f"    {line}" for line in [*programs, *(f"– {reason}" for reason in reasons)]]


def _process_cells(process: CardProcess) -> tuple[str, ...]:
    return (
        text("cards.pid", "pid {pid}", pid=process.pid),
        process.user or "–",
        format_bytes(process.used_bytes),
        format_seconds(process.age_seconds),
        text("cards.mine", "yours") if process.mine else "",
        process.notebook or process.command or "–",
    )


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines whose columns stand below each other."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    joined = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width) for row in table)
    return [line.rstrip() for line in joined]
