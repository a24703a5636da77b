"""What is sent, and when."""

from __future__ import annotations

import numpy as np
from fakes import FULL, FakeRun

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets._publisher import Publisher
from bigmodel_lab.widgets._stream import RangeRequest


class Wire:
    """Collects what was sent, under a clock set by hand."""

    def __init__(self, run, **how):
        self.sent, self.time, self.specs = [], 0.0, []
        self.publisher = Publisher(run, self.sent.append, on_structure=self.specs.append, now=lambda: self.time, **how)

    def tick(self, seconds=0.1):
        """Let time pass and publish; the types of what was sent."""
        self.time += seconds
        before = len(self.sent)
        self.publisher.tick()
        return [frame.content["type"] for frame in self.sent[before:]]


def running(rows=3):
    """A run with so many steps."""
    run = FakeRun(total_steps=1000, steps_per_epoch=100, epochs=10)
    run.add("step", ("loss",), np.arange(float(rows)))
    return run


def test_first_comes_a_keyframe_then_the_rows():
    """A view that appears gets a keyframe and then what is new."""
    assert Wire(running()).tick() == ["keyframe", "delta"]


def test_nothing_new_is_not_sent():
    """Between two rows there is silence, up to a second."""
    wire = Wire(running())
    wire.tick()

    assert wire.tick() == []
    assert wire.tick(1.0) == ["delta"]
    assert wire.sent[-1].content["groups"] == []


def test_a_keyframe_comes_every_five_seconds():
    """A browser that missed something is healed without asking."""
    wire = Wire(running())
    wire.tick()

    assert "keyframe" in wire.tick(5.0)


def test_hello_is_answered_with_a_keyframe_of_what_deltas_told():
    """The keyframe never holds rows that a delta has not told or will not tell."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.add("step", ("loss",), [7.0])
    wire.publisher.hello()

    assert wire.tick() == ["keyframe", "tips", "ack", "delta"]
    assert wire.sent[-4].content["groups"] == [[0, 3, 1]]
    assert wire.sent[-1].content["groups"] == [[0, 1, 1]]


def test_numbers_of_messages_have_no_holes():
    """Each message is one more than the last, so that a hole shows a loss."""
    wire = Wire(running())
    for _ in range(30):
        wire.tick(0.7)

    seqs = [frame.content["seq"] for frame in wire.sent]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_long_past_comes_reduced():
    """Two million rows of before are never read row by row."""
    run = running(0)
    run.add("step", ("loss",), np.sin(np.arange(2_000_000.0)))
    wire = Wire(run)
    wire.tick()

    assert all(limit is not None and limit <= 8192 for _, _, limit in run.reads)
    assert wire.sent[0].content["groups"][0][1] > 100


def test_a_gap_is_filled_from_the_reduced_rows():
    """Rows that left the ring before they were read come from the file."""
    run = running(4)
    wire = Wire(run)
    wire.tick()
    run.add("step", ("loss",), [50.0, 60.0, 70.0])
    run.lost_before["step"] = 6
    wire.tick()

    x = np.frombuffer(wire.sent[-1].buffer, "<f4")[:3]
    assert x.tolist() == [4, 5, 6]


def test_a_new_stream_is_announced_before_its_rows():
    """The spec is renewed before a message uses the new index."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.add("nvml", ("power_watts",), [200.0], axis="time")
    wire.tick()

    assert [[s.name for s in spec] for spec in wire.specs] == [["step"], ["step", "nvml"]]
    assert wire.sent[-1].content["groups"] == [[1, 1, 1]]


def test_a_reason_is_told_once():
    """Why a metric is unknown travels when it changes, not with every message."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.reasons = {"power_watts": "GPU lost."}
    wire.tick()
    told = [frame.content["state"].get("unknown") for frame in wire.sent]
    wire.tick(1.0)

    assert {"power_watts": "GPU lost."} in told
    assert "unknown" not in wire.sent[-1].content["state"]


def test_an_unknown_metric_has_no_latest_value():
    """The last value of a lost GPU is not shown as if it were current."""
    run = running()
    run.reasons = {"loss": "lost"}
    wire = Wire(run)
    wire.tick()

    assert np.isnan(np.frombuffer(wire.sent[-1].buffer, "<f4")[-1])


def test_a_change_of_status_goes_at_once():
    """Paused is told at the next update, not after a second."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.state = Status.PAUSED

    assert wire.tick() == ["delta"]
    assert wire.sent[-1].content["state"]["status"] == "paused"


def test_it_ends_after_everything_was_sent():
    """Rows written last are sent before the publisher calls itself done."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.add("step", ("loss",), [9.0])
    run.state = Status.FINISHED
    wire.tick()
    wire.tick()

    assert wire.publisher.ended
    assert np.frombuffer(wire.sent[-1].buffer, "<f4")[-1] == 9.0


def test_a_range_is_answered_with_finer_rows():
    """The rows between two steps come as asked, at most as many buckets as wanted."""
    run = running(0)
    run.add("step", ("loss",), np.arange(1000.0))
    wire = Wire(run)
    wire.tick()
    wire.publisher.request_range(RangeRequest("r1", 0, 100, 199, 50))
    wire.tick()

    answer = next(frame for frame in wire.sent if frame.content["type"] == "range")
    assert answer.content["request"] == "r1"
    assert answer.content["groups"] == [[0, 50, 2]]
    assert np.frombuffer(answer.buffer, "<f4")[[0, 49]].tolist() == [100, 198]


def test_a_broken_range_request_is_no_request():
    """What a browser sends is not trusted."""
    assert RangeRequest.parse({"request": 1, "stream": "x"}) is None


def test_failing_to_send_stays_here():
    """After three failures sending stops, and the reason is kept."""

    def fail(_):
        raise OSError("socket closed")

    publisher = Publisher(running(), fail)
    for _ in range(5):
        publisher.tick()

    assert publisher.failure == "OSError: socket closed"


def test_tips_are_told_when_they_change():
    """Once for a new proposal, once for what became of it, and not with every message."""
    run = running()
    wire = Wire(run)
    quiet = wire.tick()
    number = run.propose("bf16")
    told = wire.tick()
    silent = wire.tick()
    run.settle(number, "kept", measured=["step time 2 s → 1 s"])

    assert (quiet, told, silent, wire.tick()) == (["keyframe", "delta"], ["tips"], [], ["tips"])
    assert [(card["id"], card["state"]) for card in wire.sent[-1].content["cards"]] == [(number, "kept")]


def test_tips_are_told_again_to_a_view_that_appears():
    """A second view gets the cards behind its keyframe, though nothing has changed."""
    run = running()
    run.propose("bf16")
    wire = Wire(run)
    wire.tick()
    wire.publisher.hello()

    assert wire.tick() == ["keyframe", "tips", "ack"]


def test_tips_have_no_number_and_no_buffer():
    """They stand beside the numbered messages, so that a view of charts alone misses nothing."""
    run = running()
    run.propose("bf16")
    wire = Wire(run)
    wire.tick()

    frame = wire.sent[-1]
    assert (set(frame.content), frame.buffer) == ({"type", "cards", "held"}, b"")


def test_a_step_without_memory_is_told_and_its_end_too():
    """What is held comes at once, and goes when the step is made."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.happen("out_of_memory", 1, **FULL)
    wire.tick()
    title = wire.sent[-1].content["held"]["title"]
    run.happen("out_of_memory_settled", 2, goes_on=True)
    wire.tick()

    assert (title, wire.sent[-1].content["held"]) == ("Out of GPU memory at step 4, backward pass", None)


def test_tips_that_were_not_sent_come_again():
    """After a failure nothing is taken as told."""
    run, broken = running(), [True]

    def send(frame):
        if broken[0] and frame.content["type"] == "tips":
            raise OSError("socket closed")
        sent.append(frame.content["type"])

    sent: list[str] = []
    run.propose("bf16")
    publisher = Publisher(run, send)
    publisher.tick()
    broken[0] = False
    publisher.tick()

    assert sent.count("tips") == 1


def test_the_last_word_on_a_tip_is_sent_before_the_end():
    """A run that ends while a tip is judged is not done before that was told."""
    run = running()
    wire = Wire(run)
    wire.tick()
    run.state = Status.FINISHED
    run.propose("bf16", "kept")
    wire.tick()
    first = wire.publisher.ended
    wire.tick()

    assert (first, wire.publisher.ended) == (False, True)


def test_the_answer_to_a_command_names_its_proposal():
    """The browser finds the card whose button was pressed."""
    wire = Wire(running())
    wire.publisher.ack("apply", ok=True, number=7)
    wire.tick()

    assert wire.sent[0].content == {"type": "ack", "name": "apply", "ok": True, "id": 7}


def test_facts_are_asked_for_once_an_update():
    """Keyframe and delta of one update tell the same facts."""
    asked = []
    wire = Wire(running(), facts=lambda state: {"note": str(len(asked.append(state) or asked))})

    assert wire.tick() == ["keyframe", "delta"]
    assert [frame.content["state"]["note"] for frame in wire.sent] == ["1", "1"]
