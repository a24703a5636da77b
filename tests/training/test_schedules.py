"""The learning rate over a run, against formulas; recorded where it changes and nowhere else."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import nn

from bigmodel_lab.data import from_arrays
from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.runlog import RunLog
from bigmodel_lab.training.schedules import SCHEDULES, check_schedule, make_schedule
from bigmodel_lab.widgets._spec import charts_of

BY_STEP = sorted(set(SCHEDULES) - {"constant", "plateau"})
NAMES = {"constant", "linear", "cosine", "step", "multi_step", "exponential", "one_cycle", "plateau"}


def optimizer(rate: float = 0.8, name: str = "SGD", **options) -> torch.optim.Optimizer:
    """Over one weight without a gradient, so that steps cost nothing."""
    return getattr(torch.optim, name)([nn.Parameter(torch.ones(1))], lr=rate, **options)


def rates(name: str, steps: int = 12, warmup_steps: int = 0, **options) -> list[float]:
    """The learning rate of each step of a run."""
    schedule = make_schedule(name, options, optimizer(), steps=steps, warmup_steps=warmup_steps)
    found = []
    for _ in range(steps):
        found.append(schedule.learning_rate)
        schedule.step_made()
    return found


def test_all_schedules_are_there():
    """The names that the settings promise, each with its meaning in a sentence."""
    assert set(SCHEDULES) == NAMES
    assert all(str(kind.meaning).endswith(".") for kind in SCHEDULES.values())


def test_linear_falls_to_nothing():
    """Step n of N has 1 - n/N of the learning rate."""
    assert rates("linear") == pytest.approx([0.8 * (1 - n / 12) for n in range(12)])


def test_cosine_is_half_a_cosine():
    """Step n of N has (1 + cos(πn/N)) / 2 of the learning rate."""
    assert rates("cosine") == pytest.approx([0.4 * (1 + math.cos(math.pi * n / 12)) for n in range(12)])


def test_step_falls_twice_on_its_way():
    """Without options a tenth after each third of the run."""
    assert rates("step") == pytest.approx([0.8] * 4 + [0.08] * 4 + [0.008] * 4)


def test_multi_step_falls_at_its_milestones():
    """Without options at a half and at three quarters; else where the person says."""
    assert rates("multi_step") == pytest.approx([0.8] * 6 + [0.08] * 3 + [0.008] * 3)
    assert rates("multi_step", milestones=[2], gamma=0.5) == pytest.approx([0.8] * 2 + [0.4] * 10)


def test_exponential_leaves_a_hundredth():
    """The rate behind the last step is a hundredth of the first, by equal factors."""
    found = rates("exponential")

    assert found[-1] * (found[1] / found[0]) == pytest.approx(0.008)


def test_one_cycle_rises_and_falls():
    """From a 25th to the learning rate of the settings, then far below the start."""
    found = rates("one_cycle", steps=20)

    assert (found[0], max(found), found.index(max(found))) == pytest.approx((0.8 / 25, 0.8, 5))
    assert found[-1] < 1e-4


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("Adagrad", {})])
def test_one_cycle_gives_no_momentum(name, options):
    """An optimizer that was made without momentum gets none; one that cannot have any is not refused."""
    plain = optimizer(name=name, **options)
    make_schedule("one_cycle", {}, plain, steps=10)

    assert not plain.param_groups[0].get("momentum")


def test_one_cycle_moves_the_momentum_that_is_there():
    """With momentum it goes the other way than the learning rate, as the method says."""
    with_momentum = optimizer(momentum=0.9)
    make_schedule("one_cycle", {}, with_momentum, steps=10)

    assert with_momentum.param_groups[0]["momentum"] == 0.95


@pytest.mark.parametrize("name", BY_STEP)
def test_warm_up_stands_in_front(name):
    """Three equal stairs lead to what the schedule begins with, and its steps follow."""
    whole, plain = rates(name, steps=15, warmup_steps=3), rates(name, steps=12)

    assert whole[:3] == pytest.approx([plain[0] * n / 4 for n in (1, 2, 3)])
    assert whole[3:] == plain


def test_warm_up_alone():
    """With the constant schedule the rate stays at its full value, exactly."""
    assert rates("constant", steps=4, warmup_steps=2)[2:] == [0.8, 0.8]


def test_constant_is_no_schedule():
    """Nothing is there to be done at a step."""
    assert make_schedule("constant", {}, optimizer(), steps=10) is None


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", BY_STEP)
def test_short_runs_are_no_special_case(name, steps):
    """A run may be shorter than what a schedule has in mind, or than its warm-up."""
    assert len(rates(name, steps)) == len(rates(name, steps, warmup_steps=5)) == steps


def test_plateau_waits_then_falls():
    """After more than ``patience`` epochs without a better validation loss the rate falls."""
    schedule = make_schedule("plateau", {"patience": 1, "factor": 0.5}, optimizer(), steps=10)
    found = []
    for loss in (1.0, 0.5, 0.6, None, 0.6, 0.6):
        schedule.step_made()
        schedule.epoch_made(loss)
        found.append(schedule.learning_rate)

    assert found == [0.8, 0.8, 0.8, 0.4, 0.4, 0.2]


def test_plateau_leaves_the_warm_up_alone():
    """Epochs that end within the warm-up are not judged."""
    schedule = make_schedule("plateau", {"patience": 0}, optimizer(), steps=10, warmup_steps=4)
    for loss in (1.0, 2.0, 3.0):
        schedule.step_made()
        schedule.epoch_made(loss)

    assert schedule.learning_rate == pytest.approx(0.8 * 4 / 5)


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("made", [1, 4, 7])
def test_state_goes_on_to_the_bit(name, made):
    """Saved with the optimizer and read back with ``weights_only``, each rate is that of an unbroken run."""
    first, second = optimizer(momentum=0.9), optimizer(momentum=0.9)
    whole, rest = (make_schedule(name, {}, one, steps=10, warmup_steps=3) for one in (first, second))
    for step in range(10):
        if step == made:
            file = io.BytesIO()
            torch.save({"optimizer": first.state_dict(), "schedule": whole.state()}, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
            second.load_state_dict(state["optimizer"])
            rest.load_state(state["schedule"])
        for schedule in (whole, rest)[: 1 + (step >= made)]:
            schedule.step_made()
            schedule.epoch_made(1.0)
        if step >= made:
            assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"]
            assert first.param_groups[0]["momentum"] == second.param_groups[0]["momentum"]


def test_unknown_schedule_suggests_the_nearest():
    """A misspelt name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        check_schedule("cosinus")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine", {"gamma": 0.5}),
        ("step", {"step_size": "ten"}),
        ("step", {"step_size": 0}),
        ("plateau", {"factor": 2.0}),
        ("constant", {"gamma": 1}),
    ],
)
def test_refused_options_are_quoted(name, options):
    """Options that do not fit come back with the schedule's name before the first step, not in its middle."""
    option = next(iter(options))
    with pytest.raises(ConfigError, match=f"schedule '{name}' cannot be used with schedule_options.*{option}"):
        make_schedule(name, options, optimizer(), steps=10)


def test_run_follows_its_schedule(make, log):
    """Each step of a run is made with the rate that is recorded for it."""
    trainer = make(schedule="linear", warmup_steps=2, epochs=1, learning_rate=0.4)
    seen = []
    log.after_step = lambda _: seen.append(trainer.optimizer.param_groups[0]["lr"])
    trainer.run()
    rows = log.streams["schedule"]

    assert rows.column("learning_rate") == seen == pytest.approx([0.4 / 3, 0.8 / 3, 0.4, 0.3, 0.2, 0.1])
    assert rows.steps == list(range(6))


def test_constant_run_records_no_rate(make, log):
    """Where the rate never changes there is nothing to record, and no work at a step."""
    make(max_steps=2).run()

    assert set(log.streams) == {"step", "epoch"}


def test_plateau_follows_the_validation_of_a_run(make, log):
    """A run that does not get better has a smaller rate in its later epochs."""
    make(schedule="plateau", schedule_options={"patience": 0}, learning_rate=1e-9, optimizer="sgd").run()
    found = log.streams["schedule"].column("learning_rate")

    assert found[0] == 1e-9
    assert log.streams["schedule"].steps == list(range(18))


def test_plateau_needs_validation_samples(make, data):
    """Without a validation loss it could never act; the message says what to do."""
    nothing = (data.train.x[:0], data.train.y[:0])

    with pytest.raises(ConfigError, match=r"schedule='plateau' looks at the validation loss.*validation_fraction"):
        make(schedule="plateau", data=from_arrays({"train": data.train, "validation": nothing}))


@pytest.mark.parametrize(("schedule", "shown"), [("cosine", True), ("constant", False)])
def test_chart_appears_where_the_rate_is_recorded(make, tmp_path, schedule, shown):
    """The dashboard draws the learning rate of a scheduled run, and has no empty chart for others."""
    log = RunLog.create("rates", tmp_path)
    make(log=log, schedule=schedule, max_steps=2).run()
    charts = [named.key for named in charts_of(log)]
    log.close()

    assert ("learning_rate" in charts) is shown
