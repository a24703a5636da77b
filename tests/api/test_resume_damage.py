"""`resume` and `load_weights` at 2 a.m.: damaged and missing files, misspelt names, steps made twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigmodel_lab as lab
from bigmodel_lab.api._fit import prepare
from bigmodel_lab.errors import ConfigError, DataError, MissingPackageError, RunFileError, UnknownNameError
from bigmodel_lab.runlog import RunReader, Status
from bigmodel_lab.widgets._publisher import Publisher
from tests.api.small import at_step, numbers, same, tiny

SETTINGS = {"epochs": 4, "micro_batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


@pytest.fixture
def run() -> lab.TrainingRun:
    """A finished run of 24 steps with both checkpoints."""
    made = lab.fit(tiny(), numbers(), **SETTINGS, checkpoint="best")
    made.checkpoint()
    return made


@pytest.mark.parametrize("part", ["*.json", "*.safetensors", "*.pt"])
def test_half_a_checkpoint_is_named_and_leaves_the_run_as_it_was(part: str, run: lab.TrainingRun):
    """A disk that was full: the error names the file, and the run is still finished."""
    (file,) = (run.path.with_suffix(".checkpoints") / "last").glob(part)
    file.write_bytes(file.read_bytes()[:40])

    with pytest.raises(RunFileError, match=f"{file.name} cannot be read"):
        lab.resume(run, model=tiny(), data=numbers(), epochs=9, which="last")
    assert lab.open_run(run.path).status is Status.FINISHED


@pytest.mark.parametrize("part", ["*.safetensors", "*.pt"])
def test_a_checkpoint_without_one_of_its_files_names_it(part: str, run: lab.TrainingRun):
    """Somebody made room on the disk."""
    (file,) = (run.path.with_suffix(".checkpoints") / "last").glob(part)
    file.unlink()

    with pytest.raises(RunFileError, match=file.name):
        lab.resume(run, model=tiny(), data=numbers(), epochs=9, which="last")


def test_a_misspelt_checkpoint_is_answered_with_the_nearest(run: lab.TrainingRun):
    """Both that exist are listed."""
    with pytest.raises(UnknownNameError, match=r"'bset'\. Did you mean 'best'.*best, last"):
        lab.resume(run, model=tiny(), data=numbers(), epochs=9, which="bset")


def test_a_run_file_that_is_not_there_is_named(tmp_path: Path):
    """Not an error of the operating system."""
    with pytest.raises(RunFileError, match=r"no checkpoint at .*gone\.bmlrun"):
        lab.resume(tmp_path / "gone.bmlrun")


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"epochs": -1}, "epochs is -1"), ({"max_steps": 0}, "max_steps is 0"), ({"device": "cuda:77"}, "'cuda:77'")],
)
def test_a_setting_that_cannot_be_opens_nothing(changed: dict[str, Any], said: str, run: lab.TrainingRun):
    """It is found before the run is reopened, which its events would tell."""
    before = lab.open_run(run.path).events()
    with pytest.raises(ConfigError, match=said):
        lab.resume(run, model=tiny(), data=numbers(), **{"epochs": 9, **changed})

    assert lab.open_run(run.path).events() == before


def test_a_limit_of_steps_that_were_made_is_told(run: lab.TrainingRun):
    """More epochs do not help where the limit stays below."""
    with pytest.raises(ConfigError, match=r"has made 24 optimizer steps.*max_steps=10"):
        lab.resume(run, model=tiny(), data=numbers(), epochs=9, max_steps=10)


def test_data_from_a_file_that_is_gone_is_named(tmp_path: Path):
    """A run on a path looks for the same path again, and goes on where data is given instead."""
    x, y = numbers()
    np.savez(tmp_path / "own.npz", x_train=x.numpy(), y_train=y.numpy())
    run = lab.fit(tiny(), tmp_path / "own.npz", **{**SETTINGS, "epochs": 1}, checkpoint="best")
    moved = (tmp_path / "own.npz").rename(tmp_path / "moved.npz")

    with pytest.raises(DataError, match=r"own\.npz does not exist"):
        lab.resume(run, model=tiny(), epochs=2)
    assert lab.resume(run, model=tiny(), data=moved, epochs=2).status is Status.FINISHED


def test_observers_are_asked_after_a_resumption(run: lab.TrainingRun):
    """Those that are given now; the ones of before are gone with their process."""
    seen: list[int] = []

    class Noting:
        def epoch_ended(self, _: Any, end: Any) -> None:
            seen.append(end.epoch)

    lab.resume(run, model=tiny(), data=numbers(), epochs=6, observers=(Noting(),))
    assert seen == [5, 6]


def back() -> lab.TrainingRun:
    """A run that went on, after its end, from a checkpoint in its middle."""
    run = prepare(tiny(), numbers(), SETTINGS)
    at_step(run, 14, run.checkpoint)
    run.start()
    return lab.resume(run, model=tiny(), data=numbers())


def test_steps_made_again_are_in_the_file_twice():
    """Nothing is deleted, and on a CPU they come out the same."""
    loss = back().series("loss")
    first = int(loss.step[24])

    assert loss.step.tolist() == [*range(24), *range(first, 24)]
    assert loss.value[first:24].tolist() == loss.value[24:].tolist()


def test_steps_made_again_are_shown_in_order():
    """What the page gets of such a run never goes back; its picture is drawn."""
    resumed = back()
    sent: list = []
    Publisher(RunReader(resumed.path), sent.append).tick()
    names = [stream.name for stream in RunReader(resumed.path).streams()]
    (delta,) = [frame for frame in sent if frame.content["type"] == "delta"]
    assert (delta.content["groups"][0][0], names[0]) == (0, "step")
    x = np.frombuffer(delta.buffer, "<f4")[: delta.content["groups"][0][1]]

    assert x[-1] == 23
    assert (np.diff(x) >= 0).all()
    assert resumed.plot().axes


# weights alone


@pytest.mark.parametrize("model", ["mlp", None, tiny])
def test_weights_go_into_a_module_only(model: Any, run: lab.TrainingRun):
    """A name or a class is no model that is built; the error says what came."""
    with pytest.raises(ConfigError, match=f"not {type(model).__name__}"):
        lab.load_weights(model, run)


def test_weights_of_a_chosen_checkpoint():
    """``which`` takes the best one, also where the last one has made more steps."""
    run = lab.fit(tiny(), numbers(), **SETTINGS, checkpoint="best")
    best = lab.load_weights(tiny(seed=3), run)
    resumed = lab.resume(run, model=tiny(), data=numbers(), epochs=5)
    resumed.checkpoint()

    assert same(lab.load_weights(tiny(seed=4), run, which="last"), resumed.model)
    assert not same(best, resumed.model)


@pytest.mark.parametrize("content", [None, b"", b"not a safetensors file"])
def test_a_file_without_weights_is_named(content: bytes | None, tmp_path: Path):
    """Missing, empty, or something else under that name."""
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(RunFileError, match=r"w\.safetensors cannot be read"):
        lab.load_weights(tiny(), file)


def test_without_safetensors_a_checkpoint_names_the_package(run: lab.TrainingRun, monkeypatch: pytest.MonkeyPatch):
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "safetensors", None)

    with pytest.raises(MissingPackageError, match="safetensors"):
        run.checkpoint()
