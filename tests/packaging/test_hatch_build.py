"""The build hook bundles when it must, and only then."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.conftest import ROOT


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    """The module hatch_build.py of the checkout."""
    spec = importlib.util.spec_from_file_location("hatch_build_under_test", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, hook: ModuleType) -> Path:
    """A project with one source of 1970-01-01 00:16:40 and a bundle that is a second newer."""
    source = tmp_path / "labextension/src/widget.ts"
    for path, seconds in [(source, 1000), *((tmp_path / name, 1001) for name in hook.TARGETS)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (seconds, seconds))
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    """Put a small shell program on a PATH folder."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def hook_of(hook: ModuleType, root: Path) -> object:
    """The hook as hatchling makes it for a project."""
    return hook.DashboardBuildHook(str(root), {}, None, None, str(root / "dist"), "wheel")


def test_a_bundle_newer_than_its_sources_is_kept(hook: ModuleType, project: Path) -> None:
    """Nothing changed, so nothing is built."""
    assert not hook.stale(project)


def test_a_missing_part_makes_the_bundle_stale(hook: ModuleType, project: Path) -> None:
    """Half a bundle is no bundle."""
    (project / hook.TARGETS[1]).unlink()
    assert hook.stale(project)


def test_a_changed_source_makes_the_bundle_stale(hook: ModuleType, project: Path) -> None:
    """A source that is newer than the bundle has to be bundled."""
    os.utime(project / "labextension/src/widget.ts", (1002, 1002))
    assert hook.stale(project)


def test_installed_node_packages_are_no_sources(hook: ModuleType, project: Path) -> None:
    """`npm ci` writes into node_modules, which must not make the bundle stale for ever."""
    (project / "labextension/node_modules").mkdir()
    (project / "labextension/node_modules/new.js").touch()
    assert not hook.stale(project)


def test_an_unpacked_sdist_is_never_stale(hook: ModuleType, project: Path) -> None:
    """An sdist carries its bundle; the times of its files depend on who unpacked it."""
    os.utime(project / "labextension/src/widget.ts", (1002, 1002))
    (project / "PKG-INFO").touch()
    assert not hook.stale(project)


def test_node_is_asked_for_where_it_is_missing(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine without Node gets it as a build requirement."""
    (project / hook.TARGETS[0]).unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert hook_of(hook, project).dependencies() == [hook.NODE_REQUIREMENT]


def test_node_is_asked_for_where_it_is_too_old(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian's Node 18 cannot run the bundler."""
    (project / hook.TARGETS[0]).unlink()
    program(tmp_path / "bin", "node", "echo v18.20.4")
    program(tmp_path / "bin", "npm", "true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert hook_of(hook, project).dependencies() == [hook.NODE_REQUIREMENT]


def test_a_machine_with_a_new_node_needs_no_other(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The machine's own Node is used where it is new enough."""
    (project / hook.TARGETS[0]).unlink()
    program(tmp_path / "bin", "node", "echo v22.12.0")
    program(tmp_path / "bin", "npm", "true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert hook_of(hook, project).dependencies() == []


def test_nothing_is_asked_for_where_nothing_is_to_do(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a current bundle, a machine without Node downloads none."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert hook_of(hook, project).dependencies() == []


def test_the_hook_bundles_what_is_stale(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hook installs exactly what the lock file says, then bundles."""
    (project / hook.TARGETS[0]).unlink()
    program(
        tmp_path / "bin",
        "npm",
        f'echo "$1 $2" >> {tmp_path}/calls; [ "$1" = run ] && : > {project / hook.TARGETS[0]}; exit 0',
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    hook_of(hook, project).initialize("editable", {})
    assert (tmp_path / "calls").read_text().splitlines() == ["ci --no-audit", "run build"]
    assert not hook.stale(project)


def test_a_failing_bundler_fails_the_build(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wheel without its dashboard must never come out of a failed bundling."""
    program(tmp_path / "bin", "npm", "exit 3")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RuntimeError, match="npm ci"):
        hook.bundle(project)


def test_a_bundler_that_makes_nothing_fails_the_build(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bundler that ends well without its files has gone wrong all the same."""
    (project / hook.TARGETS[0]).unlink()
    program(tmp_path / "bin", "npm", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RuntimeError, match=r"made no bigmodel_lab/static/dashboard\.js"):
        hook.bundle(project)


def test_no_npm_at_all_is_said(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without isolation and without Node, the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(RuntimeError, match="Install Node"):
        hook.bundle(project)
