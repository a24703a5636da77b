"""`list_models`: names to use, and a table to read."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bigmodel_lab as lab
from bigmodel_lab.api._models_table import best_results
from bigmodel_lab.models import MODELS
from bigmodel_lab.runlog import RunLog, Status

KEYS = ("validation_loss", "validation_accuracy", "loss", "accuracy")


def record(folder: Path, model: str, rows: list[tuple[float, float]], *, origin: str = "measured") -> Path:
    """A finished run of a model with these validation losses and accuracies."""
    log = RunLog.create(model, folder=folder, origin=origin)
    log.update_header(model=model, data={"name": "digits"})
    stream = log.stream("epoch", axis="step", keys=KEYS)
    for step, (loss, accuracy) in enumerate(rows):
        stream.append(step, time.monotonic_ns(), (loss, accuracy, loss, accuracy))
    log.close(Status.FINISHED)
    return log.path


def row(name: str) -> list[str]:
    """The line of a model, cut where columns end."""
    (line,) = [line for line in repr(lab.list_models()).splitlines() if line.startswith(f"{name} ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# names


def test_it_is_a_sequence_of_names():
    """Contains, counts, iterates, indexes as a tuple of names does."""
    table = lab.list_models()

    assert "simple_cnn" in table
    assert tuple(table) == MODELS.names()
    assert len(table) == len(MODELS.names())
    assert (table[0], table[:2]) == (MODELS.names()[0], MODELS.names()[:2])


def test_names_cost_no_torch():
    """Only who looks at the table pays for the models."""
    code = "import sys, bigmodel_lab as lab; print('mlp' in lab.list_models(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False"]


# the table


def test_a_row_tells_what_is_documented():
    """Document and sections, parameters, data, documented result; without a run a dash."""
    assert row("mlp")[:4] == ["mlp", "D0 §4.3 and 4.4", "397,510", "digits"]
    assert row("mlp")[4].startswith("accuracy 90 %")
    assert row("mlp")[-1] == "–"


def test_every_model_has_a_row(runs_dir: Path):
    """Whatever its card says, it can be shown."""
    assert [line.split()[0] for line in repr(lab.list_models()).splitlines()[1:]] == list(MODELS.names())


def test_the_best_epoch_of_the_best_run_is_shown(runs_dir: Path):
    """Not the last, and not the newest."""
    record(runs_dir, "mlp", [(0.5, 0.7), (0.3, 0.912), (0.4, 0.8)])
    record(runs_dir, "mlp", [(0.5, 0.6)])

    assert row("mlp")[-1] == "91.2 % (digits)"


def test_without_accuracy_the_lowest_loss_is_shown(runs_dir: Path):
    """A regression has no accuracy."""
    record(runs_dir, "mlp", [(0.5, float("nan")), (0.25, float("nan")), (0.75, float("nan"))])

    assert row("mlp")[-1] == "loss 0.25 (digits)"


def test_simulated_and_recorded_runs_do_not_count(runs_dir: Path):
    """A best result of this table was measured here."""
    for origin in ("simulated", "recorded"):
        record(runs_dir, "mlp", [(0.1, 0.99)], origin=origin)

    assert best_results(runs_dir) == {}


def test_broken_files_and_runs_without_an_epoch_do_not_count(runs_dir: Path):
    """They are no reason to show nothing."""
    record(runs_dir, "mlp", [(0.5, 0.6)])
    record(runs_dir, "mlp", [])
    (runs_dir / "broken.bmlrun").write_text("this is no run")

    assert row("mlp")[-1] == "60 % (digits)"


def test_a_real_run_is_found(runs_dir: Path):
    """What fit records is what the table reads."""
    run = lab.fit("mlp", epochs=1)

    best = next(found.best for found in lab.list_models().rows if found.card.name == "mlp")
    assert (best.value, best.path) == (run.last("validation_accuracy"), run.path)


def test_a_folder_can_be_given(tmp_path: Path):
    """As for runs()."""
    record(tmp_path / "other", "mlp", [(0.5, 0.6)])

    assert "60 % (digits)" in repr(lab.list_models(tmp_path / "other"))


def test_in_a_notebook_nothing_is_cut(runs_dir: Path):
    """The HTML holds the whole documented result, which the terminal shortens."""
    html = lab.list_models()._repr_html_()

    assert html.count("<tr>") == 1 + len(MODELS.names())
    assert str(MODELS.get("mlp").documented_result) in html


def test_two_hundred_run_files_are_read_quickly(runs_dir: Path):
    """A table that one waits for is not looked at: less than two seconds at best, also on a slow machine."""
    made = record(runs_dir, "mlp", [(0.5, 0.6)] * 10)
    for number in range(199):
        shutil.copy(made, runs_dir / f"copy-{number}.bmlrun")

    def seconds() -> float:
        start = time.perf_counter()
        assert best_results(runs_dir)["mlp"].value == pytest.approx(0.6)
        return time.perf_counter() - start

    assert any(seconds() < 2 for _ in range(3))


def test_models_do_not_share_their_results(runs_dir: Path):
    """Each row has the best of its own runs."""
    record(runs_dir, "mlp", [(0.5, 0.6)])
    record(runs_dir, "mnist_cnn", [(0.5, 0.9)])

    assert (row("mlp")[-1], row("mnist_cnn")[-1]) == ("60 % (digits)", "90 % (digits)")


def test_a_model_of_ones_own_has_no_row(runs_dir: Path):
    """Its runs are read and left out."""
    record(runs_dir, "Sequential", [(0.5, 0.6)])

    assert "Sequential" in best_results(runs_dir)
    assert "Sequential" not in repr(lab.list_models())


def test_an_accuracy_stands_before_a_loss(runs_dir: Path):
    """Where some runs of a model know it and others do not."""
    record(runs_dir, "mlp", [(0.001, float("nan"))])
    record(runs_dir, "mlp", [(0.5, 0.6)])

    assert best_results(runs_dir)["mlp"].metric == "validation_accuracy"


def test_a_run_that_is_not_validated_does_not_count(runs_dir: Path):
    """Unknown is no result."""
    record(runs_dir, "mlp", [(float("nan"), float("nan"))])

    assert best_results(runs_dir) == {}


def test_a_missing_folder_has_no_results(tmp_path: Path):
    """Before the first run there is no folder; nothing is made."""
    assert best_results(tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_a_run_that_still_trains_counts(runs_dir: Path):
    """What its finished epochs reached is known."""
    log = RunLog.create("mlp", folder=runs_dir)
    log.update_header(model="mlp", data={"name": "digits"})
    log.stream("epoch", axis="step", keys=KEYS).append(0, time.monotonic_ns(), (0.5, 0.6, 0.5, 0.6))
    deadline = time.monotonic() + 10
    while not best_results(runs_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = best_results(runs_dir)
    log.close(Status.STOPPED)

    assert found["mlp"].value == pytest.approx(0.6)


def test_the_table_is_read_once(runs_dir: Path):
    """Shown again, one table is the same; a new one knows the new run."""
    table = lab.list_models()
    before = repr(table)
    record(runs_dir, "mlp", [(0.5, 0.6)])

    assert repr(table) == before
    assert repr(lab.list_models()) != before


def test_lines_fit_beside_each_other(runs_dir: Path):
    """What is long is cut in a terminal."""
    assert max(map(len, repr(lab.list_models()).splitlines())) <= 160


def test_html_has_no_colours_of_its_own(runs_dir: Path):
    """It reads on light and dark pages."""
    assert "color:#" not in lab.list_models()._repr_html_()


def test_of_two_runs_without_accuracy_the_lower_loss_is_the_best(runs_dir: Path):
    """And an epoch whose loss is unknown is none."""
    record(runs_dir, "linear_regression", [(0.5, float("nan")), (float("nan"), float("nan"))])
    lower = record(runs_dir, "linear_regression", [(0.25, float("nan"))])

    best = best_results(runs_dir)["linear_regression"]
    assert (best.value, best.metric, best.path) == (0.25, "validation_loss", lower)
    assert best.shown == "loss 0.25 (digits)"


def test_hidden_files_are_not_read(runs_dir: Path):
    """Half a copy of a run, as tools for backup leave it."""
    made = record(runs_dir, "mlp", [(0.5, 0.9)])
    made.rename(made.with_name("." + made.name))

    assert best_results(runs_dir) == {}


def test_a_table_can_be_counted_from_its_end():
    """As every sequence."""
    table = lab.list_models()

    assert (table[-1], table.index("mlp"), next(reversed(table))) == (
        MODELS.names()[-1],
        MODELS.names().index("mlp"),
        MODELS.names()[-1],
    )
