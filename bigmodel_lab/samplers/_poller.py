"""One thread that reads every sampler at a fixed rate and hands the samples on."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import final

from bigmodel_lab.errors import BigModelLabError, ConfigError
from bigmodel_lab.i18n import text
from bigmodel_lab.samplers.base import Sample, Sampler

Sink = Callable[[str, tuple[str, ...], Sample], None]
"""Takes the sampler's name, its keys and one sample; called on the poller's thread."""

_LOWEST_HZ, _HIGHEST_HZ = 1.0, 10.0
_STOP_WAITS_S = 0.2
"""How long :meth:`Poller.stop` waits for a sampler that is in the middle of a reading."""

_A_READING_FAILED = (BigModelLabError, OSError, RuntimeError, ValueError, LookupError, ArithmeticError)
"""What a sampler may raise for its device. Other errors are mistakes in it and end the thread, visibly."""


@final
class Poller:
    """Reads the samplers, each in turn, and calls the sink for each sample.

    The samplers belong to the poller: its thread closes them when it ends. Rounds begin at
    fixed times (start, start + 1/hz, …); a round that takes too long lets the next ones fall
    out instead of running them all at once. After :meth:`stop` the sink is not called again,
    even when a sampler hangs in the driver.

    >>> from bigmodel_lab.samplers import open_samplers
    >>> seen = []
    >>> with Poller(open_samplers(), lambda name, keys, sample: seen.append(name), hz=10):
    ...     time.sleep(0.3)
    >>> set(seen) == {"cuda_memory", "host", "nvml"}
    True
    """

    def __init__(self, samplers: Sequence[Sampler], sink: Sink, hz: float = 2.0) -> None:
        """Nothing runs before :meth:`start`.

        Args:
            samplers: What to read.
            sink: Where the samples go.
            hz: Rounds per second, 1 to 10.

        Raises:
            ConfigError: The rate is outside of 1 to 10.
        """
        if not (math.isfinite(hz) and _LOWEST_HZ <= hz <= _HIGHEST_HZ):
            raise ConfigError(
                text(
                    "poller.rate",
                    "hz={hz!r}: samplers are read 1 to 10 times a second (the driver renews its numbers "
                    "no faster). Give a number from 1 to 10.",
                    hz=hz,
                )
            )
        self._samplers = tuple(samplers)
        self._sink = sink
        self._period_s = 1.0 / hz
        self._stopping = threading.Event()
        # Held around each call of the sink, so that stop() knows when the last one is over.
        # Re-entrant, because the sink itself may call stop().
        self._delivering = threading.RLock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; the first round begins at once.

        Raises:
            ConfigError: It was started or stopped before; make a new one.
        """
        if self._thread is not None or self._stopping.is_set():
            raise ConfigError(text("poller.used", "A poller runs once. Make a new Poller with new samplers."))
        self._thread = threading.Thread(target=self._run, name="bigmodel_lab-poller", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns after at most 0.2 s even when a sampler hangs. May be called twice."""
        with self._delivering:
            self._stopping.set()
        if self._thread is None:
            self._close_samplers()
        elif self._thread is not threading.current_thread():
            self._thread.join(_STOP_WAITS_S)

    def __enter__(self) -> Poller:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        started = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._round()
                now = time.monotonic()
                self._stopping.wait(next_deadline(started, self._period_s, now) - now)
        finally:
            self._close_samplers()

    def _round(self) -> None:
        for sampler in self._samplers:
            if self._stopping.is_set():
                return
            sample = read(sampler)
            with self._delivering:
                if not self._stopping.is_set():
                    self._sink(sampler.name, sampler.keys, sample)

    def _close_samplers(self) -> None:
        for sampler in self._samplers:
            sampler.close()


def read(sampler: Sampler) -> Sample:
    """A sample of this sampler; if it fails, all its values unknown with the error as the reason."""
    try:
        return sampler.sample()
    except _A_READING_FAILED as error:
        reason = text(
            "poller.failed",
            "The sampler {name!r} failed: {kind}: {error}",
            name=sampler.name,
            kind=type(error).__name__,
            error=error,
        )
        return Sample(time.monotonic_ns(), dict.fromkeys(sampler.keys), dict.fromkeys(sampler.keys, reason))


def next_deadline(started: float, period: float, now: float) -> float:
    """The first time after ``now`` that lies a whole number of periods after the start, all in seconds.

    >>> next_deadline(10.0, 0.5, 10.6), next_deadline(10.0, 0.5, 12.0)
    (11.0, 12.5)
    """
    return started + (math.floor((now - started) / period) + 1) * period
