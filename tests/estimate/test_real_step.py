"""What is traced is the step that trains: the output is let go of before the backward pass, as it is there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate import Lora, MemoryEstimate, estimate_memory

SAMPLES, WIDE = 64, 4096
PAIR = (torch.empty(SAMPLES, 8), torch.zeros(SAMPLES, dtype=torch.int64))


def wide() -> nn.Module:
    """Scores of many classes: 1 MiB a batch."""
    return nn.Linear(8, WIDE, bias=False)


def squared(output: Tensor, _targets: Tensor) -> Tensor:
    """A loss that itself keeps the output's square only."""
    return output.exp().mean()


def outputs_at_backward(estimate: MemoryEstimate) -> int:
    """How many batches of scores are alive in the middle of the first backward pass."""
    trace = estimate.trace
    begin = next(m.position for m in trace.marks if m.phase == "backward")
    seen: set[int] = set()
    for entry in trace.sequence[: begin + 2]:
        seen.add(entry) if entry >= 0 else seen.discard(~entry)
    return sum(trace.allocations[n].shape == (SAMPLES, WIDE) for n in seen)


def test_the_output_is_let_go_of_before_the_backward_pass():
    """The step that trains counts correct samples first, so that the scores need not stay; as in a step that drops them."""
    pair = estimate_memory(wide, PAIR, loss=squared)
    own = estimate_memory(wide, PAIR, step=lambda model, batch: model(batch[0]).exp().mean())
    assert outputs_at_backward(pair) == outputs_at_backward(own)


def test_a_pair_of_whole_numbers_is_classification():
    """Cross-entropy is taken where the targets are classes."""
    estimate = estimate_memory(wide, PAIR)
    assert any(a.maker == "aten._log_softmax" for a in estimate.trace.allocations)


def test_a_pair_of_numbers_is_regression():
    """The mean squared error is taken where the targets are values."""
    estimate = estimate_memory(wide, (torch.empty(4, 8), torch.empty(4, WIDE)))
    assert any("mse_loss" in a.maker for a in estimate.trace.allocations)


def test_inference_needs_no_loss_and_no_gradients():
    """The forward pass alone: no targets, no optimizer."""
    estimate = estimate_memory(wide, torch.empty(4, 8), mode="inference")
    assert {a.category for a in estimate.trace.allocations} <= {"parameter", "input", "temporary", "activation"}
    assert not any(a.category in {"gradient", "optimizer_state"} for a in estimate.trace.allocations)


def test_a_lone_tensor_has_no_loss():
    """Nobody can say what the loss of a tensor is, and the message says what to give."""
    with pytest.raises(ConfigError, match="step=lambda model, batch"):
        estimate_memory(wide, torch.empty(4, 8))


def test_step_and_loss_exclude_each_other():
    """Two ways to say it are one too many."""
    with pytest.raises(ConfigError, match="not both"):
        estimate_memory(wide, PAIR, step=lambda model, batch: model(batch[0]).sum(), loss=squared)


def test_loss_needs_a_pair():
    """The loss of (output, targets) cannot be taken of a dict."""
    with pytest.raises(ConfigError, match="pair"):
        estimate_memory(wide, {"x": torch.empty(4, 8)}, loss=squared)


def test_a_model_without_an_example_asks_for_a_batch():
    """One's own model needs a batch, and the message shows one."""
    with pytest.raises(ConfigError, match="device='meta'"):
        estimate_memory(wide)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("precision", "fp8"), ("mode", "eval"), ("micro_batch_size", 0), ("gradient_accumulation_steps", 0)],
)
def test_a_wrong_setting_is_named(setting: str, value: object):
    """The message names the setting."""
    with pytest.raises(ConfigError, match=setting):
        estimate_memory("mlp", **{setting: value})


def test_a_wrong_card_is_named():
    """A card that does not exist is an unknown name."""
    with pytest.raises(UnknownNameError, match="T5"):
        estimate_memory("mlp", gpu="T5")


def test_only_adapters_learn():
    """With adapters no other weight has a gradient."""
    estimate = estimate_memory(
        lambda: nn.Sequential(nn.Linear(64, 64)),
        torch.empty(4, 64),
        step=lambda m, x: m(x).sum(),
        adapters=Lora(("0",), rank=2),
    )
    assert sum(a.bytes for a in estimate.trace.allocations if a.category == "gradient") == 2 * 2 * (2 * 64 * 4)


def test_what_is_given_comes_before_training_arguments():
    """A micro-batch size that is given stands against that of the training arguments."""
    arguments = SimpleNamespace(per_device_train_batch_size=16, bf16=True)
    estimate = estimate_memory("mlp", training_arguments=arguments, micro_batch_size=4)
    assert (estimate.micro_batch_size, estimate.precision) == (4, "bf16")


def test_what_is_not_followed_is_in_the_notes():
    """A setting that changes the memory and is not followed is told."""
    arguments = SimpleNamespace(per_device_train_batch_size=4, torch_compile=True)
    assert any("torch_compile" in note for note in estimate_memory("mlp", training_arguments=arguments).notes)


def test_a_loader_is_sized_by_its_largest_batch():
    """The batch with the most bytes counts."""
    batches = [(torch.empty(n, 8), torch.zeros(n, dtype=torch.int64)) for n in (2, 7, 3)]
    assert estimate_memory(wide, batches).micro_batch_size == 7


def test_scaled_equals_a_new_trace():
    """The line through two traces gives what a trace at that size gives."""
    estimate = estimate_memory(wide, PAIR)
    scaled, traced = estimate.scaled(100), estimate.again(micro_batch_size=100)
    assert scaled.peak_allocated_bytes == traced.peak_allocated_bytes
    assert scaled.peak_reserved_bytes == traced.peak_reserved_bytes


def test_the_card_decides_the_workspaces():
    """Hopper gives cuBLAS 32 MiB a thread, older cards 8.125 MiB."""
    by_card = {gpu: estimate_memory("mlp", gpu=gpu).trace.allocations for gpu in ("T4", "H100")}
    sizes = {gpu: {a.bytes for a in found if a.maker == "cuBLAS workspace"} for gpu, found in by_card.items()}
    assert sizes == {"T4": {8_519_680}, "H100": {33_554_432}}


def test_the_device_needs_the_context_too():
    """What a card has to hold is the reserved memory and the CUDA context; without a card it is unknown."""
    estimate = estimate_memory("mlp", gpu="T4")
    assert estimate.card is not None
    assert estimate.device_bytes == estimate.peak_reserved_bytes + estimate.card.context_bytes
    assert estimate_memory("mlp").device_bytes is None


def test_a_card_without_bf16_computes_in_fp16():
    """A T4 has no bf16: the estimate is of what a training there would do, and says why."""
    estimate = estimate_memory("mlp", gpu="T4", precision="bf16")
    assert estimate.precision == "fp16"
    assert any("compute capability 8.0" in note for note in estimate.notes)


def test_changing_to_a_format_that_the_card_lacks_says_so_too():
    """An estimate that is made again with another format asks the card as well."""
    changed = estimate_memory("mlp", gpu="T4").again(precision="bf16")
    assert changed.precision == "fp16"
    assert any("compute capability 8.0" in note for note in changed.notes)


def test_the_range_never_lies_below_what_is_in_use():
    """Reserved memory holds the allocated: the least expected is at least the allocated peak."""
    estimate = estimate_memory(lambda: nn.Linear(5000, 5000, bias=False), torch.empty(4, 5000), mode="inference")
    assert estimate.reserved_range[0] >= estimate.peak_allocated_bytes


def test_inference_is_one_pass():
    """Nothing is left over for a second pass to show."""
    estimate = estimate_memory(wide, torch.empty(4, 8), mode="inference")
    assert {mark.step for mark in estimate.trace.marks} == {-1, 0}
