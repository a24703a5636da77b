"""Dropout as a setting: where it acts, when, and that the model is left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.training.dropout import check_dropout, dropping
from tests.training.fakes import FakeLog, tiny_model


def plain() -> nn.Module:
    """64 → 32 → 10 without a dropout layer, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def test_every_dropout_layer_has_the_share():
    """Layers of all kinds have it inside the block, and their own before and after."""
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout2d(0.2)), nn.AlphaDropout(0.3), nn.Linear(1, 1))
    layers = [part for part in model.modules() if hasattr(part, "p")]
    with dropping(model, 0.7):
        assert [part.p for part in layers] == [0.7] * 3

    assert [part.p for part in layers] == [0.1, 0.2, 0.3]


def test_inputs_of_the_last_linear_layer_are_dropped():
    """Half of them are 0 and the others twice as large; earlier layers see everything."""
    model, seen = plain(), []
    with dropping(model, 0.5), torch.no_grad():
        model[2].register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0]))
        model[0].register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0]))
        model(torch.ones(100, 64))
    first, last = seen
    inputs = model[1](model[0](torch.ones(100, 64)))

    assert torch.equal(first, torch.ones(100, 64))
    assert torch.allclose(last[last != 0], 2 * inputs[last != 0])
    assert 0.4 < (last[:, inputs[0] > 0] == 0).float().mean() < 0.6


def test_nothing_is_dropped_in_evaluation():
    """Only training drops."""
    model = plain().eval()
    x = torch.ones(4, 64)
    with dropping(model, 0.9):
        assert torch.equal(model(x), model(x))


def fail_while_dropping(model: nn.Module, names: list[str]) -> None:
    """An error leaves the block; the names of the weights inside it are kept."""
    with dropping(model, 0.9):
        names.extend(model.state_dict())
        raise ZeroDivisionError


@pytest.mark.parametrize("build", [plain, tiny_model])
def test_model_is_left_as_it_was(build):
    """No name of a weight changes inside, and after the block, even after an error, nothing is left."""
    model, names, inside = build(), list(build().state_dict()), []
    with pytest.raises(ZeroDivisionError):
        fail_while_dropping(model, inside)

    assert inside == names
    assert not any(part._forward_pre_hooks for part in model.modules())
    assert [part.p for part in model.modules() if isinstance(part, nn.Dropout)] in ([], [0.3])


def test_none_leaves_the_model_alone():
    """Not asked for, the model keeps its own share."""
    model = tiny_model()
    with dropping(model, None):
        assert model[2].p == 0.3


def test_model_without_a_place_is_refused(make):
    """Neither dropout nor linear layer: the message says what to do."""
    model = nn.Sequential(nn.Unflatten(1, (1, 64)), nn.Conv1d(1, 10, 64), nn.Flatten())

    with pytest.raises(ConfigError, match=r"no place in Sequential.*torch\.nn\.Dropout"):
        make(model, dropout=0.5)


def test_weights_inside_attention_are_no_place():
    """Attention reads the weights of its last layer without calling it, so nothing could be dropped there."""
    with pytest.raises(ConfigError, match="no place"):
        check_dropout(nn.MultiheadAttention(8, 2))


def test_run_drops_while_it_trains(make):
    """The model of a run has the share at each step, and its own when the run is over."""
    log, shares = FakeLog(), []
    trainer = make(log=log, dropout=0.6, max_steps=2)
    log.after_step = lambda _: shares.append(trainer.model[2].p)
    trainer.run()

    assert (shares, trainer.model[2].p) == ([0.6, 0.6], 0.3)


def test_run_without_dropout_layers_depends_on_the_share(make):
    """Other shares give other losses, from the first step on."""
    losses = []
    for share in (None, 0.0, 0.5):
        log = FakeLog()
        make(plain(), log=log, dropout=share, max_steps=2).run()
        losses.append(log.streams["step"].column("loss"))

    assert losses[0] == losses[1] != losses[2]


def test_two_runs_of_one_model_drop_once(make):
    """A second run with the same model adds no second dropout."""
    model, hooks = plain(), []
    for _ in range(2):
        log = FakeLog()
        log.after_step = lambda _: hooks.append(len(model[2]._forward_pre_hooks))
        make(model, log=log, dropout=0.5, max_steps=1).run()

    assert hooks == [1, 1]
    assert not model[2]._forward_pre_hooks
