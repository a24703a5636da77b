"""The contract of every tip, proved on each member of the family."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from bigmodel_lab.tips import TIPS, Tip
from bigmodel_lab.tips._code import code_for
from bigmodel_lab.tips.base import Evidence, Proposal
from bigmodel_lab.training import TrainConfig
from bigmodel_lab.training.changing import CHANGEABLE
from tests.tips import evidences
from tests.tips.evidences import (
    Convolutions,
    Layers,
    answering,
    fragmented,
    healthy,
    idle,
    nearly_full,
    predicted,
    ran_out,
    waiting,
)

DEPRECATED = re.compile(
    r"torch\.cuda\.amp|torch\.jit\.script|torch\.ao\.quantization|_set_allocator_settings|use_reentrant=None"
    r"|pin_memory_device|allow_tf32"
)
PLAIN_FP32 = TrainConfig(optimizer="adamw")
T4 = evidences.T4
SCENARIOS: dict[str, Evidence] = {
    "activation_checkpointing": predicted(free_mib=60),
    "activation_offload": predicted(free_mib=60),
    "bf16": healthy(config=PLAIN_FP32),
    "channels_last": healthy(config=TrainConfig(precision="bf16")),
    "compile": idle(),
    "cuda_graphs": idle(0.002),
    "data_on_device": waiting(0.3),
    "early_stopping": healthy(validation_losses=(0.5, 0.6, 0.7, 0.8), train_losses=(0.5, 0.4, 0.3, 0.2)),
    "eight_bit_optimizer": predicted(Layers, free_mib=150),
    "expandable_segments": fragmented(),
    "foreach_off": predicted(Layers, free_mib=150, out_of_memory=ran_out("optimizer")),
    "fp16": healthy(config=PLAIN_FP32, card=T4, memory=None),
    "fused_optimizer": healthy(config=TrainConfig(optimizer="adamw", precision="bf16")),
    "give_back_cache": fragmented(others_bytes=2**30),
    "gradients_to_none": healthy(keeps_gradients=True, framework="plain"),
    "inference_mode": healthy(keeps_graph=True, mode="inference", framework="plain"),
    "kv_cache_limit": nearly_full(mode="generate", new_tokens=256),
    "learning_rate": healthy(
        config=TrainConfig(optimizer="adamw", micro_batch_size=256), documented=TrainConfig(optimizer="adamw")
    ),
    "loader_workers": waiting(0.3),
    "memory_cap": healthy(others_bytes=4 * 2**30),
    "micro_batch_down": nearly_full(),
    "micro_batch_up": predicted(
        free_mib=900,
        config=TrainConfig(micro_batch_size=16, gradient_accumulation_steps=4, optimizer="adam"),
        memory=evidences.MemoryFacts(50 * 2**20, 60 * 2**20),
        steps=evidences.StepFacts(100, 0.1),
    ),
    "other_gpu": nearly_full(platform=replace(evidences.PLATFORM, other_cards=(evidences.LINUX_IDLE_CARD,))),
    "pinned_memory": waiting(0.3),
    "power_limit": healthy(power_watts=390.0),
    "quantized_load": answering(Layers, free_mib=60),
    "smaller_generation_batch": answering(Convolutions, free_mib=26),
    "tf32": healthy(config=PLAIN_FP32),
    "throughput_knee": healthy(
        steps=evidences.StepFacts(200, 0.2, throughput_by_micro_batch={64: 1000.0, 32: 980.0}), config=TrainConfig()
    ),
}
"""For each tip the case that it is there for."""


@cache
def proposed(name: str) -> Proposal:
    """What the tip says in its own case."""
    proposal = TIPS.get(name).propose(SCENARIOS[name])
    assert proposal is not None, name
    return proposal


@pytest.fixture(params=TIPS.names())
def name(request: pytest.FixtureRequest) -> str:
    """Each tip of the family."""
    return str(request.param)


def test_every_tip_has_its_scenario() -> None:
    """A new tip is written into the list above."""
    assert set(SCENARIOS) == set(TIPS.names())


def test_a_member_is_a_tip(name: str) -> None:
    """``TIP`` is what the family says."""
    assert isinstance(TIPS.get(name), Tip)


def test_silent_on_a_healthy_run(name: str) -> None:
    """Whoever has nothing to mend hears nothing."""
    assert TIPS.get(name).propose(healthy()) is None


def test_silent_on_a_cpu(name: str) -> None:
    """Without a card nothing is said about one."""
    evidence = Evidence(TrainConfig(), "cpu")

    assert TIPS.get(name).propose(evidence) is None


def test_speaks_in_its_scenario(name: str) -> None:
    """In its own name, with a title and a reason."""
    proposal = proposed(name)

    assert proposal.tip == name
    assert proposal.title
    assert proposal.why


def test_the_change_makes_settings(name: str) -> None:
    """What would be applied is a configuration that a run can have."""
    proposal, evidence = proposed(name), SCENARIOS[name]

    assert evidence.with_change(**proposal.change) != evidence.config or not proposal.change


def test_what_a_click_changes_can_change_in_a_run(name: str) -> None:
    """Nothing is offered that the loop would refuse."""
    assert proposed(name).change.keys() <= CHANGEABLE


def test_there_is_something_to_do(name: str) -> None:
    """A click, or lines to copy."""
    proposal = proposed(name)

    assert proposal.change or proposal.code


def test_nothing_deprecated_is_emitted(name: str) -> None:
    """In no framework's lines."""
    proposal = proposed(name)
    code = proposal.code or code_for(proposal, SCENARIOS[name])

    assert code
    assert not [one.text for one in code if DEPRECATED.search(one.text)]


def test_weights_are_shares(name: str) -> None:
    """From 0 to 1."""
    assert 0 <= proposed(name).weight <= 1


def test_ranges_are_in_order(name: str) -> None:
    """Least, likely, most."""
    proposal = proposed(name)

    assert proposal.memory is None or (
        proposal.memory.least_bytes <= proposal.memory.after_bytes <= proposal.memory.most_bytes
    )
    assert proposal.speed is None or proposal.speed.least <= proposal.speed.most


def test_figures_of_speed_have_a_source(name: str) -> None:
    """Nobody published a number here."""
    speed = proposed(name).speed

    assert speed is None or len(speed.source) > len("measured")


def test_safe_tips_change_no_arithmetic(name: str) -> None:
    """``auto`` must not touch the numbers of a run."""
    proposal = proposed(name)

    assert not (proposal.safe and proposal.changes_arithmetic)


def test_what_changes_the_arithmetic_says_so(name: str) -> None:
    """In its costs."""
    proposal = proposed(name)

    assert not proposal.changes_arithmetic or proposal.costs
