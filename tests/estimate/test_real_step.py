"""What is traced is the step that trains: the output is let go of before the backward pass, as it is there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate import Lora, MemoryEstimate, estimate_memory

SAMPLES, WIDE, MIB = 64, 4096, 2**20
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


def test_bf16_on_a_card_without_it_is_emulated():
    """A T4 has no bf16: what PyTorch would run there is sized, and a note says that fp16 takes less."""
    estimate = estimate_memory("mlp", gpu="T4", precision="bf16")
    assert estimate.precision == "bf16"
    assert any("fp16 (precision='fp16') takes less memory" in note for note in estimate.notes)


def test_attention_in_emulated_bf16_is_the_textbook_formula_in_32_bits():
    """All pairs are written out, so that fp16 takes less."""
    queries = torch.empty(4, 2, 256, 64)

    def step(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(model(x), x, x).sum()

    kept = [
        estimate_memory(lambda: nn.Linear(64, 64), queries, step=step, gpu="T4", precision=precision)
        for precision in ("bf16", "fp16")
    ]
    assert any(a.dtype == "float32" and a.shape[-2:] == (256, 256) for a in kept[0].trace.allocations)
    assert kept[0].peak_allocated_bytes > 1.2 * kept[1].peak_allocated_bytes


def test_what_a_documented_model_trains_in_is_replaced_as_in_training():
    """simple_cnn is documented in fp16, which every card has; its estimate asks for no other format."""
    assert estimate_memory("simple_cnn", gpu="T4").precision == "fp16"


def wide_weights() -> nn.Module:
    """4 MiB of weights in each of two layers, whose 16-bit copies are half as large."""
    return nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.Linear(1024, 1024, bias=False))


def test_autocast_keeps_narrow_weights_without_inference_mode():
    """Under no_grad both layers' copies are there at the end, under inference_mode one at a time."""
    peaks = {
        grad: estimate_memory(
            wide_weights, torch.empty(8, 1024), mode="inference", precision="bf16", grad=grad
        ).peak_allocated_bytes
        for grad in ("no_grad", "inference_mode")
    }
    assert peaks["no_grad"] - peaks["inference_mode"] >= 2 * MIB


def test_a_note_says_what_inference_mode_saves():
    """Where nobody said how gradients are turned off."""
    estimate = estimate_memory(wide_weights, torch.empty(8, 1024), mode="inference", precision="bf16")
    assert any("torch.inference_mode() keeps none and takes 2 MiB less" in note for note in estimate.notes)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_in_full_precision_inference_mode_saves_nothing(precision: str):
    """No copies are made."""
    estimate = estimate_memory(wide_weights, torch.empty(8, 1024), mode="inference", precision=precision)
    assert estimate.notes == ()


def test_a_step_that_turns_gradients_off_itself_is_followed():
    """Its own inference mode keeps no copies, whatever surrounds it."""

    def step(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
            return model(x)

    inside = estimate_memory(wide_weights, torch.empty(8, 1024), step=step, mode="inference")
    outside = estimate_memory(
        wide_weights, torch.empty(8, 1024), mode="inference", precision="bf16", grad="inference_mode"
    )
    assert inside.peak_allocated_bytes == outside.peak_allocated_bytes


def test_an_unknown_way_to_turn_gradients_off_is_refused():
    """With those that are known."""
    with pytest.raises(ConfigError, match="no_grad, inference_mode"):
        estimate_memory(wide_weights, torch.empty(8, 1024), mode="inference", grad="off")  # type: ignore[arg-type]


def test_a_doubt_keeps_a_verdict_from_being_fits():
    """A generator gives its first batch alone: a later one may be larger."""
    batches = (torch.empty(4, 8) for _ in range(3))
    estimate = estimate_memory(wide, batches, step=lambda model, x: model(x).sum())
    assert len(estimate.doubts) == 1
    assert estimate.fits("80GiB").verdict == "uncertain"
    assert "may be larger" in estimate.fits("80GiB").why


def test_without_a_doubt_a_small_step_fits():
    """The same batch, given as it is."""
    estimate = estimate_memory(wide, torch.empty(4, 8), step=lambda model, x: model(x).sum())
    assert estimate.doubts == ()
    assert estimate.fits("80GiB").verdict == "fits"


def test_a_doubt_never_says_that_it_does_not_fit():
    """It could only take more."""
    kept: list[torch.Tensor] = []

    def step(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        kept.append(model(x))
        return kept[-1].sum()

    estimate = estimate_memory(lambda: nn.Linear(64, 4096), torch.empty(64, 64), step=step)
    assert any("Each step keeps" in doubt for doubt in estimate.doubts)
    assert estimate.fits("80GiB").verdict == "uncertain"


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


def squares(count: int = 64) -> torch.Tensor:
    """Square matrices, one per sample."""
    return torch.empty(4, count, count)


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.svdvals,
        torch.linalg.inv,
        torch.linalg.cholesky,
        lambda x: torch.linalg.solve(x, x),
        torch.linalg.matrix_exp,
        lambda x: torch.fft.rfft2(x).abs(),
    ],
)
def test_libraries_with_secret_workspaces_leave_a_doubt(function):
    """Decompositions and Fourier transforms: what they need beside their results is published nowhere."""
    estimate = estimate_memory(
        lambda: nn.Linear(64, 64), squares(), step=lambda model, x: function(model(x)).sum(), optimizer="sgd"
    )
    assert any("published nowhere" in doubt for doubt in estimate.doubts)
    assert estimate.fits("80GiB").verdict == "uncertain"


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.vector_norm,
        lambda x: torch.linalg.norm(x, dim=-1),
        lambda x: torch.linalg.vecdot(x, x),
        lambda x: torch.matmul(x, x),
    ],
)
def test_norms_and_products_leave_no_doubt(function):
    """Their buffers are known."""
    estimate = estimate_memory(
        lambda: nn.Linear(64, 64), squares(), step=lambda model, x: function(model(x)).sum(), optimizer="sgd"
    )
    assert estimate.doubts == ()


def test_l_bfgs_says_what_its_history_takes():
    """100 steps and changes of the gradient of 256 weights and 4 biases, each in 4 bytes."""
    estimate = estimate_memory(
        lambda: nn.Linear(64, 4), torch.empty(8, 64), step=lambda model, x: model(x).sum(), optimizer="lbfgs"
    )
    assert [doubt for doubt in estimate.doubts if "203 KiB more" in doubt]
    assert estimate.fits("80GiB").verdict == "uncertain"


def test_other_optimizers_have_no_history():
    """Nothing is left open."""
    estimate = estimate_memory(
        lambda: nn.Linear(64, 4), torch.empty(8, 64), step=lambda model, x: model(x).sum(), optimizer="adam"
    )
    assert estimate.doubts == ()
