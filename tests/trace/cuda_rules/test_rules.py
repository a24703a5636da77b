"""The contract of every rule, proved on each member of the family."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import pytest
import torch

from bigmodel_lab.trace.cuda_rules import RULES
from bigmodel_lab.trace.cuda_rules.base import Rule


@pytest.fixture(params=RULES.names())
def rule(request: pytest.FixtureRequest) -> Rule:
    """Each member of the family in turn."""
    return RULES.get(request.param)


def test_the_name_is_the_file_name(rule: Rule) -> None:
    """A rule is named like its file."""
    assert RULES.get(rule.name) is rule


def test_the_file_says_what_cuda_does(rule: Rule) -> None:
    """In its first sentence."""
    assert len((sys.modules[f"bigmodel_lab.trace.cuda_rules.{rule.name}"].__doc__ or "").split()) > 5


def test_the_source_is_named(rule: Rule) -> None:
    """A file of PyTorch, a manual, a measurement, or a definition."""
    assert len(rule.source.split()) >= 3


def test_the_meaning_is_a_sentence_with_a_key_of_its_own(rule: Rule) -> None:
    """So that it can be shown and translated."""
    assert rule.meaning.key == f"rule.{rule.name}"
    assert str(rule.meaning).endswith(".")


def test_a_rule_corrects_something(rule: Rule) -> None:
    """Functions above autograd, memory of operations below it, or what surrounds the program."""
    assert rule.functions is not None or rule.operations or rule.around is not None


def test_operations_exist(rule: Rule) -> None:
    """Every operation that memory is added to is one that torch knows."""
    assert [name for name in rule.operations if not hasattr(torch.ops.aten, name.removeprefix("aten."))] == []


def test_what_surrounds_can_be_entered_and_left(rule: Rule) -> None:
    """As often as programs are traced."""
    for _ in range(2):
        if rule.around is not None:
            around = rule.around()
            assert isinstance(around, AbstractContextManager)
            with around:
                pass


def test_no_two_rules_replace_the_same_function() -> None:
    """Else one of them would silently do nothing."""
    replaced = [function for rule in RULES.all() if rule.functions for function in rule.functions()]

    assert len(replaced) == len(set(replaced))
