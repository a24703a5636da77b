"""What holds for the pictures of every trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SVG, areas, hovers, tree

from bigmodel_lab.memory.replay import replay
from bigmodel_lab.memory.timeline import by_category_at
from bigmodel_lab.widgets import draw_allocator_map, draw_timeline
from bigmodel_lab.widgets._memory_timeline import _PLOT
from tests.memory.traces import MIB, random_traces

quick = settings(max_examples=20, deadline=None)
NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


def class_widths(picture):
    """Pixels of all boxes by the class of their colour."""
    sums = {}
    for group in tree(picture).iter(f"{SVG}g"):
        if group.get("class"):
            sums[group.get("class")] = sum(float(r.get("width")) for r in group.iter(f"{SVG}rect"))
    return sums


@given(random_traces(), st.sampled_from([None, MIB, 64 * MIB, 2**40]))
@quick
def test_a_timeline_never_leaves_its_place(trace, capacity):
    """Whatever the trace and the capacity, all areas lie within the axes and all texts within the picture."""
    picture = draw_timeline(trace, replay(trace), capacity_bytes=capacity, card="T4")

    for _, path in areas(picture):
        assert all(_PLOT.left - 0.1 <= x <= _PLOT.left + _PLOT.width + 0.1 for x, _ in path)
        assert all(_PLOT.top - 0.1 <= y <= _PLOT.top + _PLOT.height + 0.1 for _, y in path)
    for element in tree(picture).iter(f"{SVG}text"):
        assert 0 <= float(element.get("x")) <= 960
        assert 0 <= float(element.get("y")) <= picture.height


@given(random_traces())
@quick
def test_each_category_has_one_area(trace):
    """As many areas as categories occur, those behind never lower than those before them."""
    played = replay(trace)
    found = [min(y for _, y in path) for _, path in areas(draw_timeline(trace, played))]

    assert len(found) == len({allocation.category for allocation in trace.allocations})
    assert found == sorted(found)


@given(random_traces())
@quick
def test_a_map_has_what_is_in_use(trace):
    """Of one pool the widths of the colours stand to each other as the bytes of the categories."""
    trace = replace(trace, allocations=tuple(replace(a, bytes=a.bytes + 2 * MIB) for a in trace.allocations))
    played = replay(trace)
    held = by_category_at(trace, played, len(trace.sequence) - 1)
    widths = class_widths(draw_allocator_map(played.allocator.segments(), trace))
    used = {name: width for name, width in widths.items() if name != "f"}
    per_byte = sum(used.values()) / max(sum(held.values()), 1)

    assert sorted(used.values()) == pytest.approx(sorted(size * per_byte for size in held.values()), abs=1.5)


@given(random_traces(longest=20), NAMES, NAMES)
@quick
def test_no_name_breaks_a_picture(trace, module, maker):
    """Any letters in names end up as text, and the document stays well-formed."""
    named = replace(
        trace, allocations=tuple(replace(a, bytes=3 * MIB, module=module, maker=maker) for a in trace.allocations)
    )
    played = replay(named, until=1)
    picture = draw_allocator_map(played.allocator.segments(), named, title=module)

    assert any(words.startswith("\n".join(filter(None, [module, maker]))) for words in hovers(picture))
    assert tree(draw_timeline(named, played, title=maker, card=module, capacity_bytes=MIB)).tag == f"{SVG}svg"
