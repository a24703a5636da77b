"""constraints.txt pins exactly what the project is tested with."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {
    canonicalize_name(r.name): r
    for r in (
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
}
NOT_PINNED = {"datasets", "bigmodel-lab"}
"""A package that no test installs, and this project itself, whose extras name each other."""


def direct() -> list[str]:
    """Every package that pyproject.toml names."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras.values() for line in extra)]
    return sorted({canonicalize_name(Requirement(line).name) for line in lines} - NOT_PINNED)


def test_torch_has_the_version_of_the_cpu_wheel() -> None:
    """Without this very pin, pip takes a newer PyTorch and gigabytes of CUDA."""
    assert str(PINS["torch"].specifier) == "==2.13.0"


def test_every_line_is_an_exact_version() -> None:
    """A line that is not a pin would let the tested set drift."""
    assert [name for name, pin in PINS.items() if [s.operator for s in pin.specifier] != ["=="]] == []


@pytest.mark.parametrize("name", direct())
def test_each_direct_requirement_is_pinned(name: str) -> None:
    """What the project asks for by itself has a tested version."""
    assert name in PINS


@pytest.mark.parametrize("name", direct())
def test_the_tests_run_with_the_pinned_version(name: str) -> None:
    """This environment is the one that constraints.txt describes."""
    pin = PINS[name]
    if pin.marker is None or pin.marker.evaluate():
        assert pin.specifier.contains(version(name), prereleases=True)


def test_torch_is_no_build_requirement() -> None:
    """The isolated build of pip would download CUDA for it, as constraints do not reach there."""
    assert [line for line in PROJECT["build-system"]["requires"] if "torch" in line] == []
