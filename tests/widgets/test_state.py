"""Time passed, time left, step and epoch."""

from __future__ import annotations

import json

import pytest
from fakes import START_NS, FakeRun

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets._state import StateReader


def reader(run, clock):
    """A state reader under a clock set by hand."""
    return StateReader(run, lambda: START_NS + int(clock[0] * 1e9))


def test_pauses_do_not_count():
    """Ten seconds with a pause of four are six."""
    run, clock = FakeRun(), [10.0]
    run.happen("paused", 3)
    run.happen("resumed", 7)

    assert reader(run, clock).read().elapsed == pytest.approx(6)


def test_the_clock_stands_after_the_end():
    """A run that ended after five seconds stays at five."""
    run, clock = FakeRun(status=Status.FINISHED), [500.0]
    run.happen("ended", 5)

    assert reader(run, clock).read().elapsed == pytest.approx(5)


def test_time_left_follows_the_recent_pace():
    """A run that became ten times faster is judged by its last half minute."""
    run, clock = FakeRun(total_steps=1000), [0.0]
    state = reader(run, clock)
    for second in range(1, 101):
        run.add("step", ("loss",), [1.0] * (1 if second < 50 else 10))
        clock[0] = float(second)
        seen = state.read()

    assert seen.eta == pytest.approx((1000 - seen.step) / 10, rel=0.05)


def test_unknown_total_has_no_time_left():
    """Without a number of steps to go there is no guess."""
    run = FakeRun()
    run.add("step", ("loss",), [1.0])

    assert reader(run, [1.0]).read().eta is None


def test_epochs_count_from_one():
    """After 100 steps of 100 the second epoch runs; the last one stays the last."""
    run = FakeRun(total_steps=200, steps_per_epoch=100, epochs=2)
    run.add("step", ("loss",), [1.0] * 100)
    assert reader(run, [1.0]).read().epoch == 2

    run.add("step", ("loss",), [1.0] * 100)
    assert reader(run, [1.0]).read().epoch == 2


def test_a_lost_run_ends_at_its_last_row():
    """The time since a process was killed is not time of the run."""
    run = FakeRun(status=Status.LOST)
    run.add("step", ("loss",), [1.0] * 3, seconds=[1, 2, 3])

    assert reader(run, [900.0]).read().elapsed == pytest.approx(3)


def test_the_message_is_json():
    """What the browser gets survives JSON."""
    message = StateReader(FakeRun()).read().message()

    assert json.loads(json.dumps(message))["status"] == "running"


def test_the_last_step_is_read_once():
    """Looking again without a new step reads no row; with one it does."""
    run, clock = FakeRun(), [1.0]
    run.add("step", ("loss",), [1.0, 2.0])
    state = reader(run, clock)
    assert (state.read().step, state.read().step, len(run.reads)) == (2, 2, 1)

    run.add("step", ("loss",), [3.0])
    assert (state.read().step, len(run.reads)) == (3, 2)


def test_the_time_between_a_kill_and_the_resumption_does_not_count():
    """A process that died noted no end: the last step it made stands for it."""
    run = FakeRun()
    run.add("step", ("loss",), [1.0] * 3, seconds=[1, 2, 3])
    run.happen("reopened", 3600)

    assert reader(run, [3605.0]).read().elapsed == pytest.approx(8)


def test_the_time_of_a_killed_run_is_the_same_when_it_is_looked_at_later():
    """Steps made after it was resumed do not count twice."""
    run = FakeRun(status=Status.FINISHED)
    run.add("step", ("loss",), [1.0] * 6, seconds=[1, 2, 3, 3601, 3602, 3603])
    run.happen("reopened", 3600)
    run.happen("ended", 3604)

    assert reader(run, [9999.0]).read().elapsed == pytest.approx(3 + 4)


def test_a_run_killed_before_its_first_step_begins_when_it_is_resumed():
    """Nothing was trained before; samples of the machine are no steps."""
    run = FakeRun()
    run.add("host", ("process_resident_bytes",), [1.0], axis="time", seconds=[1])
    run.happen("reopened", 60)

    assert reader(run, [62.0]).read().elapsed == pytest.approx(2)


def test_a_stopped_and_reopened_run_counts_up_to_its_stop():
    """Here the end was noted, and it is later than the last step."""
    run = FakeRun()
    run.add("step", ("loss",), [1.0], seconds=[1])
    run.happen("ended", 5)
    run.happen("reopened", 100)

    assert reader(run, [101.0]).read().elapsed == pytest.approx(6)


def test_what_ran_out_of_memory_is_known_until_it_is_settled():
    """The last such event counts, and no longer once it is known what became of the step."""
    run = FakeRun()
    state = reader(run, [1.0])
    run.happen("out_of_memory", 1, step=3)
    run.happen("out_of_memory", 2, step=4)
    held = state.read().out_of_memory
    run.happen("out_of_memory_settled", 3, goes_on=True)

    assert (held, state.read().out_of_memory) == ({"step": 4}, None)


def test_a_resumed_run_holds_no_step():
    """Its process was killed while the step waited; the step is made anew."""
    run = FakeRun()
    run.happen("out_of_memory", 1, step=3)
    run.happen("reopened", 60)

    assert reader(run, [62.0]).read().out_of_memory is None


def test_a_run_that_went_back_has_no_time_left_until_it_is_further():
    """No pace can be told from steps that go down; nothing negative is shown."""
    run, clock = FakeRun(total_steps=100), [10.0]
    run.add("step", ("loss",), [1.0] * 50)
    state = reader(run, clock)
    state.read()
    run.add("step", ("loss",), [1.0] * 2, step=[20, 21])
    clock[0] = 45.0

    seen = state.read()
    assert (seen.step, seen.eta) == (22, None)
