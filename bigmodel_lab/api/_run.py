"""Runs that are recorded: look at them, export them, replay them in the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigmodel_lab import runlog
from bigmodel_lab._table import Table
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.metrics import describe
from bigmodel_lab.runlog import Event, ProposalRecord, Source, Status
from bigmodel_lab.units import format_bytes, format_seconds, format_value
from bigmodel_lab.widgets import RunDisplay, detect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADLINES = ("loss", "accuracy", "validation_loss", "validation_accuracy")


class Series(NamedTuple):
    """All recorded values of one metric."""

    step: NDArray[np.int64]
    """Optimizer steps made when each value was recorded, shape (values,)."""
    seconds: NDArray[np.float64]
    """Seconds since the run began, shape (values,)."""
    value: NDArray[np.float64]
    """Values in the metric's unit, shape (values,); NaN where unknown."""


class Run:
    """A run and all that was recorded of it; as the last line of a cell it shows its dashboard.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", epochs=1)
    >>> recorded = lab.open_run(run.path)
    >>> recorded.status.value
    'finished'
    >>> recorded.series("validation_accuracy").value.shape
    (1,)
    """

    def __init__(self, source: Source, path: Path) -> None:
        self._source = source
        self.path = path
        """The run file."""

    @property
    def source(self) -> Source:
        """Where all of it is read from."""
        return self._source

    @property
    def name(self) -> str:
        """Name of the run, by default the model's."""
        return str(self.header["name"])

    @property
    def header(self) -> Mapping[str, Any]:
        """Facts about the run: model, data, configuration, device and why it was chosen."""
        return self._source.header()

    @property
    def status(self) -> Status:
        """Where the run stands now."""
        return self._source.status()

    def events(self) -> tuple[Event, ...]:
        """What happened, in order: started, paused, commands, gaps, the end."""
        return self._source.events()

    def proposals(self) -> tuple[ProposalRecord, ...]:
        """Tips that were proposed to the run, and what became of each: kept, taken back, undone; with measured numbers."""
        return self._source.proposals()

    def tip_history(self) -> Table:
        """What became of each tip: predicted and measured side by side, a row a tip."""
        heads = (
            text("tip_history.tip", "tip"),
            text("tip_history.state", "state"),
            text("tip_history.predicted", "predicted"),
            text("tip_history.measured", "measured"),
            text("tip_history.verdict", "verdict"),
        )
        rows = tuple(
            (
                str(record.data.get("title", record.tip)),
                record.state,
                next(iter(record.data.get("predicted", ())), "–").partition(" (")[0],
                ", ".join(record.data.get("measured", ())) or "–",
                str(record.data.get("verdict", "–")),
            )
            for record in self._source.proposals()
            if record.state != "withdrawn"
        )
        return Table(heads, rows)

    def metrics(self) -> tuple[str, ...]:
        """Keys of all metrics that have a column in this run."""
        return tuple(dict.fromkeys(key for stream in self._source.streams() for key in stream.keys))

    def series(self, metric: str) -> Series:
        """Every recorded value of a metric, in order.

        Args:
            metric: Metric key, one of :meth:`metrics`.

        Raises:
            UnknownNameError: The run has no such metric.
        """
        for stream in self._source.streams():
            if metric in stream.keys:
                block = self._source.read(stream.name)
                began = int(self.header["started_monotonic_ns"])
                seconds = (block.monotonic_ns - began) / 1e9
                return Series(block.step, seconds, block.values[:, stream.keys.index(metric)])
        raise UnknownNameError("metric", metric, self.metrics())

    def last(self, metric: str) -> float | None:
        """The latest known value of a metric; None where there is none."""
        if metric not in self.metrics():
            return None
        known = self.series(metric).value
        known = known[~np.isnan(known)]
        return float(known[-1]) if len(known) else None

    def plot(self) -> Figure:
        """The dashboard's charts as a matplotlib figure.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from bigmodel_lab.widgets import plot

        return plot(self._source)

    def export_csv(self, folder: str | Path) -> list[Path]:
        """Write one CSV file a stream into a folder, made when missing; returns their paths."""
        return runlog.export_csv(self._source, Path(folder))

    def export_parquet(self, folder: str | Path) -> list[Path]:
        """Write one Parquet file a stream into a folder, made when missing; returns their paths.

        Raises:
            MissingPackageError: pyarrow is not installed.
        """
        return runlog.export_parquet(self._source, Path(folder))

    def export_tensorboard(self, folder: str | Path) -> Path:
        """Write the run into TensorBoard's log folder, made when missing; returns the run's own folder.

        Raises:
            MissingPackageError: tensorboard is not installed.
        """
        return runlog.export_tensorboard(self._source, Path(folder))

    def summary(self) -> str:
        """The run in a few lines of text."""
        facts = self.header
        lines = [repr(self)]
        if facts.get("device"):
            lines.append(
                text(
                    "run.on_device",
                    "  on {device}: {reason}",
                    device=facts["device"],
                    reason=facts.get("device_reason", ""),
                )
            )
        lines += [f"  {describe(key).label}: {self._shown(key)}" for key in _HEADLINES if self.last(key) is not None]
        lines.append(
            text("run.file", "  file: {path} ({size})", path=self.path, size=format_bytes(self.path.stat().st_size))
        )
        return "\n".join(lines)

    def __repr__(self) -> str:
        steps = self._source.count("step") if self._has("step") else 0
        return text(
            "run.repr",
            "<Run {name}: {status}, {steps} steps>",
            name=self.name,
            status=self.status.value,
            steps=steps,
        )

    def _ipython_display_(self) -> None:
        """Show the dashboard, or one line of text where there is no notebook."""
        front = detect()
        if front.kind == "notebook":
            RunDisplay(self._source, front=front).show()
        else:
            print(self.summary())  # noqa: T201 (this is what a person asked for by naming the run)

    def _has(self, stream: str) -> bool:
        return any(s.name == stream for s in self._source.streams())

    def _shown(self, key: str) -> str:
        return format_value(self.last(key), describe(key).unit)


class RunTable(list[runlog.RunSummary]):
    """Runs found in a folder, newest first; prints as a table."""

    def __init__(self, folder: Path) -> None:
        super().__init__(runlog.find_runs(folder))
        self.folder = folder
        """Where they lie."""

    def __repr__(self) -> str:
        if not self:
            return text("runs.none", "No runs in {folder} yet.", folder=self.folder)
        rows = [
            (
                r.name,
                r.status.value if r.status else text("runs.unreadable", "unreadable"),
                str(r.steps),
                _when(r.started_wall_ns),
                _ago(r),
                str(r.path),
            )
            for r in self
        ]
        heads = (
            text("runs.name", "name"),
            text("runs.status", "status"),
            text("runs.steps", "steps"),
            text("runs.started", "started"),
            text("runs.age", "age"),
            text("runs.path", "file"),
        )
        return Table(heads, tuple(rows)).text()


def open_run(path: str | Path) -> Run:
    """Open a recorded run, or watch one that another process is writing.

    Args:
        path: A ``.bmlrun`` file.

    Raises:
        RunFileError: There is no such file, it is not a run file, or a newer version wrote it.

    >>> import bigmodel_lab as lab
    >>> lab.open_run(lab.fit("mlp", max_steps=3).path)
    <Run mlp: finished, 3 steps>
    """
    file = Path(path).expanduser()
    return Run(runlog.RunReader(file), file)


def runs(runs_dir: str | Path | None = None) -> RunTable:
    """All runs in a folder, newest first.

    Args:
        runs_dir: The folder; None takes ``$BIGMODEL_LAB_RUNS``, else the user's data folder.

    >>> import bigmodel_lab as lab
    >>> run = lab.fit("mlp", max_steps=3)
    >>> lab.runs()[0].path == run.path
    True
    """
    return RunTable(runlog.runs_folder(Path(runs_dir) if runs_dir is not None else None))


def _when(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def _ago(summary: runlog.RunSummary) -> str:
    return format_seconds((datetime.now().astimezone().timestamp()) - summary.started_wall_ns / 1e9)
