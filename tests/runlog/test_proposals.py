"""Proposals in the run file: what was proposed, what became of it."""

import pytest

from bigmodel_lab.errors import UnknownNameError
from bigmodel_lab.runlog import RunLog, RunReader, Status

DATA = {"title": "Mixed precision: bf16", "predicted": ["peak memory 2 GiB → 1 GiB"]}


def test_a_proposal_is_there_at_once(log):
    """With its number, in the state in which it begins."""
    number = log.propose("bf16", DATA)

    (found,) = log.proposals()
    assert (found.id, found.tip, found.state, found.data) == (number, "bf16", "proposed", DATA)


def test_what_became_of_it_comes_to_what_is_known(log):
    """Other data stays."""
    number = log.propose("bf16", DATA)
    log.update_proposal(number, "kept", measured=["step time 2 s → 1 s"])

    (found,) = log.proposals()
    assert (found.state, found.data) == ("kept", {**DATA, "measured": ["step time 2 s → 1 s"]})


def test_it_reaches_the_file_in_its_latest_state(log):
    """One row a proposal."""
    first, second = log.propose("bf16", DATA), log.propose("tf32", {})
    log.flush()
    log.update_proposal(first, "undone")
    log.flush()

    assert [(p.id, p.state) for p in RunReader(log.path).proposals()] == [(first, "undone"), (second, "proposed")]


def test_a_reopened_run_goes_on_counting(log):
    """What was proposed before is still known."""
    log.propose("bf16", DATA)
    log.close(Status.STOPPED)
    again = RunLog.reopen(log.path)
    number = again.propose("tf32", {})
    again.close(Status.STOPPED)

    assert (number, [p.tip for p in RunReader(log.path).proposals()]) == (2, ["bf16", "tf32"])


def test_a_number_that_is_none_is_refused(log):
    """With those that exist."""
    with pytest.raises(UnknownNameError, match="proposal"):
        log.update_proposal(7, "kept")


def test_a_state_that_is_none_is_refused(log):
    """With those that exist."""
    number = log.propose("bf16", DATA)
    with pytest.raises(UnknownNameError, match="inconclusive"):
        log.update_proposal(number, "liked")
