"""Frozen parts keep what they know, running means included, and everything else learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.training.freezing import freeze, unfreeze
from tests.training.fakes import tiny_model


def with_norms() -> nn.Module:
    """64 → 16 → 16 → 10 with a batch normalization behind each of the first two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16)),
            nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16)),
            nn.Linear(16, 10),
        )


def learning(model: nn.Module) -> list[str]:
    """Names of the parameters that learn."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("0.weight",), ["0.bias", "3.weight", "3.bias"]),
        (("0",), ["3.weight", "3.bias"]),
        (("*bias",), ["0.weight", "3.weight"]),
        (("0.*", "3.b*"), ["3.weight"]),
        (("[0-2].weight",), ["0.bias", "3.weight", "3.bias"]),
        ((), []),
    ],
)
def test_pattern_names_parameters_or_layers(patterns, left):
    """A name, a layer, a star, a choice; none at all is everything."""
    model = tiny_model()
    frozen = freeze(model, *patterns)

    assert learning(model) == left
    assert sorted([*frozen, *left]) == sorted(name for name, _ in model.named_parameters())


def test_unfreezing_undoes():
    """What was frozen learns again, all of it or a part."""
    model = tiny_model()
    freeze(model)

    assert unfreeze(model, "3") == ("3.weight", "3.bias")
    assert learning(model) == ["3.weight", "3.bias"]
    assert len(unfreeze(model)) == 4


def test_pattern_that_matches_nothing_lists_the_names():
    """The nearest name is suggested, all are listed, and nothing was frozen by the patterns before it."""
    model = tiny_model()

    with pytest.raises(UnknownNameError, match=r"'0\.wieght'.*'0\.weight'.*0\.bias.*3\.weight"):
        freeze(model, "3", "0.wieght")
    assert len(learning(model)) == 4


def test_shared_weights_go_by_each_name():
    """Tied layers can be named by either, and are frozen together."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight

    assert freeze(model, "1.weight") == ("1.weight",)
    assert learning(model) == ["0.bias", "1.bias"]


def test_frozen_norm_stands_still():
    """A normalization is in evaluation mode while all of it is frozen, and not before or after."""
    model = with_norms()
    freeze(model, "0.1.weight")
    modes = [model[0][1].training]
    freeze(model, "0.1")
    modes.append(model[0][1].training)
    unfreeze(model, "0")

    assert [*modes, model[0][1].training, model[1][1].training] == [True, False, True, True]


def test_norm_of_a_model_in_evaluation_mode_stays_there():
    """Unfreezing does not switch a single layer of a model to training."""
    model = with_norms().eval()
    freeze(model)
    unfreeze(model)

    assert not model[0][1].training


def test_run_changes_only_what_learns(make):
    """After a run the frozen part is the same to the bit, running mean and variance included."""
    model = with_norms()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    make(model, freeze=("0",), micro_batch_size=27, epochs=1).run()
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}

    assert same == {name for name in before if name.startswith("0.")}


@pytest.mark.parametrize("training", [True, False])
def test_run_holds_what_the_person_froze(make, training):
    """A frozen normalization stands still in a run, whatever the mode of the model before it."""
    model = with_norms()
    lab.freeze(model, "0")
    model.train(training)
    mean = model[0][1].running_mean.clone()
    make(model, micro_batch_size=27, epochs=1).run()

    assert torch.equal(model[0][1].running_mean, mean)
    assert model[1][1].training


def test_frozen_parameters_cost_no_optimizer_memory(make):
    """The optimizer of a run does not hold them."""
    trainer = make(tiny_model(), freeze=("0",))

    assert [p.shape for p in trainer.optimizer.param_groups[0]["params"]] == [(10, 16), (10,)]


def test_setting_with_a_wrong_pattern_is_refused(make):
    """A run does not begin with a part that should be frozen and is not."""
    with pytest.raises(UnknownNameError, match=r"'conv\*'.*0\.weight"):
        make(freeze=("conv*",))


def test_both_are_public():
    """``lab.freeze`` and ``lab.unfreeze`` are these functions."""
    assert (lab.freeze, lab.unfreeze) == (freeze, unfreeze)
