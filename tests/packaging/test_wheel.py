"""The wheel holds what it must, stays small, and works where it is installed."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import ROOT, path_without_node, run

BUNDLE = ["bigmodel_lab/static/dashboard.css", "bigmodel_lab/static/dashboard.js"]


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    """Every file of the wheel with its bytes."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_smaller_than_a_megabyte(wheel: Path) -> None:
    """A wheel of 1 MB or more would be slow to install in Colab on every start."""
    assert wheel.stat().st_size < 1_000_000


def test_the_wheel_carries_the_bundle_of_the_dashboard(contents: dict[str, bytes]) -> None:
    """The browser's files are in the wheel, so that nobody who installs it needs Node."""
    assert [name for name in BUNDLE if name not in contents] == []
    assert len(contents["bigmodel_lab/static/dashboard.js"]) > 1000


def test_the_dashboard_stays_below_a_hundred_kilobytes(contents: dict[str, bytes]) -> None:
    """The script travels into every saved notebook, so it has to stay small."""
    assert len(contents["bigmodel_lab/static/dashboard.js"]) < 100_000


def test_the_wheel_carries_every_module(contents: dict[str, bytes]) -> None:
    """No module of the package is left out."""
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "bigmodel_lab").rglob("*.py")}
    assert expected - contents.keys() == set()


def test_the_wheel_carries_the_data_of_the_cards(contents: dict[str, bytes]) -> None:
    """Totals and contexts of graphics cards lie in a file beside the code that reads it."""
    assert b"H200" in contents["bigmodel_lab/memory/cards.json"]


def test_the_wheel_carries_nothing_else(contents: dict[str, bytes]) -> None:
    """Only the package and its metadata: no tests, no notebooks, no sources of the bundle."""
    strangers = [
        name for name in contents if name.split("/")[0] not in {"bigmodel_lab", "bigmodel_lab-0.1.0.dist-info"}
    ]
    assert strangers == []


def test_the_wheel_runs_on_every_platform(wheel: Path) -> None:
    """The wheel is pure Python."""
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_carries_the_license(contents: dict[str, bytes]) -> None:
    """The license text is part of the metadata."""
    assert any(name.endswith("licenses/LICENSE") for name in contents)


def test_the_wheel_installs_offline_and_imports_from_another_folder(
    wheel: Path, clean_python: Path, tmp_path: Path
) -> None:
    """Without its dependencies and far from the checkout, the package imports and knows its files."""
    run(sys.executable, "-m", "pip", "--python", clean_python, "install", "--no-deps", "--no-index", wheel)
    code = "import bigmodel_lab, pathlib; print(sorted(p.name for p in pathlib.Path(bigmodel_lab.__file__).parent.glob('static/*')))"
    assert run(clean_python, "-I", "-c", code, cwd=tmp_path).strip() == "['dashboard.css', 'dashboard.js']"


def test_the_installed_wheel_has_the_command(wheel: Path, clean_python: Path) -> None:
    """Installing the wheel installs the command ``bigmodel-lab``."""
    run(sys.executable, "-m", "pip", "--python", clean_python, "install", "--no-deps", "--no-index", wheel)
    assert (clean_python.parent / "bigmodel-lab").exists()


def test_the_sdist_carries_the_finished_bundle(sdist: Path) -> None:
    """The source distribution holds the bundle as well as what it is made from."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*BUNDLE, "labextension/package-lock.json", "LICENSE", "hatch_build.py"} - names == set()
    assert not [name for name in names if "node_modules" in name or name.startswith(".venv")]


def test_the_sdist_becomes_a_wheel_without_node(sdist: Path, tmp_path: Path) -> None:
    """Installing from source needs no Node: nothing is bundled again."""
    without_node = path_without_node(tmp_path / "bin")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    run(*pip, "--wheel-dir", tmp_path, sdist, env=without_node)
    with ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        assert set(BUNDLE) <= set(archive.namelist())


def test_an_editable_install_shows_only_the_package(tmp_path: Path) -> None:
    """From another folder, neither tests nor benchmarks nor the build hook can be imported by accident."""
    code = (
        "import importlib.util as u; "
        "print([n for n in ('tests', 'benchmarks', 'hatch_build', 'notebooks', 'labextension') if u.find_spec(n)])"
    )
    assert run(sys.executable, "-I", "-c", code, cwd=tmp_path).strip() == "[]"
