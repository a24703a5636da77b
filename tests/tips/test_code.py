"""Changes in the words of other frameworks: with the person's values, and by names that exist there."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from typing import Any

import lightning
import pytest
import transformers

from bigmodel_lab.tips._code import code_for
from bigmodel_lab.tips.base import Evidence, Proposal
from bigmodel_lab.training import TrainConfig

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
}


def shown(name: str, framework: str = "bigmodel_lab") -> dict[str, str]:
    """The lines of each framework for a change."""
    evidence = Evidence(BEFORE, "cuda", framework=framework)
    proposal = Proposal(name, "memory", name, "Because.", change=CHANGES[name])
    return {one.framework: one.text for one in code_for(proposal, evidence)}


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


@pytest.mark.parametrize("name", ["batch", "bf16", "fp16", "offload", "learning_rate", "fused", "foreach"])
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
