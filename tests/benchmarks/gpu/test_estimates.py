"""The prediction of a case asks the library for what the case does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import bigmodel_lab as lab
from benchmarks.gpu.cases import Case, Rule
from benchmarks.gpu.estimates import estimate
from benchmarks.gpu.shapes import MLP
from bigmodel_lab.errors import ConfigError

CASE = Case(MLP((5, 3)), 8, "bf16", Rule("adamw", (("fused", True),)), micro_batches=4)
FOUND = SimpleNamespace(
    peak_allocated_bytes=1000,
    peak_reserved_bytes=1500,
    reserved_range=(1400, 1600),
    moment_of_peak="backward, step 2, at aten.mm",
    notes=("a note",),
)


def test_the_library_is_asked_for_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, shapes of one micro-batch, loss, optimizer with settings, number format, accumulation, card."""
    asked: dict[str, Any] = {}

    def predict(model: Any, batch: Any, **settings: Any) -> SimpleNamespace:
        asked.update(settings, model=model, batch=batch)
        return FOUND

    monkeypatch.setattr(lab, "estimate_memory", predict, raising=False)
    found, why_not = estimate(CASE, "H200")

    assert found is not None
    assert (found.peak_allocated_bytes, found.reserved_range, found.notes) == (1000, (1400, 1600), ("a note",))
    assert why_not == ""
    assert [tuple(part.shape) for part in asked["batch"]] == [(2, 5), (2,)]
    assert asked["batch"][0].is_meta
    assert asked["optimizer_options"] == {"fused": True}
    assert (asked["precision"], asked["gradient_accumulation_steps"], asked["gpu"]) == ("bf16", 4, "H200")


def test_a_refusal_is_kept_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never guessed silently."""

    def refuse(*_: Any, **__: Any) -> None:
        message = "data-dependent shapes"
        raise ConfigError(message)

    monkeypatch.setattr(lab, "estimate_memory", refuse, raising=False)

    assert estimate(CASE, "H200") == (None, "ConfigError: data-dependent shapes")
