"""The largest batch that runs, from few real trials: where memory goes with the batch, a line says where it ends.

Nothing here knows a device. A trial is anything that runs a size and says what it took; only sizes that were run
are ever an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol, TypeAlias

from bigmodel_lab.tips._finder_line import Reading, jitters, largest_within

FIRST_SIZE = 8
"""Samples of the first run where nothing is known: cheap on every card, and enough for statistics over a batch."""
_PROBES = 2
"""Runs that only look; what follows is run to be the answer."""
_PROBE_STEPS, _TRIAL_STEPS, _JITTERY_STEPS = 12, 2, 20
"""Small steps are many, so that their spread is known; large ones are more than two only where peaks were seen to differ."""
_USUAL_TRIALS = 2
"""They find a limit that memory approaches in a line; more are made for more than a small gain."""
_MOST_RUNS, _MOST_FAILED = 16, 3
"""A program whose memory jumps is given up on here, with the largest size that ran."""
_FAR_DOWN = 8
"""While nothing has run, the next size is so many times smaller: it shall run, and then a line leads back."""
_MOST_TIMED = 3
"""Smaller sizes that are run for their speed, each half of the one before."""
_TINY_GAIN, _SMALL_GAIN, _GAIN = 0.001, 0.01, 0.05
_PLATEAU = 0.05
"""A gain of throughput below this is none: ``METRIC_PERCENT_DIFF_CONST`` of DeepSpeed's autotuning (0.19)."""


@dataclass(frozen=True)
class Measured:
    """A size that ran."""

    peaks_bytes: tuple[int, ...]
    """Highest memory of each full optimizer step, at least one."""
    held_bytes: int = 0
    """What stays when the batch and the gradients are gone: weights and optimizer state. Never more than the memory
    of a batch of no samples."""
    seconds: float | None = None
    """Time of a step; None is unknown, or means nothing because the card is simulated."""
    retries: int = 0
    """Times that the allocator had to give back its cache to serve a request: the next run may not be so lucky."""

    @property
    def peak_bytes(self) -> int:
        """The highest of all steps."""
        return max(self.peaks_bytes)


Kind: TypeAlias = Literal["probe", "trial", "timing"]
Trial: TypeAlias = Callable[[int, int], "Measured | None"]
"""Runs batches of (samples, steps): whole optimizer steps, whose state is born before; None where memory does not suffice."""


class Prediction(Protocol):
    """What an estimate says."""

    def surest(self) -> int:
        """A size that is expected to run even if the estimate is as much too low as it may be; 0 is none."""

    def corrected(self, size: int, peak_bytes: int) -> int:
        """The largest size that is expected to run, in view of the real peak of another one."""


@dataclass(frozen=True)
class Attempt:
    """One size that was run."""

    kind: Kind
    """Whether it only looked, was run to be the answer, or to compare its speed with that of the answer."""
    size: int
    """Samples."""
    measured: Measured | None
    """None: memory did not suffice."""

    @property
    def ran(self) -> bool:
        """Memory sufficed, and the allocator never had to give back its cache for that."""
        return self.measured is not None and not self.measured.retries

    @property
    def samples_per_second(self) -> float | None:
        """None is unknown."""
        known = self.measured is not None and self.measured.seconds
        return self.size / known if known else None


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    attempts: tuple[Attempt, ...]
    """Every size that was run, in order."""
    at_most: int
    """The largest size that was allowed."""

    @property
    def ran(self) -> tuple[Attempt, ...]:
        """Those that ran, the smallest first."""
        return tuple(sorted((attempt for attempt in self.attempts if attempt.ran), key=lambda attempt: attempt.size))

    @property
    def largest(self) -> int:
        """The largest size that ran; 0 where none did."""
        return self.ran[-1].size if self.ran else 0

    @property
    def recommended(self) -> int:
        """The smallest size that ran and is within 5 % of the best throughput; 0 where none ran.

        The largest one where times are unknown.
        """
        rates = {attempt.size: attempt.samples_per_second or 0.0 for attempt in self.ran}
        best = max(rates.values(), default=0.0)
        return min(size for size, rate in rates.items() if rate >= (1 - _PLATEAU) * best) if best else self.largest

    @property
    def failed(self) -> int:
        """Runs that do not count: out of memory, or only after the allocator gave back its cache."""
        return len(self.attempts) - len(self.ran)

    @property
    def out_of_memory(self) -> int:
        """Runs for which memory did not suffice."""
        return sum(attempt.measured is None for attempt in self.attempts)


def find_largest(
    trial: Trial,
    capacity_bytes: int,
    *,
    at_most: int,
    prediction: Prediction | None = None,
    first: int = FIRST_SIZE,
    grain_bytes: int = 0,
) -> Found:
    """Run sizes until the largest is known to 1 % or one sample; four runs where memory grows in a line.

    Where times are known, smaller sizes are timed as long as half of one is as fast to 5 %, three at most.

    Args:
        trial: Runs a size.
        capacity_bytes: What a step may take.
        at_most: The largest size that may be tried, from 1.
        prediction: What an estimate says; two trials, then. None begins with probes.
        first: Samples of the first probe, from 1.
        grain_bytes: Memory comes in pieces of up to so much: a line is trusted so much less, and two trials are enough
            where no more is left.

    >>> found = find_largest(lambda n, steps: Measured((10**6 + 3000 * n,), 10**6) if n <= 3000 else None, 10**7, at_most=10**5)
    >>> found.largest, found.out_of_memory, len(found.attempts)
    (2986, 0, 3)
    """
    if capacity_bytes <= 0:
        return Found((), at_most)
    search = _Search(capacity_bytes, at_most, prediction, first, grain_bytes)
    while (size := search.next_size()) is not None:
        kind: Kind = "probe" if search.is_looking else "trial"
        search.attempts.append(Attempt(kind, size, trial(size, search.steps)))
    return _with_timings(trial, Found(tuple(search.attempts), at_most))


def _with_timings(trial: Trial, found: Found) -> Found:
    """Where memory is plenty and speed is not, a part of the memory is enough: only sizes that run for sure are added."""
    for _ in range(_MOST_TIMED):
        known = {attempt.size: attempt.samples_per_second for attempt in found.ran}
        half = found.recommended // 2
        if not half or known[found.recommended] is None or any(half <= size < found.recommended for size in known):
            break
        timing = Attempt("timing", half, trial(half, _TRIAL_STEPS))
        found = Found((*found.attempts, timing), found.at_most)
        if not timing.ran:
            break
    return found


class _Search:
    """What is known so far, and what to run next."""

    def __init__(
        self, capacity_bytes: int, at_most: int, prediction: Prediction | None, first: int, grain_bytes: int
    ) -> None:
        surest = 0 if prediction is None else prediction.surest()
        self.attempts: list[Attempt] = []
        self._capacity, self._at_most, self._grain = capacity_bytes, at_most, grain_bytes
        self._prediction = prediction if surest else None
        self._first = min(surest or first, at_most)

    @property
    def is_looking(self) -> bool:
        """The next run is a probe."""
        return self._prediction is None and len(self.attempts) < _PROBES

    @property
    def steps(self) -> int:
        """Optimizer steps of the next run."""
        if self.is_looking:
            return _PROBE_STEPS
        return _JITTERY_STEPS if jitters(self._readings()) else _TRIAL_STEPS

    def next_size(self) -> int | None:
        """The size to run now; None when the answer is known."""
        if len(self.attempts) >= _MOST_RUNS:
            return None
        if not self.attempts:
            return self._first
        largest, failed = self._largest(), self._smallest_failed()
        if failed is not None:
            return self._between(largest, failed)
        if largest >= self._at_most:
            return None
        goal = min(self._goal(), self._at_most)
        return goal if goal - largest >= self._worth(largest) else None

    def _goal(self) -> int:
        held = min(a.measured.held_bytes for a in self.attempts if a.measured is not None)
        limit = largest_within(self._readings(), self._capacity, held, self._grain)
        only = self.attempts[0].measured
        if self._prediction is not None and only is not None and len(self.attempts) == 1:
            return min(limit, self._prediction.corrected(self._first, only.peak_bytes))
        return limit

    def _readings(self) -> list[Reading]:
        """Of all sizes that ran, the smallest first."""
        ran = Found(tuple(self.attempts), self._at_most).ran
        return [Reading(a.size, a.measured.peaks_bytes) for a in ran if a.measured is not None]

    def _worth(self, largest: int) -> float:
        """So many samples more are worth another run."""
        trials = len(self.attempts) - (_PROBES if self._prediction is None else 0)
        if trials >= _USUAL_TRIALS:
            left = self._capacity - max(self._readings()[-1].peaks_bytes)
            return max(1, _GAIN * largest) if left > self._grain else inf
        return max(1, (_TINY_GAIN if trials < 1 else _SMALL_GAIN / 2) * largest)

    def _between(self, largest: int, failed: int) -> int | None:
        """Between what ran and what did not, until little lies between, little is gained, or enough has failed."""
        if not largest:
            return max(1, failed // _FAR_DOWN) if failed > 1 else None
        given_up = sum(not attempt.ran for attempt in self.attempts) >= _MOST_FAILED
        if given_up or failed - largest <= max(1, _SMALL_GAIN * largest):
            return None
        size = min(self._goal(), (largest + failed) // 2)
        least = _SMALL_GAIN / 2 if len(self.attempts) < _PROBES + _USUAL_TRIALS else _GAIN
        return size if size - largest >= max(1, least * largest) else None

    def _largest(self) -> int:
        return Found(tuple(self.attempts), self._at_most).largest

    def _smallest_failed(self) -> int | None:
        return min((attempt.size for attempt in self.attempts if not attempt.ran), default=None)
