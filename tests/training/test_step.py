"""The textbook step: against autograd by hand, and traced without a number being read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from bigmodel_lab.training.objectives import correct_of_scores
from bigmodel_lab.training.precision import Arithmetic, AutocastArithmetic
from bigmodel_lab.training.step import Task, training_step


def task(model: nn.Module, arithmetic: Arithmetic | None = None) -> Task:
    """Classification with this model."""
    return Task(model, F.cross_entropy, correct_of_scores, arithmetic or Arithmetic())


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Ten samples of three classes."""
    numbers = torch.Generator().manual_seed(0)
    return torch.rand(10, 6, generator=numbers), torch.randint(3, (10,), generator=numbers)


@pytest.fixture
def model() -> nn.Module:
    """One layer, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Linear(6, 3)


def test_step_is_gradient_descent(model, batch):
    """With plain SGD the weights move by minus learning rate times gradient."""
    x, y = batch
    gradient = torch.autograd.grad(F.cross_entropy(model(x), y), model.weight)[0]
    expected = model.weight.detach() - 0.1 * gradient

    training_step(task(model), torch.optim.SGD(model.parameters(), lr=0.1), [batch], samples=10)

    assert torch.equal(model.weight.detach(), expected)


def test_step_tells_loss_and_hits_before_the_update(model, batch):
    """Loss and correct samples are those of the weights that the step found."""
    scores = model(batch[0])
    loss, correct = training_step(task(model), torch.optim.SGD(model.parameters(), lr=5.0), [batch], samples=10)

    assert loss.item() == F.cross_entropy(scores, batch[1]).item()
    assert correct.item() == (scores.argmax(1) == batch[1]).sum().item()


@pytest.mark.parametrize("sizes", [(5, 5), (4, 4, 2), (9, 1), (1,) * 10])
def test_ragged_micro_batches_give_the_gradient_of_the_whole(model, batch, sizes):
    """Unequal micro-batches are weighted by their samples."""
    whole = copy.deepcopy(model)
    loss, correct = training_step(task(whole), torch.optim.SGD(whole.parameters(), lr=1.0), [batch], samples=10)
    parts = zip(batch[0].split(sizes), batch[1].split(sizes), strict=True)

    part_loss, part_correct = training_step(task(model), torch.optim.SGD(model.parameters(), lr=1.0), parts, 10)

    assert torch.allclose(model.weight, whole.weight, atol=1e-6)
    assert part_loss.item() == pytest.approx(loss.item(), rel=1e-6)
    assert part_correct.item() == correct.item()


def test_old_gradients_do_not_count(model, batch):
    """A gradient left by the person is dropped before the step."""
    clean = copy.deepcopy(model)
    model.weight.grad = torch.full_like(model.weight, 100.0)
    for each in (clean, model):
        training_step(task(each), torch.optim.SGD(each.parameters(), lr=0.1), [batch], samples=10)

    assert torch.equal(model.weight, clean.weight)


def test_step_runs_on_tensors_without_numbers():
    """The step can be traced for its memory: it never asks for a value."""
    with FakeTensorMode():
        model = nn.Linear(6, 3)
        optimizer = torch.optim.Adam(model.parameters())
        batch = (torch.empty(10, 6), torch.zeros(10, dtype=torch.int64))
        loss, correct = training_step(task(model), optimizer, [batch], samples=10)

    assert (loss.shape, correct.shape) == ((), ())
    assert optimizer.state[model.weight]["exp_avg"].shape == (3, 6)


def test_autocast_computes_scores_in_16_bits(model, batch):
    """Under autocast the layer computes in bf16 while weights and their gradients stay fp32."""
    seen = []
    model.register_forward_hook(lambda _module, _args, output: seen.append(output.dtype))
    mixed = AutocastArithmetic("cpu", torch.bfloat16)

    training_step(task(model, mixed), torch.optim.SGD(model.parameters(), lr=0.1), [batch], samples=10)

    assert seen == [torch.bfloat16]
    assert (model.weight.dtype, model.weight.grad.dtype) == (torch.float32, torch.float32)
