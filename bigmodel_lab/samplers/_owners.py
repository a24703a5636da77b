"""Who runs a program: its user, command line, age, and the notebook behind it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from bigmodel_lab.i18n import Text

_KERNEL_FILE = re.compile(r"kernel-([0-9a-f-]{8,36})\.json")
_COMMAND_LENGTH = 60
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Inode number that Linux gives to the machine's own process numbers; a container's are others."""

_NOT_HERE = Text(
    "owner.not_here",
    "This process is not visible from here: it has ended, or runs outside of this container.",
)
_OF_ANOTHER_USER = Text("owner.denied", "The operating system does not tell this about other users' processes.")


@dataclass(frozen=True)
class Owner:
    """What can be told about a process; None is unknown."""

    user: str | None = None
    """User name."""
    command: str | None = None
    """Start of its command line, at most 60 characters, programs without their folders."""
    started_seconds: float | None = None
    """When it started, seconds since 1970."""
    age_seconds: float | None = None
    """How long it has been running."""
    notebook: str | None = None
    """Path of the notebook as Jupyter calls it."""
    kernel_id: str | None = None
    """Jupyter's id of the kernel that the process is."""
    mine: bool = False
    """It is this process or runs under the same user."""
    reason: str = ""
    """Why something is unknown; empty when nothing is."""


def find_owner(pid: int, notebooks: Mapping[int, str] | None = None, *, container: bool | None = None) -> Owner:
    """Who runs this process.

    Args:
        pid: Process number as the driver tells it.
        notebooks: Notebook path by process number, where the caller knows more (live runs).
        container: The driver's process numbers may be those outside of this container, so a
            process counts only if it holds a GPU open; None finds out.

    >>> find_owner(os.getpid()).mine
    True
    """
    notebook = (notebooks or {}).get(pid)
    if container is None:
        container = in_container()
    strange = container and pid != os.getpid() and not _holds_gpu(pid)
    if strange or not psutil.pid_exists(pid):
        return Owner(notebook=notebook, reason=str(_NOT_HERE))
    try:
        return _describe(psutil.Process(pid), notebook)
    except psutil.NoSuchProcess:
        return Owner(notebook=notebook, reason=str(_NOT_HERE))
    except psutil.AccessDenied:
        return Owner(notebook=notebook, reason=str(_OF_ANOTHER_USER))


def in_container() -> bool:
    """Process numbers here are not those of the machine (a PID namespace of Linux)."""
    if sys.platform != "linux":
        return False
    try:
        return Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE
    except OSError:
        return False


def shorten(command: list[str]) -> str:
    """A command line of at most 60 characters, its programs and files without their folders.

    >>> shorten(["/opt/env/bin/python3", "-m", "ipykernel_launcher", "-f", "/run/kernel-1.json"])
    'python3 -m ipykernel_launcher -f kernel-1.json'
    """
    words = " ".join(word.rsplit("/", 1)[-1] for word in command if word)
    return words if len(words) <= _COMMAND_LENGTH else words[: _COMMAND_LENGTH - 1] + "…"


def _describe(process: psutil.Process, notebook: str | None) -> Owner:
    command = process.cmdline()
    started = process.create_time()
    path, reason = (notebook, "") if notebook else _session_of(process)
    kernel = next((found[1] for word in command if (found := _KERNEL_FILE.search(word))), None)
    return Owner(
        user=process.username(),
        command=shorten(command) or process.name(),
        started_seconds=started,
        age_seconds=max(0.0, time.time() - started),
        notebook=path,
        kernel_id=kernel,
        mine=process.pid == os.getpid() or _same_user(process),
        reason=reason,
    )


def _session_of(process: psutil.Process) -> tuple[str | None, str]:
    """The notebook's path as Jupyter Server leaves it in a kernel's environment."""
    try:
        return process.environ().get("JPY_SESSION_NAME"), ""
    except psutil.AccessDenied:
        return None, str(_OF_ANOTHER_USER)


def _same_user(process: psutil.Process) -> bool:
    if sys.platform == "win32":
        return process.username() == psutil.Process().username()
    return process.uids().real == os.getuid()


def _holds_gpu(pid: int) -> bool:
    """The process has a device file of a GPU open; False too when it may not be looked at."""
    try:
        opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(target.startswith(("/dev/nvidia", "/dev/dxg")) for target in opened)
