"""Writes down the exact versions of the environment that it runs in.

    .venv/bin/python .ci/pin.py            # constraints.txt: everything the project is tested with
    .venv/bin/python .ci/pin.py binder     # binder/requirements.txt: what the online demo needs, from constraints.txt

Run the first after upgrading packages in ``.venv`` and testing, then the second. Only what
the extras reach is written, so that a package tried out by hand leaves no trace.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    raise SystemExit("Pin from Python 3.11 or newer: the oldest version with a full set of tested packages.")

ROOT = Path(__file__).parent.parent
OLDEST = "3.10"
CONSTRAINTS_HEAD = """\
# The exact versions that the project is tested with: pip install -c constraints.txt ...
# They never enter the package's metadata; whoever installs bigmodel_lab keeps the versions already there.
# Renew: upgrade packages in .venv, `make test`, then `.venv/bin/python .ci/pin.py` and `.venv/bin/python .ci/pin.py binder`.
# A marker on a line means that this version needs a newer Python than the oldest one that the package supports.
"""
TORCH_HEAD = """
# the CPU wheel where pip is told of one (find-links, or PyTorch's CPU index), else the CUDA one, which is some GB
"""
BINDER_HEAD = """\
# Everything that the online demo on mybinder.org needs, exact versions (written by `.ci/pin.py binder`).
# torch comes from its own index, as a wheel without CUDA: 200 MB instead of several GB.
# ipykernel>=7.1,!=7.4.0: Binder's own 7.0 shows no updates from threads, and 7.4.0 sends clicks to the busy main shell.
--extra-index-url https://download.pytorch.org/whl/cpu
"""
BINDER_OWN = {"ipykernel": "7.3.0"}
BINDER_EXTRAS = ("train", "lab", "subjects")


def project() -> dict[str, list[str]]:
    """Requirements by extra; those of the base under the empty name."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": facts["dependencies"], **facts["optional-dependencies"]}


def reached(requirements: Iterable[str]) -> dict[str, str]:
    """Name and version of every installed package that these requirements lead to."""
    todo = [Requirement(line) for line in requirements if not line.startswith("bigmodel_lab")]  # its extras are listed
    seen: set[tuple[str, str]] = set()
    versions: dict[str, str] = {}
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # an extra that is not part of the tests, such as `data`
        versions[name] = found.version.partition("+")[0]  # torch's "+cpu" is one build of the version
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            asked = map(Requirement, found.requires or [])
            todo += [r for r in asked if r.marker is None or r.marker.evaluate({"extra": extra})]
    return versions


def pin(name: str, version: str) -> str:
    """One line, with a marker where this version does not run on the oldest Python."""
    needed = re.search(r">=\s*3\.(\d+)", distribution(name).metadata.get("Requires-Python") or "")
    if needed and int(needed[1]) > int(OLDEST.split(".")[1]):
        return f'{name}=={version} ; python_version >= "3.{needed[1]}"'
    return f"{name}=={version}"


def constraints() -> str:
    """Direct requirements by extra, torch first, then all that they bring along."""
    wanted = project()
    versions = reached(line for lines in wanted.values() for line in lines)
    blocks = [f"{TORCH_HEAD}{pin('torch', versions.pop('torch'))}\n"]
    for extra, lines in wanted.items():
        names = [canonicalize_name(Requirement(line).name) for line in lines]
        pins = [pin(name, versions.pop(name)) for name in names if name in versions]
        if pins:
            blocks.append(f"\n# {f'extra {extra!r}' if extra else 'base'}\n" + "\n".join(pins) + "\n")
    rest = "\n".join(pin(name, versions[name]) for name in sorted(versions))
    return CONSTRAINTS_HEAD + "".join(blocks) + f"\n# brought along by those\n{rest}\n"


def binder() -> str:
    """The pins of the base and the extras of the online demo, with its own kernel version."""
    wanted = project()
    names = reached([*wanted[""], *(line for extra in BINDER_EXTRAS for line in wanted[extra])])
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))
    pins = {name: BINDER_OWN.get(name, tested[name]) for name in names}
    order = ["torch", *sorted(pins.keys() - {"torch"})]
    return BINDER_HEAD + "".join(f"{name}=={pins[name]}\n" for name in order)


if __name__ == "__main__":
    if sys.argv[1:] == ["binder"]:
        (ROOT / "binder/requirements.txt").write_text(binder())
    else:
        (ROOT / "constraints.txt").write_text(constraints())
