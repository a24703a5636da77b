"""Everything that accompanies a live run while it trains: samplers, Interrupt, an honest end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType

from bigmodel_lab._virtual_gpu import VirtualGpu, VirtualGpuSampler
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.samplers import SAMPLERS, Poller, Sample, open_samplers
from bigmodel_lab.training.ending import outcome_of

Sink = Callable[[str, tuple[str, ...], Sample], None]


@contextmanager
def sampled(
    log: RunLog, *, gpu_uuid: str | None, sample_hz: float, virtual: VirtualGpu | None = None
) -> Iterator[None]:
    """Sample GPU and host into the run log while the block runs.

    Args:
        log: The run.
        gpu_uuid: The card to watch; None when the run uses no NVIDIA card.
        sample_hz: Samples a second, 1 … 10.
        virtual: The simulated card that the run uses; no real one is sampled then. None when nothing is simulated.
    """
    sink = sample_sink(log)
    card = None if virtual is None else VirtualGpuSampler(virtual)
    samplers = open_samplers(gpu_uuid) if card is None else (SAMPLERS.get("host")(None), card)
    poller = Poller(samplers, sink, hz=sample_hz)
    poller.start()
    try:
        yield
    finally:
        poller.stop()
        if card is not None:  # the peak of a run that ends between two rounds, or by a full card
            sink(card.name, card.keys, card.sample())


def sample_sink(log: RunLog) -> Sink:
    """What the poller calls: every sample becomes a row of its stream, every unknown a reason."""

    def sink(sampler: str, keys: tuple[str, ...], sample: Sample) -> None:
        known = (sample.values[key] for key in keys)
        row = [float("nan") if value is None else value for value in known]
        log.stream(sampler, axis="time", keys=keys).append(log.step, sample.monotonic_ns, row)
        for key in keys:
            log.set_unknown(key, sample.reasons.get(key))

    return sink


class FailureRecorded:
    """An error that leaves the block closes the run log, whose ``ended`` event tells of it.

    The error itself goes on to the person, unchanged. A run that the training itself has ended is only closed.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._log.close(*outcome_of(error))


class OutcomeKept:
    """How the block ended, error or not, becomes the result of a future; nothing is raised here."""

    def __init__(self, outcome: Future[None]) -> None:
        self._outcome = outcome

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)
        return True


def tell_interrupt(command: str) -> None:
    """One line for the person who pressed Interrupt."""
    if command == "pause":
        line = text("interrupt.pause", "Pausing after this step. The buttons resume or stop; Interrupt again stops.")
    else:
        line = text("interrupt.stop", "Stopping after this step. run.resume() goes on from there.")
    print(line)  # noqa: T201 (the answer to a key press)
