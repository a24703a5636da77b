"""Words for NVML's return codes."""

from __future__ import annotations

import platform
import sys

import pynvml
import pytest

from bigmodel_lab.samplers import _reasons

CODES = {name: value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")}


@pytest.fixture
def wsl(monkeypatch):
    """As if this were WSL2."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "release", lambda: "5.15.90.1-microsoft-standard-WSL2")
    _reasons.under_wsl.cache_clear()
    yield
    _reasons.under_wsl.cache_clear()


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_code_of_the_driver_has_words(name):
    """No code gives an empty reason."""
    assert _reasons.explain(CODES[name], "words of the driver").endswith((".", "driver", ")."))


def test_a_code_without_own_words_shows_the_drivers():
    """Number and message are both shown."""
    assert _reasons.explain(24, "no such frequency") == "The NVIDIA driver answered with error 24: no such frequency"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("UNINITIALIZED", "UNINITIALIZED"),
        ("NOT_SUPPORTED", "NOT_SUPPORTED"),
        ("FUNCTION_NOT_FOUND", "FUNCTION_NOT_FOUND"),
        ("GPU_IS_LOST", "GPU_IS_LOST"),
        ("LIBRARY_VERSION_MISMATCH", "LIB_RM_VERSION_MISMATCH"),
        ("ARGUMENT_VERSION_MISMATCH", "ARGUMENT_VERSION_MISMATCH"),
        ("GPU_NOT_FOUND", "GPU_NOT_FOUND"),
        ("UNKNOWN", "UNKNOWN"),
    ],
)
def test_the_numbers_are_those_of_pynvml(ours, theirs):
    """They are written out here, because pynvml is not imported to explain."""
    assert getattr(_reasons, ours) == CODES[f"NVML_ERROR_{theirs}"]


@pytest.mark.parametrize("code", [3, 999])
def test_under_wsl_the_reason_is_wsl(wsl, code):
    """What WSL2 leaves out is not the card's fault."""
    assert "WSL2" in _reasons.explain(code)


def test_hidden_process_memory_under_wsl(wsl):
    """The same for the memory of single processes."""
    assert "WSL2" in _reasons.without_process_memory(mig=False)


def test_hidden_process_memory_under_windows(monkeypatch):
    """Windows keeps the memory of single processes to itself (WDDM)."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert "WDDM" in _reasons.without_process_memory(mig=False)
