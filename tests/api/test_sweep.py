"""`sweep`: trials are runs; the best is found, and what fails is noted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

import bigmodel_lab as lab
from bigmodel_lab.api import _sweep
from bigmodel_lab.api._sweep import Sweep, Trial
from bigmodel_lab.errors import ConfigError, EmptyDataError, MissingPackageError, TrainingError, UnknownNameError
from bigmodel_lab.runlog import Status
from tests.api.small import at_step, numbers, same, tiny

SETTINGS = {"epochs": 2, "micro_batch_size": 16, "device": "cpu"}
RATES = {"learning_rate": (1e-3, 1e-1, "log")}


def swept(space: Mapping[str, Any] | None = None, model: Any = None, **settings: Any) -> Sweep:
    """A small sweep over the tiny model."""
    return lab.sweep(model or tiny(), numbers(), space or RATES, **{"trials": 3, **SETTINGS, **settings})


def trial(number: int, value: float | None, outcome: Any = "completed", reason: str = "") -> Trial:
    """A trial that came to this."""
    return Trial(number, {"learning_rate": 0.1 / number}, value, outcome, reason, Path("x.bmlrun"))


# the trials


def test_every_trial_is_a_run_of_its_own(runs_dir: Path):
    """Named for its trial, in one folder, with the settings that were tried."""
    result = swept(name="search")
    runs = [lab.open_run(trial.path) for trial in result.trials]

    assert [run.name for run in runs] == [f"search trial {n}" for n in (1, 2, 3)]
    assert {run.path.parent for run in runs} == {runs_dir}
    assert [run.header["config"]["learning_rate"] for run in runs] == [
        t.settings["learning_rate"] for t in result.trials
    ]


def test_the_value_is_that_of_the_last_epoch():
    """As the run recorded it."""
    for made in swept(trials=2).trials:
        assert made.value == pytest.approx(lab.open_run(made.path).last("validation_accuracy"))


def test_a_sweep_repeats_with_its_seed():
    """The same trials with the same values; another seed tries others."""
    first, second, other = (swept(trials=4, seed=seed) for seed in (1, 1, 2))
    tried = [[(t.settings, t.value) for t in one.trials] for one in (first, second, other)]

    assert tried[0] == tried[1]
    assert tried[0] != tried[2]


def test_every_trial_begins_with_the_weights_that_were_given():
    """The module itself is never trained."""
    model = tiny()
    swept(model=model, trials=2)

    assert same(model, tiny())


def test_numbers_whole_numbers_and_choices_are_tried():
    """Each within its range, of its own kind."""
    space = {
        "learning_rate": (1e-4, 1e-2, "log"),
        "l2": (0.0, 0.1),
        "gradient_accumulation_steps": (1, 3),
        "optimizer": ["sgd", "adam"],
        "optimizer_options": [{}, {"weight_decay": 0.1}],
    }
    for made in swept(space, trials=5).trials:
        tried = made.settings
        assert 1e-4 <= tried["learning_rate"] <= 1e-2
        assert 0 <= tried["l2"] <= 0.1
        assert tried["gradient_accumulation_steps"] in {1, 2, 3}
        assert tried["optimizer"] in {"sgd", "adam"}
        assert tried["optimizer_options"] in ({}, {"weight_decay": 0.1})


def test_without_a_space_learning_rates_are_tried():
    """The setting that matters most."""
    result = lab.sweep(tiny(), numbers(), trials=1, **SETTINGS)

    assert 1e-4 <= result.best_settings["learning_rate"] <= 1e-1


def test_a_smaller_loss_is_better():
    """The objective says in which direction."""
    result = swept(objective="validation_loss")

    assert result.best.value == min(made.value for made in result.trials)


# trials that come to nothing


def test_a_failed_trial_is_noted_and_the_search_goes_on():
    """A loss that becomes NaN ends its trial, not the sweep."""
    result = swept({"learning_rate": [1e38, 1e-3]}, optimizer="sgd", trials=6)
    failed = [made for made in result.trials if made.outcome == "failed"]

    assert len(result.trials) == 6
    assert 0 < len(failed) < 6
    assert all("the run was stopped" in made.reason and made.value is None for made in failed)
    assert lab.open_run(failed[0].path).status is Status.FAILED
    assert result.best_settings == {"learning_rate": 1e-3}


def test_where_all_trials_fail_the_reasons_are_told():
    """There is a table, and no best one."""
    result = swept({"learning_rate": [1e38]}, optimizer="sgd", trials=2)

    with pytest.raises(TrainingError, match=r"No trial.*1: The loss.*2: The loss"):
        result.best_settings  # noqa: B018


def test_a_trial_that_does_worse_than_the_others_ends_early():
    """Good ones first, then one that cannot learn: it ends before its last epoch."""
    rates = iter([0.05] * 6 + [1e-9])
    suggested = _sweep._suggested
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sweep, "_suggested", lambda *a: (suggested(*a), next(rates))[1])
        result = swept(trials=7, epochs=6)
    last = result.trials[-1]

    assert last.outcome == "pruned"
    assert "median" in last.reason
    assert len(lab.open_run(last.path).series("validation_loss").value) < 6


def test_stop_ends_the_search_with_the_trials_that_are_done(monkeypatch: pytest.MonkeyPatch):
    """The stopped one is in the table, but never the best."""
    real = _sweep.prepare

    def second_stops(*arguments: Any, **named: Any) -> lab.TrainingRun:
        run = real(*arguments, **named)
        if named["name"].endswith("2"):
            at_step(run, 1, run.stop)
        return run

    monkeypatch.setattr(_sweep, "prepare", second_stops)
    result = swept(trials=5)

    assert [made.outcome for made in result.trials] == ["completed", "stopped"]
    assert result.best.number == 1


def test_no_trial_begins_after_the_time_is_up():
    """A time that is over at once leaves no trial."""
    assert swept(seconds=0).trials == ()


# settings that cannot be used


@pytest.mark.parametrize(
    "choice",
    [3, [], (1,), (2, 1), (0.0, 1.0, "log"), (1, 2, "linear"), ("a", "b"), (True, 2), "log", (0.1, float("inf"))],
)
def test_a_space_that_cannot_be_searched_is_refused(choice: Any, runs_dir: Path):
    """Before the first trial; the error shows what came."""
    with pytest.raises(ConfigError, match=r"space of learning_rate is .* but must be"):
        swept({"learning_rate": choice})

    assert not runs_dir.exists()


def test_an_unknown_setting_in_the_space_is_named():
    """As everywhere."""
    with pytest.raises(UnknownNameError, match="learning_rats"):
        swept({"learning_rats": (0.1, 0.2)})


@pytest.mark.parametrize("wrong", [{"objective": "loss"}, {"trials": 0}, {"trials": 1.5}])
def test_an_objective_or_number_that_cannot_be_is_refused(wrong: dict[str, Any]):
    """The error says what is allowed."""
    with pytest.raises(ConfigError, match=r"validation_accuracy \| validation_loss|whole number from 1"):
        swept(**wrong)


def test_without_validation_samples_there_is_nothing_to_judge_by():
    """Found before the first trial."""
    with pytest.raises(EmptyDataError, match="validation"):
        swept(validation_fraction=0.0)


def test_an_objective_that_the_task_has_not_is_named():
    """A loss of one's own over another kind of output has no accuracy."""
    with pytest.raises(ConfigError, match="measured no validation_accuracy"):
        swept(loss=lambda output, labels: (output.sum(1) - labels).square().mean(), model=Summed())


class Summed(type(tiny())):
    """One number a sample, not one score a class."""

    def __init__(self) -> None:
        super().__init__(*tiny())

    def forward(self, x: Any) -> Any:
        """The first score alone."""
        return super().forward(x)[:, :1]


def test_without_optuna_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch):
    """The extra that brings it."""
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[tune\]"):
        swept()


def test_optuna_keeps_its_notes_to_itself_and_gets_its_level_back(capsys: pytest.CaptureFixture[str]):
    """Only the displays of the runs are seen."""
    before = optuna.logging.get_verbosity()
    swept(trials=1)

    assert optuna.logging.get_verbosity() == before
    assert "Trial 0" not in capsys.readouterr().err


# the result


def test_the_table_begins_with_the_best():
    """Completed ones by value, then those that ended early, then those that failed."""
    trials = (trial(1, 0.5), trial(2, None, "failed"), trial(3, 0.9), trial(4, 0.2, "pruned"))
    lines = repr(Sweep("mlp", "validation_accuracy", trials)).splitlines()

    assert [line.split()[0] for line in lines[2:]] == ["3", "1", "4", "2"]
    assert "4 trials" in lines[0]
    assert Sweep("mlp", "validation_accuracy", trials)._repr_html_().count("<tr>") == 5


def test_the_best_of_a_loss_is_the_smallest():
    """In the table too."""
    result = Sweep("mlp", "validation_loss", (trial(1, 0.5), trial(2, 0.1)))

    assert result.best.number == 2
    assert repr(result).splitlines()[2].startswith("2")


def test_an_empty_sweep_can_be_shown():
    """It says that there were no trials."""
    assert "0 trials" in repr(Sweep("mlp", "validation_loss", ()))


def test_what_is_tried_lies_over_what_all_trials_share():
    """A setting given twice: the search decides."""
    found = swept({"micro_batch_size": [32]}, trials=1, micro_batch_size=16)

    assert lab.open_run(found.trials[0].path).header["config"]["micro_batch_size"] == 32


def test_settings_of_the_best_can_be_changed_by_whoever_has_them():
    """The trial keeps its own."""
    found = Sweep("mlp", "validation_loss", (trial(1, 0.5),))
    found.best_settings["learning_rate"] = 9.0

    assert found.best_settings == {"learning_rate": 0.1}


def test_a_stopped_trial_is_not_the_best_though_its_value_is():
    """It has not seen what the others have."""
    found = Sweep("mlp", "validation_accuracy", (trial(1, 0.5), trial(2, 0.9, "stopped"), trial(3, 0.8, "pruned")))

    assert found.best.number == 1


def test_a_sweep_without_a_completed_trial_tells_how_each_ended():
    """By its reason, or else by its outcome."""
    found = Sweep("mlp", "validation_loss", (trial(1, None, "failed", "no memory"), trial(2, 0.3, "stopped")))

    with pytest.raises(TrainingError, match="1: no memory; 2: stopped"):
        _ = found.best


def test_a_setting_that_only_some_trials_have_is_a_dash_in_the_others():
    """The table has a column for each setting that was tried."""
    trials = (trial(1, 0.5), Trial(2, {"weight_decay": 0.25}, 0.25, "completed", "", Path("x.bmlrun")))
    lines = repr(Sweep("mlp", "validation_accuracy", trials)).splitlines()

    assert lines[-1].split() == ["2", "–", "0.25", "0.25", "completed"]
