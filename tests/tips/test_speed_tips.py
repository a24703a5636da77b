"""Thresholds of the tips for speed, energy and quality, and what they say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bigmodel_lab.tips import TIPS
from bigmodel_lab.tips.base import Evidence, Proposal, StepFacts
from bigmodel_lab.training import TrainConfig
from tests.tips.evidences import PLATFORM, T4, healthy, idle, nearly_full, waiting


def said(name: str, evidence: Evidence) -> Proposal:
    """What the tip proposes."""
    proposal = TIPS.get(name).propose(evidence)
    assert proposal is not None
    return proposal


@pytest.mark.parametrize(("share", "speaks"), [(0.049, False), (0.05, True), (0.3, True)])
@pytest.mark.parametrize("name", ["loader_workers", "pinned_memory", "data_on_device"])
def test_waiting_counts_from_five_per_cent(name: str, share: float, speaks: bool) -> None:
    """The limit of two profilers."""
    assert (TIPS.get(name).propose(waiting(share)) is not None) is speaks


@pytest.mark.parametrize(("share", "word"), [(0.1, "moderate"), (0.2, "much")])
def test_waiting_is_graded(share: float, word: str) -> None:
    """Moderate, and from a fifth on much."""
    assert word in said("loader_workers", waiting(share)).why


def test_a_loader_with_enough_workers_is_left_alone() -> None:
    """One core is the training's own."""
    assert TIPS.get("loader_workers").propose(waiting(0.3, workers=7)) is None


def test_with_one_core_nobody_can_help() -> None:
    """A worker would take the training's core."""
    alone = replace(waiting(0.3), platform=replace(PLATFORM, processors=1))

    assert TIPS.get("loader_workers").propose(alone) is None


def test_a_large_data_set_stays_where_it_is() -> None:
    """Above a tenth of the memory."""
    assert TIPS.get("data_on_device").propose(waiting(0.3, data_bytes=8 * 2**30)) is None


def test_compiling_tells_when_it_is_earned_back() -> None:
    """60 s at 58 ms saved a step."""
    assert "1,032 steps" in said("compile", idle()).why


def test_compiling_is_not_worth_the_last_steps() -> None:
    """Fewer are left than it takes to earn it back."""
    assert TIPS.get("compile").propose(idle(steps_left=500)) is None


@pytest.mark.parametrize(
    "evidence",
    [
        idle(platform=replace(PLATFORM, packages=frozenset())),
        idle(config=TrainConfig(compile=True)),
        idle(card=None),
        healthy(steps=StepFacts(200, 0.2, gpu_utilization_percent=50.0)),
        healthy(steps=StepFacts(200, 0.2, data_wait_share=0.2, gpu_utilization_percent=30.0)),
    ],
    ids=["no triton", "compiled", "no card", "busy", "waits for data"],
)
def test_compiling_is_for_launches_alone(evidence: Evidence) -> None:
    """And where it can be done."""
    assert TIPS.get("compile").propose(evidence) is None


@pytest.mark.parametrize(("seconds", "speaks"), [(0.0049, True), (0.005, False)])
def test_graphs_are_for_short_steps(seconds: float, speaks: bool) -> None:
    """Five milliseconds."""
    assert (TIPS.get("cuda_graphs").propose(idle(seconds)) is not None) is speaks


def test_nothing_is_said_about_the_speed_of_a_simulated_card() -> None:
    """Its utilization is nobody's."""
    assert TIPS.get("compile").propose(idle(simulated=True)) is None


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.4), ("adam", 0.2)])
def test_the_learning_rate_follows_the_rule_of_its_optimizer(optimizer: str, rate: float) -> None:
    """Four times the batch: linear for SGD, the square root for Adam."""
    documented = TrainConfig(optimizer=optimizer, learning_rate=0.1)
    evidence = healthy(config=replace(documented, micro_batch_size=256), documented=documented)

    assert said("learning_rate", evidence).change["learning_rate"] == pytest.approx(rate)


def test_a_learning_rate_that_was_chosen_stays() -> None:
    """Somebody has thought about it."""
    documented = TrainConfig(learning_rate=0.1)
    evidence = healthy(config=TrainConfig(learning_rate=0.05, micro_batch_size=256), documented=documented)

    assert TIPS.get("learning_rate").propose(evidence) is None


@pytest.mark.parametrize(
    ("validation", "train"),
    [((0.5, 0.6, 0.7), (0.5, 0.4, 0.3)), ((0.5, 0.6, 0.55, 0.7), (0.5, 0.4, 0.3, 0.2)), ((0.5, 0.6, 0.7, 0.8),) * 2],
    ids=["too few epochs", "a better one between", "both rise"],
)
def test_over_fitting_is_three_epochs_of_it(validation: tuple[float, ...], train: tuple[float, ...]) -> None:
    """Otherwise it may be chance."""
    evidence = healthy(validation_losses=validation, train_losses=train)

    assert TIPS.get("early_stopping").propose(evidence) is None


def test_fused_keeps_other_options() -> None:
    """And takes foreach away, which excludes it."""
    options = {"weight_decay": 0.1, "foreach": True}
    evidence = healthy(config=TrainConfig(optimizer="adamw", precision="bf16", optimizer_options=options))

    assert said("fused_optimizer", evidence).change["optimizer_options"] == {"weight_decay": 0.1, "fused": True}


def test_tf32_waits_while_memory_is_short() -> None:
    """It saves none."""
    assert TIPS.get("tf32").propose(nearly_full(config=TrainConfig())) is None


def test_a_t4_gets_fp16_and_never_bf16() -> None:
    """It has no tensor cores for it."""
    evidence = healthy(config=TrainConfig(optimizer="adamw"), card=T4, memory=None)

    assert TIPS.get("bf16").propose(evidence) is None
    assert said("fp16", evidence).change == {"precision": "fp16"}


def test_a_power_limit_needs_an_administrator() -> None:
    """So it is advice, with the command."""
    proposal = said("power_limit", healthy(power_watts=390.0))

    assert not proposal.can_apply
    assert proposal.code[0].text.startswith("sudo nvidia-smi -i … -pl 320")
