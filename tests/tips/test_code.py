"""Changes in the words of other frameworks: with the person's values, and by names that exist there."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import accelerate
import lightning
import pytest
import torch
import transformers
from accelerate.utils import TorchDynamoPlugin
from torch import nn

from bigmodel_lab.tips import TIPS
from bigmodel_lab.tips._code import code_for
from bigmodel_lab.tips.base import Code, Evidence, Mode, Proposal
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import idle, waiting

BEFORE = TrainConfig(micro_batch_size=8, gradient_accumulation_steps=4, optimizer="adamw", learning_rate=0.002)
CHANGES: dict[str, dict[str, Any]] = {
    "batch": {"micro_batch_size": 2, "gradient_accumulation_steps": 16},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "tf32": {"precision": "tf32"},
    "checkpointing": {"activation_checkpointing": ("blocks.0", "blocks.1")},
    "offload": {"activation_offload": True},
    "fused": {"optimizer_options": {"fused": True}},
    "foreach": {"optimizer_options": {"foreach": False}},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "learning_rate": {"learning_rate": 0.004},
    "early_stopping": {"early_stopping": 3},
    "evaluation": {"evaluation_batch_size": 4},
}
LOOPS_OF_A_TRAINER = ("transformers", "lightning")
"""They hold the program from the first step to the last."""
OWN_LINES = {"loader_workers": waiting(0.3), "pinned_memory": waiting(0.3), "cuda_graphs": idle(0.002)}
"""Tips that bring their lines themselves, each in its case."""


def written(name: str, framework: str = "bigmodel_lab", mode: Mode = "train") -> dict[str, Code]:
    """The lines of each framework for a change."""
    evidence = Evidence(BEFORE, "cuda", framework=framework, mode=mode)
    proposal = Proposal(name, "memory", name, "Because.", change=CHANGES[name])
    return {one.framework: one for one in code_for(proposal, evidence)}


def shown(name: str, framework: str = "bigmodel_lab", mode: Mode = "train") -> dict[str, str]:
    """Their text alone."""
    return {one: code.text for one, code in written(name, framework, mode).items()}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_has_lines_for_fit(name: str) -> None:
    """With the new values."""
    assert shown(name)["bigmodel_lab"].startswith("lab.fit(…, ")


def test_a_batch_tells_both_values_and_what_was() -> None:
    """8 → 2 with accumulation 4 → 16."""
    text = shown("batch")["transformers"]

    assert "per_device_train_batch_size=2, gradient_accumulation_steps=16" in text
    assert "was 8 × 4" in text


def test_the_persons_framework_comes_first() -> None:
    """The others follow."""
    assert next(iter(shown("bf16", "lightning"))) == "lightning"


@pytest.mark.parametrize("name", CHANGES)
def test_training_arguments_have_these_names(name: str) -> None:
    """Every keyword is a field of the installed Transformers."""
    known = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    text = shown(name).get("transformers", "")

    assert set(keywords(text, "TrainingArguments")) <= known


@pytest.mark.parametrize("name", CHANGES)
def test_lightnings_trainer_has_these_names(name: str) -> None:
    """Every keyword is a parameter of the installed Lightning."""
    known = set(inspect.signature(lightning.Trainer.__init__).parameters)
    text = shown(name).get("lightning", "")

    assert set(keywords(text, "Trainer")) <= known


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_lightning_takes_these_number_formats(precision: str) -> None:
    """By its own list."""
    from lightning.fabric.plugins.precision.precision import _PRECISION_INPUT_STR_ALIAS_CONVERSION

    texts = [shown(name)["lightning"] for name in ("bf16", "fp16")]

    assert any(f'precision="{precision}"' in text for text in texts)
    assert precision in {*_PRECISION_INPUT_STR_ALIAS_CONVERSION.values(), *lightning_formats()}


def lightning_formats() -> set[str]:
    """Number formats that Lightning names in its annotations."""
    from lightning.fabric.plugins.precision import precision as module

    return set(re.findall(r'"([\w-]+)"', inspect.getsource(module)))


@pytest.mark.parametrize("name", CHANGES)
def test_plain_lines_are_python(name: str) -> None:
    """As they would be pasted, but for what only the person knows."""
    text = shown(name)["plain"].replace("…", "...")

    ast.parse(text)


def test_fp16_comes_with_a_scaler() -> None:
    """In the loop of one's own; bf16 needs none."""
    assert "GradScaler" in shown("fp16")["plain"]
    assert "GradScaler" not in shown("bf16")["plain"]


def test_checkpointing_is_without_reentry() -> None:
    """Both in plain PyTorch and in Transformers."""
    texts = shown("checkpointing")

    assert "use_reentrant=False" in texts["plain"]
    assert '"use_reentrant": False' in texts["transformers"]


def test_what_a_trainer_takes_at_its_start_says_so() -> None:
    """A batch size of the Trainer cannot change in mid-run; a loop of one's own can."""
    evidence = Evidence(BEFORE, "cuda")
    proposal = Proposal("batch", "memory", "batch", "Because.", change=CHANGES["batch"])
    mid_run = {one.framework: one.in_mid_run for one in code_for(proposal, evidence)}

    assert (mid_run["plain"], mid_run["transformers"], mid_run["bigmodel_lab"]) == (True, False, True)


def keywords(text: str, call: str) -> list[str]:
    """Keywords that the lines give to this call, not those of calls inside of it."""
    found = re.search(rf"\b{call}\((.*?)\)(?:\s|$)", text, re.DOTALL)
    outer = re.sub(r"\([^()]*\)", "", found[1]) if found else ""
    return re.findall(r"(?:^|,\s*)(\w+)=", outer)


def given(text: str, call: str) -> set[str]:
    """Keywords that the lines give to this call, read as Python."""
    calls = [node for node in ast.walk(ast.parse(text.replace("…", "..."))) if isinstance(node, ast.Call)]
    return {str(one.arg) for node in calls if ast.unparse(node.func).split(".")[-1] == call for one in node.keywords}


PARAMETERS: dict[str, dict[str, Callable[..., Any]]] = {
    "transformers": {"TrainingArguments": transformers.TrainingArguments, "Trainer": transformers.Trainer},
    "lightning": {"Trainer": lightning.Trainer, "DataLoader": torch.utils.data.DataLoader},
    "accelerate": {"Accelerator": accelerate.Accelerator, "TorchDynamoPlugin": TorchDynamoPlugin},
    "plain": {"DataLoader": torch.utils.data.DataLoader},
}
"""Calls that are written for each framework."""


@pytest.mark.parametrize("framework", PARAMETERS)
@pytest.mark.parametrize("name", [*CHANGES, *OWN_LINES])
def test_every_keyword_exists(name: str, framework: str) -> None:
    """In the installed package, whoever writes the lines."""
    lines = own_lines(name) if name in OWN_LINES else shown(name)
    for call, function in PARAMETERS[framework].items():
        assert given(lines.get(framework, ""), call) <= set(inspect.signature(function).parameters)


def own_lines(name: str) -> dict[str, str]:
    """What a tip brings itself."""
    proposal = TIPS.get(name).propose(OWN_LINES[name])
    assert proposal is not None
    return {one.framework: one.text for one in proposal.code}


@pytest.mark.parametrize("name", ["fused", "learning_rate"])
def test_lightning_makes_its_optimizer_in_its_own_method(name: str) -> None:
    """With the parameters of the module itself."""
    line = shown(name)["lightning"]

    ast.parse(line)
    assert "def configure_optimizers(self):\n    return torch.optim.AdamW(self.parameters(), lr=0.00" in line


@pytest.mark.parametrize("optimizer", ["rmsprop", "nadam", "asgd", "sgd"])
def test_the_optimizer_has_the_name_of_its_class(optimizer: str) -> None:
    """No class of PyTorch is written in lower case."""
    evidence = Evidence(TrainConfig(optimizer=optimizer), "cuda", framework="plain")
    proposal = Proposal("foreach", "memory", "foreach", "Because.", change={"optimizer_options": {"foreach": False}})
    model = nn.Linear(2, 2)
    names = {"torch": torch, "model": model}

    exec(code_for(proposal, evidence)[0].text, names)

    assert type(names["optimizer"]).__name__.lower() == optimizer


def test_checkpointed_as_printed_the_gradients_stay() -> None:
    """The lines run in the middle of a training, and change no number and no name of a weight."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.GELU()))})
    x = torch.randn(3, 4)
    keys = list(model.state_dict())
    before = gradients(model, x)

    exec(shown("checkpointing")["plain"], {"model": model})

    assert all(torch.equal(a, b) for a, b in zip(before, gradients(model, x), strict=True))
    assert "forward" in vars(model.get_submodule("blocks.1"))
    assert list(model.state_dict()) == keys


def gradients(model: nn.ModuleDict, x: torch.Tensor) -> list[torch.Tensor]:
    """Of the sum of the outputs."""
    model.zero_grad()
    model["blocks"](x).sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_checkpointing_every_block_needs_no_names() -> None:
    """A person knows where the blocks of the model are."""
    proposal = Proposal("all", "memory", "all", "Because.", change={"activation_checkpointing": ("*",)})

    assert "for block in model.blocks:" in code_for(proposal, Evidence(BEFORE, "cuda", framework="plain"))[0].text


def test_checkpointing_names_the_modules() -> None:
    """Those that were chosen, and no others."""
    assert "map(model.get_submodule, ['blocks.0', 'blocks.1'])" in shown("checkpointing")["plain"]


@pytest.mark.parametrize("framework", LOOPS_OF_A_TRAINER)
@pytest.mark.parametrize("name", CHANGES)
def test_a_trainer_changes_nothing_in_mid_run(name: str, framework: str) -> None:
    """Its lines are for the next start."""
    assert not written(name)[framework].in_mid_run


@pytest.mark.parametrize("name", ["batch", "bf16", "tf32", "checkpointing", "offload", "learning_rate"])
def test_a_loop_of_ones_own_changes_in_mid_run(name: str) -> None:
    """The model and the optimizer stay."""
    assert written(name)["plain"].in_mid_run


@pytest.mark.parametrize("framework", ["plain", "transformers", "lightning", "accelerate"])
@pytest.mark.parametrize("name", CHANGES)
def test_whoever_trains_gets_lines_for_their_framework(name: str, framework: str) -> None:
    """First of all."""
    assert next(iter(shown(name, framework))) == framework


def test_without_lines_of_its_own_a_loop_of_ones_own_comes_first() -> None:
    """``lab.fit`` would be another training."""
    assert next(iter(shown("fused", "diffusers"))) == "plain"


def test_own_lines_are_put_in_order_too() -> None:
    """The person's framework first; two of one framework both stay."""
    own = (Code("plain", "a", True), Code("plain", "b", True), Code("transformers", "c", False))
    proposal = Proposal("tip", "speed", "tip", "Because.", code=own)

    code = code_for(proposal, Evidence(BEFORE, "cuda", framework="transformers"))

    assert [one.text for one in code] == ["c", "a", "b"]


def test_a_change_of_two_fields_shows_both() -> None:
    """None of them is lost."""
    proposal = Proposal("two", "speed", "two", "Because.", change={"precision": "bf16", "compile": True})
    lines = {one.framework: one.text for one in code_for(proposal, Evidence(BEFORE, "cuda"))}

    assert "bf16=True" in lines["transformers"]
    assert "torch_compile=True" in lines["transformers"]


def test_what_is_the_default_is_not_told_as_a_change() -> None:
    """Transformers fuses AdamW by itself from torch 2.8 on."""
    default = transformers.TrainingArguments.__dataclass_fields__["optim"].default

    assert default == "adamw_torch_fused"
    assert "was" not in shown("fused")["transformers"]


@pytest.mark.parametrize(
    ("mode", "line"), [("train", "--mixed_precision=bf16"), ("inference", "pipe.to(torch.bfloat16)")]
)
def test_diffusers_trains_by_a_script_and_answers_by_a_pipeline(mode: Mode, line: str) -> None:
    """Weights that learn are not cast."""
    assert shown("bf16", mode=mode)["diffusers"].startswith(line)


@pytest.mark.parametrize(("mode", "moves_weights"), [("train", False), ("inference", True)])
def test_a_pipeline_moves_weights_and_a_training_activations(mode: Mode, moves_weights: bool) -> None:
    """A pipeline keeps no activations."""
    assert ("enable_model_cpu_offload" in shown("offload", mode=mode)["diffusers"]) is moves_weights


def test_slicing_is_the_autoencoders() -> None:
    """The method of the pipeline is deprecated: diffusers pull request 12271."""
    assert shown("evaluation")["diffusers"] == "pipe.vae.enable_slicing()"


def test_a_validation_batch_tells_what_was() -> None:
    """Where none was set, it was that of the training."""
    assert shown("evaluation")["transformers"] == "TrainingArguments(per_device_eval_batch_size=4)  # was 8"


def test_early_stopping_as_printed_stops() -> None:
    """After three epochs in a row without a better one, and not before."""
    losses = iter([0.9, 0.5, 0.6, 0.4, 0.5, 0.6, 0.7, 0.1])
    names: dict[str, Any] = {"epochs": 8, "losses": losses}

    exec(shown("early_stopping")["plain"].replace("…", "next(losses)"), names)

    assert (names["epoch"], names["best"]) == (6, 0.4)
