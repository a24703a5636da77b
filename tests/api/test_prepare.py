"""What comes before the first step of a run: settings, data, model, and how to make them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.nn import functional as F

import bigmodel_lab as lab
from bigmodel_lab.api._fit import config_for, fresh, name_of, prepare
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.runlog import RunReader, Status
from bigmodel_lab.training import Recipe, Trainer, find_checkpoint
from tests.api.small import numbers, same, tiny


def recipe(run: lab.TrainingRun) -> Recipe:
    """How the run could be made again, as its checkpoint says."""
    return Recipe(**find_checkpoint(run.checkpoint()).facts["recipe"])


def test_a_prepared_run_has_not_begun():
    """Nothing is trained before it is started."""
    run = prepare(tiny(), numbers(), {"max_steps": 2})
    assert run._trainer.steps_made == 0

    run.start()
    assert (run._trainer.steps_made, run.status) == (2, Status.FINISHED)


def test_the_kind_of_trainer_can_be_chosen():
    """It is made with the arguments of the usual one."""

    class Own(Trainer):
        pass

    assert isinstance(prepare(tiny(), numbers(), {"max_steps": 1}, trainer=Own)._trainer, Own)


def test_settings_lie_over_those_that_a_model_documents():
    """For a module, over the general ones."""
    assert config_for("mnist_cnn", {"epochs": 3}).micro_batch_size == 32
    assert config_for("mnist_cnn", {"micro_batch_size": 8}).micro_batch_size == 8
    assert config_for(tiny(), {"epochs": 3}).epochs == 3


def test_a_copy_of_a_module_has_its_weights_and_is_another():
    """A name stays a name: its model is built anew each time."""
    model = tiny()

    assert fresh(model) is not model
    assert same(fresh(model), model)
    assert fresh("mlp") == "mlp"


def test_a_run_is_called_after_its_model():
    """By the documented name, or by its class."""
    assert (name_of("mlp"), name_of(tiny())) == ("mlp", "Sequential")


def test_what_fails_before_the_first_step_is_a_failed_run(runs_dir: Path):
    """Its file says why."""
    with pytest.raises(UnknownNameError, match="conv9"):
        prepare(tiny(), numbers(), {"freeze": ("conv9",)})

    (file,) = runs_dir.glob("*.bmlrun")
    assert RunReader(file).status() is Status.FAILED


def test_an_observer_ends_a_run():
    """With its reason in the events."""

    class Enough:
        def epoch_ended(self, *_: Any) -> str:
            return "enough"

    run = lab.fit(tiny(), numbers(), epochs=5, observers=(Enough(),))

    assert run.status is Status.FINISHED
    assert [event.data["reason"] for event in run.events() if event.kind == "ended_early"] == ["enough"]


# how to make it again


def test_a_documented_model_goes_by_its_name_and_its_data():
    """Data that was not given is that of the model."""
    assert recipe(lab.fit("mlp", max_steps=1)) == Recipe("mlp", "digits", own_loss=False)


def test_data_from_a_path_goes_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So another process finds it from another folder."""
    x, y = numbers()
    np.savez(tmp_path / "own.npz", x_train=x.numpy(), y_train=y.numpy())
    monkeypatch.chdir(tmp_path)

    assert recipe(lab.fit(tiny(), "own.npz", max_steps=1)).data == str(tmp_path / "own.npz")


def test_data_and_loss_of_ones_own_cannot_be_named():
    """They must be given again."""
    run = lab.fit(tiny(), numbers(), max_steps=1, loss=F.cross_entropy)

    assert recipe(run) == Recipe(None, None, own_loss=True)
