"""What accompanies a live run: samples, failures on record, the outcome of a thread."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future

import pytest

from bigmodel_lab.api._live import FailureRecorded, OutcomeKept, sample_sink, sampled, tell_interrupt
from bigmodel_lab.errors import ConfigError
from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.samplers import Sample


@pytest.fixture
def log(tmp_path):
    """A run log in a folder of its own."""
    log = RunLog.create("live", tmp_path)
    yield log
    log.close()


def test_a_sample_becomes_a_row(log):
    """Values stand under their keys, at the time when they were read."""
    sample_sink(log)("host", ("process_resident_bytes",), Sample(17, {"process_resident_bytes": 5.0}))

    block = log.read("host")
    assert (block.monotonic_ns.tolist(), block.values.tolist()) == ([17], [[5.0]])


def test_an_unknown_value_is_nan_with_its_reason(log):
    """What a sampler does not know is never 0, and the run says why."""
    sample = Sample(1, {"power_watts": None}, {"power_watts": "no card"})
    sample_sink(log)("nvml", ("power_watts",), sample)

    assert math.isnan(log.read("nvml").values[0, 0])
    assert log.unknown() == {"power_watts": "no card"}


def test_a_value_that_comes_back_is_known_again(log):
    """The reason goes when a value arrives."""
    sink = sample_sink(log)
    sink("nvml", ("power_watts",), Sample(1, {"power_watts": None}, {"power_watts": "lost"}))
    sink("nvml", ("power_watts",), Sample(2, {"power_watts": 70.0}))

    assert log.unknown() == {}


def test_samples_are_taken_only_inside_the_block(log):
    """The poller ends with the block."""
    with sampled(log, gpu_uuid=None, sample_hz=10.0):
        while not any(stream.name == "host" and log.count("host") for stream in log.streams()):
            time.sleep(0.01)
    rows = log.count("host")

    assert rows == log.count("host") >= 1


def test_a_failure_is_on_record_and_goes_on(log):
    """Status and message are in the file; the error itself reaches the person."""
    with pytest.raises(KeyError, match="gone"), FailureRecorded(log):
        raise KeyError("gone")

    reader = RunReader(log.path)
    assert reader.status() is Status.FAILED
    told = [event.data for event in reader.events() if event.kind == "ended"]
    assert told == [{"status": "failed", "error": "KeyError", "message": "'gone'"}]


def test_a_failure_of_the_training_is_told_once(log):
    """What the training has noted of its end is not noted again."""
    log.set_status(Status.FAILED, {"error": "ValueError"})
    with pytest.raises(ValueError, match="odd"), FailureRecorded(log):
        raise ValueError("odd")

    assert [event.kind for event in RunReader(log.path).events()] == ["started", "ended"]


def test_an_interrupted_run_is_stopped(log):
    """Ctrl+C is no failure of the run."""
    with pytest.raises(KeyboardInterrupt), FailureRecorded(log):
        raise KeyboardInterrupt

    assert RunReader(log.path).status() is Status.STOPPED


def test_without_a_failure_the_log_stays_open(log):
    """Closing is the business of whoever knows how the run ended."""
    with FailureRecorded(log):
        pass

    assert not log.status().ended


def test_an_outcome_keeps_the_error():
    """Nothing is raised in the thread; the future has it."""
    outcome: Future[None] = Future()
    with OutcomeKept(outcome):
        raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        outcome.result(0)


def test_an_outcome_without_an_error_is_done():
    """The future has a result when the block ends well."""
    outcome: Future[None] = Future()
    with OutcomeKept(outcome):
        pass

    assert outcome.done()


@pytest.mark.parametrize(("command", "advice"), [("pause", "Interrupt again stops"), ("stop", "run.resume()")])
def test_a_key_press_is_answered(command, advice, capsys):
    """The person reads what happens now and what can be done next."""
    tell_interrupt(command)

    assert advice in capsys.readouterr().out


@pytest.mark.parametrize("hertz", [0.5, 11])
def test_a_rate_that_cannot_be_kept_is_refused(log, hertz):
    """Between 1 and 10 samples a second; the message says so."""
    with pytest.raises(ConfigError, match="10"), sampled(log, gpu_uuid=None, sample_hz=hertz):
        pass


def test_every_sampler_has_a_stream_of_its_own(log):
    """Each sampler's rows stand under its name, with all its keys."""
    sink = sample_sink(log)
    sink("host", ("a_bytes",), Sample(1, {"a_bytes": 1.0}))
    sink("nvml", ("power_watts",), Sample(2, {"power_watts": 2.0}))

    assert [(stream.name, stream.keys) for stream in log.streams()] == [
        ("host", ("a_bytes",)),
        ("nvml", ("power_watts",)),
    ]
