"""When batches shall be pinned."""

from __future__ import annotations

from dataclasses import replace

from bigmodel_lab.tips._advisor import advise
from bigmodel_lab.tips.pinned_memory import propose
from tests.tips.evidences import waiting


def test_silent_where_the_loader_pins() -> None:
    """Nothing is left to do."""
    assert propose(waiting(0.3, pins_memory=True)) is None


def test_silent_on_a_mac() -> None:
    """Pinned memory is CUDA's."""
    assert propose(replace(waiting(0.3), accelerator="mps", card=None)) is None


def test_silent_where_nothing_is_known_of_the_loader() -> None:
    """``fit`` has none."""
    assert propose(replace(waiting(0.3), loader=None)) is None


def test_the_loader_does_it_and_not_the_person() -> None:
    """By hand it can be slower, and the card says so."""
    proposal = propose(waiting(0.3))

    assert proposal is not None
    assert ".pin_memory()" not in "".join(one.text for one in proposal.code)
    assert any("by hand can be twice as slow" in cost for cost in proposal.costs)


def test_tells_how_long_a_step_waits() -> None:
    """The reason for it."""
    proposal = propose(waiting(0.05))

    assert proposal is not None
    assert "waits 5 % of its time" in proposal.why


def test_its_own_lines_begin_with_the_persons_framework() -> None:
    """As all others do when advice is asked for."""
    given = {one.tip: one for one in advise(replace(waiting(0.3), framework="lightning"))}

    assert given["pinned_memory"].code[0].framework == "lightning"
