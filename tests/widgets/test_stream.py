"""One stream as a view follows it, above all where a run went back to a checkpoint and made steps again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeRun

from bigmodel_lab.runlog import RunLog
from bigmodel_lab.widgets._publisher import Publisher
from bigmodel_lab.widgets._stream import FollowedStream, RangeRequest


def again(first: int, back: int, last: int) -> FakeRun:
    """A run that made the steps before ``first``, went back, and made those from ``back`` to before ``last``."""
    run = FakeRun()
    steps = [*range(first), *range(back, last)]
    run.add("step", ("loss",), np.zeros(len(steps)), step=steps)
    return run


def follow(run: FakeRun) -> FollowedStream:
    """The stream of its steps."""
    return FollowedStream(run, run.streams()[0])


def ascends(x: np.ndarray) -> bool:
    """No value is less than the one before it."""
    return bool((np.diff(x) >= 0).all())


def sent_x(run: FakeRun | RunLog, looks: int = 1) -> dict[str, list[np.ndarray]]:
    """The x of every message about the one stream, by type."""
    sent: list = []
    clock = [0.0]
    publisher = Publisher(run, sent.append, now=lambda: clock[0])
    for _ in range(looks):
        publisher.tick()
        clock[0] += 6.0
    found: dict[str, list[np.ndarray]] = {"delta": [], "keyframe": []}
    for frame in sent:
        for _, count, _ in frame.content["groups"]:
            found[frame.content["type"]].append(np.frombuffer(frame.buffer, "<f4")[:count])
    return found


def test_steps_made_again_count_where_the_run_had_already_been():
    """The axis stands still until the run is further than before."""
    rows = follow(again(5, 2, 7)).new_rows()

    assert rows.x.tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 5, 6]


def test_going_back_between_two_looks_is_seen_too():
    """What was told before is remembered: a run that is resumed under the eyes of a view."""
    run = FakeRun()
    run.add("step", ("loss",), np.zeros(6))
    followed = follow(run)
    followed.new_rows()
    run.add("step", ("loss",), np.zeros(2), step=[3, 4])

    assert followed.new_rows().x.tolist() == [5, 5]


def test_a_run_that_never_goes_back_is_told_as_it_is():
    """Two looks, the same steps as recorded."""
    run = FakeRun()
    run.add("step", ("loss",), np.zeros(3))
    followed = follow(run)
    first = followed.new_rows().x.tolist()
    run.add("step", ("loss",), np.zeros(2))

    assert first + followed.new_rows().x.tolist() == [0, 1, 2, 3, 4]


def test_a_run_can_go_back_more_than_once():
    """To an earlier checkpoint than the first time."""
    run = again(5, 2, 8)
    run.add("step", ("loss",), np.zeros(9), step=range(9))

    assert follow(run).new_rows().x.tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, *[7] * 8, 8]


def test_a_spike_in_a_step_made_again_is_in_the_history():
    """It stands at the furthest step; nothing of what was measured is lost."""
    run = again(5, 2, 7)
    run.tables["step"][3][6] = 9.0
    followed = follow(run)
    followed.new_rows()
    whole = followed.history.rows(100)

    assert ascends(whole.x)
    assert (whole.high.max(), whole.x[whole.high[:, 0].argmax()]) == (9.0, 4.0)


def test_a_long_past_that_goes_back_is_caught_up_with():
    """Buckets of steps made again do not begin before the bucket in front of them."""
    run = again(15_000, 4_000, 20_000)
    run.tables["step"][3][17_777] = 9.0
    followed = follow(run)

    assert followed.catch_up()
    whole = followed.history.rows(512)
    assert ascends(whole.x)
    assert whole.high.max() == 9.0


def test_the_latest_value_is_that_of_the_step_made_last():
    """Not that of the furthest step."""
    run = again(5, 2, 4)
    run.tables["step"][3][-1] = 3.0
    followed = follow(run)
    followed.new_rows()

    assert followed.last({}).tolist() == [3.0]


def test_rows_that_left_memory_do_not_bring_a_step_back():
    """The reduced rows of a gap and those behind it are one stretch."""
    run = again(6, 1, 9)
    run.lost_before["step"] = 8

    assert follow(run).new_rows().x.tolist() == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 6, 7, 8]


def test_of_steps_made_again_a_closer_look_shows_the_later_ones():
    """They are where they were made."""
    run = again(100, 50, 200)
    run.tables["step"][3][100:] = 5.0
    rows = follow(run).between(110, 120, 50)

    assert rows.x.tolist() == list(range(110, 121))
    assert set(rows.low.ravel()) == {5.0}


@pytest.mark.parametrize("start", range(0, 60, 7))
@pytest.mark.parametrize("stop", [20, 45, 99])
def test_a_closer_look_never_descends(start: int, stop: int):
    """Wherever it begins and ends, also before the steps made again and within them."""
    assert ascends(follow(again(40, 10, 70)).between(start, stop, 30).x)


def test_a_closer_look_at_nothing_is_empty():
    """Beyond the last step, and where the end lies before the beginning."""
    followed = follow(again(40, 10, 70))

    assert len(followed.between(500, 600, 30)) == 0
    assert len(followed.between(30, 20, 30)) == 0


def test_no_message_descends(tmp_path: Path):
    """A real run log, reopened: neither update nor view of the whole run goes back, also one after the other."""
    log = RunLog.create("again", tmp_path)
    steps = log.stream("step", axis="step", keys=("loss",))
    for step in (*range(3000), *range(1200, 3500)):
        steps.append(step, time.monotonic_ns(), (1.0,))
    sent = sent_x(log, looks=2)
    log.close()

    assert sent["delta"][0][-1] > 3400
    assert all(ascends(x) for kind in sent.values() for x in kind)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"request": 1, "stream": 0, "from": "a", "to": 2, "buckets": 9},
        {"request": 1, "stream": 0, "from": 0, "to": None, "buckets": 9},
        {"request": 1, "stream": float("inf"), "from": 0, "to": 2, "buckets": 9},
    ],
)
def test_a_request_with_a_broken_part_is_no_request(broken: dict):
    """What a page sends is checked field by field."""
    assert RangeRequest.parse(broken) is None


@pytest.mark.parametrize(("asked", "given"), [(-5, 1), (0, 1), (300, 300), (10**9, 4000)])
def test_a_view_gets_no_more_buckets_than_are_good_for_it(asked: int, given: int):
    """At least one, and not millions."""
    request = RangeRequest.parse({"request": 1, "stream": 0, "from": 0, "to": 9, "buckets": asked})

    assert request.buckets == given


def test_a_key_that_came_later_is_unknown_in_older_rows():
    """A closer look at the past has a column for it."""
    run = FakeRun()
    run.add("step", ("loss",), [1.0, 2.0])
    followed = follow(run)
    run.add("step", ("loss", "accuracy"), [[3.0, 0.5]])
    followed.grow(run.streams()[0])
    rows = followed.between(0, 9, 10)

    assert rows.low[:, 0].tolist() == [1, 2, 3]
    assert np.isnan(rows.low[:2, 1]).all()
