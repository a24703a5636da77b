"""Who runs a process."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from bigmodel_lab.samplers._owners import find_owner, shorten

WAIT = "print('up', flush=True); input()"


@pytest.fixture
def kernel():
    """A process that looks like a Jupyter kernel."""
    command = [sys.executable, "-c", WAIT, "-f", "/run/jupyter/kernel-0123abcd-4567-89ab-cdef-0123456789ab.json"]
    environment = {**os.environ, "JPY_SESSION_NAME": "work/train.ipynb"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate("\n")


def test_a_kernel_is_recognised(kernel):
    """Kernel id from the command line, notebook from the environment."""
    owner = find_owner(kernel.pid, container=False)
    assert owner.kernel_id == "0123abcd-4567-89ab-cdef-0123456789ab"
    assert owner.notebook == "work/train.ipynb"
    assert owner.mine


def test_what_the_caller_knows_comes_first(kernel):
    """The registry of live runs knows the notebook better."""
    assert find_owner(kernel.pid, {kernel.pid: "other.ipynb"}, container=False).notebook == "other.ipynb"


def test_user_and_age_are_those_of_psutil(kernel):
    """In seconds."""
    owner = find_owner(kernel.pid, container=False)
    assert owner.user == psutil.Process(kernel.pid).username()
    assert owner.started_seconds == pytest.approx(psutil.Process(kernel.pid).create_time())
    assert 0 <= owner.age_seconds < 60


def test_in_a_container_a_number_may_mean_another_process(kernel):
    """A process here that holds no GPU is not the one that the driver means."""
    owner = find_owner(kernel.pid, container=True)
    assert (owner.user, owner.mine) == (None, False)
    assert owner.reason


def test_in_a_container_this_process_is_still_this_process():
    """Its own number needs no proof."""
    assert find_owner(os.getpid(), container=True).mine


def test_a_number_without_process_says_so():
    """It has ended, or was never here."""
    assert "not visible" in find_owner(4194399, container=False).reason


@pytest.mark.parametrize(
    ("error", "words"), [(psutil.AccessDenied(1), "other users"), (psutil.NoSuchProcess(1), "ended")]
)
def test_a_process_that_is_not_told_has_a_reason(monkeypatch, kernel, error, words):
    """Another user's, or gone in between."""

    def refuse(self):
        raise error

    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    assert words in find_owner(kernel.pid, container=False).reason


def test_a_hidden_environment_costs_only_the_notebook(monkeypatch, kernel):
    """User and command are still told."""

    def refuse(self):
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "environ", refuse)
    owner = find_owner(kernel.pid, container=False)
    assert owner.notebook is None
    assert owner.reason
    assert owner.user


def test_a_long_command_is_cut():
    """At most 60 characters, with a mark."""
    shown = shorten(["python", "x" * 100])
    assert len(shown) == 60
    assert shown.endswith("…")
