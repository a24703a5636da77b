"""Main memory and CPU of this process and of the whole machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from bigmodel_lab.i18n import Text, text
from bigmodel_lab.samplers._cgroup import ContainerMemory
from bigmodel_lab.samplers.base import Sample

_FIRST = Text("host.first_sample", "CPU time is measured from one sample to the next; this was the first.")


class HostSampler:
    """Memory and CPU. In a container the memory still available is what its limit leaves.

    >>> HostSampler().sample().values["process_resident_bytes"] > 2**20
    True
    """

    name = "host"
    keys: tuple[str, ...] = (
        "process_resident_bytes",
        "host_available_bytes",
        "process_cpu_percent",
        "host_cpu_percent",
    )

    def __init__(self, gpu_uuid: str | None = None, container: ContainerMemory | None = None) -> None:
        """Args: ``gpu_uuid``: not used, every sampler takes it; ``container``: the limits to obey."""
        del gpu_uuid
        self._process = psutil.Process()
        self._container = container or ContainerMemory()
        self._own_cpu = _Share()
        self._host_cpu = _Share()

    def sample(self) -> Sample:
        """Read all values now; the first sample knows no CPU share."""
        now = time.monotonic_ns()
        found = {
            "process_resident_bytes": _told(lambda: self._process.memory_info().rss),
            "host_available_bytes": _told(self._available),
            "process_cpu_percent": (self._own_cpu.percent(now, time.process_time()), str(_FIRST)),
            "host_cpu_percent": (self._host_cpu.percent(now, _busy_seconds()), str(_FIRST)),
        }
        values = {key: value for key, (value, _) in found.items()}
        return Sample(now, values, {key: reason for key, (value, reason) in found.items() if value is None})

    def close(self) -> None:
        """Holds nothing."""

    def _available(self) -> int:
        machine = int(psutil.virtual_memory().available)
        limit = self._container.available_bytes()
        return machine if limit is None else min(machine, limit)


def _told(read: Callable[[], int]) -> tuple[float | None, str]:
    """The value, or None with the reason why the operating system does not tell it."""
    try:
        return read(), ""
    except (psutil.Error, OSError) as error:
        return None, text("host.failed", "The operating system did not tell: {error}", error=error)


@dataclass
class _Share:
    """CPU seconds per second, from one reading to the next."""

    _last: tuple[int, float] | None = field(default=None)

    def percent(self, now_ns: int, cpu_seconds: float) -> float | None:
        """Percent of one core since the last reading; None at the first."""
        before, self._last = self._last, (now_ns, cpu_seconds)
        if before is None or now_ns <= before[0]:
            return None
        # The kernel may correct a counter downwards by a tick.
        return max(0.0, (cpu_seconds - before[1]) / (now_ns - before[0]) * 1e11)


def _busy_seconds() -> float:
    """CPU seconds of all cores since the machine started, without idling and waiting for disks."""
    times: dict[str, float] = psutil.cpu_times()._asdict()
    # Linux counts the time of virtual machines a second time, inside of user and nice.
    return sum(value for name, value in times.items() if name not in {"idle", "iowait", "guest", "guest_nice"})


SAMPLER = HostSampler
