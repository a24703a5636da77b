"""The optimizer tensor by tensor."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from bigmodel_lab.tips._kernels import BY_LISTS
from bigmodel_lab.tips.foreach_off import propose
from bigmodel_lab.trace._optimizers import takes_lists
from tests.tips.by_hand import training_peak
from tests.tips.evidences import Convolutions, Layers, predicted, ran_out, with_config


def test_the_step_by_hand_is_in_the_range() -> None:
    """``foreach=False`` of torch's own Adam, on a simulated card."""
    proposal = propose(predicted(Layers, free_mib=250))
    peak = training_peak(Layers(), optimizer=partial(torch.optim.Adam, foreach=False))

    assert proposal is not None
    assert proposal.memory is not None
    assert proposal.memory.least_bytes <= peak <= proposal.memory.most_bytes


def test_silent_where_the_peak_is_elsewhere() -> None:
    """Activations fill this card."""
    assert propose(predicted(Convolutions, free_mib=60)) is None


def test_speaks_where_the_optimizer_ran_out() -> None:
    """Whatever was predicted."""
    assert propose(predicted(Convolutions, free_mib=900, out_of_memory=ran_out("optimizer"))) is not None


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": False}])
def test_silent_where_it_takes_no_lists(options: dict[str, bool]) -> None:
    """One kernel for all, or tensor by tensor already."""
    assert propose(with_config(predicted(Layers, free_mib=250), optimizer_options=options)) is None


def test_other_options_stay() -> None:
    """Only the kernels are changed."""
    evidence = with_config(predicted(Layers, free_mib=250), optimizer_options={"weight_decay": 0.1})
    proposal = propose(evidence)

    assert proposal is not None
    assert proposal.change["optimizer_options"] == {"weight_decay": 0.1, "foreach": False}


def test_the_names_are_those_whose_lists_are_traced() -> None:
    """One rule, whether it is read off a name or off an optimizer."""
    weight = torch.zeros(2, 2, requires_grad=True)
    classes = {name.lower(): made for name, made in vars(torch.optim).items() if isinstance(made, type)}
    made = {
        name: kind([weight], lr=0.1)
        for name, kind in classes.items()
        if name not in {"optimizer", "sparseadam"}  # an abstract one, and one for sparse gradients
    }
    by_lists = {name for name, one in made.items() if takes_lists(one, one.param_groups[0])}

    assert by_lists == BY_LISTS
