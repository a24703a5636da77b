"""Losses over whole tensors, against what PyTorch's CUDA code asked for on an emulated H200."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bigmodel_lab.memory.requests import RequestTrace
from tests.trace.reading import made_by, ran

SCORES = torch.empty(512, 1000, device="meta")
WHOLE = 512 * 1000 * 4


def loss(name: str, reduction: str) -> RequestTrace:
    """One loss, forward."""
    return ran(lambda _, x: getattr(F, name)(x, x, reduction=reduction), SCORES)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["mse_loss", "smooth_l1_loss"])
def test_the_sum_keeps_the_memory_of_every_element(name: str, reduction: str) -> None:
    """It was made with their shape."""
    assert [a.bytes for a in made_by(loss(name, reduction), f"aten.{name}")] == [WHOLE]


def test_the_loss_of_every_element_is_only_what_it_is() -> None:
    """Nothing is added up."""
    trace = loss("mse_loss", "none")

    assert [a.bytes for a in made_by(trace, "aten.mse_loss")] == [WHOLE]
    assert made_by(trace, "loss of every element") == []


def test_huber_loss_gives_the_elements_back() -> None:
    """Its result is one number."""
    trace = loss("huber_loss", "mean")

    assert [a.bytes for a in made_by(trace, "aten.huber_loss")] == [4]
    assert [a.bytes for a in made_by(trace, "loss of every element")] == [WHOLE]


def test_logits_take_a_logarithm_besides() -> None:
    """Two tensors as large as the scores."""
    trace = loss("binary_cross_entropy_with_logits", "mean")
    borrowed = {"loss of every element", "logarithm of the sigmoid"}

    assert sum(a.bytes for a in trace.allocations if a.maker in borrowed) == 2 * WHOLE


def test_logsigmoid_keeps_no_buffer() -> None:
    """Only a CPU does."""
    trace = ran(lambda _, x: F.logsigmoid(x), SCORES)

    assert [a.bytes for a in made_by(trace, "aten.log_sigmoid_forward")] == [WHOLE]
