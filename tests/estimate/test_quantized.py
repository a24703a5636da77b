"""Weights in 4 and 8 bits: what is stored, what is made for a moment, what is kept for the backward pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.estimate._quantized import (
    EightBit,
    EightBitLinear,
    FourBit,
    FourBitLinear,
    prepare_for_training,
    quantization_of,
    quantize_weights,
)
from tests.estimate.traced import lifetimes, peak_bytes, run_once, trained

IN, OUT, ROWS = 128, 256, 32
HALF = torch.bfloat16


def layer(bias: bool = True) -> nn.Linear:
    """A linear layer in bf16, without any number."""
    return nn.Linear(IN, OUT, bias=bias, dtype=HALF, device="meta")


def stored(module: nn.Module) -> int:
    """Bytes of all tensors that a module holds, its bias left out."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return sum(tensor.numel() * tensor.element_size() for name, tensor in tensors if name != "bias")


def learning_input(rows: int = ROWS, dtype: torch.dtype = HALF) -> torch.Tensor:
    """A batch that a gradient is asked for, so that the layer takes part in the backward pass."""
    return torch.empty(rows, IN, dtype=dtype, device="meta", requires_grad=True)


def forward_backward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A step without a loss function: the gradient of each output is one."""
    model(x).sum().backward()
    return x


# ---------------------------------------------------------------- what is stored


@pytest.mark.parametrize("nested", [False, True])
def test_four_bits_hold_what_the_size_rule_says(nested: bool):
    """The stored tensors of a 4-bit layer add up to the rule."""
    scheme = FourBit(double_quantization=nested)

    assert stored(scheme.replacement(layer())) == scheme.stored_bytes(IN * OUT)


def test_four_bits_by_hand():
    """A weight of 256×128: 16,384 bytes packed, 512 absolute values in fp32, and the 16 values of the format."""
    assert FourBit().stored_bytes(IN * OUT) == 16_384 + 512 * 4 + 16 * 4


def test_double_quantization_by_hand():
    """Its 512 absolute values take a byte each, with two scales of their own, a code of 256 values and a mean."""
    assert FourBit(double_quantization=True).stored_bytes(IN * OUT) == 16_384 + 64 + 512 + 2 * 4 + 256 * 4 + 4


def test_double_quantization_saves_what_the_paper_says():
    """QLoRA, section 3: from 0.5 bits a weight for the constants down to 0.127 bits."""
    weights = 2**30
    plain, double = (8 * FourBit(n).stored_bytes(weights) / weights - 4 for n in (False, True))

    assert plain == pytest.approx(0.5, abs=1e-6)
    assert double == pytest.approx(0.127, abs=1e-3)


def test_an_odd_number_of_weights_is_rounded_up():
    """The last byte and the last block may be half full."""
    assert FourBit().stored_bytes(65) == 33 + 2 * 4 + 64


def test_eight_bits_hold_what_the_size_rule_says():
    """A byte a weight and one scale a row."""
    assert stored(EightBit().replacement(layer())) == EightBit().stored_bytes(OUT, IN) == IN * OUT + OUT * 4


@pytest.mark.parametrize("scheme", [FourBit(), EightBit()])
def test_quantized_weights_do_not_learn(scheme: FourBit | EightBit):
    """Neither the weight nor the bias takes a gradient."""
    assert [p.requires_grad for p in scheme.replacement(layer()).parameters()] == [False, False]


def test_the_bias_goes_to_the_compute_type():
    """Bitsandbytes converts it at the first forward pass, for good."""
    bias = FourBit(compute_dtype=torch.float16).replacement(layer()).bias

    assert isinstance(bias, nn.Parameter)
    assert bias.dtype == torch.float16


# ---------------------------------------------------------------- what runs


@pytest.mark.parametrize("scheme", [FourBit(), FourBit(compute_dtype=HALF), EightBit(), EightBit(threshold=0.0)])
@pytest.mark.parametrize("bias", [False, True])
def test_shape_and_type_of_the_output(scheme: FourBit | EightBit, bias: bool):
    """As those of the layer that was replaced."""
    x = torch.empty(2, 16, IN, dtype=HALF, device="meta")
    output = scheme.replacement(layer(bias))(x)

    assert (output.shape, output.dtype) == ((2, 16, OUT), HALF)


@pytest.mark.parametrize("scheme", [FourBit(compute_dtype=HALF), EightBit()])
def test_the_gradient_of_the_input_has_its_shape(scheme: FourBit | EightBit):
    """The backward pass goes through the frozen layer."""
    x = torch.ones(2, 16, IN, dtype=HALF, requires_grad=True)
    scheme.replacement(nn.Linear(IN, OUT, dtype=HALF))(x).sum().backward()

    assert x.grad is not None
    assert (x.grad.shape, x.grad.dtype) == ((2, 16, IN), HALF)


def test_four_bits_restore_the_weight_for_a_moment():
    """Once in the forward and once in the backward pass a weight in the compute type is made and freed at once."""
    trace = run_once(FourBit(compute_dtype=HALF).replacement(layer()), learning_input(), forward_backward)
    spans = lifetimes(trace, IN * OUT * 2)

    assert len(spans) == 2
    assert max(spans) <= 6


def test_four_bits_keep_no_activation():
    """Their input dies with the forward pass, where that of a plain layer waits for the gradient of the weight."""
    doubled = ROWS * IN * 2
    first = {}
    for kind, model in {"4 bits": FourBit(compute_dtype=HALF).replacement(layer()), "16 bits": layer()}.items():
        trace = run_once(model, learning_input(), lambda m, x: m(x * 2).sum().backward())
        first[kind] = lifetimes(trace, doubled)[0]

    assert first["4 bits"] < 6 < first["16 bits"]


def test_a_few_rows_take_no_restored_weight():
    """Up to four rows a fused kernel reads the packed weight on every card: decoding one token makes no copy."""
    model = FourBit(compute_dtype=HALF).replacement(layer())
    trace = run_once(model, torch.empty(4, IN, dtype=HALF, device="meta"), lambda m, x: m(x))

    assert lifetimes(trace, IN * OUT * 2) == []


def test_compute_in_fp32_restores_in_fp32():
    """Transformers' default for the compute type doubles what is made for a moment."""
    trace = run_once(FourBit().replacement(layer()), learning_input(), lambda m, x: m(x))

    assert len(lifetimes(trace, IN * OUT * 4)) == 1


def test_backward_restores_in_the_type_before_quantization():
    """A weight that was quantized from fp32 is restored in fp32, then cast to the type of the gradient."""
    model = FourBit(compute_dtype=HALF).replacement(nn.Linear(IN, OUT, device="meta"))
    trace = run_once(model, learning_input(), forward_backward)

    assert len(lifetimes(trace, IN * OUT * 4)) == 1
    assert len(lifetimes(trace, IN * OUT * 2)) == 2


def test_double_quantization_restores_the_scales_too():
    """Two fp32 copies of the absolute values in the forward pass, one in the backward pass."""
    scheme = FourBit(double_quantization=True, compute_dtype=HALF)
    trace = run_once(scheme.replacement(layer()), learning_input(), forward_backward)

    assert len(lifetimes(trace, IN * OUT // 64 * 4)) == 3


def test_eight_bits_keep_their_input():
    """Until the backward pass, although that needs only the weight."""
    trace = run_once(EightBit().replacement(layer()), learning_input(), lambda m, x: m(x * 2).sum().backward())

    assert lifetimes(trace, ROWS * IN * 2)[0] > 20


def test_eight_bits_multiply_in_whole_numbers():
    """The product is first an int32, then an fp16, then a tensor of the input's type."""
    trace = run_once(EightBit().replacement(layer()), learning_input(), lambda m, x: m(x))
    made = {(a.shape, a.dtype) for a in trace.allocations}

    assert {((ROWS, OUT), kind) for kind in ("int32", "float16", "bfloat16")} <= made


def test_eight_bits_look_for_large_values_only_with_a_threshold():
    """Without one, no boolean tensor of the input's shape is made."""
    traces = [
        run_once(EightBit(threshold=t).replacement(layer()), learning_input(), lambda m, x: m(x)) for t in (6.0, 0.0)
    ]

    assert [any(a.dtype == "bool" for a in trace.allocations) for trace in traces] == [True, False]


def test_one_column_in_a_thousand_is_large():
    """LLM.int8(): fewer than 0.1 % of values; at least one column where a threshold is set."""
    assert [EightBit().outliers(columns) for columns in (64, 1000, 4096)] == [1, 1, 5]
    assert EightBit(threshold=0.0).outliers(4096) == 0


def test_quantized_training_takes_less_than_in_16_bits():
    """The peak of a step with 4-bit weights lies below that of the same step with bf16 weights."""

    def model() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(2048, 2048, dtype=HALF, device="meta") for _ in range(6)),
            nn.Linear(2048, 1, dtype=HALF, device="meta"),
        )

    quantized = model()
    quantize_weights(quantized, FourBit(compute_dtype=HALF, skip=("6",)))
    x = torch.empty(16, 2048, dtype=HALF, device="meta")
    peaks = [
        peak_bytes(trained(m, x, lambda m, x: m(x).sum(), lambda m: torch.optim.SGD(m.parameters(), 0.1)))
        for m in (model(), quantized)
    ]

    assert peaks[1] < 0.5 * peaks[0]


# ---------------------------------------------------------------- which layers


class Decoder(nn.Module):
    """Two blocks, and an output layer that shares its weight with the embedding."""

    def __init__(self, *, tied: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.lm_head = nn.Linear(4, 8, bias=False)
        self.norm = nn.LayerNorm(4)
        if tied:
            self.lm_head.weight = self.embedding.weight


def test_the_output_that_shares_its_weight_stays_whole():
    """A shared weight would be quantized for the embedding as well."""
    model = Decoder()

    assert quantize_weights(model, FourBit()) == ("blocks.0", "blocks.1")
    assert model.lm_head.weight is model.embedding.weight


def test_the_output_layer_stays_whole_where_the_model_names_it():
    """Transformers asks the model for its output layer."""
    model = Decoder(tied=False)
    model.get_output_embeddings = lambda: model.lm_head  # type: ignore[assignment]

    assert "lm_head" not in quantize_weights(model, EightBit())


def test_the_person_may_name_what_stays_whole():
    """Ends of names suffice."""
    assert quantize_weights(Decoder(tied=False), FourBit(skip=("0", "lm_head"))) == ("blocks.1",)


def test_layers_that_are_no_plain_linear_layers_stay():
    """Attention's own output layer is a class of its own, which bitsandbytes does not replace."""
    model = nn.Sequential(nn.MultiheadAttention(4, 2), nn.Linear(4, 4))

    assert quantize_weights(model, FourBit(skip=())) == ("1",)


def test_conv1d_of_transformers_counts_as_linear():
    """GPT-2's layers hold their weight the other way round."""
    transformers = pytest.importorskip("transformers.pytorch_utils")
    model = nn.Sequential(transformers.Conv1D(12, 4), nn.LayerNorm(12))
    quantize_weights(model, EightBit())

    assert isinstance(model[0], EightBitLinear)
    assert (model[0].in_features, model[0].out_features) == (4, 12)


def test_nothing_to_quantize_is_said():
    """A model of convolutions has no linear layer."""
    with pytest.raises(ConfigError, match="Conv2d has no linear layer to quantize besides weight"):
        quantize_weights(nn.Conv2d(1, 1, 1, bias=False), FourBit())


def test_replacing_keeps_the_device():
    """A model without memory stays without."""
    model = nn.Sequential(layer(), layer(bias=False))
    quantize_weights(model, FourBit())

    assert isinstance(model[0], FourBitLinear)
    assert all(t.is_meta for t in [*model.parameters(), *model.buffers()])


# ---------------------------------------------------------------- settings


def test_prepare_for_training_casts_what_is_not_quantized():
    """Embeddings and norms of 16 bits go to fp32, quantized weights stay, nothing learns."""
    model = nn.Sequential(nn.Embedding(8, 64, dtype=HALF), nn.Linear(64, 64, dtype=HALF), nn.LayerNorm(64, dtype=HALF))
    quantize_weights(model, FourBit(compute_dtype=HALF))
    prepare_for_training(model)
    dtypes = {name: p.dtype for name, p in model.named_parameters()}

    assert (dtypes["0.weight"], dtypes["2.weight"], dtypes["1.weight"]) == (torch.float32, torch.float32, torch.uint8)
    assert not any(p.requires_grad for p in model.parameters())


def test_a_configuration_of_transformers_is_read():
    """By the names of its fields; nothing is imported."""
    given = SimpleNamespace(
        load_in_4bit=True,
        load_in_8bit=False,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=HALF,
        llm_int8_skip_modules=["lm_head"],
    )

    assert quantization_of(given) == FourBit(double_quantization=True, compute_dtype=HALF, skip=("lm_head",))


def test_a_real_configuration_of_transformers_is_read():
    """The class that people use has these fields."""
    transformers = pytest.importorskip("transformers")

    assert quantization_of(transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=5.0)) == EightBit(5.0)


def test_names_compute_in_bf16():
    """Who only says "nf4" means what QLoRA does."""
    assert quantization_of("nf4") == FourBit(compute_dtype=HALF)
    assert quantization_of("nf4_double") == FourBit(double_quantization=True, compute_dtype=HALF)


@pytest.mark.parametrize("given", [None, FourBit(), EightBit()])
def test_what_is_a_scheme_already_stays(given: FourBit | EightBit | None):
    """None is one, too: weights as they are."""
    assert quantization_of(given) is given


def test_an_unknown_name_is_refused():
    """With the names that exist."""
    with pytest.raises(UnknownNameError, match="no way to store weights named 'nf5'"):
        quantization_of("nf5")


def test_another_method_is_refused_by_name():
    """A checkpoint quantized by GPTQ has other sizes."""
    with pytest.raises(ConfigError, match="quantized by gptq cannot be sized"):
        quantization_of({"quant_method": "gptq", "bits": 4})
