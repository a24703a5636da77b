"""Which module a program is in."""

from __future__ import annotations

import torch
from torch import nn

from bigmodel_lab.trace._modules import ModulePath


def test_outside_of_every_module_there_is_no_name() -> None:
    """Before and after."""
    model = nn.Sequential(nn.Linear(2, 2))
    path = ModulePath(model)
    model(torch.ones(1, 2))

    assert path.current(None) == ""
    assert not path.is_inside


def test_inside_the_innermost_counts() -> None:
    """By its dotted name; the model itself is the empty name."""
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU())
    path = ModulePath(model)
    seen: list[str] = []
    for module in model.modules():
        module.register_forward_hook(lambda *_: seen.append(path.current(None)), prepend=True)
    model(torch.ones(1, 2))

    assert seen == ["0.0", "0", "1", ""]


def test_nodes_of_the_backward_pass_lead_back() -> None:
    """By the numbers that autograd gave them."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    path = ModulePath(model)
    out = model(torch.ones(1, 2))
    loss = out.exp()
    assert loss.grad_fn is not None
    tanh = out.grad_fn
    linear = tanh.next_functions[0][0]

    numbers = [node._sequence_nr() for node in (loss.grad_fn, tanh, linear)]

    assert [path.current(number) for number in numbers] == ["", "1", "0"]


def test_a_module_that_is_used_twice_has_its_first_name() -> None:
    """As in named_modules."""
    shared = nn.Tanh()
    model = nn.Sequential(shared, nn.Linear(2, 2), shared)
    path = ModulePath(model)
    seen: list[str] = []
    shared.register_forward_hook(lambda *_: seen.append(path.current(None)), prepend=True)
    model(torch.ones(1, 2))

    assert seen == ["0", "0"]
