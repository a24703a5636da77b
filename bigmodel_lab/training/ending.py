"""However a run ends, the log says so."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.training.readings import Readings


class RecordedEnd:
    """Around a run: at its end the log gets every step made and the status; errors pass on."""

    def __init__(self, log: RunLog, readings: Readings) -> None:
        self._log = log
        self._readings = readings
        self.status = Status.FAILED
        """What the run ends with; stays FAILED when it never got to say otherwise."""

    def __enter__(self) -> RecordedEnd:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._log.set_status(self.status)
            return
        with suppress(RuntimeError):  # the device may be lost, or a later loss be NaN as well
            self._readings.drain()
        self._log.set_status(*outcome_of(error))


def outcome_of(error: BaseException) -> tuple[Status, dict[str, str]]:
    """How a run ends that this error ends, and what its log says of it.

    >>> outcome_of(ValueError("odd"))
    (<Status.FAILED: 'failed'>, {'error': 'ValueError', 'message': 'odd'})
    """
    status = Status.STOPPED if isinstance(error, KeyboardInterrupt) else Status.FAILED
    return status, {"error": type(error).__name__, "message": str(error)}
