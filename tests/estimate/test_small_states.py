"""States of 8-bit and paged optimizers: their sizes, and where they lie."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.estimate._small_states import STATES, States, StatesOnly, states_only
from tests.estimate.traced import category_bytes, trained

LARGE, SMALL = 400 * 400, 63 * 65
"""Elements above and below all thresholds."""


def after_a_step(states: States, *sizes: int) -> tuple[StatesOnly, list[nn.Parameter]]:
    """An optimizer that has made one step over parameters of these sizes."""
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = StatesOnly(parameters, states)
    optimizer.step()
    return optimizer, parameters


def kept_bytes(optimizer: StatesOnly) -> int:
    """Bytes of all states, the tables that parameters share counted once."""
    tensors = {id(t): t for state in optimizer.state.values() for t in state.values()}.values()
    return sum(t.numel() * t.element_size() for t in tensors)


def test_eight_bits_take_two_bytes_a_weight():
    """Two states of a byte, two fp32 scales for 256 elements, and two tables of 256 values."""
    optimizer, _ = after_a_step(STATES["adamw_8bit"], LARGE)

    assert kept_bytes(optimizer) == 2 * LARGE + 2 * 4 * (LARGE // 256) + 2 * 256 * 4


def test_tables_are_shared():
    """A second parameter brings no tables of its own."""
    one, two = (kept_bytes(after_a_step(STATES["adamw_8bit"], *[LARGE] * n)[0]) for n in (1, 2))

    assert two - one == 2 * LARGE + 2 * 4 * (LARGE // 256)


def test_a_last_block_may_be_short():
    """Its scale counts whole."""
    optimizer, (parameter,) = after_a_step(STATES["adamw_8bit"], 4097)

    assert optimizer.state[parameter]["absmax1"].shape == (17,)


@pytest.mark.parametrize(("elements", "dtype"), [(4095, torch.float32), (4096, torch.uint8)])
def test_small_parameters_keep_fp32_states(elements: int, dtype: torch.dtype):
    """Below 4,096 elements bitsandbytes does not quantize."""
    optimizer, (parameter,) = after_a_step(STATES["adamw_8bit"], elements)

    assert optimizer.state[parameter]["state1"].dtype == dtype


def test_small_parameters_bring_no_tables():
    """Biases and norms alone keep two fp32 states."""
    optimizer, _ = after_a_step(STATES["adamw_8bit"], SMALL)

    assert kept_bytes(optimizer) == 2 * 4 * SMALL


@pytest.mark.parametrize(
    ("name", "a_weight"),
    [
        ("adamw_bnb_8bit", 2),
        ("lion_8bit", 1),
        ("lion_32bit", 4),
        ("rmsprop_bnb", 4),
        ("ademamix", 12),
        ("ademamix_8bit", 3),
    ],
)
def test_bytes_a_weight(name: str, a_weight: int):
    """By the number of states and their bits, scales and tables besides."""
    optimizer, _ = after_a_step(STATES[name], LARGE)
    scales = 0 if STATES[name].bits == 32 else sum(STATES[name].copies) * 4 * (LARGE // 256)
    tables = 0 if STATES[name].bits == 32 else len(STATES[name].copies) * 1024

    assert kept_bytes(optimizer) == a_weight * LARGE + scales + tables


def test_paged_states_lie_outside_the_card():
    """Of large parameters nothing but the scales and tables is on the card; the host has the rest."""
    optimizer, _ = after_a_step(STATES["paged_adamw_8bit"], LARGE)

    assert optimizer.host_bytes == 2 * LARGE
    assert kept_bytes(optimizer) == 2 * 4 * (LARGE // 256) + 2 * 1024


def test_paged_states_in_32_bits():
    """Eight bytes a weight on the host, none on the card."""
    optimizer, _ = after_a_step(STATES["paged_adamw_32bit"], LARGE)

    assert (optimizer.host_bytes, kept_bytes(optimizer)) == (8 * LARGE, 0)


@pytest.mark.parametrize(("elements", "paged"), [(99_999, False), (100_000, True)])
def test_only_large_parameters_are_paged(elements: int, paged: bool):
    """From a hundred thousand elements on."""
    optimizer, _ = after_a_step(STATES["paged_adamw_8bit"], elements)

    assert (optimizer.host_bytes > 0) == paged


def test_states_are_made_once():
    """A second step keeps them."""
    optimizer, (parameter,) = after_a_step(STATES["paged_adamw_8bit"], LARGE)
    host, scales = optimizer.host_bytes, optimizer.state[parameter]["absmax1"]
    optimizer.step()

    assert optimizer.host_bytes == host
    assert optimizer.state[parameter]["absmax1"] is scales


def test_weights_stay_as_they_are():
    """Only memory is sized; nothing is trained."""
    optimizer, (parameter,) = after_a_step(STATES["adamw_8bit"], LARGE)
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    assert not parameter.any()


def test_a_parameter_without_gradient_has_no_states():
    """As frozen ones that were handed over all the same."""
    parameter = nn.Parameter(torch.zeros(LARGE))
    optimizer = StatesOnly([parameter], STATES["adamw_8bit"])
    optimizer.step()

    assert len(optimizer.state) == 0


def test_a_closure_is_run():
    """As every optimizer of torch does; its loss comes back."""
    optimizer, (parameter,) = after_a_step(STATES["lion_8bit"], SMALL)

    assert optimizer.step(lambda: parameter.sum() + 3).item() == 3


def test_names_make_optimizers_of_a_model():
    """Frozen parameters are left out."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
    model[0].requires_grad_(requires_grad=False)
    optimizer = states_only("paged_lion_8bit")(model)

    assert optimizer.states == States((1,), bits=8, paged=True)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_an_unknown_name_is_refused():
    """With the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'adamw_8bit'"):
        states_only("adam_8bit")


def test_a_trace_finds_the_states():
    """On stand-ins, the states count as the optimizer's."""
    model = nn.Linear(400, 400, bias=False, device="meta")
    x = torch.empty(4, 400, device="meta")
    trace = trained(model, x, lambda m, x: m(x).sum(), states_only("adamw_8bit"))

    assert category_bytes(trace, "optimizer_state") == 2 * LARGE + 2 * 4 * (LARGE // 256) + 2 * 256 * 4
