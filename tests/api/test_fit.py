"""`fit`: one call from a model's name to a finished, recorded run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab.errors import (
    ConfigError,
    DataError,
    EmptyDataError,
    LabelRangeError,
    NonFiniteLossError,
    RunFolderError,
    ShapeError,
    UnknownNameError,
)
from bigmodel_lab.runlog import Status


def weights(run: lab.TrainingRun) -> list[torch.Tensor]:
    """The parameters of the trained model."""
    return [p.detach() for p in run.model.parameters()]


def same(one: lab.TrainingRun, other: lab.TrainingRun) -> bool:
    """Both models have the same weights, bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def numbers(samples: int = 64, features: int = 20, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and labels of one's own that a small model can learn."""
    made = torch.Generator().manual_seed(0)
    x = torch.randn(samples, features, generator=made)
    return x, x[:, :classes].argmax(dim=1)


# what a run leaves behind


def test_fit_returns_a_finished_run(runs_dir: Path):
    """The run is finished, its file lies in the folder for runs, and the model has learnt something."""
    run = lab.fit("mlp", epochs=2)

    assert run.status is Status.FINISHED
    assert run.path.parent == runs_dir
    assert run.evaluate("test").accuracy > 0.5


def test_fit_records_every_step():
    """The file holds one row a step and one an epoch."""
    run = lab.open_run(lab.fit("mlp", epochs=2).path)

    total = run.header["total_steps"]
    assert run.series("loss").step.tolist() == list(range(total))
    assert len(run.series("validation_loss").value) == 2
    assert not np.isnan(run.series("loss").value).any()


def test_fit_takes_what_the_model_documents():
    """Settings that are not given are those of the model's card."""
    assert lab.fit("mnist_cnn", max_steps=2).config.micro_batch_size == 32


def test_fit_in_a_script_writes_lines_of_text(capsys: pytest.CaptureFixture[str]):
    """A script gets text beside its own output: the last line says how it ended."""
    lab.fit("mlp", epochs=1)

    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "finished" in last
    assert "epoch 1/1" in last


def test_fit_says_which_device_and_why():
    """The choice of the device is recorded with its reason."""
    header = lab.fit("mlp", max_steps=2, device="cpu").header

    assert header["device"] == "cpu"
    assert header["device_reason"]


def test_the_header_of_a_run_is_plain_data():
    """Facts of a run can be written as JSON."""
    header = dict(lab.fit("mlp", max_steps=2).header)

    assert json.loads(json.dumps(header)) == header


def test_a_seed_repeats_a_run_bit_for_bit():
    """Two runs with one seed end with the same weights; another seed ends elsewhere."""
    first, second = (lab.fit("mlp", epochs=1, seed=3, device="cpu") for _ in range(2))

    assert same(first, second)
    assert not same(first, lab.fit("mlp", epochs=1, seed=4, device="cpu"))


def test_fit_leaves_the_random_numbers_of_the_person_alone():
    """What torch draws after a run does not depend on the run."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    lab.fit("mlp", max_steps=3)

    assert torch.equal(torch.rand(3), expected)


def test_fit_trains_a_model_of_ones_own():
    """Any module with arrays of one's own trains, and learns."""
    x, y = numbers(256)
    run = lab.fit(nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3)), (x, y), epochs=20, learning_rate=0.01)

    assert run.name == "Sequential"
    assert run.last("accuracy") > 0.8


def test_fit_takes_a_loss_of_ones_own():
    """The loss that is given is the one that is recorded."""
    x, y = numbers()
    run = lab.fit(nn.Linear(20, 3), (x, y), max_steps=2, loss=lambda scores, _: scores.sum() * 0 + 42)

    assert run.series("loss").value.tolist() == [42, 42]


def test_fit_puts_the_file_where_it_is_told(tmp_path: Path):
    """`runs_dir` beats the environment, and `name` names the run."""
    run = lab.fit("mlp", max_steps=2, runs_dir=tmp_path / "mine", name="first try")

    assert run.path.parent == tmp_path / "mine"
    assert run.name == "first try"


def test_list_models_names_the_documented_ones():
    """The three models of the reference are there."""
    assert {"mlp", "mnist_cnn", "simple_cnn"} <= set(lab.list_models())


# the three drivers


def test_background_returns_at_once_and_wait_waits():
    """In the background the run is live when `fit` returns, and finished when `wait` does."""
    run = lab.fit("mlp", epochs=20, background=True)
    began = run.status
    run.wait(60)

    assert began is Status.RUNNING
    assert run.status is Status.FINISHED


def test_the_drivers_give_the_same_weights():
    """Blocking, background and awaited runs are one loop."""
    settings = {"epochs": 1, "seed": 1, "device": "cpu"}
    blocking = lab.fit("mlp", **settings)
    background = lab.fit("mlp", background=True, **settings)
    background.wait(60)
    awaited = asyncio.run(lab.fit_async("mlp", **settings))

    assert same(blocking, background)
    assert same(blocking, awaited)


def test_the_event_loop_stays_free_while_a_run_is_awaited():
    """Other tasks run while `fit_async` trains."""

    async def both() -> tuple[lab.TrainingRun, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        counting = asyncio.create_task(count())
        run = await lab.fit_async("mlp", epochs=20)
        counting.cancel()
        return run, turns

    run, turns = asyncio.run(both())

    assert run.status is Status.FINISHED
    assert turns > 3


def test_an_error_in_the_background_is_raised_by_wait():
    """Nothing is lost silently in a thread."""
    run = lab.fit("mlp", epochs=5, learning_rate=1e30, background=True)

    with pytest.raises(NonFiniteLossError):
        run.wait(60)
    assert run.status is Status.FAILED


def test_an_error_is_raised_by_await():
    """`fit_async` raises like `fit`."""
    with pytest.raises(NonFiniteLossError):
        asyncio.run(lab.fit_async("mlp", epochs=5, learning_rate=1e30))


# errors that people meet


def test_an_unknown_model_is_answered_with_the_nearest(runs_dir: Path):
    """A misspelt model leaves no run behind."""
    with pytest.raises(UnknownNameError, match="Did you mean 'simple_cnn'"):
        lab.fit("simplecnn")
    assert not list(runs_dir.glob("*"))


def test_an_unknown_setting_is_answered_with_the_nearest():
    """A misspelt setting is not ignored."""
    with pytest.raises(UnknownNameError, match="Did you mean 'micro_batch_size'"):
        lab.fit("mlp", micro_batchsize=32)


def test_an_unknown_optimizer_lists_those_that_exist():
    """The optimizers are those of torch.optim."""
    with pytest.raises(UnknownNameError, match="adamw"):
        lab.fit("mlp", optimizer="adamm")


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"learning_rate": -1}, {"micro_batch_size": 2.5}, {"seed": -1}])
def test_a_setting_that_cannot_be_is_refused_with_its_value(setting: dict[str, float]):
    """The message names setting and value."""
    ((name, value),) = setting.items()

    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        lab.fit("mlp", **setting)


def test_something_that_is_no_model_is_refused():
    """A list is neither a name nor a module."""
    with pytest.raises(ConfigError, match="list"):
        lab.fit([1, 2, 3])  # type: ignore[arg-type]


def test_a_device_that_is_not_here_is_refused():
    """A device by name is used or refused, never replaced in silence."""
    with pytest.raises(ConfigError, match="cuda:99"):
        lab.fit("mlp", device="cuda:99")


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ((numbers()[0], numbers()[1] + 2), LabelRangeError, r"= 3.*labels run from 0 to 2"),
        ((numbers()[0], numbers()[1] - 1), LabelRangeError, "-1"),
        ((torch.zeros(64, 7), numbers()[1]), ShapeError, "7"),
        ((numbers()[0], numbers()[1][:10]), DataError, "10"),
        ((torch.zeros(0, 20), torch.zeros(0, dtype=torch.long)), EmptyDataError, "no|empty|0"),
    ],
    ids=["label too large", "label negative", "wrong features", "labels missing", "empty"],
)
def test_data_that_cannot_be_trained_on_is_refused(
    data: tuple[torch.Tensor, torch.Tensor], error: type[Exception], says: str, runs_dir: Path
):
    """The error says what came; what lies in the folder for runs is intact."""
    with pytest.raises(error, match=says):
        lab.fit(nn.Linear(20, 3), data)
    assert all(run.status is Status.FAILED for run in lab.runs(runs_dir))


def test_a_loss_that_runs_away_stops_the_run_and_says_where(runs_dir: Path):
    """A NaN loss names its step and what to try; the file keeps the steps before it."""
    with pytest.raises(NonFiniteLossError, match="smaller learning rate") as caught:
        lab.fit("mlp", epochs=5, learning_rate=1e30)

    assert f"step {caught.value.step}" in str(caught.value)
    (found,) = lab.runs(runs_dir)
    run = lab.open_run(found.path)
    assert run.status is Status.FAILED
    assert run.series("loss").step[-1] >= caught.value.step - 1
    assert "NonFiniteLossError" in [event.data.get("error") for event in run.events()]


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path):
    """The message says which folder, and how to give another one."""
    (tmp_path / "file").touch()

    with pytest.raises(RunFolderError, match="BIGMODEL_LAB_RUNS"):
        lab.fit("mlp", runs_dir=tmp_path / "file" / "runs")
