"""Cards of tips and what ran out of memory, as every view shows them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FULL, FakeRun

from bigmodel_lab.memory.categories import SHADES, SHOWN
from bigmodel_lab.runlog.base import Status
from bigmodel_lab.widgets._state import StateReader
from bigmodel_lab.widgets._strings import TIP_STATE
from bigmodel_lab.widgets._tips import cards, held, held_line, top_lines

STYLE = Path(__file__).parents[2] / "labextension" / "style" / "dashboard.css"


def proposed(*tips, **data):
    """A run to which these tips were proposed."""
    run = FakeRun()
    for tip in tips:
        run.propose(tip, **data)
    return run


def full(status=Status.PAUSED, **changes):
    """What is told of a step that ran out of memory; keyword arguments replace its facts."""
    run = FakeRun(status=status)
    run.happen("out_of_memory", 1, **{**FULL, **changes})
    return held(StateReader(run).read())


def test_a_card_holds_what_the_proposal_says():
    """With its number, its name and its state."""
    run = proposed("bf16", why="because", predicted=["half"], can_apply=True)

    (card,) = cards(run.proposals())
    assert {key: card[key] for key in ("id", "tip", "state", "title", "why", "predicted", "can_apply")} == {
        "id": 1,
        "tip": "bf16",
        "state": "proposed",
        "title": "BF16",
        "why": "because",
        "predicted": ["half"],
        "can_apply": True,
    }


def test_a_part_that_a_proposal_lacks_is_empty():
    """Nothing was measured yet, so nothing can be undone."""
    (card,) = cards(proposed("bf16").proposals())

    assert (card["measured"], card["verdict"], card["can_undo"]) == ([], "", False)


def test_what_was_withdrawn_has_no_card():
    """The advice of now counts."""
    run = proposed("bf16", "tf32")
    run.settle(1, "withdrawn")

    assert [card["tip"] for card in cards(run.proposals())] == ["tf32"]


def test_cards_come_in_the_order_of_their_numbers():
    """The most useful tip of an advice was proposed first."""
    records = proposed("bf16", "tf32", "fused").proposals()

    assert [card["id"] for card in cards(reversed(records))] == [1, 2, 3]


@pytest.mark.parametrize("state", ["reverted", "undone"])
def test_what_was_taken_back_makes_room_for_a_newer_proposal(state):
    """The same tip does not stand there twice."""
    run = proposed("bf16", "bf16")
    run.settle(1, state)

    assert [card["id"] for card in cards(run.proposals())] == [2]


def test_what_is_kept_stays_beside_a_newer_proposal():
    """A second smaller micro-batch can be applied, and the first be undone."""
    run = proposed("micro_batch_down", "micro_batch_down")
    run.settle(1, "kept", can_undo=True)

    assert [card["id"] for card in cards(run.proposals())] == [1, 2]


def test_every_state_that_is_shown_has_a_word():
    """And no two have the same."""
    words = [str(word) for word in TIP_STATE.values()]

    assert len(set(words)) == len(words) == 6


def test_the_first_lines_show_measured_numbers_where_there_are_some():
    """What was kept says so; what was taken back is left out."""
    run = proposed("bf16", "tf32", "fused", predicted=["half of it"])
    run.settle(1, "kept", measured=["2 s → 1 s"])
    run.settle(2, "reverted")

    assert top_lines(run.proposals()) == [("BF16 (kept)", "2 s → 1 s"), ("FUSED", "half of it")]


def test_what_ran_out_says_where():
    """Steps count from one for a person."""
    assert full()["title"] == "Out of GPU memory at step 4, backward pass"


def test_what_is_told_is_json():
    """The browser gets it as it is."""
    assert json.loads(json.dumps(full())) == full()


def test_sizes_are_ready_to_be_shown():
    """The browser formats nothing."""
    assert full()["facts"][0] == ["Asked for", "2 GiB"]


def test_a_size_that_nobody_knows_is_left_out():
    """Errors of cuBLAS do not say what was asked for."""
    assert next(label for label, _ in full(requested_bytes=None)["facts"]) == "In use by tensors"


def test_categories_are_stacked_as_in_every_picture():
    """Parameters lie lowest, whatever the order of the event; shares are of their sum."""
    found = [(one["name"], one["share"], one["text"]) for one in full()["categories"]]

    assert found == [("parameter", 0.25, "3 GiB (25 %)"), ("activation", 0.75, "9 GiB (75 %)")]


def test_a_category_of_somebodys_own_keeps_its_name():
    """It is coloured as one that pictures do not know."""
    (found,) = full(by_category={"kv_cache": 5})["categories"]

    assert (found["label"], found["name"]) == ("kv_cache", "unknown")


def test_without_categories_there_is_no_bar():
    """Nothing is drawn of what is not known."""
    assert full(by_category={})["categories"] == []


@pytest.mark.parametrize(
    ("facts", "begins"),
    [
        ({}, "The step waits"),
        ({"waits": False, "action": "shrink"}, "The step is made again with a smaller micro-batch"),
        ({"waits": False, "action": "raise"}, "The run ends with the original error"),
        ({"sentence": "It waits for Ada."}, "It waits for Ada."),
    ],
)
def test_it_says_what_becomes_of_the_step(facts, begins):
    """In the words of the event where it has some."""
    assert full(**facts)["sentence"].startswith(begins)


def test_a_run_that_has_ended_waits_for_nobody():
    """A process that was killed while its step waited."""
    found = full(Status.LOST)

    assert (found["waits"], found["sentence"]) == (False, "The run has ended since.")


def test_nothing_is_told_while_all_fits():
    """A run without such an event."""
    assert held(StateReader(FakeRun()).read()) is None


def test_only_a_waiting_step_has_a_line():
    """A step that is made again by itself needs nobody's attention."""
    state = replace(StateReader(FakeRun()).read(), out_of_memory={**FULL, "waits": False})

    assert held_line(state) == ""


@pytest.mark.parametrize(("side", "block"), [("light", 0), ("dark", 1)])
def test_the_bar_has_the_colours_of_the_other_pictures(side, block):
    """One colour a category, wherever memory is drawn."""
    found = re.findall(r"--bml-kind-(\w+): (#\w+);", STYLE.read_text("utf-8"))

    assert found[block * len(SHOWN) : (block + 1) * len(SHOWN)] == [(n, getattr(SHADES[n], side)) for n in SHOWN]
