"""The bare loop beside nvitop's collector, at our own default of two samples a second."""

from __future__ import annotations

from nvitop import Device, NVMLError, ResourceMetricCollector  # type: ignore[import-untyped]

from benchmarks.loops import bare
from benchmarks.loops.base import Job

TITLE = "nvitop collector, 2 Hz"
_SECONDS = 0.5


def run(job: Job) -> None:
    """One pass; the machine's numbers are collected by nvitop's own thread."""
    collected: list[dict[str, float]] = []
    going = True

    def keep(metrics: dict[str, float]) -> bool:
        collected.append(metrics)
        return going

    collector = ResourceMetricCollector(_devices(), interval=_SECONDS)
    thread = collector.daemonize(keep, interval=_SECONDS)
    bare.run(job)
    going = False
    thread.join()


def _devices() -> list[Device]:
    try:
        return list(Device.all())
    except NVMLError:  # no driver: host metrics only
        return []
