"""Checkpoints on disk: whole or not at all, and enough to go on to the bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bigmodel_lab.errors import ConfigError, RunFileError, UnknownNameError
from bigmodel_lab.training import find_checkpoint, put_weights, read_weights
from bigmodel_lab.training.checkpoint import FACTS, checkpoints_folder, write_checkpoint
from tests.training.fakes import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where one checkpoint goes."""
    return tmp_path / "example.checkpoints" / "last"


def state_of(**weights: object) -> dict[str, object]:
    """A state with these weights and nothing else."""
    return {"model": weights, "optimizer": {}}


# the files


def test_the_weights_are_read_by_safetensors_alone(folder: Path):
    """Any program that reads safetensors gets the tensors by name."""
    model = tiny_model()
    written = write_checkpoint(folder, state_of(**model.state_dict()), {"step": 3})

    found = load_file(folder / written.facts["files"]["weights"])
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


def test_the_training_state_is_read_without_trusting_it(folder: Path):
    """torch.load(weights_only=True) reads everything but the weights."""
    written = write_checkpoint(folder, {**state_of(), "steps_made": 7, "pair": (1.0, 2)}, {"step": 7})

    assert written.training() == {"model": {}, "optimizer": {}, "steps_made": 7, "pair": (1.0, 2)}


def test_a_training_state_that_could_run_code_is_refused(folder: Path):
    """A file that holds more than tensors and plain values is not loaded."""
    written = write_checkpoint(folder, state_of(), {"step": 1})
    torch.save({"model": Path("x")}, folder / written.facts["files"]["training"])

    with pytest.raises(RunFileError, match="cannot be read"):
        written.training()


def test_tied_weights_are_stored_once_and_come_back_under_both_names(folder: Path):
    """Two names of one tensor take its room once."""
    tied = torch.arange(6.0).reshape(2, 3)
    written = write_checkpoint(folder, state_of(embedding=tied, head=tied), {"step": 1})

    assert list(load_file(folder / written.facts["files"]["weights"])) == ["embedding"]
    assert torch.equal(written.weights()["head"], tied)


def test_views_of_one_memory_are_stored_each_on_their_own(folder: Path):
    """A transposed tensor and a part of another are stored as they look."""
    whole = torch.arange(6.0).reshape(2, 3)
    weights = write_checkpoint(folder, state_of(whole=whole, turned=whole.T, row=whole[1]), {"step": 1}).weights()

    assert torch.equal(weights["turned"], whole.T)
    assert torch.equal(weights["row"], whole[1])


def test_what_is_no_tensor_in_a_state_dict_is_kept_too(folder: Path):
    """Extra state of a module goes into the training state."""
    written = write_checkpoint(folder, state_of(w=torch.ones(2), _extra_state={"seen": 4}), {"step": 1})

    assert written.training()["model"] == {"_extra_state": {"seen": 4}}


def test_the_facts_are_plain_json(folder: Path):
    """What a checkpoint is can be read without PyTorch."""
    write_checkpoint(folder, state_of(), {"step": 12, "name": "digits"})

    assert json.loads((folder / FACTS).read_text())["name"] == "digits"


def test_a_new_checkpoint_leaves_nothing_of_the_old_one(folder: Path):
    """The folder holds three files, however often it was written."""
    for step in (1, 2, 2, 3):
        write_checkpoint(folder, state_of(w=torch.ones(2)), {"step": step})

    assert len(list(folder.iterdir())) == 3
    assert find_checkpoint(folder).step == 3


# interrupted writing


class CutOff(BaseException):
    """As if the process ended here."""


@pytest.mark.parametrize("error", [OSError("No space left on device"), CutOff()])
@pytest.mark.parametrize("nth", [0, 1, 2])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_cut_off_writing_leaves_the_old_checkpoint_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, error: BaseException
):
    """Whichever of the three files fails, at whichever point: the old weights, state and facts belong together."""
    write_checkpoint(folder, {**state_of(w=torch.full((2,), 1.0)), "steps_made": 1}, {"step": 1})
    real, calls = getattr(os, call), iter(range(9))

    def failing(*arguments: object) -> None:
        if next(calls) == nth:
            raise error
        real(*arguments)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(type(error)):
        write_checkpoint(folder, {**state_of(w=torch.full((2,), 2.0)), "steps_made": 2}, {"step": 2})

    found = find_checkpoint(folder)
    assert (found.step, found.training()["steps_made"], found.weights()["w"].tolist()) == (1, 1, [1.0, 1.0])
    assert len(list(folder.iterdir())) == 3


def test_what_a_killed_process_left_is_no_checkpoint(folder: Path):
    """Weights without facts are not found, and the next checkpoint removes them."""
    folder.mkdir(parents=True)
    (folder / "weights-000009-aaaaaa.safetensors").write_bytes(b"half")
    (folder / ".checkpoint.json.part").write_text("{")
    with pytest.raises(RunFileError, match="no checkpoint"):
        find_checkpoint(folder.parent)

    write_checkpoint(folder, state_of(), {"step": 1})
    assert len(list(folder.iterdir())) == 3


# finding and reading


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A run file's name beside which lie ``best`` after 5 steps and ``last`` after 9."""
    run_file = tmp_path / "first.bmlrun"
    for name, step in (("best", 5), ("last", 9)):
        write_checkpoint(checkpoints_folder(run_file) / name, state_of(w=torch.ones(step)), {"step": step})
    return run_file


def test_the_checkpoint_with_the_most_steps_is_found(two: Path):
    """From the run file, or the folder of its checkpoints."""
    assert find_checkpoint(two).step == find_checkpoint(checkpoints_folder(two)).step == 9


def test_a_checkpoint_is_found_by_its_name_or_folder(two: Path):
    """``which`` or the folder itself says which one."""
    assert find_checkpoint(two, "best").step == find_checkpoint(checkpoints_folder(two) / "best").step == 5
    assert find_checkpoint(two, "best").run_file == two


def test_an_unknown_checkpoint_is_answered_with_those_that_exist(two: Path):
    """A misspelt name lists the others."""
    with pytest.raises(UnknownNameError, match=r"'bset'.*best, last"):
        find_checkpoint(two, "bset")


@pytest.mark.parametrize("kind", ["weights", "training"])
@pytest.mark.parametrize("content", [None, b"\x00broken"])
def test_a_missing_or_damaged_file_is_named(two: Path, kind: str, content: bytes | None):
    """The error says which file cannot be read."""
    found = find_checkpoint(two, "best")
    path = found.folder / found.facts["files"][kind]
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(RunFileError, match=path.name):
        getattr(found, kind)()


def test_damaged_facts_are_named(two: Path):
    """Facts that are no JSON are reported with their file."""
    (checkpoints_folder(two) / "best" / FACTS).write_text("{")

    with pytest.raises(RunFileError, match=FACTS):
        find_checkpoint(two)


@pytest.mark.parametrize(
    "facts", ["{}", "[]", "3", '{"step": 1}', '{"step": 1, "files": []}', '{"step": "x", "files": {}}']
)
def test_facts_of_something_else_are_named(two: Path, facts: str):
    """JSON that is not that of a checkpoint is no KeyError at some later place."""
    (checkpoints_folder(two) / "best" / FACTS).write_text(facts)

    with pytest.raises(RunFileError, match=f"{FACTS} cannot be read.*other JSON.*another checkpoint"):
        find_checkpoint(two, "best")


@pytest.mark.parametrize("facts", ["{", "[]"])
def test_damaged_facts_are_written_over(two: Path, facts: str):
    """A later checkpoint of the run heals the folder, and sweeps what nobody names any more."""
    best = checkpoints_folder(two) / "best"
    (best / FACTS).write_text(facts)
    write_checkpoint(best, state_of(w=torch.ones(1)), {"step": 12})

    assert find_checkpoint(two).step == 12
    assert len(list(best.iterdir())) == 3


def test_weights_of_another_model_are_refused(folder: Path):
    """The error names the model and what does not fit."""
    written = write_checkpoint(folder, state_of(**nn.Linear(2, 3).state_dict()), {"step": 1})

    with pytest.raises(ConfigError, match=r"(?s)not those of a Sequential.*Missing key"):
        put_weights(tiny_model(), written.weights(), folder)


def test_any_safetensors_file_gives_its_weights(tmp_path: Path):
    """A file of another program has no note of tied weights."""
    from safetensors.torch import save_file

    save_file({"w": torch.ones(3)}, tmp_path / "other.safetensors")

    assert read_weights(tmp_path / "other.safetensors")["w"].tolist() == [1, 1, 1]
