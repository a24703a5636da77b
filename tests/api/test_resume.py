"""`resume`: what goes on from a checkpoint ends as if it had never been interrupted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bigmodel_lab as lab
from bigmodel_lab.api._control import control
from bigmodel_lab.api._fit import prepare
from bigmodel_lab.data import load_data
from bigmodel_lab.errors import ConfigError, DataError, RunFileError
from bigmodel_lab.runlog import Status
from bigmodel_lab.training import find_checkpoint
from tests.api.programs import script
from tests.api.small import at_step, numbers, same, tiny

SETTINGS = {"epochs": 4, "micro_batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


def stopped(step: int = 9, data: Any = None, **settings: Any) -> lab.TrainingRun:
    """A run of the tiny model that was stopped after so many steps; its last state was kept."""
    run = prepare(tiny(), data or numbers(), {**SETTINGS, "checkpoint": "best", **settings})
    at_step(run, step, run.stop)
    run.start()
    return run


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A slice of the embedded digits as a file of arrays."""
    part = load_data("digits").train
    path = tmp_path / "slice.npz"
    np.savez(path, x_train=part.x[:160].numpy(), y_train=part.y[:160].numpy())
    return path


def test_a_killed_process_goes_on_to_the_bit(digits: Path, runs_dir: Path):
    """A documented model goes on in the middle of an epoch, in a new process, from a checkpoint by command."""
    program = f"""
import os
from bigmodel_lab.api._control import control
from bigmodel_lab.api._fit import prepare
from tests.api.small import at_step
run = prepare("mlp", {str(digits)!r}, {{"epochs": 3, "micro_batch_size": 32, "device": "cpu"}})
at_step(run, 5, lambda: (run.checkpoint(), at_step(run, 7, lambda: (run._log.flush(), os._exit(0)))))
run.start()
"""
    with script(program) as process:
        assert process.wait(120) == 0, process.stderr.read()
    file = next(runs_dir.glob("*-mlp-*.checkpoints")).with_suffix(".bmlrun")
    assert lab.open_run(file).status is Status.LOST

    going = lab.resume(file)
    whole = lab.fit("mlp", digits, epochs=3, micro_batch_size=32, device="cpu")

    assert same(going.model, whole.model)
    assert (going.path, going.status) == (file, Status.FINISHED)


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"optimizer": "sgd", "schedule": "cosine"}])
def test_a_model_of_ones_own_goes_on_to_the_bit(settings: dict[str, Any]):
    """Adam's moments, the schedule, dropout and batch statistics go on where they stood."""
    whole = lab.fit(tiny(), numbers(), **SETTINGS, **settings)
    going = lab.resume(stopped(**settings), model=tiny(seed=5), data=numbers())

    assert same(going.model, whole.model)


def test_the_new_steps_lie_in_the_same_file():
    """Every step is there once, and the file tells from which checkpoint it went on."""
    run = stopped(step=9)
    going = lab.resume(run.path, model=tiny(), data=numbers())

    assert going.path == run.path
    assert lab.open_run(run.path).series("loss").step.tolist() == list(range(going.header["total_steps"]))
    assert [e.data for e in going.events() if e.kind == "resumed_from"] == [{"checkpoint": "last", "step": 9}]


def test_a_finished_run_goes_on_for_more_epochs():
    """What was trained in two parts ends as what was trained in one."""
    run = lab.fit(tiny(), numbers(), **{**SETTINGS, "epochs": 2}, checkpoint="every_epoch")
    going = lab.resume(run, model=tiny(), data=numbers(), epochs=4)

    assert same(going.model, lab.fit(tiny(), numbers(), **SETTINGS).model)
    assert going.header["epochs"] == 4


def test_a_resumed_run_can_be_resumed():
    """It keeps checkpoints of its own, and their settings are those it had last."""
    run = lab.fit(tiny(), numbers(), **{**SETTINGS, "epochs": 1}, checkpoint="every_epoch")
    second = lab.resume(run, model=tiny(), data=numbers(), epochs=2)
    third = lab.resume(second, model=tiny(), data=numbers(), epochs=3)

    assert [run.config.epochs for run in (run, second, third)] == [1, 2, 3]
    assert third.config.learning_rate == 0.01


def test_the_best_checkpoint_can_be_chosen():
    """``which`` goes on from another one than the last."""
    run = lab.fit(tiny(), numbers(), **SETTINGS, checkpoint="best")
    run.checkpoint()
    best = [e.data["step"] for e in run.events() if e.kind == "checkpoint" and e.data["checkpoint"] == "best"][-1]
    going = lab.resume(run, model=tiny(), data=numbers(), which="best", max_steps=best + 2, epochs=9)

    assert going._trainer.steps_made == best + 2


def test_a_moved_checkpoint_goes_on_in_a_new_file(tmp_path: Path):
    """Where the run file is gone, a new one names the run that it goes on with."""
    run = stopped()
    moved = tmp_path / "elsewhere" / "moved.checkpoints"
    moved.parent.mkdir()
    run.path.with_name(run.path.stem + ".checkpoints").rename(moved)
    going = lab.resume(moved / "last", model=tiny(), data=numbers())

    assert going.path.parent == moved.parent
    assert going.header["resumed_from"] == run.header["run_id"]


def test_a_run_in_the_background_goes_on_there():
    """``background`` returns at once."""
    going = lab.resume(stopped(), model=tiny(), data=numbers(), background=True)
    going.wait()

    assert going.status is Status.FINISHED


# what is missing or wrong


def test_a_model_of_ones_own_must_be_given():
    """A checkpoint holds its weights, not its code."""
    with pytest.raises(ConfigError, match=r"model of your own.*model="):
        lab.resume(stopped(), data=numbers())


def test_a_documented_model_is_not_given(digits: Path):
    """It is built again; another one could not be the same."""
    run = lab.fit("mlp", digits, max_steps=2, checkpoint="best")
    with pytest.raises(ConfigError, match="'mlp', which is built again"):
        lab.resume(run, model=tiny(), epochs=20)


def test_data_that_was_in_memory_must_be_given():
    """A checkpoint does not hold it."""
    with pytest.raises(DataError, match=r"in memory.*data="):
        lab.resume(stopped(), model=tiny())


def test_a_loss_of_ones_own_must_be_given():
    """Code is never part of a checkpoint."""
    run = lab.fit(tiny(), numbers(), **{**SETTINGS, "epochs": 1}, checkpoint="best", loss=F.cross_entropy)
    with pytest.raises(ConfigError, match="loss of your own"):
        lab.resume(run, model=tiny(), data=numbers(), epochs=2)

    assert lab.resume(run, model=tiny(), data=numbers(), epochs=2, loss=F.cross_entropy).status is Status.FINISHED


def test_other_data_is_refused():
    """The error says in what they differ; the run stays as it was."""
    run = stopped()
    with pytest.raises(DataError, match=r"not the data.*95"):
        lab.resume(run, model=tiny(), data=numbers(samples=100))

    assert lab.open_run(run.path).status is Status.STOPPED


def test_another_model_is_refused_and_the_run_stays_as_it_was():
    """Weights that do not fit end in an error, not in a run that failed."""
    run = stopped()
    with pytest.raises(ConfigError, match="not those of a Linear"):
        lab.resume(run, model=nn.Linear(20, 3), data=numbers())

    assert lab.open_run(run.path).status is Status.STOPPED


def test_a_run_with_no_step_left_says_what_to_give():
    """Nothing is opened, nothing is changed."""
    run = lab.fit(tiny(), numbers(), **SETTINGS, checkpoint="every_epoch")
    with pytest.raises(ConfigError, match=r"epochs=4.*lab\.resume"):
        lab.resume(run, model=tiny(), data=numbers())


def test_a_run_without_checkpoints_says_how_to_keep_them():
    """The error names the setting."""
    with pytest.raises(RunFileError, match='checkpoint="best"'):
        lab.resume(lab.fit(tiny(), numbers(), max_steps=2))


def test_a_run_that_is_still_written_is_refused():
    """Two processes never write one file."""
    run = prepare(tiny(), numbers(), {**SETTINGS, "epochs": 100_000})
    at_step(run, 3, lambda: (run.checkpoint(), run.pause()))
    run.start(background=True)
    while run.status is not Status.PAUSED:
        time.sleep(0.01)
    with pytest.raises(RunFileError, match="still being written"):
        lab.resume(run, model=tiny(), data=numbers())
    run.stop()
    run.wait()


# checkpoints on request


def test_a_checkpoint_of_a_run_that_has_ended_is_written_at_once():
    """``run.checkpoint()`` returns its folder."""
    run = lab.fit(tiny(), numbers(), max_steps=3)

    assert (run.checkpoint() / "checkpoint.json").is_file()
    assert lab.resume(run, model=tiny(), data=numbers(), max_steps=5)._trainer.steps_made == 5


def test_a_run_that_was_stopped_and_resumed_here_still_obeys():
    """The command reaches the log that was opened again."""

    class Asking:
        def epoch_ended(self, *_: Any) -> None:
            run.checkpoint()

    run = prepare(tiny(), numbers(), SETTINGS, observers=(Asking(),))
    at_step(run, 3, run.stop)
    run.start()
    run.resume()

    assert [e.data["step"] for e in run.events() if e.kind == "checkpoint"] == [6, 12, 18]


def test_another_program_can_ask_for_a_checkpoint():
    """As `bigmodel-lab ctl checkpoint` does, through the run file."""
    run = prepare(tiny(), numbers(), {**SETTINGS, "epochs": 100_000})
    run.start(background=True)
    said = control("checkpoint", str(run.path))
    deadline = time.monotonic() + 60
    while not list(run.path.parent.glob("*.checkpoints/last/checkpoint.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.stop()
    run.wait()

    assert "to checkpoint" in said
    assert find_checkpoint(run.path).step > 0


# weights alone


def test_weights_are_loaded_from_a_run_a_folder_and_a_file(tmp_path: Path):
    """The same weights each way, and the model comes back."""
    run = lab.fit(tiny(), numbers(), **SETTINGS)
    folder = run.checkpoint()
    file = next(folder.glob("*.safetensors"))

    assert all(same(lab.load_weights(tiny(seed=3), place), run.model) for place in (run, run.path, folder, file))


def test_weights_alone_leave_the_random_numbers_alone():
    """Only the model is touched."""
    run = lab.fit(tiny(), numbers(), max_steps=2)
    run.checkpoint()
    before = torch.get_rng_state()
    lab.load_weights(tiny(), run)

    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_another_model_name_it():
    """The error says what does not fit."""
    run = lab.fit(tiny(), numbers(), max_steps=2)
    run.checkpoint()
    with pytest.raises(ConfigError, match="not those of a Linear"):
        lab.load_weights(nn.Linear(2, 2), run)
