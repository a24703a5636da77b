"""Every way to say which model is meant becomes the same: a model without memory, and what goes with it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bigmodel_lab.errors import ConfigError, MissingPackageError, UnknownNameError
from bigmodel_lab.estimate import _library
from bigmodel_lab.estimate._models import on_meta, resolve_model
from bigmodel_lab.estimate._quantized import FourBitLinear
from bigmodel_lab.models import MODELS
from bigmodel_lab.training.objectives import Objective
from tests.estimate.traced import run_once

TINY = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def llama(**fields: object) -> object:
    """A small configuration as people write it."""
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaConfig(**{**TINY, **fields})


def all_meta(model: nn.Module) -> bool:
    """Whether nothing of a model takes memory."""
    return all(t.is_meta for t in [*model.parameters(), *model.buffers()])


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", MODELS.names())
def test_a_documented_model_has_all_that_a_step_needs(name: str):
    """Model, example, loss and the documented way to train it."""
    card, source = MODELS.get(name), resolve_model(name)
    assert source.example is not None
    assert isinstance(source.loss, Objective)
    model, (x, y) = source.build(), source.example(2)

    assert all_meta(model)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == card.parameters
    assert all(t.is_meta and len(t) == 2 for t in (x, y))
    assert source.loss.loss(model(x), y).shape == ()


def test_defaults_of_a_documented_model_are_its_cards():
    """Micro-batch, optimizer and number format of the document."""
    assert dict(resolve_model("simple_cnn").defaults) == {
        "micro_batch_size": 64,
        "optimizer": "adam",
        "precision": "fp16",
    }


def test_a_large_model_goes_by_its_name():
    """With its own loss and example, and no documented defaults."""
    source = resolve_model("alexnet")
    assert source.example is not None

    assert source.name == "alexnet"
    assert all_meta(source.build())
    assert {t.device.type for t in source.example(2).values()} == {"meta"}
    assert dict(source.defaults) == {}


def test_an_unknown_name_tells_those_that_exist():
    """Of both families, with the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'") as caught:
        resolve_model("resnet5")

    assert "simple_cnn" in str(caught.value)


# ---------------------------------------------------------------- modules and functions


def test_a_module_is_copied_without_memory():
    """The person's own model is not touched, whatever happens to the copy."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    source = resolve_model(model)
    built = source.build()
    built.requires_grad_(requires_grad=False)

    assert source.name == "Sequential"
    assert all_meta(built)
    assert not all_meta(model)
    assert all(p.requires_grad for p in model.parameters())


def test_each_build_is_a_copy_of_its_own():
    """One trace may change its model."""
    source = resolve_model(nn.Linear(2, 1))

    assert source.build() is not source.build()


def test_a_copy_keeps_what_is_frozen_and_what_is_shared():
    """A weight that two layers share stays one; frozen parameters stay frozen; strides stay."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last))
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(requires_grad=False)
    copied = on_meta(model)

    assert copied.get_parameter("1.weight") is copied.get_parameter("0.weight")
    assert not copied.get_parameter("0.bias").requires_grad
    assert copied.get_parameter("2.weight").stride() == model[2].weight.stride()


def test_a_copy_brings_no_gradients():
    """Gradients of the person's last step do not belong to the next."""
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()

    assert on_meta(model).get_parameter("weight").grad is None


@pytest.mark.parametrize("build", [lambda: nn.Linear(3, 2), nn.Identity])
def test_a_function_or_class_builds_the_model(build: object):
    """Without arguments, and without memory."""
    assert all_meta(resolve_model(build).build())


def test_a_large_model_from_a_function_takes_no_memory():
    """Sixteen billion weights are built at once."""
    model = resolve_model(lambda: nn.Linear(2**17, 2**17, bias=False)).build()

    assert sum(p.numel() for p in model.parameters()) == 2**34


def test_a_function_that_reads_its_weights_is_built_for_real():
    """What cannot be built without numbers is built with them, and then copied without."""

    class Scaled(nn.Module):
        """Divides its weight by its largest value when it is made."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.scale = self.weight.max().item()

    model = resolve_model(Scaled).build()

    assert all_meta(model)
    assert model.scale == 1.0


def test_a_function_that_gives_back_something_else_is_refused():
    """By its name and what it gave."""

    def batches() -> list[int]:
        return [1]

    with pytest.raises(ConfigError, match="function batches gave back list"):
        resolve_model(batches).build()


def test_what_is_no_model_is_refused():
    """With all that may be given."""
    with pytest.raises(ConfigError, match=r"The model is int\. Give a name"):
        resolve_model(7)


# ---------------------------------------------------------------- configurations


def test_a_configuration_gives_its_first_head():
    """One that names no architecture gets the causal head where its kind of model has one."""
    source = resolve_model(llama())
    model = source.build()

    assert source.name == "llama"
    assert type(model).__name__ == "LlamaForCausalLM"
    assert all_meta(model)


def test_a_configuration_gives_the_head_that_it_names():
    """As from_pretrained does."""
    config = llama(architectures=["LlamaForSequenceClassification"], num_labels=3, pad_token_id=0)

    assert type(resolve_model(config).build()).__name__ == "LlamaForSequenceClassification"


@pytest.mark.parametrize(
    ("kind", "fields", "head"),
    [
        ("BertConfig", {}, "BertForMaskedLM"),
        ("BertConfig", {"is_decoder": True}, "BertLMHeadModel"),
        (
            "T5Config",
            {"d_model": 16, "d_ff": 32, "d_kv": 4, "num_layers": 1, "num_heads": 4},
            "T5ForConditionalGeneration",
        ),
        ("ViTConfig", {"image_size": 32}, "ViTForImageClassification"),
    ],
)
def test_a_configuration_without_architecture_gets_the_usual_head(kind: str, fields: dict[str, object], head: str):
    """Encoders guess masked tokens, decoders the next, pairs of both translate, others classify images."""
    transformers = pytest.importorskip("transformers")
    small = {k: v for k, v in TINY.items() if k != "num_key_value_heads" and kind != "T5Config"}

    assert type(resolve_model(getattr(transformers, kind)(**{**small, **fields})).build()).__name__ == head


def test_weights_are_in_the_type_that_the_configuration_names():
    """Transformers 5 loads so; before, everything was fp32."""
    transformers = pytest.importorskip("transformers")
    expected = torch.bfloat16 if int(transformers.__version__.split(".")[0]) >= 5 else torch.float32

    assert {p.dtype for p in resolve_model(llama(dtype="bfloat16")).build().parameters()} == {expected}


def test_a_configuration_is_not_changed():
    """Keys and values are kept in what the person does with it."""
    config = llama()
    model = resolve_model(config).build()

    assert config.use_cache
    assert not model.config.use_cache


def test_a_quantized_configuration_gives_quantized_weights():
    """As the configuration of a checkpoint in 4 bits says."""
    config = llama()
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    model = resolve_model(config).build()

    assert isinstance(model.model.layers[0].self_attn.q_proj, FourBitLinear)
    assert type(model.lm_head) is nn.Linear


def test_a_class_that_is_not_there_is_named():
    """Code from the Hub is not run."""
    with pytest.raises(ConfigError, match="has no class NobodysModel"):
        resolve_model(llama(architectures=["NobodysModel"])).build()


def test_a_kind_of_model_that_is_not_there_is_named():
    """A configuration class of one's own, for which the library has no model."""
    transformers = pytest.importorskip("transformers")

    class OwnConfig(transformers.PreTrainedConfig):
        """Says nothing but its name."""

        model_type = "nobodys"

    with pytest.raises(ConfigError, match="has no class nobodys"):
        resolve_model(OwnConfig()).build()


@pytest.mark.parametrize("given", ["configuration", "module"])
def test_no_mask_is_made_for_rows_of_one_sequence(given: str):
    """Traced without numbers, attention gets none, as with real rows; whoever made the model."""
    transformers = pytest.importorskip("transformers")
    # in fp32 heads that share keys take the textbook formula, which makes a mask of its own
    own_heads = llama(use_cache=False, num_key_value_heads=TINY["num_attention_heads"])
    source = resolve_model(own_heads if given == "configuration" else transformers.LlamaForCausalLM(own_heads))
    ids = torch.ones(2, 8, dtype=torch.int64, device="meta")
    trace = run_once(source.build(), ids, lambda model, x: model(input_ids=x, labels=x).loss)

    assert [a.shape for a in trace.allocations if a.dtype == "bool" and a.shape[-2:] == (8, 8)] == []


def test_a_module_in_the_library_is_not_given_hooks():
    """Only its copy is."""
    transformers = pytest.importorskip("transformers")
    model = transformers.LlamaForCausalLM(llama())
    resolve_model(model).build()

    assert not model._forward_hooks


def test_a_folder_is_read_as_the_hub_is(tmp_path):
    """Its config.json alone."""
    llama(architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    source = resolve_model(str(tmp_path))

    assert sum(p.numel() for p in source.build().parameters()) == sum(
        p.numel() for p in resolve_model(llama()).build().parameters()
    )


def test_a_hub_id_that_cannot_be_read_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    """Without a network: the reason, and that a configuration object serves as well."""
    transformers = pytest.importorskip("transformers")

    def offline(_: str) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'.\nMore lines follow.")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)

    with pytest.raises(ConfigError, match="'org/name' cannot be read: We couldn't connect") as caught:
        resolve_model("org/name")
    assert "More lines" not in str(caught.value)
    assert "configuration object" in str(caught.value)


def test_without_the_package_a_hub_id_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    """The message is the install line."""
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MissingPackageError, match=r"bigmodel_lab\[subjects\]"):
        resolve_model("org/name")


def test_asking_for_a_configuration_imports_nothing():
    """By the names of its fields; a class is none."""
    assert _library.is_configuration(SimpleNamespace(model_type="x", to_diff_dict=dict))
    assert not _library.is_configuration(SimpleNamespace(model_type="x"))
    assert not _library.is_configuration(type("Config", (), {"model_type": "x", "to_diff_dict": dict}))
