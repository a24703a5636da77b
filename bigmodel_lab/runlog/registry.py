"""Which runs live on this machine now: one small JSON file each in Jupyter's runtime folder.

A server or a terminal finds the runs of every kernel there, without importing anything
of Jupyter. The writer renews its file every second; who reads it judges whether the
process still exists.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmodel_lab.runlog.base import Status
from bigmodel_lab.runlog.process import ProcessIdentity, lost

_FORGET_S = 24 * 3600  # a lost run is shown for a day


@dataclass(frozen=True)
class LiveRun:
    """A run that registered and has not ended properly."""

    run_id: str
    """Id of the run."""
    name: str
    """Its name for people."""
    origin: str
    """``"measured"``, ``"simulated"`` or ``"recorded"``."""
    path: Path
    """The run file."""
    live_path: Path
    """The file that is written now: differs from ``path`` when that lies on a network."""
    process: ProcessIdentity
    """Who writes it."""
    kernel_id: str | None
    """Jupyter kernel; None outside Jupyter, or where it cannot be told."""
    notebook: str | None
    """Path of the notebook as the server knows it; None outside Jupyter."""
    status: Status
    """Where it stands; LOST when its process is gone."""
    step: int
    """Last step; -1 before the first."""
    heartbeat_wall_ns: int
    """``time.time_ns()`` of the last sign of life."""


class Registration:
    """The file that announces one live run. A run that cannot be announced goes on all the same."""

    def __init__(self, header: Mapping[str, Any], path: Path, live_path: Path, process: ProcessIdentity) -> None:
        self.path = registry_folder() / f"{header['run_id']}.json"
        self._facts = {
            **{key: header[key] for key in ("run_id", "name", "origin")},
            "path": str(path),
            "live_path": str(live_path),
            "process": process.to_json(),
            "kernel_id": kernel_id(),
            "notebook": os.environ.get("JPY_SESSION_NAME"),
        }

    def beat(self, status: Status, step: int) -> None:
        """A sign of life."""
        now = {"heartbeat_wall_ns": time.time_ns(), "heartbeat_monotonic_ns": time.monotonic_ns()}
        unfinished = self.path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps({**self._facts, "status": status.value, "step": step, **now}), "utf-8")
            unfinished.replace(self.path)

    def remove(self) -> None:
        """The run has ended."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def live_runs() -> list[LiveRun]:
    """Every registered run, newest sign of life first; those whose process is gone are LOST.

    >>> all(run.status in (Status.RUNNING, Status.PAUSED, Status.LOST) for run in live_runs())
    True
    """
    runs = [run for path in registry_folder().glob("*.json") if (run := _read(path)) is not None]
    return sorted(runs, key=lambda run: run.heartbeat_wall_ns, reverse=True)


def registry_folder() -> Path:
    """Where live runs register."""
    return jupyter_runtime_folder() / "bigmodel_lab"


def jupyter_runtime_folder() -> Path:
    """What ``jupyter_core.paths.jupyter_runtime_dir()`` gives, without importing it."""
    if chosen := os.environ.get("JUPYTER_RUNTIME_DIR"):
        return Path(chosen)
    return _jupyter_data() / "runtime"


def kernel_id() -> str | None:
    """Id of the Jupyter kernel that this process is, from the connection file in its arguments."""
    found = (re.search(r"kernel-([\w-]+)\.json$", argument) for argument in sys.argv)
    return next((match[1] for match in found if match), None)


def _jupyter_data() -> Path:
    if chosen := os.environ.get("JUPYTER_DATA_DIR"):
        return Path(chosen)
    home = Path.home().resolve()
    if sys.platform == "darwin":
        return home / "Library" / "Jupyter"
    if sys.platform == "win32":
        appdata = os.environ.get("APPDATA")
        return (Path(appdata) / "jupyter").resolve() if appdata else home / ".jupyter" / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter"


def _read(path: Path) -> LiveRun | None:
    try:
        data = json.loads(path.read_text("utf-8"))
        process = ProcessIdentity.from_json(data.pop("process"))
        gone = lost(process, data["heartbeat_wall_ns"], data.pop("heartbeat_monotonic_ns"))
        if gone and time.time_ns() - data["heartbeat_wall_ns"] > _FORGET_S * 1e9:
            path.unlink(missing_ok=True)
            return None
        data["status"] = Status.LOST if gone else Status(data["status"])
        data.update(path=Path(data["path"]), live_path=Path(data["live_path"]), process=process)
        return LiveRun(**data)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # ended just now, or not written by this library
