"""Finding runs, and sending commands to one that another process trains."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmodel_lab.errors import RunFileError, UnknownNameError
from bigmodel_lab.i18n import text
from bigmodel_lab.runlog.base import Status
from bigmodel_lab.runlog.database import inserting
from bigmodel_lab.runlog.folder import SUFFIX, live_file, runs_folder
from bigmodel_lab.runlog.reader import RunReader
from bigmodel_lab.runlog.registry import live_runs


@dataclass(frozen=True)
class RunSummary:
    """One run file in a list."""

    path: Path
    """The run file."""
    run_id: str
    """Id of the run; the file's name where it cannot be read."""
    name: str
    """Name for people; the file's name where it cannot be read."""
    origin: str
    """``"measured"``, ``"simulated"`` or ``"recorded"``; empty where it cannot be read."""
    status: Status | None
    """Where it stands; None where it cannot be read."""
    started_wall_ns: int
    """``time.time_ns()`` at its start; 0 where it cannot be read."""
    steps: int
    """Rows of its stream ``"step"``."""
    problem: str | None = None
    """Why the file cannot be read, in words; None when it can."""


def find_runs(folder: str | os.PathLike[str] | None = None) -> list[RunSummary]:
    """Every run file of the folder, newest first; one that cannot be read is listed with its problem.

    Args:
        folder: As for :func:`runs_folder`.

    >>> import tempfile
    >>> find_runs(tempfile.mkdtemp())
    []
    """
    runs = [_summary(path) for path in runs_folder(folder).glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return sorted(runs, key=lambda run: (run.started_wall_ns, run.run_id), reverse=True)


def find_run(path_or_run_id: str | os.PathLike[str]) -> Path:
    """The file of a run that is given by its path, or by its id.

    Raises:
        UnknownNameError: No live run and no file in the folder for runs has this id.
    """
    path = Path(path_or_run_id)
    if path.suffix == SUFFIX:
        return path
    known = {run.run_id: run.path for run in live_runs()}
    known.update({file.stem: file for file in runs_folder().glob(f"*{SUFFIX}")})
    if str(path_or_run_id) not in known:
        raise UnknownNameError("run", str(path_or_run_id), known)
    return known[str(path_or_run_id)]


def send_command(path_or_run_id: str | os.PathLike[str], name: str, *, source: str = "terminal", **args: Any) -> None:
    """Leave a command for a live run of another process; its loop finds it within about 0.1 s.

    Args:
        path_or_run_id: The run file, or the run's id.
        name: ``"pause"``, ``"resume"``, ``"stop"`` …
        source: Where the command comes from.
        args: Details, values of JSON.

    Raises:
        RunFileError: The run has ended, so that nobody would obey.
        UnknownNameError: There is no such run.
    """
    path = find_run(path_or_run_id)
    status = RunReader(path).status()
    if status.ended:
        raise RunFileError(
            text(
                "runlog.ended",
                "The run {path} is {status}: nothing obeys the command {name!r}.",
                path=path,
                status=status.value,
                name=name,
            )
        )
    with inserting(live_file(path)) as db:
        row = (name, source, json.dumps(args), time.time_ns())
        db.execute("INSERT INTO commands (name, source, args, wall_ns) VALUES (?, ?, ?, ?)", row)


def _summary(path: Path) -> RunSummary:
    try:
        reader = RunReader(path)
        header = reader.header()
        has_steps = any(stream.name == "step" for stream in reader.streams())
        steps = reader.count("step") if has_steps else 0
        facts = (header["run_id"], header["name"], header["origin"], reader.status(), header["started_wall_ns"])
        return RunSummary(path, *facts, steps)
    except RunFileError as error:
        return RunSummary(path, path.stem, path.stem, "", None, 0, 0, str(error))
