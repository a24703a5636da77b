"""The brackets of timm's models: facts that belong together, verdicts, and what is said without timm."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
import torch
from torch import nn

from benchmarks import timm_brackets
from benchmarks.timm_brackets import OF_THAT_TIME, Bracket, Row, brackets, main, optimizer, summary, why_not

TRIED = (512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Sizes from the first on, each after the one before had failed."""
ONE = Bracket("resnet101", "varied", "nhwc", 224, 256, 384)


def row(predicted: int, group: str = "varied") -> Row:
    """Of a bracket from 256 up to 384."""
    return Row(Bracket("m", group, "nhwc", 224, 256, 384), predicted, 1.0, 1.0)


def test_every_bracket_is_a_step_of_the_ladder() -> None:
    """What failed is the size that was tried before the one that ran."""
    assert {(one.ran, one.failed) for one in brackets()} <= set(zip(TRIED[1:], TRIED, strict=False))


def test_at_least_forty_varied_models() -> None:
    """Each once."""
    names = [one.model for one in brackets("varied")]

    assert len(set(names)) == len(names) >= 40


def test_models_are_chosen_by_name() -> None:
    """In all groups or in one."""
    assert brackets("varied", "resnet101,vgg16_bn")[0] == ONE
    assert {one.model for one in brackets(only="resnet101,vgg16_bn")} == {"resnet101", "vgg16_bn"}


@pytest.mark.parametrize(
    ("sizes", "passes"),
    [([256, 383], True), ([300] * 20 + [384], False), ([255, 300], False), ([255] + [300] * 9, True)],
)
def test_one_over_is_too_many_and_few_may_be_under(sizes: list[int], passes: bool) -> None:
    """A size that does not run is the worst answer there is."""
    assert [passed for passed, _ in summary([row(size) for size in sizes])] == [passes]


def test_several_groups_are_judged_one_by_one_and_together() -> None:
    """In words."""
    words = [line for _, line in summary([row(300), row(200, "drawn"), row(400, "drawn")])]

    assert words == [
        "drawn: 1 of 2 over, 0 inside, 1 under",
        "varied: 0 of 1 over, 1 inside, 0 under",
        "all: 1 of 3 over, 1 inside, 1 under",
    ]


def test_gradients_are_kept_as_they_were_then() -> None:
    """Whatever the step asks for."""
    layer = nn.Linear(1, 1)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer(layer).zero_grad(set_to_none=True)

    assert layer.weight.grad == 0


def test_without_timm_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an exit status of its own."""

    def nothing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(timm_brackets, "version", nothing)
    monkeypatch.setattr("sys.argv", ["timm_brackets.py"])

    assert main() == 2
    assert f"pip install --no-deps timm=={OF_THAT_TIME}" in capsys.readouterr().err


@pytest.mark.parametrize(("found", "can"), [(OF_THAT_TIME, True), ("1.0.20", False)])
def test_models_of_another_time_are_not_asked_about(found: str, can: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They compute attention otherwise."""
    monkeypatch.setattr(timm_brackets, "version", lambda _: found)

    assert (why_not() == "") is can
