"""The learning-rate range test: how the rate rises, where it ends, what it suggests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from bigmodel_lab.data import Data
from bigmodel_lab.runlog import RunLog, Status
from bigmodel_lab.training import RangeTrainer, TrainConfig, range_curve, rising_rates
from tests.training.fakes import CPU, tiny_model


@pytest.fixture
def real_log(tmp_path: Path) -> Iterator[RunLog]:
    """A run log in a file."""
    log = RunLog.create("example", tmp_path)
    yield log
    log.close()


def risen(data: Data, log: RunLog, rates: Sequence[float], **settings: object) -> RangeTrainer:
    """A range test that has run over these rates."""
    config = TrainConfig(**{"epochs": 50, "max_steps": len(rates), "micro_batch_size": 16, **settings})
    trainer = RangeTrainer(rates, tiny_model(), data, config, log, device=CPU)
    trainer.outcome = trainer.run()
    return trainer


def losses(log: RunLog) -> list[float]:
    """The loss of each step made."""
    return log.read("step").values[:, 0].tolist()


def test_rates_rise_by_one_factor():
    """From low to high, both included."""
    rates = rising_rates(1e-6, 1.0, 7)

    assert rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_every_step_is_made_with_its_own_rate(data: Data, real_log: RunLog):
    """The rates are recorded, and the optimizer is left with the last one."""
    rates = rising_rates(1e-3, 1e-1, 6)
    trainer = risen(data, real_log, rates, optimizer="sgd", learning_rate=7.0)

    assert [group["lr"] for group in trainer.optimizer.param_groups] == [rates[-1]]
    assert real_log.read("schedule").values[:, 0].tolist() == rates


def test_a_rate_of_almost_nothing_moves_almost_nothing(data: Data, real_log: RunLog):
    """The learning rate of the settings does not count."""
    trainer = risen(data, real_log, [1e-12] * 20, optimizer="sgd", learning_rate=5.0)

    before, after = (nn.utils.parameters_to_vector(m.parameters()).detach() for m in (tiny_model(), trainer.model))
    assert float((before - after).abs().max()) < 1e-6


def test_it_ends_where_the_loss_explodes(data: Data, real_log: RunLog):
    """Long before the last step, as a finished run; only so many steps late as the loop needs to obey."""
    trainer = risen(data, real_log, rising_rates(1e-3, 1e4, 200), optimizer="sgd")

    made = losses(real_log)
    smoothed = range_curve(rising_rates(1e-3, 1e4, 200), made).smoothed
    assert trainer.outcome is Status.FINISHED
    assert len(made) < 200
    assert smoothed[-1] > 4 * smoothed.min() or smoothed[-2] > 4 * smoothed.min()
    assert (smoothed[:-2] <= 4 * np.minimum.accumulate(smoothed[:-2])).all()


def test_a_loss_that_becomes_no_number_is_an_end_too(data: Data, real_log: RunLog):
    """Before any smoothing could tell, the test ends as a finished run, once."""
    trainer = risen(data, real_log, [1e-3] * 3 + [1e38] * 30, optimizer="sgd")

    assert trainer.outcome is Status.FINISHED
    assert not np.isfinite(losses(real_log)[-1])
    assert [e.data["status"] for e in real_log.events() if e.kind == "ended"] == ["finished"]


def test_a_person_can_stop_it(data: Data, real_log: RunLog):
    """Then it is a stopped run."""
    real_log.mailbox.post("stop", "api")

    assert risen(data, real_log, [1e-3] * 30).outcome is Status.STOPPED


def test_no_hook_stays_on_the_optimizer(data: Data, real_log: RunLog):
    """A step made afterwards keeps its learning rate."""
    trainer = risen(data, real_log, [1e-3] * 20)

    assert not trainer.optimizer._optimizer_step_pre_hooks


# the curve


def test_the_steepest_descent_is_found():
    """A loss that falls around 0.01 suggests about 0.01."""
    rates = rising_rates(1e-6, 1, 200)
    loss = 1 / (1 + (np.array(rates) / 0.01) ** 2)

    assert range_curve(rates, loss).steepest == pytest.approx(0.01, rel=0.7)


def test_behind_the_lowest_loss_nothing_is_suggested():
    """A fall after an explosion is no learning."""
    loss = [1.0] * 30 + [1 - 0.02 * n for n in range(30)] + [9.0] * 10 + [2.0] * 10
    curve = range_curve(rising_rates(1e-6, 1, 80), loss)

    assert curve.steepest < curve.rates[60]


def test_a_loss_that_never_falls_suggests_nothing():
    """None, rather than a rate at random."""
    assert range_curve(rising_rates(1e-6, 1, 40), [1 + 0.01 * n for n in range(40)]).steepest is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_steps_suggest_nothing(count: int):
    """A test that was stopped at once has no slope."""
    assert range_curve(rising_rates(1e-6, 1, 40), [1.0] * count).steepest is None


def test_losses_that_are_no_numbers_are_left_out():
    """With their rates."""
    curve = range_curve([0.1, 0.2, 0.3, 0.4], [1.0, float("inf"), 0.5, float("nan")])

    assert (curve.rates.tolist(), curve.losses.tolist()) == ([0.1, 0.3], [1.0, 0.5])


def test_the_smoothed_loss_begins_at_the_first_and_stays_at_a_constant():
    """The average is corrected for its start at zero."""
    assert range_curve(rising_rates(0.1, 1, 5), [2.0] * 5).smoothed == pytest.approx([2.0] * 5)
