"""A training loop of one's own, watched."""

from __future__ import annotations

import os
import signal
import time
from collections import UserDict

import numpy as np
import pytest
import torch

import bigmodel_lab as lab
from bigmodel_lab.api._watch import samples_of
from bigmodel_lab.errors import ConfigError, ShapeError
from bigmodel_lab.runlog import Status, send_command


@pytest.fixture
def batches():
    """Six batches of four samples."""
    return [(torch.randn(4, 3), torch.zeros(4, dtype=torch.long)) for _ in range(6)]


def test_each_turn_of_the_loop_is_a_step(batches):
    """Steps are counted by the loop over the loader, not by calls of log."""
    with lab.watch() as w:
        for _ in w(batches):
            w.log(loss=1.0)
            w.log(score=2.0)

    assert w.run.series("loss").step.tolist() == [0, 1, 2, 3, 4, 5]


def test_several_loaders_continue_the_count(batches):
    """The second epoch's first step follows the first epoch's last."""
    with lab.watch() as w:
        for _ in range(2):
            for _ in w(batches):
                w.log(loss=0.5)

    assert w.run.series("loss").step[-1] == 11


def test_log_alone_is_a_step():
    """Without a watched loader every call of log is one step."""
    with lab.watch() as w:
        w.log(loss=3.0)
        w.log(loss=2.0)

    assert w.run.series("loss").value.tolist() == [3.0, 2.0]


def test_tensors_are_recorded_without_their_graph(batches):
    """A loss that still has its graph is recorded as a number."""
    weight = torch.ones(1, requires_grad=True)
    with lab.watch() as w:
        w.log(loss=(weight * 2).sum())

    assert w.run.last("loss") == 2.0


def test_a_value_of_many_numbers_is_refused():
    """What is not a scalar is named with its shape."""
    with pytest.raises(ShapeError, match=r"loss=…\) got a tensor of shape \(3,\)"), lab.watch() as w:
        w.log(loss=torch.ones(3))


def test_a_name_that_appears_later_is_unknown_before():
    """A metric first logged in the second step has no value in the first."""
    with lab.watch() as w:
        w.log(loss=1.0)
        w.log(loss=1.0, score=4.0)

    assert np.isnan(w.run.series("score").value[0])


def test_throughput_comes_from_the_batch(batches):
    """Samples a second times step time gives the samples of the batch."""
    with lab.watch() as w:
        for _ in w(batches):
            w.log(loss=1.0)

    run = w.run
    samples = run.series("samples_per_second").value * run.series("step_seconds").value
    np.testing.assert_allclose(samples, 4.0)


def test_epoch_values_have_a_stream_of_their_own():
    """log_epoch writes validation values beside the step at which they were measured."""
    with lab.watch() as w:
        w.log(loss=1.0)
        w.log_epoch(validation_loss=0.7)

    series = w.run.series("validation_loss")
    assert (series.step.tolist(), series.value.tolist()) == ([0], [0.7])


def test_a_stop_ends_the_loop_and_the_next_one(batches):
    """After a stop the loader gives no more batches, in this epoch and in the next."""
    seen = 0
    with lab.watch() as w:
        for _ in range(3):
            for _ in w(batches):
                seen += 1
                w.run._source.mailbox.post("stop", "api")

    assert (seen, w.run.status) == (1, Status.STOPPED)


def test_a_stop_from_another_process_arrives(batches):
    """A command written into the run file by someone else ends the loop."""
    with lab.watch() as w:
        send_command(w.run.path, "stop")
        for _ in w(iter(lambda: torch.zeros(2, 2), None)):
            w.log(loss=1.0)

    assert w.stopped


def test_an_error_in_the_loop_is_recorded_and_goes_on(batches):
    """The person's own error is raised unchanged, and the run file says what it was."""
    with pytest.raises(ZeroDivisionError), lab.watch() as w:
        w.log(loss=1 / 0)

    run = lab.open_run(w.run.path)
    assert run.status is Status.FAILED
    assert [e.data["error"] for e in run.events() if e.kind == "ended"] == ["ZeroDivisionError"]


def test_use_before_the_block_is_explained():
    """A watch that was never entered says how to use it."""
    with pytest.raises(ConfigError, match=r"with lab\.watch"):
        next(iter(lab.watch()([1, 2])))


def test_the_model_is_described_in_the_header():
    """Class, size and optimizer of what is watched are facts of the run."""
    model = torch.nn.Linear(3, 2)
    with lab.watch(model, torch.optim.AdamW(model.parameters())) as w:
        w.log(loss=1.0)

    facts = w.run.header
    assert (facts["model"], facts["parameters"]) == ("Linear", 8)
    assert facts["config"] == {"optimizer": "adamw", "optimizer_options": {}, "learning_rate": 0.001}


def test_the_wait_for_a_batch_is_recorded():
    """A loader that takes most of the time is seen as a share of each step."""

    def slow():
        for _ in range(4):
            time.sleep(0.03)
            yield torch.zeros(2, 2)

    with lab.watch() as w:
        for _ in w(slow()):
            time.sleep(0.001)

    shares = w.run.series("data_wait_share").value
    assert (shares > 0.5).all()
    assert (shares <= 1).all()


def test_a_step_without_a_loader_has_no_wait():
    """Nobody knows when a batch came."""
    with lab.watch() as w:
        w.log(loss=1.0)

    assert np.isnan(w.run.series("data_wait_share").value[0])


def test_what_the_loop_is_like_is_kept():
    """After some turns the header says it, and no hook is left behind."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with lab.watch(model, optimizer) as w:
        for batch in w([torch.ones(4, 3)] * 8):
            model(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    loop = w.run.header["loop"]
    assert (loop["framework"], loop["micro_batch_size"], loop["gradient_accumulation_steps"]) == ("plain", 4, 1)
    assert not model._forward_hooks


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.zeros(5, 2), 5),
        (UserDict(input_ids=torch.zeros(3, 2)), 3),
        ((torch.zeros(3, 1), torch.zeros(3)), 3),
        ({"text": ["a"], "ids": torch.zeros(7, 4)}, 7),
        (["a", "b"], None),
        (torch.tensor(1.0), None),
    ],
)
def test_samples_of_a_batch(batch, samples):
    """The first tensor tells how many samples a batch has; without one it is unknown."""
    assert samples_of(batch) == samples


def test_interrupt_stays_the_persons_own_by_default():
    """Inside the block Ctrl+C raises KeyboardInterrupt, as ever."""
    before = signal.getsignal(signal.SIGINT)
    with lab.watch():
        assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_becomes_a_stop_when_asked_for(batches):
    """With ``interrupt=True`` the loop ends after the step, and the handler of before comes back."""
    before = signal.getsignal(signal.SIGINT)
    with lab.watch(interrupt=True) as w:
        for _ in w(batches):
            w.log(loss=1.0)
            os.kill(os.getpid(), signal.SIGINT)

    assert (w.stopped, w.run.status) == (True, Status.STOPPED)
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_is_known_where_the_total_is_given():
    """Total and name stand in the header, for bar and list."""
    with lab.watch(name="mine", total_steps=3) as w:
        w.log(loss=1.0)

    assert (w.run.name, w.run.header["total_steps"]) == ("mine", 3)


def test_samples_are_taken_beside_a_watched_loop(batches):
    """The host's memory is recorded while the loop runs."""
    with lab.watch(sample_hz=10) as w:
        for _ in w(batches):
            w.log(loss=1.0)
            time.sleep(0.05)

    assert w.run.last("process_resident_bytes") > 0


def test_a_loop_can_note_what_happened():
    """As an event of the run."""
    with lab.watch() as w:
        w.event("restarted", by="hand")

    (event,) = [one for one in w.run._source.events() if one.kind == "restarted"]
    assert dict(event.data) == {"by": "hand"}
