"""Where the code runs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from bigmodel_lab.widgets import detect


@pytest.fixture
def kernel(monkeypatch):
    """A kernel that IPython reports, with a request of an ordinary page."""
    request = {"content": {"allow_stdin": True}, "metadata": {"cellId": "1234"}}
    found = SimpleNamespace(get_parent=lambda _: request, shell=SimpleNamespace(user_ns={}), request=request)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=found)))
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(__version__="7.4.0"))
    for name in ("VSCODE_PID", "KAGGLE_KERNEL_RUN_TYPE", "BIGMODEL_LAB_HEADLESS"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_a_script_has_no_kernel():
    """Without a kernel the run is shown as text."""
    assert detect().kind == "script"


def test_a_page_is_a_notebook(kernel):
    """An ordinary request comes from a page."""
    assert (detect().kind, detect().name, detect().thread_updates) == ("notebook", "jupyter", True)


def test_no_input_means_nobody_looks(kernel):
    """nbclient, nbval and papermill allow no input."""
    kernel.request["content"]["allow_stdin"] = False

    assert detect().kind == "headless"


@pytest.mark.parametrize(("value", "kind"), [("1", "headless"), ("0", "notebook")])
def test_the_environment_decides(kernel, monkeypatch, value, kind):
    """BIGMODEL_LAB_HEADLESS overrules what was found."""
    kernel.request["content"]["allow_stdin"] = value == "1"
    monkeypatch.setenv("BIGMODEL_LAB_HEADLESS", value)

    assert detect().kind == kind


def test_ipykernel_7_0_sends_nothing_from_threads(kernel, monkeypatch):
    """The one release where a thread cannot send."""
    monkeypatch.setattr(sys.modules["ipykernel"], "__version__", "7.0.1")

    assert not detect().thread_updates


def test_colab_shows_nothing_from_threads(kernel, monkeypatch):
    """Colab is recognised by its module."""
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())

    assert (detect().name, detect().thread_updates) == ("colab", False)


def test_vscode_and_kaggle_are_recognised(kernel, monkeypatch):
    """By the cell's identity, and by the environment."""
    kernel.request["metadata"]["cellId"] = "vscode-notebook-cell:1"
    assert detect().name == "vscode"

    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert detect().name == "kaggle"
