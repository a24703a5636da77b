"""The command `bigmodel-lab`, as it is typed in a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bigmodel_lab as lab
from bigmodel_lab.cli import main
from bigmodel_lab.runlog import Status


@pytest.fixture(autouse=True)
def runs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for run files, and a registry of live runs of its own."""
    monkeypatch.setenv("BIGMODEL_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runs"


def test_run_trains_and_prints_the_outcome(capsys: pytest.CaptureFixture[str]):
    """`run mlp` leaves a finished run and tells how it went."""
    assert main(["run", "mlp", "--epochs", "1", "--seed", "3", "--device", "cpu"]) == 0

    assert "mlp: finished" in capsys.readouterr().out
    (run,) = lab.runs()
    assert run.status is Status.FINISHED
    assert lab.open_run(run.path).header["config"]["seed"] == 3


def test_run_takes_what_is_not_given_from_the_model(capsys: pytest.CaptureFixture[str]):
    """Options that are left out are as the model documents them."""
    main(["run", "mlp", "--epochs", "1", "--micro-batch-size", "128", "--learning-rate", "0.01"])
    config = lab.open_run(lab.runs()[0].path).header["config"]

    assert (config["micro_batch_size"], config["learning_rate"], config["optimizer"]) == (128, 0.01, "adam")


def test_an_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]):
    """People see the reason, not a traceback."""
    assert main(["run", "simpel_cnn"]) == 1

    captured = capsys.readouterr()
    assert captured.err.startswith("bigmodel-lab: There is no model named 'simpel_cnn'. Did you mean 'simple_cnn'?")
    assert "Traceback" not in captured.err


def test_models_shows_the_table(capsys: pytest.CaptureFixture[str]):
    """Name, size and document of a model stand in one line."""
    assert main(["models"]) == 0

    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mnist_cnn ")]
    assert "93,322" in line
    assert "D3" in line


def test_models_looks_for_the_best_run_in_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A run recorded elsewhere counts when its folder is named."""
    run = lab.fit("mlp", epochs=1, runs_dir=tmp_path / "elsewhere")
    main(["models", "--folder", str(tmp_path / "elsewhere")])

    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mlp ")]
    assert f"{100 * run.last('validation_accuracy'):.1f} %" in line


def test_data_reports_on_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A line that cannot be used is named by its number."""
    table = tmp_path / "own.csv"
    table.write_text("a,b,label\n" + "1,2,0\n3,4,1\n" * 20 + "5,,1\n")

    assert main(["data", str(table)]) == 0
    assert "42" in capsys.readouterr().out


def test_runs_lists_what_was_recorded(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """`runs` shows the folder of this machine, `--folder` another one."""
    path = lab.fit("mlp", max_steps=2, name="recorded").path
    capsys.readouterr()

    assert main(["runs"]) == 0
    assert str(path) in capsys.readouterr().out
    assert main(["runs", "--folder", str(tmp_path / "elsewhere")]) == 0
    assert "No runs" in capsys.readouterr().out


def test_gpus_as_json(capsys: pytest.CaptureFixture[str]):
    """Programs read the cards as JSON."""
    assert main(["gpus", "--json"]) == 0

    table = json.loads(capsys.readouterr().out)
    assert table["cards"] or table["reason"]


def test_gpus_as_text(capsys: pytest.CaptureFixture[str]):
    """People read a table, or why there is none."""
    assert main(["gpus"]) == 0

    assert capsys.readouterr().out.strip()


def test_doctor_as_json(capsys: pytest.CaptureFixture[str]):
    """Programs read the findings as JSON."""
    assert main(["doctor", "--json"]) == 0

    assert {"PyTorch", "run folder"} <= {finding["subject"] for finding in json.loads(capsys.readouterr().out)}


def test_doctor_as_text(capsys: pytest.CaptureFixture[str]):
    """In a terminal there is no notebook, and the doctor says so."""
    assert main(["doctor"]) == 0

    out = capsys.readouterr().out
    assert "terminal" in out
    assert "✓ PyTorch" in out


def test_ctl_without_a_run_says_so(capsys: pytest.CaptureFixture[str]):
    """There is nothing to pause."""
    assert main(["ctl", "pause"]) == 1

    assert "No run is live" in capsys.readouterr().err


def test_ctl_stops_a_run_in_this_process(capsys: pytest.CaptureFixture[str]):
    """`ctl stop` with the run's id reaches the loop."""
    run = lab.fit("mlp", epochs=100_000, background=True)

    assert main(["ctl", "stop", str(run.path)]) == 0
    run.wait(30)
    assert run.status is Status.STOPPED


@pytest.mark.parametrize("arguments", [[], ["fly"], ["ctl", "explode"], ["run"]])
def test_a_wrong_command_line_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """Usage and status 2, as every command does."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: bigmodel-lab" in capsys.readouterr().err


def test_the_command_needs_no_torch_to_answer():
    """`--version` in a fresh interpreter loads neither torch nor Jupyter."""
    code = "import sys; from bigmodel_lab.cli import main; sys.argv[1:] = ['--version']\ntry: main()\nexcept SystemExit: pass"
    code += "\nprint('torch' in sys.modules, 'IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["bigmodel_lab", lab.__version__, "False", "False"]
