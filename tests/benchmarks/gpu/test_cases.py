"""The grid is data that builds on every machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu.cases import BY_HAND, DOCUMENTED, PRECISIONS, Case, Rule, find, grid
from benchmarks.gpu.shapes import BERT, GPT, MLP, ResNet, UNet
from benchmarks.gpu.subjects import Documented, Subject
from bigmodel_lab.models import MODELS, HandWritten
from bigmodel_lab.training.optimizers import make_optimizer

GRID = grid()
SUBJECTS = list(dict.fromkeys(case.subject for case in GRID))
RULES = list(dict.fromkeys(case.rule for case in GRID))


def on_meta(subject: Subject) -> torch.nn.Module:
    """The model without memory."""
    with torch.device("meta"):
        return subject.build()


def weights(subject: Subject) -> int:
    """Number of its weights, shared ones once."""
    return sum(parameter.numel() for parameter in on_meta(subject).parameters())


def test_every_case_has_a_name_of_its_own() -> None:
    """Records and ``--case`` find it by that."""
    assert [name for name, count in Counter(case.name for case in GRID).items() if count > 1] == []


def test_names_are_file_names() -> None:
    """Recordings are called by them."""
    assert [case.name for case in GRID if not set(case.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.")] == []


def test_a_case_is_found_by_its_name() -> None:
    """As it came."""
    assert find(GRID[7].name) is not None
    assert find(GRID[7].name) == GRID[7]


def test_an_unknown_case_is_not_found() -> None:
    """The command line says so by its name."""
    with pytest.raises(KeyError):
        find("no such case")


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_every_subject_builds_without_memory(subject: Subject) -> None:
    """As the estimator builds it: weights on the meta device, inputs and labels for each sample."""
    x, y = subject.batch(3, "meta")

    assert next(on_meta(subject).parameters()).is_meta
    assert (x.shape[0], y.shape[0]) == (3, 3)
    assert x.is_meta
    assert y.is_meta


def test_the_grid_has_what_was_asked_for() -> None:
    """Documented models and shapes, all number formats, several optimizers, checkpointing, accumulation."""
    assert {case.subject.model for case in GRID if isinstance(case.subject, Documented)} == set(DOCUMENTED)
    assert {case.precision for case in GRID} == set(PRECISIONS)
    assert len(RULES) >= 8
    assert sum("ckpt" in case.subject.name for case in GRID) >= 5
    assert sum(case.micro_batches > 1 for case in GRID) >= 3
    assert 150 <= len(GRID) <= 300


def test_every_documented_model_is_in_the_grid() -> None:
    """A new one has to be entered with its batch."""
    assert set(DOCUMENTED) == set(MODELS.names())


def test_gradients_by_hand_are_computed_in_full_precision() -> None:
    """Their formulas know nothing of autocast."""
    by_hand = {name for name in DOCUMENTED if isinstance(on_meta(Documented(name)), HandWritten)}

    assert by_hand == set(BY_HAND)
    assert {case.precision for case in GRID if case.subject.name in by_hand} == {"fp32"}


def test_micro_batches_are_equal() -> None:
    """The samples of a step divide evenly."""
    assert [case.name for case in GRID if case.samples % case.micro_batches] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_optimizer_can_be_made(rule: Rule) -> None:
    """Its settings are those that torch knows."""
    if dict(rule.options).get("fused"):
        return  # refused for weights on the CPU by some versions of torch
    weight = torch.nn.Linear(2, 2).parameters()

    assert make_optimizer(rule.optimizer, weight, 1e-3, rule.options).param_groups


def test_of_two_equal_cases_the_traced_one_stays() -> None:
    """A case that is traced as well is not run twice."""
    traced = [case for case in GRID if case.traced]

    assert len(traced) >= 12
    assert [case.name for case in traced if find(case.name) != case] == []


def test_the_published_cases_run_in_their_own_processes() -> None:
    """GPT-2 and BERT at 2 texts of 16 tokens, as their peaks were measured."""
    alone = [case for case in GRID if case.alone]

    assert [(type(case.subject), case.samples, case.precision, case.rule.name) for case in alone] == [
        (GPT, 2, "fp32", "adamw"),
        (BERT, 2, "fp32", "adamw"),
    ]


def test_gpt2_has_its_published_size() -> None:
    """124,439,808 weights, the output sharing those of the embedding."""
    assert weights(GPT(vocabulary=50257, width=768, depth=12, heads=12)) == 124_439_808


def test_bert_has_its_published_size() -> None:
    """109,514,298 weights with the head for hidden words."""
    assert weights(BERT(vocabulary=30522, width=768, depth=12, heads=12)) == 109_514_298


def test_resnets_have_their_published_sizes() -> None:
    """ResNet-18 has 11,689,512 weights, ResNet-50 25,557,032 (torchvision's tables)."""
    assert weights(ResNet(classes=1000)) == 11_689_512
    assert weights(ResNet(blocks=(3, 4, 6, 3), bottleneck=True, classes=1000)) == 25_557_032


def test_the_name_of_a_subject_tells_its_sizes() -> None:
    """So that a record can be read without the code."""
    assert GPT().name == "gpt256x4v8192t128"
    assert replace(GPT(), dropout=0.1, checkpointing=True).name == "gpt256x4v8192t128dckpt"
    assert ResNet(blocks=(3, 4, 6, 3), bottleneck=True).name == "resnetb3463w64i64"
    assert MLP((3, 2)).name == "linear3-2"


def test_the_name_of_a_case_tells_how_it_is_trained() -> None:
    """Samples, number format, optimizer with settings, micro-batches."""
    case = Case(MLP((3, 2)), 8, "bf16", Rule("adamw", (("fused", True), ("weight_decay", 0.1))), micro_batches=2)

    assert case.name == "linear3-2_b8_bf16_adamw-fused-weight_decay0.1_in2"


def test_a_documented_model_gets_the_labels_of_its_task() -> None:
    """Classes, tokens, its own input again, or numbers."""
    tasks = {name: Documented(name).task for name in ("mlp", "transformer", "autoencoder", "linear_regression")}

    assert list(tasks.values()) == ["classification", "next_token", "reconstruction", "regression"]
    assert Documented("transformer").batch(2, "meta")[1].shape == (2, 64)
    assert Documented("autoencoder").batch(2, "meta")[1].shape == (2, 1, 28, 28)


def test_a_unet_gets_a_class_for_every_pixel() -> None:
    """Labels as large as the images."""
    assert UNet(image=16).batch(2, "meta")[1].shape == (2, 16, 16)


@pytest.mark.parametrize(
    ("part", "expected"), [("resnet", True), ("lstm", True), ("unet", True), ("gpt", False), ("linear1000", False)]
)
def test_convolutions_and_recurrent_layers_take_cudnn(part: str, expected: bool) -> None:
    """Whose workspaces nobody publishes."""
    found = [case for case in grid() if case.name.startswith(part)]

    assert found
    assert {case.takes_cudnn for case in found} == {expected}
