"""``advise`` in words: a table, details, JSON, and the same in a terminal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import bigmodel_lab as lab
from bigmodel_lab.api._advice import Advice
from bigmodel_lab.api._control import control
from bigmodel_lab.api._tip_cards import card_data, predicted_lines, predicted_shortly
from bigmodel_lab.cli import main
from bigmodel_lab.errors import ConfigError, UnknownNameError
from bigmodel_lab.tips.base import Code, MemoryEffect, Proposal, SpeedEffect

MIB = 2**20
BF16 = Proposal(
    "bf16",
    "memory",
    "Mixed precision: bf16",
    "The run computes in fp32.",
    change={"precision": "bf16"},
    memory=MemoryEffect(100 * MIB, 60 * MIB, 57 * MIB, 63 * MIB),
    speed=SpeedEffect(0.5, 1.0, "a publication"),
    costs=("Changes the arithmetic.",),
    changes_arithmetic=True,
    code=(Code("plain", "with torch.autocast(…):", in_mid_run=True),),
)
WORKERS = Proposal("loader_workers", "speed", "Workers 0 → 7", "A step waits.", code=BF16.code)
RESTART = replace(BF16, tip="eight_bit_optimizer", change={}, needs_restart=True)


@pytest.fixture
def advice() -> Advice:
    """Two tips."""
    return Advice((BF16, WORKERS), "Tips for mlp", simulated=True)


@pytest.fixture(scope="module")
def estimate() -> lab.MemoryEstimate:
    """A step that a small card cannot hold."""
    batch = (torch.empty(4096, 784, device="meta"), torch.empty(4096, dtype=torch.int64, device="meta"))
    model = nn.Sequential(*(nn.Linear(784, 784) for _ in range(30)))
    return lab.estimate_memory(model, batch, loss=nn.functional.cross_entropy, optimizer="adam", gpu="900MiB")


def test_the_table_has_a_row_a_tip(advice: Advice) -> None:
    """Name, what, expected, how."""
    rows = advice.table().rows

    assert rows[0] == ("bf16", "Mixed precision: bf16", "100 MiB → 60 MiB, time × 0.5 – 1", "by a click")
    assert rows[1][2:] == ("–", "by hand")


def test_what_needs_a_new_run_says_so() -> None:
    """No click can do it."""
    assert Advice((RESTART,), "x").table().rows[0][3] == "in a new run"


def test_a_tip_is_found_by_name_and_by_place(advice: Advice) -> None:
    """As a list and as a dict."""
    assert advice["bf16"] is advice[0]
    assert len(advice) == len(list(advice)) == 2


def test_a_tip_that_was_not_given_names_those_that_were(advice: Advice) -> None:
    """With the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'bf16'"):
        advice["bf"]


def test_details_tell_reasons_costs_and_code(advice: Advice) -> None:
    """Everything, as text."""
    details = advice.details()

    assert "The run computes in fp32." in details
    assert "Changes the arithmetic." in details
    assert "Loop of your own:\n    with torch.autocast(…):" in details


def test_a_notebook_shows_the_table_and_folds_the_rest(advice: Advice) -> None:
    """Without colours of its own."""
    html = advice._repr_html_()

    assert html.count("<details>") == 2
    assert "color:inherit" in html


def test_without_a_tip_it_says_so() -> None:
    """In text and in HTML."""
    nothing = Advice((), "Tips for mlp")

    assert "nothing to improve" in str(nothing)
    assert "nothing to improve" in nothing._repr_html_()


def test_as_json_it_can_be_written(advice: Advice) -> None:
    """Plain values, and that they are simulated."""
    written = json.loads(json.dumps(advice.as_json()))

    assert [one["tip"] for one in written] == ["bf16", "loader_workers"]
    assert written[0]["simulated"] is True


def test_a_card_has_all_that_the_dashboard_shows() -> None:
    """By the keys that it reads."""
    card = card_data(BF16, simulated=False)

    assert (card["can_apply"], card["restart"], card["goal"]) == (True, False, "memory")
    assert card["code"] == [{"framework": "Loop of your own", "text": "with torch.autocast(…):", "in_mid_run": True}]


def test_an_effect_that_is_none_is_not_told() -> None:
    """A peak that moves by a thousandth stays as it is."""
    same = replace(BF16, memory=MemoryEffect(1000 * MIB, 999 * MIB, 950 * MIB, 1050 * MIB), speed=None)

    assert (predicted_lines(same), predicted_shortly(same)) == ([], "–")


def test_an_estimate_is_advised(estimate: lab.MemoryEstimate) -> None:
    """What makes it fit comes first."""
    advice = lab.advise(estimate)

    assert advice[0].tip == "micro_batch_down"
    assert advice[0].memory.after_bytes < estimate.peak_allocated_bytes


def test_what_the_first_tip_proposes_fits(estimate: lab.MemoryEstimate) -> None:
    """By the estimate itself."""
    change = dict(lab.advise(estimate)["micro_batch_down"].change)
    del change["samples_per_step"]

    assert estimate.card is not None
    assert estimate.again(**change).reserved_range[1] <= estimate.card.usable_bytes()


def test_the_terminal_advises_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """A table."""
    assert main(["advise", "mlp", "--gpu", "T4"]) == 0
    assert "fp16" in capsys.readouterr().out


def test_the_terminal_prints_details_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As asked for."""
    main(["advise", "mlp", "--gpu", "T4", "--json"])
    written = json.loads(capsys.readouterr().out)
    main(["advise", "mlp", "--gpu", "T4", "--details"])

    assert "fp16" in [one["tip"] for one in written]
    assert "GradScaler" in capsys.readouterr().out


def test_the_terminal_advises_a_recorded_run(capsys: pytest.CaptureFixture[str]) -> None:
    """By its file."""
    run = lab.fit("mlp", max_steps=6, device="virtual:2GiB")
    main(["advise", str(run.path)])

    assert "bf16" in capsys.readouterr().out


def test_a_tip_is_applied_from_a_terminal() -> None:
    """The command reaches a run in the background."""
    run = lab.fit("mlp", epochs=2000, device="virtual:2GiB", background=True)
    run.tips()
    control("apply", str(run.path), "bf16")
    record = run.apply("fused_optimizer", timeout=60)
    run.stop()
    run.wait()

    assert record.state in {"kept", "inconclusive"}
    assert "bf16" in [p.tip for p in run.proposals() if p.state in {"kept", "reverted", "inconclusive"}]


def test_the_terminal_asks_which_tip() -> None:
    """Before it looks for a run."""
    with pytest.raises(ConfigError, match="--tip"):
        control("apply")


def test_a_run_that_has_ended_applies_nothing() -> None:
    """The error says what to do."""
    run = lab.fit("mlp", max_steps=2, device="virtual:2GiB")
    with pytest.raises(ConfigError, match="settings change no more"):
        run.apply("bf16")


def test_a_tip_that_was_not_proposed_is_named() -> None:
    """At once, not in the record alone."""
    run = lab.fit("mlp", epochs=2000, device="virtual:2GiB", background=True)
    with pytest.raises(UnknownNameError, match="proposal"):
        run.apply("faster", timeout=60)
    run.stop()
    run.wait()


def test_the_history_tells_predicted_and_measured() -> None:
    """Side by side, from the file."""
    run = lab.fit("mlp", epochs=2000, device="virtual:2GiB", precision="fp32", background=True)
    run.tips()
    run.apply("bf16", timeout=60)
    run.stop()
    run.wait()
    row = next(row for row in lab.open_run(run.path).tip_history().rows if "bf16" in row[0])

    assert row[2].startswith(("peak memory", "step time"))
    assert "control band" in row[3]
