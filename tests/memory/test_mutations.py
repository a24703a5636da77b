"""Every rule of the allocator is held by a recording: a broken one is noticed."""

from __future__ import annotations

from functools import cache

import pytest

from bigmodel_lab.memory.comparison import compare
from bigmodel_lab.memory.recording import Recording, read_recording
from tests.memory.mutations import MUTATIONS, Mutation
from tests.memory.recorded import recorded_files


@cache
def recordings() -> tuple[Recording, ...]:
    """The shortest first, each with its beginning, so that no broken rule touches how that is told."""
    read = [read_recording(path) for path in recorded_files()]
    return tuple(sorted((made for made in read if made.beginning is not None), key=lambda made: len(made.events)))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_each_broken_rule_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one recording at least; test_comparison.py says that none differs while no rule is broken."""
    made = recordings()
    mutation.change(monkeypatch)

    assert not all(compare(recording).is_exact for recording in made)
