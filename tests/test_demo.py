"""`bigmodel-lab demo`: a notebook is executed for real and leaves what a person wants to see."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import bigmodel_lab as lab
from bigmodel_lab._demo import DemoResult, run_demo
from bigmodel_lab.cli import main
from bigmodel_lab.errors import ConfigError

CELLS = ["import bigmodel_lab as lab", 'run = lab.fit("mlp", epochs=3)', "print(run.summary())"]


def notebook(path: Path, cells: list[str]) -> Path:
    """A notebook with these cells."""
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo of this module ran."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder: Path) -> DemoResult:
    """What one demo left behind; the folder of an earlier one is there already."""
    stale = folder / "out" / "runs" / "stale.bmlrun"
    stale.parent.mkdir(parents=True)
    stale.touch()
    return run_demo(notebook(folder / "small.ipynb", CELLS), folder / "out")


def test_the_notebook_was_executed(result: DemoResult):
    """The outputs are there, without errors."""
    executed = nbformat.read(result.notebook, as_version=4)
    outputs = [output for cell in executed.cells for output in cell.outputs]

    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs)


def test_the_executed_notebook_holds_no_widget(result: DemoResult):
    """The dashboard's browser code is not saved into the notebook."""
    saved = result.notebook.read_text("utf-8")

    assert "widget-view" not in saved
    assert "widgets" not in nbformat.read(result.notebook, as_version=4).metadata


def test_the_original_is_not_changed(result: DemoResult, folder: Path):
    """The demo leaves the checkout clean."""
    assert all(not cell.outputs for cell in nbformat.read(folder / "small.ipynb", as_version=4).cells)


def test_the_report_is_one_html_file_with_the_plots(result: DemoResult):
    """It opens in any browser."""
    page = result.report.read_text("utf-8")

    assert result.report.suffix == ".html"
    assert "<svg" in page or "data:image/svg+xml" in page
    assert "mlp: finished" in page


def test_the_run_file_is_left_and_older_ones_are_not(result: DemoResult):
    """Only what this demo trained is reported."""
    (path,) = result.runs

    assert lab.open_run(path).status.value == "finished"


def test_what_to_do_next_is_said(result: DemoResult):
    """The last words name the files and how to see it live."""
    said = result.render()

    assert all(str(path) in said for path in (result.notebook, result.report, *result.runs))
    assert "make lab" in said


def test_progress_is_shown_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The terminal shows how far the training in the notebook's kernel is."""
    main(["demo", "--notebook", str(notebook(tmp_path / "n.ipynb", CELLS)), "--output", str(tmp_path / "out")])

    out = capsys.readouterr().out
    assert "Executing" in out
    assert "step" in out
    assert "Done." in out


def test_a_missing_notebook_is_refused(tmp_path: Path):
    """The message names the file, and how to name another."""
    with pytest.raises(ConfigError, match=r"nowhere\.ipynb.*--notebook PATH"):
        run_demo(tmp_path / "nowhere.ipynb", tmp_path / "out")
