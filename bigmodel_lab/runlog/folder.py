"""Where run files lie: one rule for every program, so that all of them find the same runs."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bigmodel_lab.errors import RunFolderError
from bigmodel_lab.i18n import text

SUFFIX = ".bmlrun"
"""Suffix of every run file."""
_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "lustre", "afs", "ceph", "glusterfs", "fuse.glusterfs", "gpfs")


def runs_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder for run files: the argument, else ``$BIGMODEL_LAB_RUNS``, else the user's data folder.

    Makes nothing; the folder may not exist yet.

    >>> runs_folder("/data/runs").as_posix()
    '/data/runs'
    """
    chosen = folder or os.environ.get("BIGMODEL_LAB_RUNS")
    return Path(chosen).expanduser().absolute() if chosen else _user_data() / "bigmodel_lab" / "runs"


def writable_runs_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The same folder, made if need be, and tried out.

    Raises:
        RunFolderError: Nothing can be written there.
    """
    path = runs_folder(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".try-"):
            return path
    except OSError as error:
        raise RunFolderError(
            text(
                "runlog.folder",
                "The folder for runs, {path}, cannot be written ({reason}). Give another one: "
                "runs_dir=..., or set the environment variable BIGMODEL_LAB_RUNS.",
                path=path,
                reason=error.strerror or error,
            )
        ) from error


def live_folder() -> Path:
    """A folder on this machine's own disk, for runs whose folder lies on a network file system."""
    user = getattr(os, "getuid", lambda: 0)()
    return Path(tempfile.gettempdir()) / f"bigmodel_lab-{user}"


def live_file(path: Path) -> Path:
    """The file that is really written for the run file ``path``: itself, or its local twin."""
    local = live_folder() / path.name
    return local if local.exists() else path


def on_network(path: Path) -> bool:
    """Whether this folder lies on a network file system, where SQLite's locks cannot be trusted."""
    import psutil

    mounts = {part.mountpoint: part.fstype.lower() for part in psutil.disk_partitions(all=True)}
    resolved = path.resolve()
    nearest = next((str(p) for p in (resolved, *resolved.parents) if str(p) in mounts), None)
    return nearest is not None and mounts[nearest].startswith(_NETWORK)


def _user_data() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
