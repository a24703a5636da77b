"""The memory timeline as a picture."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from pictures import areas, hovers, texts, tree

from bigmodel_lab.memory.categories import SHOWN
from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.requests import Allocation, RequestTrace
from bigmodel_lab.memory.snapshot import read_snapshot
from bigmodel_lab.memory.timeline import timeline
from bigmodel_lab.units import format_bytes
from bigmodel_lab.widgets._memory_timeline import _PLOT, _apart, draw_timeline
from tests.memory.snapshots import snapshot_of
from tests.memory.traces import MIB, Given, training_trace

GROUND = _PLOT.top + _PLOT.height


@pytest.fixture(scope="module")
def step():
    """Two training steps and what the allocator made of them."""
    trace = training_trace()
    return trace, replay(trace)


@pytest.fixture(scope="module")
def drawn(step):
    """Its picture, with the capacity of a small card."""
    return draw_timeline(*step, capacity_bytes=24 * MIB, card="Tiny")


def bytes_at(picture, highest):
    """Bytes that one pixel of height stands for: the plot is 4 % higher than its highest line."""
    assert picture.height > 0
    return highest * 1.04 / _PLOT.height


def test_the_stack_is_as_high_as_what_is_allocated(step, drawn):
    """The area at the back reaches the allocated bytes of the peak, those before it the sums of fewer categories."""
    per_pixel = bytes_at(drawn, 24 * MIB)
    heights = [(GROUND - min(y for _, y in path)) * per_pixel for _, path in areas(drawn)]

    assert heights[0] == pytest.approx(step[1].peak_allocated_bytes, abs=0.2 * per_pixel)
    assert heights == sorted(heights, reverse=True)


def test_each_area_is_the_sum_of_those_below_it(step, drawn):
    """The highest of the area of parameters and gradients is the highest of their sum."""
    seen = timeline(*step)
    per_pixel = bytes_at(drawn, 24 * MIB)
    front = {kind: (GROUND - min(y for _, y in path)) * per_pixel for kind, path in areas(drawn)}
    sums = [0] * len(seen.positions)

    for category, amounts in seen.by_category.items():
        sums = [a + b for a, b in zip(sums, amounts, strict=True)]
        assert front[f"k{SHOWN.index(category)}"] == pytest.approx(max(sums), abs=0.2 * per_pixel)


def test_nothing_leaves_the_plot(drawn):
    """Every corner of every area lies within the axes."""
    for _, path in areas(drawn):
        assert all(_PLOT.left <= x <= _PLOT.left + _PLOT.width for x, _ in path)
        assert all(_PLOT.top <= y <= GROUND for _, y in path)


def test_a_spike_is_drawn():
    """One moment of 40,000 reaches its height on the picture."""
    allocations = (*(Allocation(512, "temporary"),) * 20_000, Allocation(64 * MIB, "activation"))
    sequence = [place for number in range(20_000) for place in (number, ~number)]
    sequence[12_344:12_344] = [20_000, ~20_000]
    trace = RequestTrace(allocations, tuple(sequence))
    picture = draw_timeline(trace, replay(trace))

    highest = max(GROUND - min(y for _, y in path) for _, path in areas(picture))
    assert highest * bytes_at(picture, 66 * MIB) == pytest.approx(64 * MIB, rel=0.002)  # 2 MiB more are reserved
    assert len(picture.html()) < 120_000


def test_phases_and_steps_are_marked(drawn):
    """Each phase has its name above the plot, each step its number, counted from 1."""
    assert {"load", "forward", "backward", "optimizer", "step 1", "step 2"} <= set(texts(drawn))


def test_a_phase_tells_its_highest(step, drawn):
    """Hovering over a phase says what was allocated and reserved at most in it."""
    span = timeline(*step).phases[1]
    (said,) = [words for words in hovers(drawn) if words.startswith("forward, step 1\nhighest")]

    assert said.endswith(
        f"{format_bytes(span.peak_allocated_bytes)} allocated, {format_bytes(span.peak_reserved_bytes)} reserved"
    )


def test_the_peak_is_named(step, drawn):
    """Its size, phase and step stand above the plot, and its size again at its height."""
    peak = format_bytes(step[1].peak_allocated_bytes)

    assert f"peak {peak} allocated · optimizer, step 1" in texts(drawn)
    assert f"{peak} allocated" in texts(drawn)


def test_hovering_tells_the_moment(step, drawn):
    """A stretch tells its highest moment: phase, amounts, categories by size."""
    played = step[1]
    said = [words for words in hovers(drawn) if f"{format_bytes(played.peak_allocated_bytes)} allocated," in words]
    (peak,) = [words for words in said if words.startswith("optimizer, step 1, after")]

    lines = peak.splitlines()
    assert f"{format_bytes(played.reserved[played.peak_position])} reserved" in lines[1]
    assert lines[2].startswith("optimizer state: ")


def test_the_hovering_stretches_cover_the_plot(drawn):
    """The mouse finds something wherever it is over the plot."""
    rects = [e for e in tree(drawn).iter("{http://www.w3.org/2000/svg}rect") if e.get("class") == "h"]

    assert len(rects) <= 120
    assert sum(float(e.get("width")) for e in rects) == pytest.approx(_PLOT.width, rel=0.01)


def test_the_capacity_is_a_line(drawn):
    """The card's capacity has its line and its name, where it is in sight."""
    assert "Tiny: 24 MiB usable" in texts(drawn)
    assert 'stroke-dasharray="7 4"' in drawn.body


def test_a_capacity_far_above_does_not_flatten_the_picture(step):
    """A large card is named with an arrow, and the plot stays as high as what happens."""
    picture = draw_timeline(*step, capacity_bytes=80 * 2**30, card="A100-80")

    assert "↑ A100-80: 80 GiB usable" in texts(picture)
    assert 'stroke-dasharray="7 4"' not in picture.body


def test_a_capacity_without_a_name_is_shown_too(step):
    """The number alone is enough."""
    assert "24 MiB usable" in texts(draw_timeline(*step, capacity_bytes=24 * MIB))


def test_a_long_name_of_a_card_leaves_room(step):
    """A name that would leave the picture is not written, its capacity is."""
    said = texts(draw_timeline(*step, capacity_bytes=24 * MIB, card="RTX PRO 6000 Blackwell"))

    assert "24 MiB usable" in said


def test_without_a_capacity_there_is_no_line(step):
    """Nothing is said of a card that nobody named."""
    assert "usable" not in " ".join(texts(draw_timeline(*step)))


def test_a_request_that_did_not_fit_is_marked():
    """Where the program stopped stands a line that says why."""
    trace = RequestTrace((Allocation(MIB, "input"), Allocation(MIB, "activation")), (0, 1))
    picture = draw_timeline(trace, Given((MIB,), (2 * MIB,), stopped_at=1))

    assert "Here a request did not fit." in hovers(picture)


def test_the_legend_tells_the_peak(step, drawn):
    """Each category has its bytes and share at the peak, and its meaning for the mouse."""
    assert any(re.fullmatch(r"parameters 2\.01 MiB \([\d.]+ %\)", words) for words in texts(drawn))
    assert "What the optimizer keeps from step to step." in hovers(drawn)


def test_the_table_has_a_row_a_phase(step, drawn):
    """As text the picture is a table of its phases, the whole at the end."""
    assert [row[0] for row in drawn.table.rows[:2]] == ["load", "forward, step 1"]
    assert drawn.table.rows[-1] == (
        "all",
        format_bytes(step[1].peak_allocated_bytes),
        format_bytes(step[1].peak_reserved_bytes),
    )


def test_it_is_described_in_words(drawn):
    """The description has the peak and its categories."""
    assert re.search(r"; peak [\d.]+ MiB allocated · optimizer, step 1: parameters 2\.01 MiB, ", drawn.description)


def test_it_is_called_simulated(step):
    """A replay is a simulation; a recording tells its card."""
    assert "simulated" in texts(draw_timeline(*step))
    assert "recorded on Tesla T4" in texts(draw_timeline(*step, recorded_on="Tesla T4"))


def test_a_recorded_snapshot_is_drawn(step):
    """The same renderer draws a real snapshot; without call stacks everything is of an unknown kind."""
    seen = read_snapshot(snapshot_of(step[0], recorded_from=20), card="Tesla T4")
    picture = draw_timeline(seen.trace, seen, recorded_on=seen.card)

    assert any(words.startswith("not recorded ") for words in texts(picture))
    assert "recorded on Tesla T4" in texts(picture)


def test_names_cannot_break_out(step):
    """A title or a card with markup is shown as text."""
    picture = draw_timeline(*step, title="<b>&", capacity_bytes=24 * MIB, card="<i>")

    assert "<b>&" in texts(picture)
    assert "<i>: 24 MiB usable" in texts(picture)


def test_an_empty_trace_is_said():
    """Where nothing happened, one line says so."""
    picture = draw_timeline(RequestTrace((), ()), Given((), ()))

    assert "Nothing was allocated." in texts(picture)


def test_labels_never_lie_on_each_other():
    """Three lines at almost one height have three names below each other, all within the plot."""
    heights = _apart([GROUND - 2, GROUND - 1, GROUND])

    assert all(b - a >= 15 for a, b in pairwise(heights))
    assert _PLOT.top <= min(heights)
    assert max(heights) <= GROUND
