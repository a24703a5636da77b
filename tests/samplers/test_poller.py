"""The poller thread: rate, stop, errors."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.samplers import Poller, Sample
from bigmodel_lab.samplers._poller import next_deadline, read


class Fake:
    """A sampler of one number, which does as it is told."""

    keys = ("loss",)

    def __init__(self, name="fake", action=lambda: None) -> None:
        self.name = name
        self.closed = threading.Event()
        self.threads: set[str] = set()
        self._action = action

    def sample(self) -> Sample:
        """One number, after the action."""
        self.threads.add(threading.current_thread().name)
        self._action()
        return Sample(time.monotonic_ns(), {"loss": 1.0})

    def close(self) -> None:
        """Remember it."""
        self.closed.set()


def collect(samplers, count, hz=10.0):
    """What the sink got, after this many calls."""
    seen, enough = [], threading.Event()

    def sink(*arguments):
        seen.append(arguments)
        if len(seen) >= count:
            enough.set()

    with Poller(samplers, sink, hz=hz):
        assert enough.wait(10)
    return seen


@pytest.mark.parametrize("hz", [0, 0.5, 10.5, -1, float("nan"), float("inf")])
def test_the_rate_is_checked(hz):
    """1 to 10 a second; the message shows what came."""
    with pytest.raises(ConfigError, match=f"hz={hz}"):
        Poller([], lambda *_: None, hz=hz)


def test_the_sink_gets_name_keys_and_sample():
    """In the order of the samplers."""
    seen = collect([Fake("a"), Fake("b")], 2)
    assert [(name, keys) for name, keys, _ in seen[:2]] == [("a", ("loss",)), ("b", ("loss",))]
    assert seen[0][2].values == {"loss": 1.0}


def test_all_samplers_are_read_on_one_thread():
    """Never on the thread that trains."""
    fakes = [Fake("a"), Fake("b")]
    collect(fakes, 4)
    assert fakes[0].threads == fakes[1].threads == {"bigmodel_lab-poller"}


def test_stop_closes_the_samplers():
    """They belong to the poller."""
    fake = Fake()
    collect([fake], 1)
    assert fake.closed.wait(5)


def test_stop_without_start_closes_the_samplers():
    """Nothing is left open when a run fails before it begins."""
    fake = Fake()
    Poller([fake], lambda *_: None).stop()
    assert fake.closed.is_set()


def test_a_hanging_sampler_does_not_delay_the_stop():
    """Stop returns, the sink is not called any more, and the sampler is closed when it comes back."""
    inside, go_on, seen = threading.Event(), threading.Event(), []
    fake = Fake(action=lambda: (inside.set(), go_on.wait(30)))
    poller = Poller([fake], lambda *arguments: seen.append(arguments))
    poller.start()
    assert inside.wait(5)
    began = time.monotonic()
    poller.stop()
    assert time.monotonic() - began < 3
    go_on.set()
    assert fake.closed.wait(5)
    assert seen == []


def test_a_slow_round_is_not_made_up_for():
    """Rounds that fell out stay out: no burst afterwards."""
    times = []
    slow = Fake(action=lambda: (times.append(time.monotonic()), time.sleep(0.35 if len(times) == 1 else 0)))
    collect([slow], 5)
    # three rounds fell out; made up for, most of the gaps would be none. One may be short: a busy machine wakes late.
    assert median(later - earlier for earlier, later in pairwise(times[1:])) > 0.02


def test_the_sink_may_stop_the_poller():
    """It does not wait for itself."""
    done = threading.Event()
    poller = Poller([Fake()], lambda *_: (poller.stop(), done.set()))
    poller.start()
    assert done.wait(5)


def test_stop_twice_is_harmless():
    """As for everything that is closed."""
    poller = Poller([Fake()], lambda *_: None)
    poller.start()
    poller.stop()
    poller.stop()


def test_a_poller_runs_once():
    """Its samplers are closed; the message says what to do."""
    poller = Poller([Fake()], lambda *_: None)
    poller.start()
    poller.stop()
    with pytest.raises(ConfigError, match="new Poller"):
        poller.start()


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("gone"), ValueError("gone"), KeyError("gone")])
def test_a_failing_sampler_gives_unknowns_with_the_error(error):
    """Its device is gone, the others go on."""

    def fail():
        raise error

    sample = read(Fake(action=fail))
    assert sample.values == {"loss": None}
    assert "gone" in sample.reasons["loss"]
    assert type(error).__name__ in sample.reasons["loss"]


def test_a_mistake_in_a_sampler_is_not_hidden():
    """A wrong type is no missing device."""

    def fail():
        raise TypeError("mistake")

    with pytest.raises(TypeError, match="mistake"):
        read(Fake(action=fail))


@given(
    started=st.floats(0, 1e6),
    period=st.floats(0.1, 1.0),
    passed=st.floats(0, 1e4),
)
def test_deadlines_lie_ahead_within_one_period(started, period, passed):
    """The next round is later than now, by at most one period (up to rounding)."""
    wait = next_deadline(started, period, started + passed) - (started + passed)
    assert -1e-6 <= wait <= period + 1e-6


def test_a_round_is_cheap(stub):
    """CPU time of one round over all samplers with a driver; ten a second must stay near 1 % of a core.

    The bound is generous, for busy machines: the stub itself takes part of it.
    """
    seconds = stub.run(
        "",
        """
        import time
        os.environ.pop("STUB_NVML_CALLS")
        from bigmodel_lab.samplers import open_samplers
        samplers = open_samplers()
        for sampler in samplers: sampler.sample()
        began = time.process_time()
        for _ in range(50):
            for sampler in samplers: sampler.sample()
        show((time.process_time() - began) / 50)
        """,
    )
    assert seconds < 0.005
