"""Memory by category over a trace, and who holds it at a moment."""

from __future__ import annotations

import pytest

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Allocation, Mark, RequestTrace
from bigmodel_lab.memory.timeline import (
    blocks_at,
    by_category_at,
    by_module_at,
    folded,
    largest_at,
    largest_table,
    timeline,
)
from tests.memory.traces import MIB, Given, Writer, training_trace


@pytest.fixture(scope="module")
def step():
    """Two training steps and what the allocator made of them."""
    trace = training_trace()
    return trace, replay(trace)


def spiky(entries=20_000, at=(7_777,)):
    """A long trace of small temporaries, in which a few are large; its amounts are the requests."""
    to = Writer()
    steady = to.ask(MIB, "parameter")
    allocated = [MIB]
    for nth in range(entries // 2):
        size = 64 * MIB if nth in at else 512
        to.free(to.ask(size, "temporary" if nth % 2 else "activation"))
        allocated += [MIB + size, MIB]
    assert steady == 0
    return to.trace(), Given(tuple(allocated), tuple([100 * MIB] * len(allocated)))


def test_categories_add_up_to_what_is_allocated(step):
    """At every moment the sum over the categories is what the allocator counts, rounding included."""
    seen = timeline(*step)

    sums = [sum(at_once) for at_once in zip(*seen.by_category.values(), strict=True)]
    assert sums == list(seen.allocated) == list(step[1].allocated)


def test_rounding_counts_to_its_allocation():
    """One byte asked for takes a block of 512, and its category gets all of it."""
    trace = RequestTrace((Allocation(1, "gradient"), Allocation(513, "input")), (0, 1))

    assert by_category_at(trace, replay(trace), 1) == {"gradient": 512, "input": 1024}


def test_a_short_trace_keeps_every_moment(step):
    """Nothing is reduced that has room."""
    seen = timeline(*step, points=5000)

    assert seen.positions == tuple(range(len(step[0].sequence)))


def test_categories_stand_in_the_order_of_the_stack(step):
    """What stays longest comes first; what never occurs is left out."""
    assert list(timeline(*step).by_category) == [
        "parameter",
        "gradient",
        "optimizer_state",
        "activation",
        "input",
        "temporary",
    ]
    assert list(timeline(RequestTrace((Allocation(8, "input"),), (0,)), Given((512,), (2 * MIB,))).by_category) == [
        "input"
    ]


@pytest.mark.parametrize("points", [32, 100, 900])
def test_a_spike_survives_every_reduction(points):
    """One moment of 20,000 that is 64 MiB higher is drawn at its full height, however few moments there are."""
    trace, amounts = spiky()
    seen = timeline(trace, amounts, points)

    assert max(seen.allocated) == 65 * MIB == seen.peak_allocated_bytes
    assert len(seen.positions) <= points


def test_a_spike_of_one_category_survives():
    """A category's own highest and lowest stay, even where all together stays the same."""
    to = Writer()
    allocated = []
    weight = to.ask(MIB, "parameter")
    allocated.append(MIB)
    for nth in range(4000):
        if nth == 1234:  # for one moment an input takes the place of the parameters
            to.free(weight)
            brief = to.ask(MIB, "input")
            to.free(brief)
            weight = to.ask(MIB, "parameter")
            allocated += [0, MIB, 0, MIB]
        to.free(to.ask(512, "temporary"))
        allocated += [MIB + 512, MIB]
    seen = timeline(to.trace(), Given(tuple(allocated), tuple(allocated)), 64)

    assert max(seen.by_category["input"]) == MIB
    assert min(seen.by_category["parameter"][1:]) == 0


def test_every_moment_really_was():
    """No value is a mean: each kept moment has the amounts of its position."""
    trace, amounts = spiky(at=(10, 3000, 9999))
    seen = timeline(trace, amounts, 50)

    assert [amounts.allocated[position] for position in seen.positions] == list(seen.allocated)
    assert list(seen.positions) == sorted(set(seen.positions))


def test_the_ends_stay():
    """The first and the last moment are always drawn."""
    trace, amounts = spiky()
    seen = timeline(trace, amounts, 40)

    assert (seen.positions[0], seen.positions[-1]) == (0, len(amounts.allocated) - 1)


def test_the_peak_is_the_first_of_the_highest(step):
    """The position of the peak is that of the replay."""
    seen = timeline(*step)

    assert seen.peak_position == step[1].peak_position
    assert (seen.peak_allocated_bytes, seen.peak_reserved_bytes) == (
        step[1].peak_allocated_bytes,
        step[1].peak_reserved_bytes,
    )


def test_too_few_points_are_refused():
    """Fewer moments than lines could not show each peak."""
    with pytest.raises(ConfigError, match="at least 32"):
        timeline(*spiky(10), points=31)


def test_an_empty_trace_has_no_moment():
    """Nothing was asked for, nothing is shown, nothing fails."""
    seen = timeline(RequestTrace((), ()), Given((), ()))

    assert (seen.positions, seen.peak_position, seen.phases) == ((), -1, ())


def test_phases_go_from_mark_to_mark(step):
    """The spans of the phases follow each other without a gap to the end of the trace."""
    spans = timeline(*step).phases

    assert [(span.phase, span.step) for span in spans[:4]] == [
        ("load", -1),
        ("forward", 0),
        ("backward", 0),
        ("optimizer", 0),
    ]
    assert [span.stop for span in spans] == [*(span.start for span in spans[1:]), len(step[0].sequence)]


def test_the_peak_of_a_phase_is_exact():
    """The highest of a phase does not depend on the moments that are drawn."""
    trace, amounts = spiky()
    marked = RequestTrace(trace.allocations, trace.sequence, (Mark(0, "quiet", -1), Mark(15_000, "loud", 0)))

    quiet, loud = timeline(marked, amounts, 32).phases
    assert (quiet.peak_allocated_bytes, loud.peak_allocated_bytes) == (MIB + 512, 65 * MIB)


def test_a_phase_is_named_as_a_person_counts():
    """Steps are counted from 1; before the first there is no step."""
    load, forward = timeline(training_trace(layers=1), replay(training_trace(layers=1))).phases[:2]

    assert (load.label, forward.label) == ("load", "forward, step 1")


def test_the_phase_of_a_position(step):
    """Each position lies in one phase, one after the end in none."""
    seen = timeline(*step)

    assert seen.phase_at(0) is seen.phases[0]
    assert seen.phase_at(seen.phases[1].start) is seen.phases[1]
    assert seen.phase_at(seen.entries) is None


def test_a_mark_after_the_stop_is_left_out():
    """Where a request did not fit, the phases after it never came."""
    trace = RequestTrace((Allocation(8, "input"),) * 3, (0, 1, 2), (Mark(0, "forward", 0), Mark(2, "backward", 0)))
    seen = timeline(trace, Given((512, 1024), (MIB, MIB), stopped_at=2))

    assert [span.phase for span in seen.phases] == ["forward"]
    assert seen.stopped_at == 2


def test_modules_add_up_to_what_is_allocated(step):
    """By module, at any depth, the sum is what the allocator counts."""
    trace, amounts = step
    at = amounts.peak_position

    for depth in (None, 1, 2):
        assert sum(by_module_at(trace, amounts, at, depth).values()) == amounts.allocated[at]


def test_modules_are_folded_to_a_depth(step):
    """At depth 2 the parts of a block count to the block, at depth 1 all blocks are one."""
    trace, amounts = step

    assert set(by_module_at(trace, amounts, 5, 2)) == {"blocks.0", "blocks.1"}
    assert set(by_module_at(trace, amounts, 5, 1)) == {"blocks"}
    assert "blocks.0.up" in by_module_at(trace, amounts, 5)


def test_the_largest_module_comes_first(step):
    """Modules are ordered by their bytes."""
    held = list(by_module_at(*step, step[1].peak_position).values())

    assert held == sorted(held, reverse=True)


def test_what_no_module_made_has_no_name():
    """Outside every module stays apart at every depth."""
    assert not folded("", 2)


def test_blocks_before_everything_are_none(step):
    """At position -1 nothing is alive."""
    assert blocks_at(*step, -1) == {}


def test_the_largest_are_alive_and_in_order(step):
    """What was given back is not among the largest; sizes fall."""
    trace, amounts = step
    largest = largest_at(trace, amounts.peak_position)

    assert len(largest) == 10
    assert [one.bytes for one in largest] == sorted((one.bytes for one in largest), reverse=True)
    alive = blocks_at(trace, amounts, amounts.peak_position)
    assert all(one in [trace.allocations[number] for number in alive] for one in largest)


def test_what_was_freed_is_not_among_the_largest():
    """The largest of all time does not count once it is gone."""
    trace = RequestTrace((Allocation(9999, "temporary"), Allocation(8, "input")), (0, 1, ~0))

    assert [one.category for one in largest_at(trace, 2)] == ["input"]


def test_the_table_of_the_largest_tells_all_about_them(step):
    """Module, maker, shape, number format, size and category stand in a row; without a tensor there is a dash."""
    table = largest_table([step[0].allocations[0], Allocation(8519680, "temporary", maker="cublas.workspace")])

    assert table.rows[0] == ("blocks.0.up", "aten.uniform_", "256 × 256", "float32", "256 KiB", "parameters")
    assert table.rows[1] == ("–", "cublas.workspace", "–", "–", "8.12 MiB", "temporary")
