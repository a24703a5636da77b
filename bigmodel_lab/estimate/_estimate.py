"""What a training step will take of a card, before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._loading import LoadingPeak, loading_peak
from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.estimate._range import reserved_range, stays_within
from bigmodel_lab.estimate._scaling import ScalingTrace
from bigmodel_lab.estimate._search import Report, largest_that_fits, unheard
from bigmodel_lab.i18n import text
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.cards import Card, card
from bigmodel_lab.memory.fits import Fit, fit_on
from bigmodel_lab.memory.replay import Replay, replay
from bigmodel_lab.memory.report import moment_in_words
from bigmodel_lab.memory.requests import Allocation, Doubt, RequestTrace
from bigmodel_lab.memory.settings import AllocatorSettings
from bigmodel_lab.memory.timeline import by_category_at, by_module_at, largest_at
from bigmodel_lab.training.precision import resolve_precision
from bigmodel_lab.units import format_bytes

_LARGEST = 10
_SIXTEEN_BIT = ("bf16", "fp16")


@dataclass(frozen=True)
class Moment:
    """What the program did when it held the most memory."""

    position: int
    """In the sequence of the trace."""
    phase: str
    """``"load"``, ``"forward"``, ``"backward"`` or ``"optimizer"``."""
    step: int
    """Number of the optimizer step, from 0; -1 while loading."""
    module: str
    """Module that asked for memory there; ``""`` outside every module."""
    maker: str
    """Operation that asked for it."""
    largest: tuple[Allocation, ...]
    """The ten largest tensors alive then, the largest first."""

    def __str__(self) -> str:
        return moment_in_words(self)


@dataclass(frozen=True)
class MemoryEstimate:
    """A predicted peak, and all that it was made of. An estimate: nothing here was measured.

    Made by :func:`bigmodel_lab.estimate_memory`.
    """

    plan: Plan
    """What was traced."""
    trace: RequestTrace
    """Requests of two optimizer steps."""
    replay: Replay
    """Those requests in the simulated CUDA caching allocator, on a card without end."""
    card: Card | None = None
    """The card that was asked about; None for none."""
    settings: AllocatorSettings = AllocatorSettings()  # noqa: RUF009 (frozen)
    """Of the allocator, as PYTORCH_ALLOC_CONF gives them."""

    @property
    def peak_allocated_bytes(self) -> int:
        """Most bytes of tensors at once, as ``torch.cuda.max_memory_allocated`` counts them."""
        return self.replay.peak_allocated_bytes

    @property
    def peak_reserved_bytes(self) -> int:
        """Most bytes that the caching allocator holds, as ``torch.cuda.max_memory_reserved`` counts them."""
        return self.replay.peak_reserved_bytes

    @cached_property
    def reserved_range(self) -> tuple[int, int]:
        """Least and most that is expected of it."""
        return reserved_range(self.trace, self.replay, self.settings)

    @property
    def device_bytes(self) -> int | None:
        """Of the card at the peak, the CUDA context included; None without a card."""
        return None if self.card is None else self.peak_reserved_bytes + self.card.context_bytes

    @property
    def micro_batch_size(self) -> int:
        """Samples of one forward pass."""
        return self.plan.micro_batch_size

    @property
    def precision(self) -> str:
        """``"fp32"``, ``"tf32"``, ``"bf16"`` or ``"fp16"``."""
        return self.plan.precision

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be followed, and what stands in for it; empty when everything was followed."""
        return self.trace.notes

    @property
    def doubts(self) -> tuple[str, ...]:
        """Those of the notes for which :meth:`fits` says "uncertain" in the place of "fits": more may be needed than was counted."""
        return tuple(note for note in self.trace.notes if isinstance(note, Doubt))

    @cached_property
    def by_category(self) -> dict[str, int]:
        """Bytes alive at the peak by what they are for, a category of :mod:`bigmodel_lab.memory.requests`; they add up to the peak."""
        return by_category_at(self.trace, self.replay, self.replay.peak_position)

    @cached_property
    def by_module(self) -> dict[str, int]:
        """Bytes alive at the peak by the module that made them; ``""`` is outside every module."""
        return by_module_at(self.trace, self.replay, self.replay.peak_position)

    @cached_property
    def moment_of_peak(self) -> Moment:
        """When the most memory was held, and by what."""
        position = self.replay.peak_position
        entry = self.trace.sequence[position]
        mark = max((m for m in self.trace.marks if m.position <= position), key=lambda m: m.position)
        asked = self.trace.allocations[entry if entry >= 0 else ~entry]
        largest = largest_at(self.trace, position, _LARGEST)
        return Moment(position, mark.phase, mark.step, asked.module, asked.maker, largest)

    def fits(self, gpu: str | Card | None = None, *, others_bytes: int = 0) -> Fit:
        """Does it fit a card?

        Args:
            gpu: A card, its name, or a size such as ``"24GiB"``; None is the one that the estimate was made for.
            others_bytes: What other processes hold on the card.

        Raises:
            ConfigError: No card is given and none was given before.
        """
        return fit_on(self.reserved_range, self._card(gpu), others_bytes, self.doubts)

    def max_micro_batch_size(self, gpu: str | Card | None = None, *, others_bytes: int = 0) -> int:
        """The largest micro-batch for which :meth:`fits` says "fits"; 0 where it does not even for one sample.

        The upper end of the reserved range counts, so that sizes that are only likely to run are not among the answers.
        The answer was traced itself, not only computed from a line.

        Args:
            gpu: As in :meth:`fits`.
            others_bytes: What other processes hold on the card.

        Raises:
            ConfigError: No card is given and none was given before.
        """
        return self.max_micro_batch_in(self._card(gpu).usable_bytes(others_bytes))

    def max_micro_batch_in(self, capacity_bytes: int, *, report: Report = unheard) -> int:
        """The largest micro-batch whose reserved memory is within this at the upper end of its range; 0 where none is.

        Args:
            capacity_bytes: What the caching allocator can get from the driver in all.
            report: Hears of every trace before it is made: (samples, which trace it is, of about how many).
        """
        return largest_that_fits(self.plan, capacity_bytes, self.settings, known=self.trace, report=report)

    def runs_in(self, capacity_bytes: int) -> bool:
        """The step runs without an out-of-memory, by the same rule as :meth:`max_micro_batch_in`.

        Args:
            capacity_bytes: What the caching allocator can get from the driver in all.
        """
        return stays_within(self.trace, capacity_bytes, self.settings)

    def loading(self, way: str = "from_pretrained") -> LoadingPeak:
        """The peak while the weights are loaded, on the card and on the host.

        Args:
            way: How they are loaded; :func:`bigmodel_lab.estimate._loading.loading_peak` lists the ways.

        Raises:
            UnknownNameError: There is no such way; lists those that exist.
        """
        return loading_peak(self.plan.model(), way)

    def again(self, **changes: Any) -> MemoryEstimate:
        """The same estimate with something changed.

        Args:
            changes: ``micro_batch_size``, ``precision``, ``checkpointing``, ``optimizer`` or ``gradient_accumulation_steps``, as
                :func:`bigmodel_lab.estimate_memory` takes them; any other field of the plan.
        """
        return estimate_of(replace(self.plan, **changes), self.card, self.settings)

    def scaled(self, micro_batch_size: int) -> MemoryEstimate:
        """The same estimate at another micro-batch size, from the straight line through two traces; quick after the first time.

        Args:
            micro_batch_size: Samples of one forward pass, from 1. Where the program takes another way at another size,
                it is traced anew, as by :meth:`again`.
        """
        if micro_batch_size == self.micro_batch_size:
            return self
        if self._line is None:
            return self.again(micro_batch_size=micro_batch_size)
        plan = replace(self.plan, micro_batch_size=micro_batch_size)
        trace = self._line.at(micro_batch_size)
        return replace(self, plan=plan, trace=trace, replay=replay(trace, CachingAllocator(self.settings)))

    def __repr__(self) -> str:
        least, most = self.reserved_range
        return text(
            "estimate.sentence",
            "{model}, {samples} samples, {precision} (estimate): peak {allocated} allocated, {least} – {most} reserved.",
            model=self.plan.source.name,
            samples=self.micro_batch_size,
            precision=self.precision,
            allocated=format_bytes(self.peak_allocated_bytes),
            least=format_bytes(least),
            most=format_bytes(most),
        )

    @cached_property
    def _line(self) -> ScalingTrace | None:
        """Through this trace and that of twice its size."""
        size = self.micro_batch_size
        twice = replace(self.plan, micro_batch_size=2 * size).trace()
        return ScalingTrace.between(self.trace, size, twice, 2 * size)

    def _card(self, gpu: str | Card | None) -> Card:
        chosen = gpu or self.card
        if chosen is None:
            raise ConfigError(
                text("error.which_card", "Which card? Give its name or size, e.g. fits('T4') or fits('24GiB').")
            )
        return card(chosen)


def estimate_of(plan: Plan, which: Card | None, settings: AllocatorSettings) -> MemoryEstimate:
    """Trace a plan, in the number format in which its card computes, and put the requests through the allocator."""
    computed = resolve_precision(plan.precision, "cuda", plan.target.capability)
    is_emulated = computed.requested == "bf16" and not plan.replaces_formats
    notes: tuple[str, ...] = ()
    if computed.name != computed.requested:
        notes = (_emulated_bf16(plan) if is_emulated else computed.reason,)
        plan = plan if is_emulated else replace(plan, precision=computed.name)
    trace = plan.trace()
    trace = replace(trace, notes=(*trace.notes, *notes))
    return MemoryEstimate(plan, trace, replay(trace, CachingAllocator(settings)), which, settings)


def _emulated_bf16(plan: Plan) -> str:
    major, minor = plan.target.capability
    return text(
        "estimate.emulated_bf16",
        "A card of compute capability {major}.{minor} has no bf16. PyTorch emulates it, and attention runs by the textbook formula "
        "in fp32: fp16 (precision='fp16') takes less memory and is faster there.",
        major=major,
        minor=minor,
    )


def with_what_inference_mode_saves(found: MemoryEstimate) -> MemoryEstimate:
    """The estimate of a pass under ``no_grad``, with a note where ``inference_mode`` takes less.

    Args:
        found: Of a plan without training.
    """
    if found.precision not in _SIXTEEN_BIT:
        return found
    saved = found.peak_allocated_bytes - found.again(grad="inference_mode").peak_allocated_bytes
    if saved <= 0:
        return found
    note = text(
        "estimate.inference_mode_saves",
        "Sized under torch.no_grad(), where autocast keeps a 16-bit copy of every weight until it ends. torch.inference_mode() keeps "
        "none and takes {saved} less (grad='inference_mode').",
        saved=format_bytes(saved),
    )
    return replace(found, trace=replace(found.trace, notes=(*found.trace.notes, note)))
