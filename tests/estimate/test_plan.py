"""A plan is traced: precision, accumulation, checkpointing, modes, optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, TraceError
from bigmodel_lab.estimate._plan import Plan
from bigmodel_lab.memory.requests import RequestTrace
from bigmodel_lab.models import MODELS
from tests.estimate.plans import Blocks, plan, source
from tests.estimate.traced import alive_at_end, category_bytes
from tests.trace.reading import after_forward, alive, alive_bytes, made_by, peak_bytes, phase

WEIGHTS = sum(p.numel() for p in Blocks().parameters())


def kept(trace: RequestTrace) -> int:
    """Bytes that wait for the first backward pass, numbers apart."""
    return sum(a.bytes for a in alive(trace, after_forward(trace)) if a.category == "activation" and a.bytes > 16)


def test_training_with_adamw_holds_sixteen_bytes_a_weight() -> None:
    """Weight, gradient, two states."""
    trace = plan().trace()

    assert [category_bytes(trace, c) for c in ("parameter", "gradient", "optimizer_state")] == [
        4 * WEIGHTS,
        4 * WEIGHTS,
        8 * WEIGHTS,
    ]


def test_two_steps_in_three_phases() -> None:
    """After loading."""
    phases = [(m.phase, m.step) for m in plan().trace().marks]

    assert phases == [("load", -1), *((p, s) for s in (0, 1) for p in ("forward", "backward", "optimizer"))]


def test_the_batch_is_of_the_micro_batch_s_size() -> None:
    """Whatever size it was given in."""
    trace = plan(micro_batch_size=32).trace()

    assert category_bytes(trace, "input") == 32 * 16 * 4


def test_what_is_not_on_the_card_is_not_counted() -> None:
    """Of two steps, every tensor belongs to the model, the batch, or the step itself."""
    makers = {a.maker for a in plan().trace().allocations}

    assert "aten.empty" not in makers


@pytest.mark.parametrize(("precision", "bytes_each"), [("fp32", 4), ("tf32", 4), ("bf16", 2), ("fp16", 2)])
def test_activations_are_in_the_format_of_the_forward_pass(precision: str, bytes_each: int) -> None:
    """Outputs of linear layers; weights, gradients and states stay in fp32."""
    trace = plan(precision=precision).trace()

    assert {a.bytes for a in made_by(trace, "aten.gelu")} == {8 * 256 * bytes_each}
    assert category_bytes(trace, "gradient") == 4 * WEIGHTS
    assert category_bytes(trace, "optimizer_state") == 8 * WEIGHTS


def test_fp16_steps_with_a_scaler() -> None:
    """Its scale, growth count and flag are a few bytes on the card; its flag of overflow is read as none, without a note."""
    trace = plan(precision="fp16").trace()
    numbers = [a.bytes for a in alive_at_end(trace) if a.shape == () and a.dtype]

    assert [m.phase for m in trace.marks].count("optimizer") == 2
    assert trace.notes == ()
    assert sum(numbers) <= 16


def test_accumulated_micro_batches_take_one_update() -> None:
    """Four forward and backward passes, then the optimizer; activations of one of them at a time."""
    once, four = plan().trace(), plan(gradient_accumulation_steps=4).trace()

    assert [m.phase for m in four.marks if m.step == 0] == ["forward", "backward"] * 4 + ["optimizer"]
    assert kept(four) == pytest.approx(kept(once), abs=64)
    assert category_bytes(four, "gradient") == category_bytes(once, "gradient")


def test_accumulation_needs_the_old_gradient_beside_the_new() -> None:
    """From the second micro-batch on gradients are there while activations are: 4 bytes a weight more."""

    def end_of_forward(count: int) -> int:
        trace = plan(gradient_accumulation_steps=count, optimizer="sgd").trace()
        last = [m.position for m in trace.marks if m.phase == "backward" and m.step == 0][-1]
        return alive_bytes(trace, last)

    assert end_of_forward(2) - end_of_forward(1) == pytest.approx(4 * WEIGHTS, abs=64)


def test_checkpointing_keeps_the_inputs_of_blocks() -> None:
    """Instead of three tensors in each of two blocks."""
    samples = 64
    plain, again = (kept(plan(samples=samples, checkpointing=on).trace()) for on in (False, True))

    assert plain - again == 2 * 2 * samples * 256 * 4


def test_checkpointing_without_blocks_is_said() -> None:
    """A model that repeats nothing."""
    trace = plan(lambda: nn.Sequential(nn.Linear(16, 8), nn.ReLU()), checkpointing=True).trace()

    assert any("repeats no blocks" in note for note in trace.notes)


def test_inference_has_neither_gradients_nor_state() -> None:
    """The forward pass alone, twice, and nothing of it stays."""
    trace = plan(is_training=False).trace()

    assert {a.category for a in alive_at_end(trace) if "cuBLAS" not in a.maker} == {"parameter", "input"}
    assert {m.phase for m in trace.marks} == {"load", "forward"}


def test_inference_takes_less_than_training() -> None:
    """By more than the gradients and states."""
    assert peak_bytes(plan().trace()) - peak_bytes(plan(is_training=False).trace()) >= 12 * WEIGHTS


def test_the_model_is_in_its_mode() -> None:
    """Dropout drops in training alone."""
    build = lambda: nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.5))  # noqa: E731

    assert made_by(plan(build).trace(), "aten.native_dropout") != []
    assert made_by(plan(build, is_training=False).trace(), "aten.native_dropout") == []


def test_a_model_may_be_changed_first() -> None:
    """Frozen weights have no gradient."""

    def freeze(model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        model.last.requires_grad_(True)  # type: ignore[union-attr]
        return model

    assert category_bytes(plan(prepare=freeze).trace(), "gradient") == 4 * (64 * 4 + 4)


def test_nothing_trainable_is_said() -> None:
    """By the maker of optimizers."""
    with pytest.raises(ConfigError, match="trainable"):
        plan(prepare=lambda model: model.requires_grad_(False)).trace()


def test_an_optimizer_of_one_s_own() -> None:
    """A function of the model."""
    trace = plan(optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)).trace()

    assert category_bytes(trace, "optimizer_state") == 4 * WEIGHTS


def test_options_of_a_named_optimizer() -> None:
    """One kernel, fused=True, needs no temporary in its update."""

    def update(options: dict[str, bool]) -> int:
        trace = plan(optimizer_options=options).trace()
        positions = phase(trace, "optimizer", 1)
        return peak_bytes(trace, positions) - alive_bytes(trace, positions.start + 1)

    assert (update({"fused": True}), update({})) == (pytest.approx(0, abs=4), pytest.approx(4 * WEIGHTS, rel=0.25))


@pytest.mark.parametrize("name", ["adadelta", "adagrad", "adam", "adamax", "nadam", "radam", "rmsprop", "rprop", "sgd"])
def test_every_first_order_optimizer_of_torch_can_be_traced(name: str) -> None:
    """Twice; its tensors are told apart, and none of them is a number that the host would read."""
    trace = plan(lambda: nn.Linear(16, 4), optimizer=name).trace()

    assert [m.phase for m in trace.marks].count("optimizer") >= (0 if name == "sgd" else 2)
    assert trace.notes == ()


@pytest.mark.parametrize("name", ["adafactor", "asgd"])
def test_optimizers_that_read_numbers_of_the_card_say_so(name: str) -> None:
    """The norm of a weight, or a step width that lies beside the weights."""
    assert len(plan(lambda: nn.Linear(16, 4), optimizer=name).trace().notes) == 1


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "adadelta"])
def test_counts_of_steps_are_on_the_host(name: str) -> None:
    """No state of a single number, of which the allocator would make 512 bytes for each weight."""
    state = [
        a for a in plan(lambda: nn.Linear(16, 4), optimizer=name).trace().allocations if a.category == "optimizer_state"
    ]

    assert [a for a in state if a.shape == ()] == []


def test_the_same_plan_gives_the_same_trace() -> None:
    """To the last request."""
    assert plan(precision="bf16").trace() == plan(precision="bf16").trace()


def test_a_step_that_needs_data_is_refused() -> None:
    """As the trace says it."""
    with pytest.raises(TraceError, match="depends on the values"):
        plan(step=lambda model, x: model(x.repeat_interleave(x[:, 0].long(), 0)).sum()).trace()


def test_a_model_by_hand_keeps_its_own_backward_pass() -> None:
    """The documented one, whose gradients come from formulas."""
    from bigmodel_lab.estimate._models import resolve_model

    made = resolve_model("conv_by_definition")
    assert made.example is not None
    assert made.loss is not None
    trace = Plan(made, made.loss, made.example(2), 2).trace()

    assert category_bytes(trace, "parameter") >= 4 * MODELS.get("conv_by_definition").parameters
    assert source().name == "small"
