"""Every optimizer of torch by name: it makes the textbook step, or says why it cannot and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.objectives import correct_of_scores
from bigmodel_lab.training.optimizers import MATRICES_ONLY, UNSUITABLE, make_optimizer, optimizer_classes
from bigmodel_lab.training.penalties import penalty_of
from bigmodel_lab.training.precision import Arithmetic, Precision
from bigmodel_lab.training.step import Task, training_step
from bigmodel_lab.training.suitability import check_settings


def tiny(bias: bool = True) -> nn.Module:
    """Three classes from six numbers, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 8, bias=bias), nn.Tanh(), nn.Linear(8, 3, bias=bias))


def task(model: nn.Module, l2: float = 0.0) -> Task:
    """Classification with this model."""
    return Task(model, F.cross_entropy, correct_of_scores, Arithmetic(), penalty=penalty_of(model, l2=l2))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Ten samples of three classes."""
    numbers = torch.Generator().manual_seed(0)
    return torch.rand(10, 6, generator=numbers), torch.randint(3, (10,), generator=numbers)


@pytest.mark.parametrize("name", optimizer_classes())
def test_every_optimizer_lowers_the_loss(name, batch):
    """Three steps on one batch make its loss smaller; what takes matrices only gets matrices only."""
    model = tiny(bias=name not in MATRICES_ONLY)
    optimizer = make_optimizer(name, model.parameters(), 0.01, {})
    losses = [training_step(task(model), optimizer, [batch], samples=10)[0].item() for _ in range(3)]

    assert losses[-1] < losses[0]
    assert type(optimizer).__name__.lower() == name


@pytest.mark.parametrize("name", optimizer_classes())
def test_every_optimizer_can_be_asked_for(name):
    """Its name is a setting."""
    assert TrainConfig(optimizer=name).optimizer == name


def test_all_optimizers_of_torch_are_known():
    """Only what has a reason is left out."""
    of_torch = {name.lower() for name in torch.optim.__all__ if name[0].isupper()} - {"optimizer"}

    assert of_torch == set(optimizer_classes()) | set(UNSUITABLE)


def test_unknown_optimizer_lists_those_that_exist():
    """A misspelt optimizer is answered with the nearest one and the whole list."""
    with pytest.raises(UnknownNameError, match=r"'adamw'.*rmsprop.*sgd"):
        TrainConfig(optimizer="adamww")


@pytest.mark.parametrize("name", UNSUITABLE)
def test_unsuitable_optimizer_says_why(name):
    """An optimizer that needs another kind of gradients is refused with the reason."""
    with pytest.raises(ConfigError, match=f"'{name}' cannot be used here: it"):
        TrainConfig(optimizer=name)


def test_refused_options_are_quoted():
    """Options that torch refuses come back with torch's own words."""
    with pytest.raises(ConfigError, match=r"'adam'.*\{'momentum': 0.9\}.*momentum"):
        make_optimizer("adam", [nn.Parameter(torch.ones(1))], 0.1, {"momentum": 0.9})


def test_frozen_parameters_are_left_out():
    """Only what is trainable costs optimizer memory."""
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    free = nn.Parameter(torch.ones(2))

    assert make_optimizer("sgd", [frozen, free], 0.1, {}).param_groups[0]["params"] == [free]


def test_line_search_equals_torchs_own_loop(batch):
    """L-BFGS inside the step makes the weights of the loop in torch's manual, to the bit."""
    ours, theirs = tiny(), tiny()
    for model in (ours, theirs):
        optimizer = make_optimizer("lbfgs", model.parameters(), 0.5, {"max_iter": 4})
        for _ in range(3):
            if model is ours:
                training_step(task(ours), optimizer, [batch], samples=10)
            else:
                optimizer.step(closure_of(theirs, optimizer, batch))

    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def closure_of(model, optimizer, batch):
    """What torch's manual hands to L-BFGS."""

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def test_line_search_tells_the_loss_before_the_step(batch):
    """Loss and correct samples are those of the weights that the step found, whatever it tried."""
    model = tiny()
    scores = model(batch[0])
    optimizer = make_optimizer("lbfgs", model.parameters(), 1.0, {"line_search_fn": "strong_wolfe"})
    loss, correct = training_step(task(model), optimizer, [batch], samples=10)

    assert (loss.item(), loss.requires_grad) == (F.cross_entropy(scores, batch[1]).item(), False)
    assert correct.item() == (scores.argmax(1) == batch[1]).sum().item()


def test_line_search_sees_every_micro_batch(batch):
    """Accumulated micro-batches give L-BFGS the loss and gradient of the whole batch each time it asks."""
    whole, parts = tiny(), tiny()
    for model, batches in ((whole, [batch]), (parts, list(zip(*(t.split((6, 4)) for t in batch), strict=True)))):
        optimizer = make_optimizer("lbfgs", model.parameters(), 0.1, {"max_iter": 3})
        training_step(task(model), optimizer, iter(batches), samples=10)

    assert torch.allclose(whole[0].weight, parts[0].weight, atol=1e-5)


def test_line_search_weighs_the_penalty(batch):
    """The search for small weights reaches smaller ones; the recorded loss stays that of the data."""
    free, priced = tiny(), tiny()
    for model, l2 in ((free, 0.0), (priced, 1.0)):
        optimizer = make_optimizer("lbfgs", model.parameters(), 1.0, {"line_search_fn": "strong_wolfe"})
        loss, _ = training_step(task(model, l2), optimizer, [batch], samples=10)

    assert priced[0].weight.norm() < free[0].weight.norm() / 2
    assert loss.item() == F.cross_entropy(tiny()(batch[0]), batch[1]).item()


def test_line_search_is_refused_under_fp16(data):
    """The gradient scaler follows one loss a step; the message says what to take instead."""
    fp16 = Precision("fp16", "fp16", "as asked for")

    with pytest.raises(ConfigError, match=r"lbfgs.*gradient scaler.*bf16"):
        check_settings(TrainConfig(optimizer="lbfgs", precision="fp16"), tiny(), data, fp16)


def test_line_search_runs_where_fp16_becomes_fp32(make):
    """A CPU computes in fp32, whatever was asked for, so nothing is refused there."""
    make(optimizer="lbfgs", learning_rate=0.5, precision="fp16", max_steps=2).run()


def test_run_with_line_search_learns(make, log):
    """A whole run with L-BFGS brings the loss down within one epoch."""
    search = {"max_iter": 5, "line_search_fn": "strong_wolfe"}
    make(nn.Linear(64, 10), optimizer="lbfgs", learning_rate=0.5, epochs=1, optimizer_options=search).run()
    losses = log.streams["step"].column("loss")

    assert losses[-2] < losses[0] / 2


@pytest.mark.parametrize("name", sorted(MATRICES_ONLY))
def test_matrices_only_says_what_to_do(name):
    """The message counts what is no matrix, shows the first, and names two ways out."""
    with pytest.raises(ConfigError, match=r"matrices only, and 2 of 4 .*\(8,\).*freeze=\('\*bias',\).*adamw"):
        make_optimizer(name, tiny().parameters(), 0.1, {})


@pytest.mark.parametrize("name", sorted(MATRICES_ONLY))
def test_matrices_only_trains_with_frozen_biases(name, make):
    """The way out that the message names works."""
    trainer = make(optimizer=name, freeze=("*bias",), max_steps=2)
    before = trainer.model[0].weight.detach().clone()
    trainer.run()

    assert not torch.equal(trainer.model[0].weight, before)
