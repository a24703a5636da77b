"""A run in other programs' formats."""

import csv
import sys

import numpy as np
import pytest

from bigmodel_lab.errors import MissingPackageError
from bigmodel_lab.runlog import RunLog, RunReader, export_csv, export_parquet, export_tensorboard


@pytest.fixture(params=["measured", "simulated"])
def run(request):
    """A finished run with two streams and an unknown value."""
    log = RunLog.create("export", origin=request.param)
    start = log.header()["started_monotonic_ns"]
    steps = log.stream("step", keys=("loss", "accuracy"))
    steps.append(1, start + 1_000_000_000, (0.5, None))
    steps.append(2, start + 2_500_000_000, (0.25, 1.0))
    log.stream("host", axis="time", keys=("host_cpu_percent",)).append(-1, start, (50.0,))
    log.close()
    return RunReader(log.path)


def test_csv_has_a_file_a_stream_with_empty_unknowns(run, tmp_path):
    """Steps, seconds since the start, origin and exact values."""
    step_file, host_file = export_csv(run, tmp_path / "out")
    assert host_file.name == f"{run.header()['run_id']}.host.csv"
    with step_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["step"], r["elapsed_seconds"], r["loss"], r["accuracy"]) for r in rows] == [
        ("1", "1.000000000", "0.5", ""),
        ("2", "2.500000000", "0.25", "1.0"),
    ]
    assert {r["origin"] for r in rows} == {run.header()["origin"]}


def test_csv_of_a_long_run_has_every_row(tmp_path):
    """Also those beyond one block, and of a run that still lives."""
    log = RunLog.create("long")
    steps = log.stream("step", keys=("loss",))
    for part in range(4):
        for i in range(20_000):
            steps.append(part * 20_000 + i, i, (0.0,))
        assert log.flush(20)
    (path,) = export_csv(log, tmp_path)
    log.close()
    with path.open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(80_000))


def test_parquet_keeps_values_times_and_origin(run, tmp_path):
    """Read back with pyarrow."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(export_parquet(run, tmp_path)[0])
    assert table.column("step").to_pylist() == [1, 2]
    np.testing.assert_array_equal(table.column("accuracy").to_numpy(), [np.nan, 1.0])
    wall = table.column("wall_time").cast("int64").to_pylist()
    assert wall[0] == run.header()["started_wall_ns"] + 1_000_000_000
    assert table.schema.metadata[b"origin"].decode() == run.header()["origin"]


def test_tensorboard_reads_tags_steps_and_wall_times(run, tmp_path):
    """With TensorBoard's own reader; what was not measured says so in its tag; unknown values are left out."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = export_tensorboard(run, tmp_path)
    events = accumulator.EventAccumulator(str(path))
    events.Reload()
    prefix = "" if run.header()["origin"] == "measured" else "simulated/"
    assert set(events.Tags()["scalars"]) == {
        f"{prefix}step/loss",
        f"{prefix}step/accuracy",
        f"{prefix}host/host_cpu_percent",
    }
    loss = events.Scalars(f"{prefix}step/loss")
    assert [(e.step, e.value) for e in loss] == [(1, 0.5), (2, 0.25)]
    assert loss[1].wall_time == pytest.approx(run.header()["started_wall_ns"] / 1e9 + 2.5, abs=1e-3)
    assert [e.step for e in events.Scalars(f"{prefix}step/accuracy")] == [2]
    assert [e.step for e in events.Scalars(f"{prefix}host/host_cpu_percent")] == [0]


@pytest.mark.parametrize(
    ("package", "export"), [("pyarrow", export_parquet), ("tensorboard.compat.proto.event_pb2", export_tensorboard)]
)
def test_a_missing_package_is_told_with_its_extra(run, tmp_path, monkeypatch, package, export):
    """The message has the line to install it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[export\]"):
        export(run, tmp_path)
