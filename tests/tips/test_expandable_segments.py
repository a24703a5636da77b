"""Segments that grow: where pieces lie idle, and how the variable is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bigmodel_lab.tips.base import Evidence, MemoryFacts, Proposal
from bigmodel_lab.tips.expandable_segments import propose
from tests.tips.evidences import GIB, PLATFORM, fragmented, healthy, ran_out, with_config


def around(**facts: Any) -> Evidence:
    """A fragmented card of a process with this software."""
    return fragmented(platform=replace(PLATFORM, **facts))


def code(evidence: Evidence, framework: str) -> str:
    """Lines to copy."""
    proposal = propose(evidence)
    assert proposal is not None
    return next(one.text for one in proposal.code if one.framework == framework)


def proposed(evidence: Evidence) -> Proposal | None:
    """Short for a test's line."""
    return propose(evidence)


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_silent_where_the_driver_cannot_map_pages(system: str) -> None:
    """PyTorch has it on Linux."""
    assert propose(around(system=system)) is None


def test_silent_where_the_run_has_it() -> None:
    """By its settings."""
    assert propose(with_config(fragmented(), expandable_segments=True)) is None


@pytest.mark.parametrize("conf", ["expandable_segments:True", "max_split_size_mb:64, expandable_segments: True"])
def test_silent_where_the_process_has_it(conf: str) -> None:
    """By its environment."""
    assert propose(around(alloc_conf=conf)) is None


def test_speaks_where_the_environment_says_no() -> None:
    """And says yes instead."""
    assert "expandable_segments:True" in code(around(alloc_conf="expandable_segments:False"), "shell")


def test_silent_on_a_full_card_without_pieces() -> None:
    """Tensors fill it, so nothing would be won."""
    assert propose(healthy(memory=MemoryFacts(int(38.4 * GIB), int(38.5 * GIB)))) is None


def test_retries_are_enough() -> None:
    """What lay in the cache was in the wrong pieces, though at the peak little was idle."""
    assert propose(healthy(memory=MemoryFacts(30 * GIB, 32 * GIB, alloc_retries=4))) is not None


def test_an_out_of_memory_that_would_have_fitted_into_the_pieces() -> None:
    """3 GiB lay idle, and 2 were asked for."""
    full = ran_out(allocated_bytes=36 * GIB, reserved_bytes=39 * GIB, requested_bytes=2 * GIB)

    assert propose(healthy(memory=None, out_of_memory=full)) is not None


def test_silent_at_an_out_of_memory_that_would_not() -> None:
    """1 GiB lay idle, and 2 were asked for."""
    full = ran_out(allocated_bytes=38 * GIB, reserved_bytes=39 * GIB, requested_bytes=2 * GIB)

    assert propose(healthy(memory=None, out_of_memory=full)) is None


@pytest.mark.parametrize(("allocated", "speaks"), [(26, True), (38, False)])
def test_a_request_of_unknown_size(allocated: int, speaks: bool) -> None:
    """Goes by the share that lay idle."""
    full = ran_out(allocated_bytes=allocated * GIB, reserved_bytes=39 * GIB, requested_bytes=None)

    assert (proposed(healthy(memory=None, out_of_memory=full)) is not None) is speaks


def test_what_the_variable_says_already_is_said_again() -> None:
    """It is read as a whole."""
    lines = code(around(alloc_conf="max_split_size_mb:64"), "shell")

    assert 'PYTORCH_ALLOC_CONF="max_split_size_mb:64,expandable_segments:True"' in lines


def test_the_older_variable_is_taken_away() -> None:
    """It would win."""
    assert "unset PYTORCH_CUDA_ALLOC_CONF" in code(around(alloc_conf="max_split_size_mb:64"), "shell")


def test_nothing_is_taken_away_where_nothing_is_set() -> None:
    """One line is enough."""
    assert code(around(), "shell") == 'export PYTORCH_ALLOC_CONF="expandable_segments:True"'


@pytest.mark.parametrize(("torch", "name"), [((2, 9), "PYTORCH_CUDA_ALLOC_CONF"), ((2, 10), "PYTORCH_ALLOC_CONF")])
def test_the_variable_that_this_torch_reads(torch: tuple[int, int], name: str) -> None:
    """2.9 ignores the option in the new one."""
    assert code(around(torch=torch), "shell").startswith(f"export {name}=")


def test_python_lines_run() -> None:
    """As they stand, in an environment of their own."""
    import os
    from unittest.mock import patch

    with patch.dict(os.environ, {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}):
        exec(code(around(alloc_conf="max_split_size_mb:64"), "plain"), {})
        found = {name: os.environ.get(name) for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")}

    assert found == {
        "PYTORCH_ALLOC_CONF": "max_split_size_mb:64,expandable_segments:True",
        "PYTORCH_CUDA_ALLOC_CONF": None,
    }


@pytest.mark.parametrize(("torch", "simulated", "restart"), [((2, 13), False, False), ((2, 12), False, True)])
def test_in_a_running_process_where_torch_can(torch: tuple[int, int], simulated: bool, restart: bool) -> None:
    """Otherwise in a new one."""
    proposal = propose(replace(around(torch=torch), simulated=simulated))

    assert proposal is not None
    assert proposal.needs_restart is restart


def test_a_simulated_card_needs_a_new_run() -> None:
    """Its allocator cannot be changed while it is in use."""
    proposal = propose(replace(fragmented(), simulated=True))

    assert proposal is not None
    assert not proposal.can_apply
