"""The trace of a training step: births and deaths of tensors, by hand."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import TraceError
from bigmodel_lab.trace import Prepared, trace_steps
from tests.trace.reading import (
    WORKSPACE,
    after_forward,
    alive,
    alive_bytes,
    forward_only,
    lifetime,
    made_by,
    peak_bytes,
    phase,
    ran,
    total,
    trained,
    training,
)

X = torch.empty(8, 16)
"""512 bytes."""


def weights(*sizes: int, bias: bool = False) -> nn.Sequential:
    """Linear layers one after another."""
    return nn.Sequential(*(nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes)))


# ---------------------------------------------------------------- loading


def test_weights_come_first_children_before_parents_then_the_batch() -> None:
    """As model.to(device) moves them, and then the batch."""
    model = nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4))
    model.register_parameter("scale", nn.Parameter(torch.ones(3)))
    trace = ran(lambda model, x: None, X, model=model)

    assert [(a.module, a.category, a.bytes) for a in trace.allocations] == [
        ("0", "parameter", 16 * 4 * 4),
        ("0", "parameter", 4 * 4),
        *[("1", "parameter", 4 * 4)] * 4,
        ("1", "parameter", 8),  # num_batches_tracked
        ("", "parameter", 12),
        ("", "input", 512),
    ]
    assert (trace.marks[0].phase, trace.marks[0].step) == ("load", -1)


def test_tied_weights_are_one_allocation() -> None:
    """Two modules with one matrix hold it once."""
    model = weights(16, 16, 16)
    model[1].weight = model[0].weight

    assert [a.bytes for a in ran(lambda model, x: None, X, model=model).allocations] == [1024, 512]


def test_tied_weights_stay_tied_in_the_copy() -> None:
    """One gradient, not two."""
    model = weights(16, 16, 16)
    model[1].weight = model[0].weight
    trace = trained(model, X)

    assert alive_bytes(trace, len(trace.sequence), "gradient") == 1024


def test_every_tensor_of_the_batch_counts() -> None:
    """Whatever tree it is, and whatever else stands in it."""
    trace = ran(lambda model, batch: None, {"x": [X, (torch.empty(3, dtype=torch.int64),)], "name": "a"})  # type: ignore[arg-type]

    assert [a.bytes for a in trace.allocations] == [512, 24]


def test_a_slice_is_copied_without_its_gaps() -> None:
    """8 rows of 3 of 10 columns are 96 bytes on the card, not 8 rows of 10."""
    assert ran(lambda model, x: None, torch.empty(8, 10)[:, :3]).allocations[0].bytes == 96


def test_an_expanded_tensor_is_copied_in_full() -> None:
    """One number seen 1,000 times takes 4,000 bytes on the card."""
    assert ran(lambda model, x: None, torch.ones(1).expand(1000)).allocations[0].bytes == 4000


def test_channels_last_stays_channels_last() -> None:
    """The order of a batch's strides reaches the model."""
    seen = []
    batch = torch.empty(2, 3, 4, 4).to(memory_format=torch.channels_last)
    ran(lambda model, x: seen.append(x.stride()), batch)

    assert seen == [batch.stride()]


def test_channels_last_convolutions_give_channels_last() -> None:
    """Model and batch in that order: so are the activations and the weights' gradients, without a copy."""
    model = nn.Conv2d(8, 8, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    seen: list[bool] = []

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        out = model(x)
        seen.append(out.is_contiguous(memory_format=torch.channels_last))
        return out.sum()

    trace = trained(model, torch.empty(2, 8, 6, 6).to(memory_format=torch.channels_last), forward)

    assert seen == [True, True]
    assert made_by(trace, "aten.clone") == []


# ---------------------------------------------------------------- birth and death of storages


def test_a_view_is_no_new_memory() -> None:
    """Reshapes, slices, transposes and detached tensors share what they look at."""
    trace = ran(lambda model, x: (x.view(16, 8), x[1:], x.t(), x.detach(), x.expand(2, 8, 16), x.split(2)), X)

    assert len(trace.allocations) == 1


def test_an_operation_in_place_is_no_new_memory() -> None:
    """Adding into a tensor asks for nothing."""
    trace = ran(lambda model, x: x.add_(1).mul_(2).relu_(), X)

    assert len(trace.allocations) == 1


def test_memory_is_freed_with_the_last_name() -> None:
    """Overwriting a name frees what it held, after the new tensor is there."""

    def forward(_: nn.Module, x: Tensor) -> None:
        y = x + 1
        y = y + 1
        del y

    assert ran(forward, X).sequence == (0, 1, 2, ~1, ~2)


def test_a_view_keeps_the_whole_storage() -> None:
    """One row of a tensor that has no other name any more."""

    def forward(_: nn.Module, x: Tensor) -> None:
        row = (x + 1)[0]
        y = x + 2
        del row
        del y

    assert ran(forward, X).sequence == (0, 1, 2, ~1, ~2)


def test_what_the_step_returns_is_thrown_away() -> None:
    """And freed before the next step begins."""
    trace = trace_steps(nn.Identity(), X, forward_only(lambda model, x: x + 1), steps=2)

    assert trace.sequence == (0, 1, ~1, 2, ~2)


def test_an_empty_tensor_asks_for_nothing() -> None:
    """0 elements are 0 bytes."""
    assert len(ran(lambda model, x: x[:0] + 1, X).allocations) == 1


def test_shape_and_number_format_are_those_at_birth() -> None:
    """As shown in the table of the largest."""
    made = ran(lambda model, x: x > 0, X).allocations[1]

    assert (made.shape, made.dtype, made.bytes, made.maker) == ((8, 16), "bool", 128, "aten.gt")


# ---------------------------------------------------------------- autograd


def test_relu_keeps_its_output_and_lets_its_input_go() -> None:
    """A batch → linear → relu → linear → sum: of 4 tensors made, backward needs relu's output alone."""
    model = nn.Sequential(nn.Linear(16, 32, bias=False), nn.ReLU(), nn.Linear(32, 4, bias=False))
    trace = trained(model, X)
    kept = [a for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 4]

    assert [(a.module, a.maker, a.bytes) for a in kept] == [("1", "aten.relu", 8 * 32 * 4)]


def test_what_backward_needs_dies_when_it_was_used() -> None:
    """The output of relu dies in the backward pass, before the optimizer runs."""
    model = nn.Sequential(nn.Linear(16, 32, bias=False), nn.ReLU(), nn.Linear(32, 4, bias=False))
    trace = trained(model, X)
    _, death = lifetime(trace, made_by(trace, "aten.relu")[0])

    assert death in phase(trace, "backward")


def test_gradients_are_taken_over_not_copied() -> None:
    """A weight's gradient is the very matrix that the backward pass computed."""
    trace = trained(weights(16, 32), X)
    gradients = [a for a in trace.allocations if a.category == "gradient"]

    assert [(a.maker, a.bytes, a.module) for a in gradients] == [("aten.mm", 2048, "0")] * 2
    assert alive_bytes(trace, phase(trace, "optimizer").start, "gradient") == 2048


def test_the_backward_pass_of_two_layers_by_hand() -> None:
    """At the end: weights and their gradients, the batch, the gradient of the hidden tensor, which itself is gone; loss and seed."""
    trace = trained(weights(16, 32, 4), X)
    weight_bytes, hidden = 4 * (16 * 32 + 32 * 4), 8 * 32 * 4

    assert peak_bytes(trace, phase(trace, "backward")) == 2 * weight_bytes + 512 + hidden + 4 + 4


def test_gradients_are_freed_before_the_next_forward_pass() -> None:
    """zero_grad sets them to None."""
    trace = trained(weights(16, 32), X)
    first = next(a for a in trace.allocations if a.category == "gradient")
    _, death = lifetime(trace, first)

    assert death == phase(trace, "forward", 1).start


def test_accumulated_gradients_stay_one_matrix() -> None:
    """The second micro-batch adds into it: its own product is temporary and gone before the update."""
    model = weights(16, 32)

    def prepare(model: nn.Module) -> Prepared:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x: Tensor) -> None:
            optimizer.zero_grad()
            for _ in range(2):
                model(x).sum().backward()
            optimizer.step()

        return Prepared(step, optimizer)

    trace = trace_steps(model, X, prepare, steps=1)
    products = [a for a in made_by(trace, "aten.mm") if a.shape == (32, 16)]

    assert [a.category for a in products] == ["gradient", "temporary"]
    assert alive_bytes(trace, phase(trace, "optimizer").start, "gradient") == 2048
    assert [mark.phase for mark in trace.marks] == ["load", "forward", "backward", "forward", "backward", "optimizer"]


def test_kept_graph_keeps_its_activations() -> None:
    """A loss that is collected with its graph holds what its backward pass would need: the leak of so many loops."""
    kept: list[Tensor] = []
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def prepare(model: nn.Module) -> Prepared:
        return Prepared(lambda x: kept.append(model(x).sum()))

    trace = trace_steps(model, X, prepare)

    assert sum(a.bytes for a in alive(trace, len(trace.sequence)) if a.maker == "aten.relu") == 2 * 8 * 32 * 4


def test_inference_keeps_nothing() -> None:
    """Without gradients only two activations live at once."""
    trace = ran(torch.no_grad()(lambda model, x: model(x)), X, model=weights(16, 32, 32, 32))

    assert peak_bytes(trace) == 4 * (16 * 32 + 2 * 32 * 32) + 512 + 2 * 8 * 32 * 4


def test_frozen_weights_have_neither_gradient_nor_state() -> None:
    """Adam on a model whose first layer is frozen."""
    model = weights(16, 32, 4)
    model[0].requires_grad_(False)
    trace = trained(model, X, optimizer=lambda w: torch.optim.Adam([p for p in w if p.requires_grad]))
    end = len(trace.sequence)

    assert alive_bytes(trace, end, "gradient") == 32 * 4 * 4
    assert alive_bytes(trace, end, "optimizer_state") == 2 * 32 * 4 * 4


# ---------------------------------------------------------------- phases and modules


def test_phases_of_two_steps_in_order() -> None:
    """Each once a step."""
    trace = trained(weights(16, 4), X)
    names = ("forward", "backward", "optimizer")

    # the plain update of SGD asks for memory in each step, so its phase begins
    assert [(m.phase, m.step) for m in trace.marks] == [("load", -1), *((n, s) for s in (0, 1) for n in names)]


def test_forward_and_backward_name_their_module() -> None:
    """Also within a module that has another name than its place."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(16, 64, bias=False), nn.Linear(64, 16, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.down(self.up(x).tanh())

    trace = trained(nn.Sequential(Block(), Block()), X)

    assert [a.module for a in made_by(trace, "aten.tanh")] == ["0", "1"] * 2
    assert [a.module for a in made_by(trace, "aten.tanh_backward")] == ["1", "0"] * 2
    hidden = [a.module for a in made_by(trace, "aten.mm") if a.shape == (8, 64)]
    assert hidden == ["0.up", "1.up", "1.down", "0.down"] * 2


def test_a_recomputed_module_is_named_as_in_the_forward_pass() -> None:
    """Activation checkpointing runs a module again in the backward pass; its tensors are that module's."""
    block = nn.Sequential(nn.Linear(16, 64, bias=False), nn.Tanh(), nn.Linear(64, 16, bias=False))

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).sum()

    trace = trace_steps(block, X, training(forward), steps=1)
    again = [a for a in trace.allocations[len(trace.allocations) // 2 :] if a.maker == "aten.tanh"]
    hidden = [a for a in made_by(trace, "aten.mm") if a.shape == (8, 64) and a.module == "0"]

    assert [a.module for a in made_by(trace, "aten.tanh")] == ["1", "1"]
    assert len(again) == 1
    assert len(hidden) == 2


def test_the_loss_outside_every_module_has_no_module() -> None:
    """Its name is empty."""
    trace = trained(weights(16, 4), X, lambda model, x: model(x).exp().sum())

    assert {a.module for a in made_by(trace, "aten.exp")} == {""}


def test_the_module_name_survives_an_error_in_the_forward_pass() -> None:
    """A step that catches an error of a module goes on outside of it."""

    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError(len(x))

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        try:
            return model[0](x)
        except ValueError:
            return model[1](x).exp()

    trace = ran(forward, X, model=nn.Sequential(Failing(), nn.Linear(16, 4)))

    assert [a.module for a in made_by(trace, "aten.addmm")] == ["1"]
    assert [a.module for a in made_by(trace, "aten.exp")] == [""]


# ---------------------------------------------------------------- optimizers

WEIGHT = 16 * 32 * 4


def state_and_temporaries(optimizer: object) -> tuple[int, list[int]]:
    """Bytes of state after two steps, and the sizes of what the second update asked for; of one weight of 2,048 bytes."""
    trace = trained(weights(16, 32), X, optimizer=optimizer)  # type: ignore[arg-type]
    update = phase(trace, "optimizer", 1)
    asked = [trace.allocations[e].bytes for e in trace.sequence[update.start : update.stop] if e >= 0]
    return alive_bytes(trace, len(trace.sequence), "optimizer_state"), asked


def test_adamw_on_all_tensors_at_once() -> None:
    """Two states; in each step one temporary of the weights' size. The count of steps lies on the host."""
    assert state_and_temporaries(torch.optim.AdamW) == (2 * WEIGHT, [WEIGHT])


def test_adam_with_weight_decay_needs_a_second_temporary() -> None:
    """L2 decay is added to a copy of the gradients, AdamW's to the weights in place."""
    assert state_and_temporaries(lambda w: torch.optim.Adam(w, weight_decay=0.1)) == (2 * WEIGHT, [WEIGHT, WEIGHT])


def test_fused_adamw_has_no_temporary_but_counts_on_the_card() -> None:
    """One kernel; its count of steps is one number on the card."""
    assert state_and_temporaries(lambda w: torch.optim.AdamW(w, fused=True)) == (2 * WEIGHT + 4, [])


@pytest.mark.parametrize("option", [{"foreach": False}, {"fused": False}])
def test_a_loop_over_the_weights_where_it_is_asked_for(option: dict[str, bool]) -> None:
    """The root of a weight's squares and its quotient, beside the last weight's: 3 of 6 equal weights, not all 6."""
    model = weights(32, 32, 32, 32, 32, 32, 32)
    size = 32 * 32 * 4

    def needed(**options: bool) -> int:
        trace = trained(model, torch.empty(8, 32), optimizer=lambda w: torch.optim.AdamW(w, **options))
        update = phase(trace, "optimizer", 1)
        return peak_bytes(trace, update) - alive_bytes(trace, update.start)

    assert (needed(**option), needed()) == (3 * size, 6 * size)


def test_the_first_step_makes_the_state() -> None:
    """It is there from then on, and the second step makes none."""
    trace = trained(weights(16, 32), X, optimizer=torch.optim.AdamW)

    assert alive_bytes(trace, phase(trace, "optimizer").start, "optimizer_state") == 0
    assert alive_bytes(trace, phase(trace, "forward", 1).start, "optimizer_state") == 2 * WEIGHT
    assert sum(a.category == "optimizer_state" for a in trace.allocations) == 2


def test_sgd_without_momentum_has_no_state() -> None:
    """And its update in place asks for nothing."""
    assert state_and_temporaries(lambda w: torch.optim.SGD(w, lr=0.1)) == (0, [])


def test_sgd_with_momentum_keeps_one_buffer() -> None:
    """A copy of the first gradient."""
    assert state_and_temporaries(lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)) == (WEIGHT, [])


def test_rmsprop_keeps_squares_and_needs_their_roots() -> None:
    """One state, one temporary."""
    assert state_and_temporaries(torch.optim.RMSprop) == (WEIGHT, [WEIGHT])


def test_a_rate_on_the_card_means_a_loop() -> None:
    """No way of torch takes Adam's weights at once where the learning rate is a tensor."""
    state, _ = state_and_temporaries(lambda w: torch.optim.Adam(w, lr=torch.tensor(0.1)))

    assert state == 2 * WEIGHT


def test_adafactor_loops_over_the_weights() -> None:
    """Unlike the others, and so the option stays as it is."""
    chosen = []
    trained(weights(16, 32), X, optimizer=lambda w: chosen.append(torch.optim.Adafactor(w)) or chosen[-1])  # type: ignore[func-returns-value]

    assert [group["foreach"] for group in chosen[0].param_groups] == [None]


def test_clipping_needs_one_number_a_weight_and_one_for_all() -> None:
    """clip_grad_norm_ scales the gradients in place: small temporaries only, and no stand-in number is read."""

    def prepare(model: nn.Module) -> Prepared:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x: Tensor) -> None:
            optimizer.zero_grad()
            model(x).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return Prepared(step, optimizer)

    trace = trace_steps(weights(16, 32, 4), X, prepare)
    end = phase(trace, "optimizer").start
    before = next(i for i, e in enumerate(trace.sequence[:end]) if e >= 0 and "norm" in trace.allocations[e].maker)

    assert all(trace.allocations[e].bytes <= 8 for e in trace.sequence[before:end] if e >= 0)
    assert trace.notes == ()


# ---------------------------------------------------------------- activation checkpointing


class Deep(nn.Module):
    """Four blocks of two products and an activation, checkpointed or not."""

    def __init__(self, reentrant: bool | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)) for _ in range(4))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        """One block after the other."""
        for block in self.blocks:
            x = block(x) if self.reentrant is None else self.again(block, x)
        return x

    def again(self, block: nn.Module, x: Tensor) -> Tensor:
        """A block that is computed twice."""
        out: Tensor = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=self.reentrant)
        return out


ROWS = 1024
WIDE = torch.empty(ROWS, 64, requires_grad=True)
"""More than the weights; reentrant checkpointing needs an input with a gradient."""


def activation_bytes(model: nn.Module) -> int:
    """Alive at the end of the forward pass, without the loss and its seed."""
    trace = trained(model, WIDE)
    return sum(a.bytes for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 8)


def test_without_checkpointing_each_block_keeps_four_tensors() -> None:
    """Input of the first product, both sides of GELU; the input of the whole is the batch, the last output is free."""
    between, hidden = ROWS * 64 * 4, ROWS * 256 * 4

    assert activation_bytes(Deep()) == 4 * 2 * hidden + 3 * between


@pytest.mark.parametrize("reentrant", [False, True])
def test_with_checkpointing_only_the_inputs_of_blocks_live(reentrant: bool) -> None:
    """Three of four; that of the first is the batch. Both ways of torch.utils.checkpoint."""
    assert activation_bytes(Deep(reentrant)) == 3 * ROWS * 64 * 4


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_backward_pass_holds_the_tensors_of_one_block(reentrant: bool) -> None:
    """The peak lies lower by what three blocks keep, and one block's is made anew."""
    hidden = ROWS * 256 * 4
    kept = peak_bytes(trained(Deep(), WIDE))
    recomputed = peak_bytes(trained(Deep(reentrant), WIDE))

    assert kept - recomputed >= 2 * 2 * hidden


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_belongs_to_the_backward_pass(reentrant: bool) -> None:
    """One forward and one backward phase a step, however often a block runs."""
    trace = trained(Deep(reentrant), WIDE)

    assert [m.phase for m in trace.marks if m.step == 0] == ["forward", "backward", "optimizer"]


# ---------------------------------------------------------------- reading numbers, and what cannot be followed


def test_reading_a_number_gives_one_and_a_note() -> None:
    """item(), float() and an if read a value that nobody knows."""
    seen: list[object] = []
    trace = ran(lambda model, x: seen.extend((x.sum().item(), float(x.mean()), bool(x.sum() > 3), int(x[0, 0]))), X)

    assert seen == [1.0, 1.0, True, 1]
    assert len(trace.notes) == 1
    assert "1 stands for it" in trace.notes[0]


@pytest.mark.parametrize(
    ("asks", "answer"),
    [
        (lambda x: torch.isnan(x).any(), False),
        (lambda x: torch.isnan(x.sum()), False),
        (lambda x: torch.isinf(x.sum()), False),
        (lambda x: torch.logical_or(x.sum().isnan(), x.sum().isinf()), False),
        (lambda x: torch.isfinite(x).all(), True),
        (lambda x: torch.isfinite(x.sum()), True),
        (lambda x: x.sum() > 0, True),
    ],
)
def test_a_step_that_looks_for_nan_finds_none(asks: Callable[[Tensor], Tensor], answer: bool) -> None:
    """Loops that give up on a bad loss go on; it is said all the same."""
    seen: list[bool] = []
    trace = ran(lambda model, x: seen.append(bool(asks(x))), X)

    assert seen == [answer]
    assert len(trace.notes) == 1


def test_a_trace_that_reads_nothing_has_no_note() -> None:
    """Every step of the documented kind."""
    assert trained(weights(16, 4), X, optimizer=torch.optim.AdamW).notes == ()


@pytest.mark.parametrize(
    ("forward", "operation"),
    [
        (lambda model, x: x.repeat_interleave(x[:, 0].long(), 0), "repeat_interleave"),
        (lambda model, x: torch.bincount(x[:, 0].long()), "bincount"),
    ],
)
def test_shapes_that_values_decide_without_a_bound_are_refused_by_name(forward: object, operation: str) -> None:
    """With the way around."""
    with pytest.raises(TraceError, match=rf"{operation}.*depends on the values.*torch\.where"):
        ran(forward, X)  # type: ignore[arg-type]


@pytest.mark.parametrize("read", [lambda x: x.numpy(), lambda x: x.tolist()])
def test_numbers_that_leave_torch_are_answered_and_named(read: Callable[[Tensor], list[object]]) -> None:
    """One number stands for all of a tensor, as in item(); a note says so."""
    seen: list[int] = []
    trace = ran(lambda model, x: seen.append(len(read(x))), X)

    assert seen == [len(X)]
    assert any("reads a number" in note for note in trace.notes)


def test_an_operation_that_torch_cannot_stand_in_for_is_refused_by_name() -> None:
    """A kernel of one's own without a fake implementation; the message says how to give it one."""

    @torch.library.custom_op("bigmodel_lab_test::doubled", mutates_args=())
    def doubled(x: Tensor) -> Tensor:
        return x * 2

    with pytest.raises(TraceError, match=r"bigmodel_lab_test.*doubled.*register_fake"):
        ran(lambda model, x: doubled(x), X)


def test_what_an_optimizer_does_with_sparse_gradients_is_noted() -> None:
    """Sorting them is not followed."""
    trace = trained(nn.Embedding(10, 4, sparse=True), torch.zeros(8, dtype=torch.int64))

    assert any("SparseAdam" in note for note in trace.notes)


def test_a_scripted_model_is_refused() -> None:
    """With what to give instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Linear(16, 4))

    with pytest.raises(TraceError, match="Give the model it was made of"):
        trained(nn.Sequential(scripted), X)


def test_a_model_without_shapes_is_refused() -> None:
    """Lazy layers, before their first batch."""
    with pytest.raises(TraceError, match="lazy"):
        trained(nn.Sequential(nn.LazyLinear(4)), X)


def test_a_compiled_model_is_sized_as_it_was_before() -> None:
    """And this is said."""
    model = nn.Linear(16, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the compiler's own imports
        compiled = torch.compile(model)
    trace = trained(compiled, X)  # type: ignore[arg-type]

    assert trace.sequence == trained(model, X).sequence
    assert any("compiled" in note for note in trace.notes)


@pytest.mark.parametrize(
    "parametrization", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.parametrizations.spectral_norm]
)
def test_weights_that_are_computed_are_followed(parametrization: Callable[[nn.Module], nn.Module]) -> None:
    """The module's own weight is made anew in each forward pass."""
    trace = trained(parametrization(nn.Linear(16, 4, bias=False)), X)

    assert alive_bytes(trace, len(trace.sequence), "gradient") >= 16 * 4 * 4


def test_an_error_of_the_step_itself_goes_through() -> None:
    """Shapes that do not fit are the person's to see, as torch says it."""
    with pytest.raises(RuntimeError, match="reduction dim"):
        ran(lambda model, x: model(x), torch.empty(8, 5), model=weights(16, 4))


# ---------------------------------------------------------------- what a trace leaves alone


def test_the_model_is_untouched() -> None:
    """Weights, gradients, mode, hooks, buffers: all as before."""
    model = nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4)).eval()
    model[0].register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]

    trained(model, X)

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and type(p) is nn.Parameter for p in model.parameters())
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()] == hooks
    assert not model.training


def test_random_numbers_are_untouched() -> None:
    """Dropout and checkpointing in a trace draw nothing from the person's generators."""
    model = nn.Sequential(Deep(reentrant=False), nn.Dropout(0.5))
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # noqa: NPY002

    trained(model, WIDE, lambda model, x: (model(x) + torch.rand(64)).sum())

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]  # noqa: NPY002


def test_settings_of_torch_are_untouched() -> None:
    """Gradients on, autocast off, default type: also after a trace that failed."""
    with pytest.raises(TraceError):
        ran(lambda model, x: torch.bincount(x[:, 0].long()), X)

    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert type(torch.ones(1) + 1) is Tensor


def test_the_batch_is_untouched() -> None:
    """A step that works in place works on the stand-in."""
    batch = torch.ones(8, 16)
    ran(lambda model, x: x.zero_(), batch)

    assert bool((batch == 1).all())


def test_a_model_of_a_billion_weights_takes_no_memory() -> None:
    """20 layers of 200 MB each on the meta device; a trace of two steps with Adam stays below 100 MiB."""
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(7168, 7168, bias=False) for _ in range(20)))
    before = psutil.Process().memory_info().rss

    trace = trained(model, torch.empty(2, 7168, device="meta"), optimizer=torch.optim.AdamW)

    weights_bytes = 20 * 7168 * 7168 * 4
    assert sum(p.numel() for p in model.parameters()) > 10**9
    assert psutil.Process().memory_info().rss - before < 100 * 2**20
    assert alive_bytes(trace, len(trace.sequence), "optimizer_state") == 2 * weights_bytes
    assert peak_bytes(trace) >= 5 * weights_bytes


def test_the_workspaces_of_cublas_are_in_the_trace() -> None:
    """One for the forward and one for the backward thread, to the end."""
    trace = trained(weights(16, 4), X)
    asked = [a.bytes for a in trace.allocations if "cuBLAS" in a.maker]

    assert asked == [WORKSPACE, WORKSPACE]
    assert len([a for a in alive(trace, len(trace.sequence), workspaces=True) if "cuBLAS" in a.maker]) == 2
    assert total(nn.Identity(), torch.ones(2)) == 2
