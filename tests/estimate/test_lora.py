"""LoRA adapters: which layers get them, how large they are, what they keep."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.estimate._lora import ALL_LINEAR, Lora, LoraLinear, add_lora, lora_of
from bigmodel_lab.estimate._quantized import EightBit, FourBit, quantize_weights
from tests.estimate.traced import category_bytes, run_once, trained

HALF = torch.bfloat16
WIDTH, RANK, ROWS = 64, 4, 8


class Block(nn.Module):
    """Attention's four projections, by the names that most decoders use."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            self.add_module(name, nn.Linear(WIDTH, WIDTH, bias=False, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One after the other."""
        for layer in self.children():
            x = layer(x)
        return x


def blocks(count: int = 2, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """A model of some blocks."""
    return nn.Sequential(*(Block(dtype) for _ in range(count)))


def learning(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters that learn."""
    return {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}


# ---------------------------------------------------------------- which layers


def test_ends_of_names_choose_layers():
    """As in PEFT, a target is the last part of a name."""
    assert add_lora(blocks(), Lora(("q_proj", "v_proj"))) == ("0.q_proj", "0.v_proj", "1.q_proj", "1.v_proj")


def test_an_end_is_a_whole_part_of_the_name():
    """A target ``proj`` does not match ``q_proj``."""
    with pytest.raises(ConfigError, match="k_proj, o_proj, q_proj, v_proj"):
        add_lora(blocks(), Lora(("proj",)))


def test_a_text_is_a_regular_expression():
    """It must match the whole name."""
    assert add_lora(blocks(), Lora(r"1\.[qk]_proj")) == ("1.q_proj", "1.k_proj")


def test_all_linear_leaves_out_the_output():
    """PEFT adapts every linear layer but the one of the output."""
    model = blocks(1)
    model.add_module("lm_head", nn.Linear(WIDTH, 8))
    model.get_output_embeddings = lambda: model.lm_head  # type: ignore[assignment]

    assert "lm_head" not in add_lora(model, Lora(ALL_LINEAR))


def test_all_linear_takes_all_where_no_output_is_known():
    """A model of one's own."""
    assert len(add_lora(blocks(1), Lora(ALL_LINEAR))) == 4


def test_only_adapters_learn():
    """A with as many rows as the rank, B with as many columns, under PEFT's names."""
    model = blocks(1)
    add_lora(model, Lora(("q_proj",), rank=RANK))

    assert learning(model) == {
        "0.q_proj.lora_A.default.weight": (RANK, WIDTH),
        "0.q_proj.lora_B.default.weight": (WIDTH, RANK),
    }


def test_number_of_weights_is_that_of_the_paper():
    """LoRA, section 4.2: 2 × layers × width × rank for square layers."""
    model = blocks(3)
    adapted = add_lora(model, Lora(("q_proj", "v_proj"), rank=RANK))

    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2 * len(adapted) * WIDTH * RANK


def test_conv1d_of_transformers_is_adapted():
    """GPT-2's layers hold their weight the other way round."""
    transformers = pytest.importorskip("transformers.pytorch_utils")
    model = nn.Sequential(transformers.Conv1D(12, WIDTH))
    add_lora(model, Lora(("0",), rank=RANK))

    assert set(learning(model).values()) == {(RANK, WIDTH), (12, RANK)}


# ---------------------------------------------------------------- what runs


def test_a_new_adapter_with_b_of_zeros_changes_nothing():
    """The sum is that of the base layer and of B·A·x."""
    model = nn.Sequential(nn.Linear(WIDTH, 3))
    x = torch.randn(2, WIDTH)
    expected = model(x)
    add_lora(model, Lora(("0",), rank=RANK))
    nn.init.zeros_(model.get_parameter("0.lora_B.default.weight"))

    assert torch.allclose(model(x), expected)


def test_the_adapter_is_added():
    """By hand: W·x + B·(A·x)."""
    base = nn.Linear(WIDTH, 3)
    layer = LoraLinear(base, Lora(("0",), rank=RANK))
    x = torch.randn(2, WIDTH)
    a, b = layer.get_parameter("lora_A.default.weight"), layer.get_parameter("lora_B.default.weight")

    assert torch.allclose(layer(x), base(x) + x @ a.T @ b.T, atol=1e-6)


@pytest.mark.parametrize("scheme", [None, FourBit(compute_dtype=HALF), EightBit()])
def test_adapters_are_fp32_and_the_output_is_not(scheme: FourBit | EightBit | None):
    """Beside layers of 16 bits, quantized or not."""
    model = blocks(1, HALF)
    if scheme is not None:
        quantize_weights(model, scheme)
    add_lora(model, Lora(("q_proj", "o_proj"), rank=RANK))
    output = model(torch.zeros(ROWS, WIDTH, dtype=HALF))

    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert output.dtype == HALF


def test_gradients_reach_every_adapter():
    """Through quantized layers that take none themselves."""
    model = blocks(2, HALF)
    quantize_weights(model, FourBit(compute_dtype=HALF, skip=()))
    add_lora(model, Lora(("q_proj",), rank=RANK))
    model(torch.ones(ROWS, WIDTH, dtype=HALF)).sum().backward()

    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_dropout_lies_before_a():
    """With all of its input dropped, an adapter adds nothing."""
    layer = LoraLinear(nn.Linear(WIDTH, 3), Lora(("0",), rank=RANK, dropout=1.0))
    x = torch.randn(2, WIDTH)

    assert torch.equal(layer(x), layer.base_layer(x))


def test_states_are_those_of_the_adapters_alone():
    """AdamW keeps two fp32 numbers for each weight of the adapters, and none for the frozen ones."""
    model = blocks(2, HALF)
    add_lora(model, Lora(("q_proj",), rank=RANK))
    x = torch.empty(ROWS, WIDTH, dtype=HALF, device="meta")

    def make(copied: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in copied.parameters() if p.requires_grad])

    trace = trained(model, x, lambda m, x: m(x).sum(), make)
    adapters = 2 * 2 * WIDTH * RANK * 4
    steps = 2 * 2 * 4  # AdamW counts its steps for each parameter

    assert category_bytes(trace, "optimizer_state") in {2 * adapters, 2 * adapters + steps}
    assert category_bytes(trace, "gradient") == adapters


def test_an_input_of_16_bits_is_cast_for_the_adapter():
    """Its fp32 copy is kept for the gradient of A."""
    layer = LoraLinear(nn.Linear(WIDTH, WIDTH, dtype=HALF), Lora(("0",), rank=RANK))
    trace = run_once(layer, torch.empty(ROWS, WIDTH, dtype=HALF, device="meta"), lambda m, x: m(x))

    assert (ROWS, WIDTH) in {a.shape for a in trace.allocations if a.dtype == "float32"}


def test_a_four_bit_result_is_copied():
    """PEFT clones it before it adds the adapter's output; an 8-bit one it does not."""
    shapes = []
    for scheme in (FourBit(compute_dtype=HALF), EightBit(threshold=0.0)):
        layer = LoraLinear(scheme.replacement(nn.Linear(WIDTH, 2 * WIDTH, bias=False, dtype=HALF)), Lora(("0",)))
        trace = run_once(layer, torch.empty(ROWS, WIDTH, dtype=HALF, device="meta"), lambda m, x: m(x))
        shapes.append([a.maker for a in trace.allocations if "clone" in a.maker])

    assert len(shapes[0]) == 1
    assert shapes[1] == []


def test_under_autocast_nothing_is_cast_by_hand():
    """Beside a quantized layer PEFT leaves the types to autocast."""
    layer = LoraLinear(FourBit(compute_dtype=HALF).replacement(nn.Linear(WIDTH, WIDTH, dtype=HALF)), Lora(("0",)))
    x = torch.zeros(ROWS, WIDTH, dtype=HALF)

    with torch.autocast("cpu", dtype=HALF):
        assert layer(x).dtype == HALF


# ---------------------------------------------------------------- settings


def test_a_configuration_of_peft_is_read():
    """By the names of its fields; a set of targets has no order."""
    given = SimpleNamespace(r=16, target_modules={"v_proj", "q_proj"}, lora_dropout=0.1, bias="none", use_dora=False)

    assert lora_of(given) == Lora(("q_proj", "v_proj"), rank=16, dropout=0.1)


def test_a_text_of_targets_stays_a_text():
    """A regular expression, or all linear layers."""
    assert lora_of(SimpleNamespace(r=8, target_modules=ALL_LINEAR)).targets == ALL_LINEAR


@pytest.mark.parametrize(
    ("field", "value"),
    [("use_dora", True), ("modules_to_save", ["lm_head"]), ("bias", "all"), ("rank_pattern", {"q_proj": 2})],
)
def test_what_is_not_sized_is_refused_by_name(field: str, value: object):
    """It would change the memory."""
    with pytest.raises(ConfigError, match=f"LoRA with {field} is not sized"):
        lora_of(SimpleNamespace(r=8, target_modules=["q_proj"], **{field: value}))


def test_targets_must_be_named():
    """PEFT's defaults depend on the kind of model; here they are not guessed."""
    with pytest.raises(ConfigError, match="names no target_modules"):
        lora_of(SimpleNamespace(r=8, target_modules=None))
