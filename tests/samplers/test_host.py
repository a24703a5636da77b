"""Memory and CPU of process and machine."""

from __future__ import annotations

import time

import psutil
import pytest

from bigmodel_lab.samplers._cgroup import ContainerMemory
from bigmodel_lab.samplers.host import HostSampler, _Share


class Limited(ContainerMemory):
    """A container that leaves this many bytes."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    def available_bytes(self) -> int | None:
        """As told."""
        return self._left


def test_resident_memory_is_this_process(monkeypatch):
    """The resident set size that psutil tells, in bytes."""
    told = psutil.Process().memory_info().rss
    assert HostSampler().sample().values["process_resident_bytes"] == pytest.approx(told, rel=0.2)


def test_a_container_can_leave_less_than_the_machine():
    """The smaller of the two counts."""
    assert HostSampler(container=Limited(4096)).sample().values["host_available_bytes"] == 4096


@pytest.mark.parametrize("left", [None, 2**60])
def test_a_wide_limit_leaves_what_the_machine_has(left):
    """No limit, or one above the machine's own memory."""
    available = HostSampler(container=Limited(left)).sample().values["host_available_bytes"]
    assert 0 < available <= psutil.virtual_memory().total


def test_the_first_sample_knows_no_cpu_share():
    """A share needs two readings; until then it is unknown, not 0."""
    sample = HostSampler().sample()
    assert sample.values["process_cpu_percent"] is None
    assert "first" in sample.reasons["host_cpu_percent"]


def test_a_busy_thread_is_seen():
    """A loop that computes for a while takes a good part of one core, in process and machine."""
    sampler = HostSampler()
    sampler.sample()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    values = sampler.sample().values
    assert values["process_cpu_percent"] > 5
    assert values["host_cpu_percent"] > 5


def test_one_core_is_100_percent():
    """CPU seconds per second; two full cores are 200."""
    share = _Share()
    share.percent(0, 10.0)
    assert share.percent(500_000_000, 11.0) == pytest.approx(200.0)


def test_a_counter_that_goes_back_is_not_negative():
    """The kernel corrects its counters now and then."""
    share = _Share()
    share.percent(0, 10.0)
    assert share.percent(10**9, 9.9) == 0.0


def test_two_samples_at_one_moment_know_no_share():
    """Nothing is divided by zero."""
    share = _Share()
    share.percent(7, 10.0)
    assert share.percent(7, 10.0) is None


def test_an_operating_system_that_refuses_is_a_reason(monkeypatch):
    """A refused question costs one number."""

    def refuse():
        raise PermissionError("no")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    sample = HostSampler().sample()
    assert sample.values["host_available_bytes"] is None
    assert "no" in sample.reasons["host_available_bytes"]
    assert sample.values["process_resident_bytes"] > 0
