"""What a tip looks at, and what it gives back: evidence in, at most one proposal out.

A tip is one file of this folder with ``TIP = Tip(propose)``. It reads numbers that were measured or
predicted, never a clock or a card itself, so that each of its cases can be tested with made-up evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from bigmodel_lab.i18n import text
from bigmodel_lab.memory.cards import Card
from bigmodel_lab.tips._effects import MemoryEffect, SpeedEffect
from bigmodel_lab.tips._facts import LoaderFacts, MemoryFacts, Mode, ModelFacts, OtherCard, Platform, StepFacts
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.recovery import OutOfMemoryFacts
from bigmodel_lab.units import format_bytes

if TYPE_CHECKING:
    from bigmodel_lab.tips._predict import Predictor

__all__ = [
    "Accelerator",
    "Code",
    "Evidence",
    "Goal",
    "LoaderFacts",
    "MemoryEffect",
    "MemoryFacts",
    "Mode",
    "ModelFacts",
    "OtherCard",
    "OutOfMemoryFacts",
    "Platform",
    "Proposal",
    "SpeedEffect",
    "StepFacts",
    "Tip",
    "courtesy_bytes",
]

Goal = Literal["memory", "speed", "quality", "energy"]
"""What a tip makes better."""
Accelerator = Literal["cuda", "mps", "cpu"]

_HIGH_SHARE = 0.9
"""A peak above this share of what a process can have leaves no room for a longer batch: the limit of PyTorch's
profiler plugin (torch-tb-profiler 0.4.3, its advice on memory)."""
_FRAGMENTED_SHARE = 0.2
"""So much of the reserved memory lies idle at the peak that the allocator, not the program, fills the card (our choice)."""
_COURTESY_SHARE, _COURTESY_BYTES = 0.05, 2**30
"""Left free on a card where other people compute: the larger of the two."""


def courtesy_bytes(total_bytes: int) -> int:
    """What is left to other people who compute on the same card: the larger of 5 % and 1 GiB.

    Args:
        total_bytes: Of the card.

    >>> courtesy_bytes(80 * 2**30) / 2**30, courtesy_bytes(15 * 2**30) / 2**30
    (4.0, 1.0)
    """
    return max(int(_COURTESY_SHARE * total_bytes), _COURTESY_BYTES)


@dataclass(frozen=True)
class Code:
    """A change in the words of one framework, ready to be copied."""

    framework: str
    """``"plain"``, ``"transformers"``, ``"lightning"``, ``"accelerate"``, ``"diffusers"``, ``"bigmodel_lab"`` or
    ``"shell"``, a terminal."""
    text: str
    """Lines of Python, or of a shell where the environment is changed."""
    in_mid_run: bool
    """It can be done there while a training runs, without starting it again."""


@dataclass(frozen=True)
class Proposal:
    """A change that is worth trying, with what it is expected to do. Nothing has been changed yet."""

    tip: str
    """Name of the tip."""
    goal: Goal
    """What it makes better in the first place."""
    title: str
    """What would be done, in a few words with the values, e.g. ``"Micro-batch 64 → 16, four times accumulated"``."""
    why: str
    """The evidence, with its numbers: why now."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """New values of fields of :class:`TrainConfig`; empty for what only the person can do."""
    memory: MemoryEffect | None = None
    """Predicted; None where nothing could be predicted, or nothing changes."""
    speed: SpeedEffect | None = None
    """Expected; None where nothing is known, or nothing changes."""
    costs: tuple[str, ...] = ()
    """What it may cost, a sentence each: numerics, time, determinism."""
    changes_arithmetic: bool = False
    """The run's numbers are no longer those of a run without the change."""
    needs_restart: bool = False
    """It takes effect in a new process or a new run only."""
    safe: bool = False
    """``auto`` may apply it without asking: it changes no arithmetic and nothing outside the run."""
    code: tuple[Code, ...] = ()
    """The same change for people with another training loop."""
    weight: float = 0.0
    """The larger, the further up it stands; 0 … 1, the share of memory or time that it is expected to save."""

    @property
    def can_apply(self) -> bool:
        """A click does it, in the run that it was proposed for."""
        return bool(self.change) and not self.needs_restart


@dataclass(frozen=True)
class Evidence:
    """All that is known when tips are asked for."""

    config: TrainConfig
    """The present settings; of an estimate, or a loop that is not ours, those that could be read off it."""
    accelerator: Accelerator
    """Where it computes; a simulated card counts as ``"cuda"``."""
    card: Card | None = None
    """The card, real or simulated; None where there is none, or its kind is unknown."""
    simulated: bool = False
    """The card exists only in numbers, so nothing can be said about its speed."""
    others_bytes: int = 0
    """What other processes hold on the card."""
    predictor: Predictor | None = None
    """Predicts the memory of changed settings; None where the step cannot be traced, or no memory is of interest."""
    model: ModelFacts | None = None
    """None is unknown."""
    steps: StepFacts | None = None
    """None before any step."""
    memory: MemoryFacts | None = None
    """None where nothing was measured."""
    out_of_memory: OutOfMemoryFacts | None = None
    """The request that has just failed, or ended the run; None when none has."""
    loader: LoaderFacts | None = None
    """Of a loop that is not ours; None of ``fit``, whose data lie on the device."""
    platform: Platform = Platform()  # noqa: RUF009 (frozen)
    """What is around the run."""
    framework: str = "bigmodel_lab"
    """Whose loop it is, as in :class:`Code`."""
    mode: Mode = "train"
    """What is done with the model."""
    steps_left: int | None = None
    """Optimizer steps still to make; None is unknown."""
    documented: TrainConfig | None = None
    """The settings that the model is documented with; None for a model of one's own."""
    validation_losses: tuple[float, ...] = ()
    """One an epoch, the latest last."""
    train_losses: tuple[float, ...] = ()
    """Mean of each of the same epochs."""
    power_watts: float | None = None
    """What the card draws, median; None is unknown."""
    power_limit_watts: float | None = None
    """What it may draw; None is unknown."""
    new_tokens: int | None = None
    """Tokens that a generation makes; None outside of one."""
    keeps_graph: bool | None = None
    """Outputs need gradients although nothing is trained; None is unknown."""
    keeps_gradients: bool | None = None
    """Gradients of a loop that is not ours stay in memory from one optimizer step to the next; None is unknown."""
    unknown: frozenset[str] = frozenset()
    """Fields of the settings that could not be read off a loop that is not ours: what would change them is not proposed."""

    @property
    def on_cuda(self) -> bool:
        """It computes on an NVIDIA card, real or simulated."""
        return self.accelerator == "cuda"

    def capability_from(self, least: tuple[int, int]) -> bool:
        """The card is known and has at least this compute capability, e.g. ``(8, 0)``."""
        return self.on_cuda and self.card is not None and self.card.capability >= least

    @property
    def capacity_bytes(self) -> int | None:
        """What the caching allocator can get of the card in all; None where the card is unknown.

        Beside other processes the larger of 5 % and 1 GiB is left to them. A cap that the run has set counts.
        """
        if self.card is None:
            return None
        usable = self.card.usable_bytes(self.others_bytes)
        if self.others_bytes:
            usable -= courtesy_bytes(self.card.total_bytes)
        if self.config.memory_fraction is not None:
            usable = min(usable, int(self.config.memory_fraction * self.card.total_bytes))
        return max(0, usable)

    @property
    def memory_pressure(self) -> str | None:
        """Why memory is short, in words with numbers; None when it is not, or nothing is known."""
        if self.out_of_memory is not None:
            return _ran_out(self.out_of_memory)
        capacity = self.capacity_bytes
        if capacity is None:
            return None
        if self.memory is not None:
            return _short(self.memory, capacity)
        if self.predictor is not None:
            return _would_be_short(self.predictor.peak().most_reserved_bytes, capacity)
        return None

    @property
    def fragmentation(self) -> float | None:
        """Share of the reserved memory that no tensor used at the peak, 0 … 1; None is unknown."""
        if self.memory is None or not self.memory.peak_reserved_bytes:
            return None
        return 1 - self.memory.peak_allocated_bytes / self.memory.peak_reserved_bytes

    @property
    def is_fragmented(self) -> bool:
        """More than a fifth of what is reserved lies idle."""
        share = self.fragmentation
        return share is not None and share > _FRAGMENTED_SHARE

    def memory_after(self, **change: Any) -> MemoryEffect | None:
        """The predicted peak with these fields of the settings changed; None where it cannot be predicted."""
        return None if self.predictor is None else self.predictor.effect(**change)

    def would_fit(self, **change: Any) -> bool | None:
        """Whether the step runs with these fields of the settings changed; None where nothing can be said."""
        if self.predictor is None or self.capacity_bytes is None:
            return None
        return self.predictor.runs_in(self.capacity_bytes, **change)

    def with_change(self, **change: Any) -> TrainConfig:
        """The settings with these fields changed.

        Raises:
            ConfigError: They cannot be used together.
        """
        return replace(self.config, **change)


@dataclass(frozen=True)
class Tip:
    """One piece of advice: ``TIP = Tip(propose)``."""

    propose: Callable[[Evidence], Proposal | None]
    """What to change in view of the evidence; None when there is nothing to say."""


def _ran_out(full: OutOfMemoryFacts) -> str:
    asked = text("tip.some_memory", "more memory")
    return text(
        "tip.ran_out",
        "Step {step} ran out of memory in its {phase} phase: {asked} did not fit into {capacity}.",
        step=full.step + 1,
        phase=full.phase,
        asked=asked if full.requested_bytes is None else format_bytes(full.requested_bytes),
        capacity=format_bytes(full.capacity_bytes),
    )


def _short(memory: MemoryFacts, capacity: int) -> str | None:
    if memory.alloc_retries:
        return text(
            "tip.retries",
            "The allocator had to give back its cache {count} times to serve a request.",
            count=memory.alloc_retries,
        )
    if memory.peak_reserved_bytes > _HIGH_SHARE * capacity:
        return text(
            "tip.nearly_full",
            "The peak holds {peak} of the {capacity} that this process can have.",
            peak=format_bytes(memory.peak_reserved_bytes),
            capacity=format_bytes(capacity),
        )
    return None


def _would_be_short(most_reserved: int, capacity: int) -> str | None:
    if most_reserved <= _HIGH_SHARE * capacity:
        return None
    return text(
        "tip.would_be_short",
        "A step is predicted to hold up to {most}, and this process can have {capacity}.",
        most=format_bytes(most_reserved),
        capacity=format_bytes(capacity),
    )
