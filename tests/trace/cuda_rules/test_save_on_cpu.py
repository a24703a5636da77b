"""``torch.autograd.graph.save_on_cpu`` in a traced program."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import after_forward, alive, alive_bytes, made_by, peak_bytes, phase, trained

ROWS, WIDTH, LAYERS = 512, 64, 4
X = torch.empty(ROWS, WIDTH)
HIDDEN = ROWS * WIDTH * 4


def deep() -> nn.Module:
    """Linear layers with tanh between them, each of which keeps its output."""
    return nn.Sequential(*(layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH, bias=False), nn.Tanh())))


def traced(saved: bool, **options: bool) -> RequestTrace:
    """Two steps, with or without the host."""

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        if not saved:
            return model(x).sum()
        with save_on_cpu(**options):
            return model(x).sum()

    return trained(deep(), X, forward)


def activations(trace: RequestTrace) -> int:
    """Bytes on the card that wait for the backward pass, numbers apart."""
    return sum(a.bytes for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 8)


def test_without_it_every_layer_keeps_its_output() -> None:
    """Four outputs of tanh."""
    assert activations(traced(saved=False)) == LAYERS * HIDDEN


@pytest.mark.parametrize("options", [{}, {"pin_memory": True}])
def test_with_it_nothing_waits_on_the_card(options: dict[str, bool]) -> None:
    """Pinned or not."""
    assert activations(traced(saved=True, **options)) == 0


def test_what_is_needed_comes_back_one_by_one() -> None:
    """The backward pass holds fewer than half of what it would."""
    backward = [phase(trace, "backward") for trace in (traced(saved=False), traced(saved=True))]
    plain, saved = (peak_bytes(t, r) for t, r in zip((traced(saved=False), traced(saved=True)), backward, strict=True))

    assert plain - saved >= (LAYERS - 2) * HIDDEN // 2
    assert len(made_by(traced(saved=True), "aten._to_copy")) >= LAYERS


def test_gradients_are_the_same() -> None:
    """Of every weight, on the card."""
    trace = traced(saved=True)

    assert alive_bytes(trace, phase(trace, "optimizer").start, "gradient") == LAYERS * WIDTH * WIDTH * 4


def test_the_constructor_is_the_usual_one_after_a_trace() -> None:
    """Nothing of the person's program is changed."""
    before = save_on_cpu.__init__
    traced(saved=True)

    assert save_on_cpu.__init__ is before
