"""How much memory the container that we are in still allows (Linux control groups, version 1 and 2)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_NO_LIMIT = 1 << 60
"""Version 1 writes "no limit" as a huge number, near 2**63."""


@dataclass(frozen=True)
class _Files:
    """The names that one version of control groups gives to the same three things."""

    controller: str
    """Second field of the line in /proc/self/cgroup."""
    root: str
    """Where the tree is mounted, below /sys/fs/cgroup."""
    limit: str
    usage: str
    cache: str
    """Line of memory.stat: file cache that the kernel gives up before it ends a program."""


_VERSIONS = (
    _Files("", "", "memory.max", "memory.current", "inactive_file"),
    _Files("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class _Level(NamedTuple):
    """One control group above this process."""

    limit: str
    usage: str
    stat: str
    cache: bytes


class ContainerMemory:
    """The memory limits above this process. Found once; the numbers are read each time."""

    def __init__(self, proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> None:
        """Args: ``proc``: the file that names this process's groups; ``mount``: where the groups are mounted."""
        groups = _groups_of(proc)
        self._levels = [
            _level(folder, files)
            for files in _VERSIONS
            if files.controller in groups
            for folder in _upwards(mount / files.root, groups[files.controller])
            if (folder / files.limit).is_file()
        ]

    def available_bytes(self) -> int | None:
        """The tightest limit minus what is used of it, never below 0; None when there is no limit.

        File cache that nobody uses is not counted as used, because the kernel takes it back first.
        """
        left = [room for room in (_room(level) for level in self._levels) if room is not None]
        return min(left) if left else None


def _groups_of(proc: Path) -> dict[str, str]:
    """Path of this process's group by controller; the key "" is version 2."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return {}
    parts = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {name: path for _, names, path in parts for name in names.split(",")}


def _upwards(root: Path, path: str) -> list[Path]:
    """The group's folder and all above it. Inside a container the path may not exist: then the root."""
    folder = root / path.lstrip("/")
    if not folder.is_dir():
        return [root]
    above = [folder, *folder.parents]
    return above[: above.index(root) + 1]


def _level(folder: Path, files: _Files) -> _Level:
    stat = folder / "memory.stat"
    return _Level(str(folder / files.limit), str(folder / files.usage), str(stat), files.cache.encode())


def _room(level: _Level) -> int | None:
    limit = _number(level.limit)
    if limit is None or limit >= _NO_LIMIT:
        return None
    used = _number(level.usage)
    return None if used is None else max(0, limit - max(0, used - _cache(level.stat, level.cache)))


def _number(file: str) -> int | None:
    """The file's number; None for "max" or a file that is gone."""
    try:
        return int(_read(file))
    except ValueError:
        return None


def _cache(file: str, line: bytes) -> int:
    found = [row.split()[1] for row in _read(file).splitlines() if row.startswith(line + b" ")]
    return int(found[0]) if found else 0


def _read(file: str) -> bytes:
    """Content of a small file of the kernel, empty when it is gone.

    Without Python's file objects, which cost more than the reading (this runs ten times a second).
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
