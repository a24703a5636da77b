"""Measured against predicted: the same steps before and after a change, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median, pstdev
from typing import Literal

from bigmodel_lab.i18n import text
from bigmodel_lab.tips.base import Proposal
from bigmodel_lab.training.rehearsal import Window
from bigmodel_lab.units import format_bytes, format_seconds

Verdict = Literal["kept", "reverted", "inconclusive"]

_MEMORY_NOISE = 0.01
"""Peaks that differ by less are the same: blocks are rounded, and caches fill in another order."""
_TIME_NOISE = 0.02
"""Two medians that differ by less are the same on any machine."""
_BAND_OF_SPREAD = 0.1
"""A gap of a tenth of what the loss differs from step to step anyway is not seen in a loss curve (our choice)."""
_BAND_OF_LOSS = 0.02
"""And one of a fiftieth of the loss: a product in bfloat16 is off by up to 2⁻⁸ in each factor, 0.4 %, and a network
multiplies a few in a row."""


@dataclass(frozen=True)
class Measured:
    """What a change did to the same steps, and whether it stays."""

    verdict: Verdict
    """``"kept"``, ``"reverted"``, or ``"inconclusive"``."""
    sentence: str
    """Why, in words."""
    seconds: tuple[float, float] | None = None
    """Median time of a step before and after; None where one of them is unknown."""
    allocated_bytes: tuple[int, int] | None = None
    """Peak of the allocated memory before and after."""
    reserved_bytes: tuple[int, int] | None = None
    """Peak of the reserved memory before and after."""
    loss_gap: float | None = None
    """Mean difference of the losses of the same steps; None where the arithmetic stays."""
    loss_band: float | None = None
    """Up to here the gap counts as none: the difference of two runs without the change, or the noise of a step."""
    simulated: bool = False
    """The card is simulated, so that times are those of the CPU."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The numbers, a line each."""
        made = (
            _memory_line(self.allocated_bytes),
            _time_line(self.seconds, simulated=self.simulated),
            _loss_line(self.loss_gap, self.loss_band),
        )
        return tuple(filter(None, made))


def judge(
    proposal: Proposal, before: Sequence[Window], after: Sequence[Window], *, simulated: bool = False
) -> Measured:
    """What the windows say of a proposal.

    Args:
        proposal: What was changed, and what for.
        before: The same steps under the old settings, at least one window; two give the control band. None at all where
            the old settings do not run.
        after: Under the new ones, at least one.
        simulated: The card is simulated: its memory counts, the time does not.
    """
    full = next((window.out_of_memory for window in after if window.out_of_memory is not None), None)
    if full is not None:
        return Measured("reverted", text("verdict.full", "The changed step ran out of memory, so nothing was changed."))
    gap, band = _gap(before, after) if proposal.changes_arithmetic else (None, None)
    seconds = _seconds(before, after)
    allocated = _peaks(before, after, reserved=False)
    verdict, sentence = _decide(proposal, before, after, simulated=simulated)
    if gap is not None and band is not None and not gap <= band:
        verdict, sentence = (
            "reverted",
            text("verdict.loss", "The loss went another way than without the change, beyond the control band."),
        )
    reserved = _peaks(before, after, reserved=True)
    return Measured(verdict, sentence, seconds, allocated, reserved, gap, band, simulated)


def _decide(
    proposal: Proposal, before: Sequence[Window], after: Sequence[Window], *, simulated: bool
) -> tuple[Verdict, str]:
    if not before:
        return "kept", text("verdict.runs", "The step runs now.")
    if proposal.goal == "speed" and not simulated:
        return _decide_time(before, after)
    if proposal.goal in {"memory", "speed"}:
        return _decide_memory(before, after, simulated=simulated and proposal.goal == "speed")
    return "inconclusive", text("verdict.later", "What this does shows only after many steps.")


def _decide_memory(before: Sequence[Window], after: Sequence[Window], *, simulated: bool) -> tuple[Verdict, str]:
    peaks = _peaks(before, after, reserved=False)
    if peaks is None:
        return "inconclusive", text("verdict.no_memory", "The memory of this device cannot be measured.")
    was, now = peaks
    if now < was * (1 - _MEMORY_NOISE):
        return "kept", text("verdict.less_memory", "The peak is {saved} lower.", saved=format_bytes(was - now))
    if now > was * (1 + _MEMORY_NOISE) and not simulated:
        return "reverted", text("verdict.more_memory", "The peak is {more} higher.", more=format_bytes(now - was))
    if simulated:
        return "inconclusive", text(
            "verdict.simulated_time", "The card is simulated: the time of a step on it is not known."
        )
    return "inconclusive", text("verdict.same_memory", "The peak is the same.")


def _decide_time(before: Sequence[Window], after: Sequence[Window]) -> tuple[Verdict, str]:
    seconds = _seconds(before, after)
    if seconds is None:
        return "inconclusive", text("verdict.no_time", "Too few steps were timed.")
    was, now = seconds
    noise = max(_TIME_NOISE, _spread(before), _spread(after))
    values = {"ratio": now / was, "noise": 100 * noise}
    if now < was * (1 - noise):
        return "kept", text("verdict.faster", "A step takes {ratio:.2f} times as long.", **values)
    if now > was * (1 + noise):
        return "reverted", text("verdict.slower", "A step takes {ratio:.2f} times as long: slower.", **values)
    return "inconclusive", text(
        "verdict.same_time", "A step takes {ratio:.2f} times as long, within the noise of {noise:.0f} %.", **values
    )


def _seconds(before: Sequence[Window], after: Sequence[Window]) -> tuple[float, float] | None:
    was, now = ([s for window in windows for s in _settled(window)] for windows in (before, after))
    return (median(was), median(now)) if was and now else None


def _settled(window: Window) -> tuple[float, ...]:
    """Without the first step, which fills caches, where there are others."""
    return window.step_seconds[1:] or window.step_seconds


def _spread(windows: Sequence[Window]) -> float:
    """How far the medians of windows under one setting lie apart, as a share."""
    medians = [median(_settled(window)) for window in windows if window.step_seconds]
    return (max(medians) - min(medians)) / fmean(medians) if len(medians) > 1 else 0.0


def _peaks(before: Sequence[Window], after: Sequence[Window], *, reserved: bool) -> tuple[int, int] | None:
    found = [
        max(
            (p.reserved_bytes if reserved else p.allocated_bytes for w in windows if (p := w.peaks) is not None),
            default=None,
        )
        for windows in (before, after)
    ]
    was, now = found
    return None if was is None or now is None else (was, now)


def _gap(before: Sequence[Window], after: Sequence[Window]) -> tuple[float | None, float | None]:
    """Mean difference of losses after and before, and up to which difference they count as the same."""
    if not before:
        return None, None
    control = before[0].losses
    gap = max(_difference(control, window.losses) for window in after)
    between = max(_difference(control, window.losses) for window in before)
    noise = max(_BAND_OF_SPREAD * pstdev(control), _BAND_OF_LOSS * abs(fmean(control)))
    return gap, max(between, noise)


def _difference(one: Sequence[float], other: Sequence[float]) -> float:
    differences = [abs(a - b) for a, b in zip(one, other, strict=False)]
    return fmean(differences) if all(map(isfinite, differences)) else float("inf")


def _memory_line(peaks: tuple[int, int] | None) -> str:
    if peaks is None:
        return ""
    was, now = map(format_bytes, peaks)
    return text("verdict.memory_line", "peak memory {was} → {now}", was=was, now=now)


def _time_line(seconds: tuple[float, float] | None, *, simulated: bool) -> str:
    if seconds is None:
        return ""
    was, now = seconds
    line = text(
        "verdict.time_line",
        "step time {was} → {now} (× {ratio:.2f})",
        was=format_seconds(was),
        now=format_seconds(now),
        ratio=now / was,
    )
    return text("verdict.on_cpu", "{line} on the CPU, not on the simulated card", line=line) if simulated else line


def _loss_line(gap: float | None, band: float | None) -> str:
    if gap is None or band is None:
        return ""
    return text(
        "verdict.loss_line", "loss of the same steps differs by {gap:.2g} (control band {band:.2g})", gap=gap, band=band
    )
