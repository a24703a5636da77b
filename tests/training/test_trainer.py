"""The loop: it learns, obeys, stops, goes on to the bit, and leaves the person's things alone."""

from __future__ import annotations

import math
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.data import Batches, epoch_order, from_arrays
from bigmodel_lab.errors import (
    EmptyDataError,
    NonFiniteLossError,
    UnknownNameError,
)
from bigmodel_lab.runlog import RunLog, RunReader, Status
from bigmodel_lab.training import TrainConfig, Trainer
from tests.training.fakes import CPU, FakeLog, tiny_model


def weights(trainer: Trainer) -> torch.Tensor:
    """All weights as one vector."""
    return nn.utils.parameters_to_vector(trainer.model.parameters()).detach().clone()


def bare_run(data, epochs: int, batch: int) -> torch.Tensor:
    """The textbook loop without this library's step, on the same batches."""
    model, batches = tiny_model(), Batches(data.train, data.scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for epoch in range(epochs):
            for indices in epoch_order(len(data.train), 0, epoch).split(batch):
                x, y = batches.take(indices)
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def test_run_learns(make, log):
    """The loss of the last epoch is below that of the first, and the test samples are recognised."""
    trainer = make(epochs=20)

    assert trainer.run() is Status.FINISHED
    losses = log.streams["epoch"].column("loss")
    assert losses[-1] < losses[0] / 2
    assert trainer.evaluate("test").accuracy > 0.9


def test_weights_equal_those_of_the_textbook_loop(make, data):
    """What the library adds changes not one bit of the training."""
    trainer = make()
    trainer.run()

    assert torch.equal(weights(trainer), bare_run(data, epochs=3, batch=16))


def test_one_row_a_step_and_an_epoch(make, log):
    """81 samples in batches of 16 are 6 steps an epoch; steps count from 0."""
    make().run()

    assert log.streams["step"].steps == list(range(18))
    assert log.streams["epoch"].steps == [5, 11, 17]


def test_header_holds_the_facts(make, log):
    """Views find in the header how long the run is, where it computes, and on what."""
    trainer = make()
    header = log.header

    assert (header["total_steps"], header["steps_per_epoch"], header["epochs"]) == (18, 6, 3)
    assert (header["device"], header["device_reason"], header["model"]) == ("cpu", "a test", "Sequential")
    assert header["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert header["config"]["micro_batch_size"] == trainer.config.micro_batch_size
    assert header["data"]["samples"] == {"train": 81, "validation": 9, "test": 10}


def test_epoch_row_is_the_mean_over_samples(make, log):
    """The ragged last batch of 1 sample counts as one sample, not as one batch of 16."""
    make(epochs=1).run()
    sizes = [16] * 5 + [1]
    losses = log.streams["step"].column("loss")

    mean = sum(n * loss for n, loss in zip(sizes, losses, strict=True)) / 81
    assert log.streams["epoch"].column("loss") == [pytest.approx(mean)]


def test_throughput_is_samples_by_time(make, log):
    """Throughput and step time of a row belong together."""
    make(epochs=1).run()
    rows = log.streams["step"]

    products = [s * t for s, t in zip(rows.column("samples_per_second"), rows.column("step_seconds"), strict=True)]
    assert products == pytest.approx([16] * 5 + [1])


def test_events_tell_device_precision_and_epochs(make, log):
    """Device and precision are recorded with their reasons, then each epoch."""
    make(precision="fp16").run()

    assert [kind for kind, _ in log.events] == ["device", "precision", "epoch", "epoch", "epoch"]
    assert "CUDA only" in log.events[1][1]["reason"]
    assert [data["epoch"] for kind, data in log.events if kind == "epoch"] == [1, 2, 3]


def test_max_steps_ends_in_the_middle_of_an_epoch(make, log):
    """The run ends at the step that was asked for, with a validation."""
    assert make(max_steps=8).run() is Status.FINISHED

    assert log.streams["step"].steps == list(range(8))
    assert log.streams["epoch"].steps == [5, 7]


def test_same_seed_gives_the_same_run(make):
    """Two runs of one seed agree in every loss and weight; another seed does not."""
    logs = [FakeLog(), FakeLog(), FakeLog()]
    runs = [make(log=log, seed=seed) for log, seed in zip(logs, (7, 7, 8), strict=True)]
    for run in runs:
        run.run()

    first, again, other = (log.streams["step"].column("loss") for log in logs)
    assert first == again
    assert first != other
    assert torch.equal(weights(runs[0]), weights(runs[1]))


@pytest.mark.parametrize("stop_after", [0, 3, 5, 9, 16])
def test_stopped_run_goes_on_to_the_bit(make, stop_after):
    """Stop anywhere, draw other random numbers, go on: weights and losses are those of an unbroken run."""
    whole_log = FakeLog()
    whole = make(log=whole_log)
    whole.run()
    log = FakeLog()
    log.after_step = lambda step: log.mailbox.post("stop", "api") if step == stop_after else None
    broken = make(log=log)

    assert broken.run() is Status.STOPPED
    assert broken.steps_made == stop_after + 1
    torch.rand(100)
    broken.evaluate("validation")
    assert broken.run() is Status.FINISHED
    assert torch.equal(weights(broken), weights(whole))
    for stream in ("step", "epoch"):
        assert log.streams[stream].column("loss") == whole_log.streams[stream].column("loss")


def test_stopped_run_goes_on_in_another_log(make):
    """A reopened log gets the steps that are left."""
    first, second = FakeLog(), FakeLog()
    first.after_step = lambda step: first.mailbox.post("stop", "api") if step == 3 else None
    trainer = make(log=first)
    trainer.run()

    trainer.attach(second)
    trainer.run()

    assert first.streams["step"].steps + second.streams["step"].steps == list(range(18))


def test_statuses_of_a_stopped_run(make, log):
    """Stop is a clean end with a status of its own."""
    log.mailbox.post("stop", "widget")

    make().run()

    assert log.statuses == [Status.RUNNING, Status.STOPPED]


def test_pause_waits_until_resume(make, log):
    """A paused run makes no step until it is resumed from another thread."""
    paused = threading.Event()
    log.set_status = lambda status: (log.statuses.append(status), paused.set() if status is Status.PAUSED else None)
    log.after_step = lambda step: log.mailbox.post("pause", "widget") if step == 4 else None
    seen = []

    def resume() -> None:
        assert paused.wait(30)
        seen.append(len(log.streams["step"].rows))
        log.mailbox.post("resume", "widget")

    other = threading.Thread(target=resume)
    other.start()
    assert make().run() is Status.FINISHED
    other.join()

    assert seen == [5]
    assert log.statuses == [Status.RUNNING, Status.PAUSED, Status.RUNNING, Status.FINISHED]


def test_pause_does_not_change_the_run(make):
    """Weights after a pause are those of a run without one."""
    log, plain = FakeLog(), make(log=FakeLog())
    log.after_step = lambda step: [log.mailbox.post(n, "api") for n in ("pause", "resume")] if step == 4 else None
    paused = make(log=log)

    plain.run(), paused.run()

    assert torch.equal(weights(paused), weights(plain))


def test_stop_ends_a_pause(make, log):
    """Stop works while the run is paused."""
    log.after_step = lambda step: log.mailbox.post("pause", "api") if step == 2 else None
    log.set_status = lambda status: log.mailbox.post("stop", "api") if status is Status.PAUSED else None
    trainer = make()

    assert trainer.run() is Status.STOPPED
    assert trainer.steps_made == 3


def test_jobs_run_on_the_loops_thread(make, log):
    """What must publish from the loop's thread does so between two steps."""
    threads = []
    log.after_step = lambda step: (
        log.mailbox.call_soon(lambda: threads.append(threading.get_ident())) if step == 1 else None
    )

    make().run()

    assert threads == [threading.get_ident()]


def test_unknown_command_is_noted_and_changes_nothing(make, log):
    """A command that the loop does not know is recorded as ignored."""
    log.mailbox.post("dance", "terminal")

    assert make().run() is Status.FINISHED
    assert ("ignored", {"name": "dance", "source": "terminal"}) in log.events


def test_nan_loss_stops_the_run(make, log):
    """A NaN loss is recorded and named with its step and what to try."""
    trainer = make(loss=lambda scores, y: F.cross_entropy(scores, y) * (math.nan if trainer.steps_made == 4 else 1))

    with pytest.raises(NonFiniteLossError, match=r"step 4 is nan.*learning rate.*fp16.*data") as caught:
        trainer.run()

    assert caught.value.step == 4
    assert log.statuses == [Status.RUNNING, Status.FAILED]
    assert log.why == {"error": "NonFiniteLossError", "message": str(caught.value)}
    assert log.streams["step"].steps == [0, 1, 2, 3, 4]


def test_infinite_loss_stops_the_run(make):
    """An infinite loss stops as NaN does."""
    with pytest.raises(NonFiniteLossError, match="is inf"):
        make(loss=lambda scores, _: scores.sum() * 0 + math.inf).run()


def test_interrupt_is_recorded_as_stopped(make, log):
    """A KeyboardInterrupt that nobody catches leaves a log with the status of a stopped run."""

    def interrupt(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    log.after_step = interrupt

    with pytest.raises(KeyboardInterrupt):
        make().run()

    assert log.statuses == [Status.RUNNING, Status.STOPPED]


def test_random_numbers_of_the_person_stay(make):
    """Neither making, running nor evaluating moves torch's global random numbers."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    trainer = make()
    trainer.run()
    trainer.evaluate("test")

    assert torch.equal(torch.rand(3), expected)


def test_random_numbers_of_the_person_return_after_an_error(make):
    """An error in the middle of a run leaves the person's random numbers as they were."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    with pytest.raises(NonFiniteLossError):
        make(loss=lambda scores, _: scores.sum() * math.nan).run()

    assert torch.equal(torch.rand(3), expected)


def test_evaluation_leaves_the_modes_of_the_model(make):
    """A part that was frozen by eval() is still so after a run, and the rest is in training mode."""
    model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10))
    model[1].eval()

    make(model, max_steps=2).run()

    assert [part.training for part in model] == [True, False, True]


def test_model_in_evaluation_mode_is_put_to_training(make):
    """A model left in evaluation mode learns with dropout all the same."""
    model = tiny_model().eval()

    make(model, max_steps=1).run()

    assert model[2].training


def test_evaluate_counts_every_sample(make, data):
    """Loss and accuracy are those of all samples at once, in evaluation mode."""
    trainer = make(epochs=1, micro_batch_size=4)
    trainer.run()
    found = trainer.evaluate("test")
    scores = trainer.model.eval()(data.test.x)

    assert found.loss == pytest.approx(F.cross_entropy(scores, data.test.y).item(), rel=1e-5)
    assert found.accuracy == (scores.argmax(1) == data.test.y).float().mean().item()
    assert found.samples == 10


def test_evaluate_of_an_unknown_part(make):
    """A misspelt part of the data is answered with those that exist."""
    with pytest.raises(UnknownNameError, match="validation"):
        make().evaluate("tets")


def test_evaluate_of_an_empty_part(make, data):
    """Evaluating nothing is an error, not an accuracy of 0."""
    only_train = from_arrays({"train": (data.train.x, data.train.y)})

    with pytest.raises(EmptyDataError, match="no test samples"):
        make(data=only_train).evaluate("test")


def test_without_validation_samples_the_value_is_unknown(make, log, data):
    """No validation samples give NaN, not 0."""
    nothing = (data.train.x[:0], data.train.y[:0])

    make(data=from_arrays({"train": data.train, "validation": nothing}), epochs=1).run()

    assert math.isnan(log.streams["epoch"].column("validation_loss")[0])
    assert log.streams["epoch"].column("loss")[0] > 0


def test_accumulated_gradients_equal_one_large_batch(data):
    """Four micro-batches of 8, and a ragged 8 + 8 + 1, give the weights of batches of 32."""

    def trained(**sizes: int) -> torch.Tensor:
        model = nn.Sequential(nn.Linear(64, 10))
        nn.init.constant_(model[0].weight, 0.01), nn.init.zeros_(model[0].bias)
        config = TrainConfig(epochs=2, optimizer="sgd", learning_rate=0.5, **sizes)
        trainer = Trainer(model, data, config, FakeLog(), device=CPU)
        trainer.run()
        return weights(trainer)

    accumulated = trained(micro_batch_size=8, gradient_accumulation_steps=4)
    assert torch.allclose(accumulated, trained(micro_batch_size=32), atol=1e-6)


def test_runs_where_gradients_are_switched_off(make):
    """A run inside ``torch.no_grad()`` trains all the same."""
    with torch.no_grad():
        assert make(max_steps=2).run() is Status.FINISHED


def test_failed_run_leaves_a_whole_file(make, tmp_path):
    """The file of a run that met NaN opens, shows FAILED and every step up to it."""
    log = RunLog.create("broken", folder=tmp_path)
    trainer = make(
        log=log, loss=lambda scores, y: F.cross_entropy(scores, y) * (math.nan if trainer.steps_made == 7 else 1)
    )

    with pytest.raises(NonFiniteLossError):
        trainer.run()
    log.close(Status.FAILED)

    reader = RunReader(log.path)
    assert (reader.status(), reader.count("step")) == (Status.FAILED, 8)
    assert [event.data.get("error") for event in reader.events() if event.kind == "ended"] == ["NonFiniteLossError"]


def test_real_log_holds_a_finished_run(make, tmp_path):
    """With the real run log, rows, header and events arrive in the file."""
    log = RunLog.create("whole", folder=tmp_path)
    make(log=log).run()
    log.close(Status.FINISHED)

    reader = RunReader(log.path)
    assert (reader.count("step"), reader.count("epoch")) == (18, 3)
    assert reader.header()["total_steps"] == 18
    assert {"started", "device", "precision", "epoch", "ended"} <= {event.kind for event in reader.events()}
