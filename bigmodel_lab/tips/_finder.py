"""The largest batch that runs, from few real trials: where memory goes with the batch, a line says where it ends.

Nothing here knows a device. A trial is anything that runs a size and says what it took; only sizes that were run
are ever an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bigmodel_lab.tips._finder_line import Reading, jitters, largest_within

FIRST_SIZE = 8
"""Samples of the first run where nothing is known: cheap on every card, and enough for statistics over a batch."""
_PROBES = 2
"""Runs that only look; what follows is run to be the answer."""
_PROBE_STEPS, _TRIAL_STEPS, _JITTERY_STEPS = 10, 2, 20
"""Small steps are many, so that their spread is known; large ones are more than two only where peaks were seen to differ."""
_USUAL_RUNS = 4
"""Two probes and two trials find a limit that memory approaches in a line."""
_MOST_RUNS = 16
"""A program whose memory jumps is given up on here, with the largest size that ran."""
_SMALL_GAIN, _TINY_GAIN = 0.01, 0.001
_AS_PREDICTED = 1.002
"""A first trial that took this much more than was predicted, or less than this, speaks for the second prediction."""
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
    """Times that the allocator had to give back its cache in the last step."""

    @property
    def peak_bytes(self) -> int:
        """The highest of all steps."""
        return max(self.peaks_bytes)


Trial: TypeAlias = Callable[[int, int], "Measured | None"]
"""Runs batches of (samples, steps): whole optimizer steps, whose state is born before; None where memory does not suffice."""


@dataclass(frozen=True)
class Guess:
    """A size that an estimate expects to run."""

    size: int
    """Samples, from 1."""
    peak_bytes: int
    """What it is predicted to take."""


@dataclass(frozen=True)
class Attempt:
    """One size that was run."""

    kind: Literal["probe", "trial"]
    """Whether it only looked, or was run to be the answer."""
    size: int
    """Samples."""
    measured: Measured | None
    """None: memory did not suffice."""

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
        return tuple(sorted((a for a in self.attempts if a.measured is not None), key=lambda a: a.size))

    @property
    def largest(self) -> int:
        """The largest size that ran; 0 where none did."""
        return self.ran[-1].size if self.ran else 0

    @property
    def recommended(self) -> int:
        """The smallest size that ran and is within 5 % of the best throughput; 0 where none ran.

        The largest one where times are unknown. A size at which the allocator gives back its cache in every step
        counts only where all do.
        """
        calm = [a for a in self.ran if a.measured is not None and not a.measured.retries] or list(self.ran)
        rates = [(a.samples_per_second, a.size) for a in calm]
        best = max((rate for rate, _ in rates if rate is not None), default=None)
        if best is None or any(rate is None for rate, _ in rates):
            return calm[-1].size if calm else 0
        return min(size for rate, size in rates if rate is not None and rate >= (1 - _PLATEAU) * best)

    @property
    def out_of_memory(self) -> int:
        """Runs for which memory did not suffice."""
        return sum(attempt.measured is None for attempt in self.attempts)


def find_largest(
    trial: Trial, capacity_bytes: int, *, at_most: int, guesses: Sequence[Guess] = (), first: int = FIRST_SIZE
) -> Found:
    """Run sizes until the largest is known to 1 % or one sample; four runs where memory grows in a line.

    Args:
        trial: Runs a size.
        capacity_bytes: What a step may take.
        at_most: The largest size that may be tried, from 1.
        guesses: What an estimate says, the surest and smallest first; empty begins with ``first``.
        first: Samples of the first probe, from 1.

    >>> found = find_largest(lambda n, steps: Measured((10**6 + 3000 * n,), 10**6) if n <= 3000 else None, 10**7, at_most=10**5)
    >>> found.largest, found.out_of_memory, len(found.attempts)
    (2980, 0, 3)
    """
    search = _Search(capacity_bytes, at_most, tuple(guesses), first)
    while (size := search.next_size()) is not None:
        kind: Literal["probe", "trial"] = "probe" if search.is_looking else "trial"
        search.attempts.append(Attempt(kind, size, trial(size, search.steps)))
    return Found(tuple(search.attempts), at_most)


class _Search:
    """What is known so far, and what to run next."""

    def __init__(self, capacity_bytes: int, at_most: int, guesses: tuple[Guess, ...], first: int) -> None:
        self.attempts: list[Attempt] = []
        self._capacity, self._at_most, self._guesses, self._first = capacity_bytes, at_most, guesses, first

    @property
    def is_looking(self) -> bool:
        """The next run is a probe."""
        return not self._guesses and len(self.attempts) < _PROBES

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
            return min(self._guesses[0].size if self._guesses else self._first, self._at_most)
        largest, failed = self._largest(), self._smallest_failed()
        if failed is not None:
            return self._halved(largest, failed)
        goal = min(self._goal(), self._at_most)
        return goal if goal - largest >= self._worth(largest) else None

    def _goal(self) -> int:
        if len(self.attempts) == 1 and len(self._guesses) > 1 and self._is_as_predicted():
            return self._guesses[1].size
        held = min(a.measured.held_bytes for a in self.attempts if a.measured is not None)
        return largest_within(self._readings(), self._capacity, held)

    def _readings(self) -> list[Reading]:
        """Of all sizes that ran, the smallest first."""
        ran = [Reading(a.size, a.measured.peaks_bytes) for a in self.attempts if a.measured is not None]
        return sorted(ran, key=lambda reading: reading.size)

    def _is_as_predicted(self) -> bool:
        measured = self.attempts[0].measured
        return measured is not None and measured.peak_bytes <= _AS_PREDICTED * self._guesses[0].peak_bytes

    def _worth(self, largest: int) -> float:
        """So many samples more are worth another run."""
        settled = bool(self._guesses) or len(self.attempts) >= _USUAL_RUNS
        return max(1, (_SMALL_GAIN if settled else _TINY_GAIN) * largest)

    @staticmethod
    def _halved(largest: int, failed: int) -> int | None:
        """Between what ran and what did not, until 1 % or one sample lies between."""
        if failed - largest <= max(1, _SMALL_GAIN * largest):
            return None
        return (largest + failed) // 2

    def _largest(self) -> int:
        return max((a.size for a in self.attempts if a.measured is not None), default=0)

    def _smallest_failed(self) -> int | None:
        return min((a.size for a in self.attempts if a.measured is None), default=None)
