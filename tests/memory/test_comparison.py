"""Recorded allocators, event by event: every segment in order, size and address.

The files of tests/recordings/ prove the simulated allocator; what the simulated allocator itself recorded proves the
comparison.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bigmodel_lab.errors import OutOfDeviceMemory
from bigmodel_lab.memory.allocator import CachingAllocator, TraceEntry
from bigmodel_lab.memory.comparison import Comparison, compare
from bigmodel_lab.memory.recording import Recording, read_recording
from bigmodel_lab.memory.settings import AllocatorSettings
from tests.memory.recorded import recorded_files, simulated

CONFS = (
    "",
    "max_split_size_mb:64",
    "expandable_segments:True",
    "roundup_power2_divisions:4",
    "garbage_collection_threshold:0.2,per_process_memory_fraction:0.7",
)


@pytest.fixture(
    scope="module",
    params=[*recorded_files(), *CONFS],
    ids=lambda source: source.name if isinstance(source, Path) else source,
)
def recording(request: pytest.FixtureRequest) -> Recording:
    """Each file of tests/recordings, and simulated sessions under several settings."""
    return read_recording(request.param) if isinstance(request.param, Path) else simulated(request.param)


@pytest.fixture(scope="module")
def compared(recording: Recording) -> Comparison:
    """The recording beside the simulated allocator."""
    return compare(recording)


def test_every_event_is_reproduced(compared):
    """Every segment_alloc, segment_free, segment_map, segment_unmap, every alloc's address, and each failure."""
    assert (compared.position, compared.recorded, compared.simulated) == (None, None, None)
    assert compared.is_exact


def test_what_is_held_in_the_end_is_reproduced(recording, compared):
    """Every segment and every block: length, request, state. Simulated sessions did not keep it."""
    held = tuple(
        replace(segment, blocks=tuple(replace(block, owner=None) for block in segment.blocks))
        for segment in compared.allocator.segments()
    )

    assert held == (held if recording.end is None else recording.end)


def test_peaks_are_reproduced(recording, compared):
    """Reserved bytes exactly, and what every counter that was recorded says in the end."""
    allocator = compared.allocator
    counted = {n: v for n, v in recording.stats.items() if n.endswith(".current") and "private" not in n}

    assert allocator.peak_reserved_bytes == recording.peak_reserved_bytes
    assert {name: allocator.stats()[name] for name in counted} == counted


def test_recordings_of_real_cards_and_of_an_emulated_one_are_there():
    """Real ones name where they come from and under which licence; emulated ones say so."""
    made = {path.name: read_recording(path) for path in recorded_files()}
    others = [recording for recording in made.values() if recording.source]

    assert len(others) >= 7
    assert all(recording.license == "MIT" for recording in others)
    assert all(made[name].card.startswith("emulated") for name in made if name.startswith("emulated"))
    assert sum(name.startswith("emulated") for name in made) >= 17


def test_every_file_holds_what_was_there_in_the_end():
    """Else its beginning would not be known, and the comparison would end with the last event."""
    assert all(read_recording(path).end is not None for path in recorded_files())


@pytest.mark.parametrize("conf", CONFS)
def test_every_counter_is_reproduced(conf):
    """Of a simulated session all of them; a card's own peaks and sums may be older than its recording."""
    made = simulated(conf)
    uncertain = {"num_alloc_retries", "num_sync_all_streams"}  # a retry and a call of empty_cache look the same
    counted = {name: value for name, value in made.stats.items() if name not in uncertain}
    stats = compare(made).allocator.stats()

    assert {name: stats[name] for name in counted} == counted


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("conf", CONFS)
def test_it_holds_for_other_sessions(conf, seed):
    """Other requests, other addresses."""
    assert compare(simulated(conf, seed, requests=150)).is_exact


def test_simulated_sessions_hold_what_is_to_be_compared():
    """Retries, failures, other streams, frees that complete later: else the tests above would prove little."""
    events = simulated().events
    seen = {event.action for event in events}
    pairs = [(left.action, right.action) for left, right in pairwise(events)]

    assert {"segment_alloc", "segment_free", "oom"} <= seen
    assert ("free_requested", "alloc") in pairs
    assert ("segment_free", "segment_alloc") in pairs
    assert {event.stream for event in events} == {0, 1}


def changed(recording: Recording, place: int, **values: object) -> Recording:
    """With one event altered."""
    events = list(recording.events)
    events[place] = events[place]._replace(**values)
    return replace(recording, events=tuple(events))


def place_of(recording: Recording, action: str) -> int:
    """Of the first event of this kind."""
    return [event.action for event in recording.events].index(action)


def test_a_segment_of_another_size_is_found():
    """The first event that differs is told, with what was simulated instead."""
    made = simulated()
    place = place_of(made, "segment_alloc")
    wrong = changed(made, place, bytes=made.events[place].bytes + 512)
    found = compare(wrong)

    assert not found.is_exact
    assert (found.position, found.recorded, found.simulated) == (place, wrong.events[place], made.events[place])


def test_a_block_at_another_place_is_found():
    """The choice of the block is compared too."""
    made = simulated()
    place = place_of(made, "alloc")

    assert compare(changed(made, place, address=made.events[place].address + 512)).position == place


def test_other_settings_are_found():
    """A recording under max_split_size is not reproduced without it."""
    assert not compare(replace(simulated("max_split_size_mb:64"), settings="")).is_exact


def test_a_segment_too_few_is_found():
    """The driver gives nothing that was not recorded, and the simulation then does something else."""
    made = simulated()
    place = place_of(made, "segment_alloc")
    found = compare(replace(made, events=made.events[:place] + made.events[place + 1 :]))

    assert found.position == place


def test_a_recording_that_ends_amid_a_request_is_found():
    """A segment without its allocation."""
    made = simulated()
    place = place_of(made, "segment_alloc")
    found = compare(replace(made, events=made.events[: place + 1]))

    assert (found.position, found.simulated) == (place, None)


def test_an_empty_recording_is_reproduced():
    """Nothing was done."""
    assert compare(Recording(())).is_exact


def test_a_failure_is_compared_without_what_the_card_had_left():
    """What others use of a card is not in a recording."""
    made = simulated()
    place = place_of(made, "oom")

    assert compare(changed(made, place, address=12345)).is_exact
    assert isinstance(made.events[place], TraceEntry)


# ---------------------------------------------------------------- what a recording leaves open


def recorded_by(*steps: tuple[str, int], settings: str = "", capacity: int = 100) -> Recording:
    """A session of one stream: allocate so many MiB, free the n-th, free it later, complete it, empty the cache."""
    card = CachingAllocator(AllocatorSettings.parse(settings), capacity_bytes=capacity << 20, recording=True)
    addresses: list[int] = []
    for step, value in steps:
        if step == "allocate":
            with suppress(OutOfDeviceMemory):
                addresses.append(card.allocate(value << 20))
        elif step == "empty":
            card.empty_cache()
        else:
            getattr(card, step)(addresses[value])
    return Recording(tuple(card.entries), settings, total_bytes=capacity << 20)


@pytest.mark.parametrize("settings", ["", "expandable_segments:True"])
@pytest.mark.parametrize(
    "steps",
    [
        # the cache is emptied although the next request could have been served from it
        [("allocate", 40), ("free", 0), ("empty", 0), ("allocate", 40)],
        # … at the very end, and before a free
        [("allocate", 40), ("allocate", 30), ("free", 0), ("empty", 0), ("free", 1), ("empty", 0)],
        # memory goes back because a request needs it
        [("allocate", 60), ("free", 0), ("allocate", 80)],
        # … and it fails all the same
        [("allocate", 30), ("allocate", 60), ("free", 1), ("allocate", 80), ("allocate", 10)],
        # a free completes on its own, and another one because a request waits for it
        [("allocate", 40), ("free_later", 0), ("complete_free", 0), ("allocate", 40)],
        [("allocate", 60), ("free_later", 0), ("allocate", 80)],
        # two wait, the first completes on its own, the request waits for the second
        [
            *[("allocate", 30), ("allocate", 40), ("free_later", 0), ("free_later", 1)],
            *[("complete_free", 0), ("allocate", 10), ("allocate", 80)],
        ],
        # emptying the cache waits for other streams as well
        [("allocate", 40), ("free_later", 0), ("empty", 0), ("allocate", 40)],
    ],
)
def test_it_is_told_who_gave_memory_back(settings, steps):
    """A request that needed it, or a call of empty_cache: the events that follow tell."""
    found = compare(recorded_by(*steps, settings=settings))

    assert (found.recorded, found.simulated) == (None, None)


def test_segments_at_other_addresses_change_the_choice_among_equals():
    """The reason why a recording carries addresses: the lower of two equal blocks serves."""
    made = recorded_by(("allocate", 20), ("allocate", 20), ("free", 0), ("free", 1), ("allocate", 20))
    first, second = (event.address for event in made.events if event.action == "segment_alloc")
    swapped = {first: second, second: first}
    events = tuple(event._replace(address=swapped[event.address]) for event in made.events)
    found = compare(replace(made, events=events))

    assert found.position == len(events) - 1
    assert found.simulated == events[-1]._replace(address=first)


def test_an_expandable_segment_may_come_back_where_another_one_was():
    """Addresses that were given back are reserved anew: the driver likes to give the same ones."""
    steps = [("allocate", 40), ("free", 0), ("empty", 0), ("allocate", 30), ("allocate", 60)]
    made = recorded_by(*steps, settings="expandable_segments:True")
    first, second = sorted({event.address for event in made.events if event.action == "segment_map"})[:2]
    events = tuple(e._replace(address=e.address - second + first) if e.address >= second else e for e in made.events)

    assert first < second
    assert compare(replace(made, events=events)).is_exact


def test_a_fraction_is_set_at_its_place():
    """Without it, or at another place, the garbage that was collected is missing."""
    conf = "garbage_collection_threshold:0.1"
    card = CachingAllocator(AllocatorSettings.parse(conf), capacity_bytes=1000 << 20, recording=True)
    card.free(card.allocate(1000))  # goes back where memory is short, and is no garbage
    card.free(card.allocate(200 << 20))
    card.allocate(250 << 20)
    at = len(card.entries)
    card.set_memory_fraction(0.9)
    card.allocate(300 << 20)
    made = Recording(tuple(card.entries), conf, total_bytes=1000 << 20, fractions=((at, 0.9),))

    assert compare(made).is_exact
    assert compare(replace(made, fractions=((at, 0.1), (at, 0.9)))).is_exact  # the later one counts
    assert not compare(replace(made, fractions=())).is_exact
    assert not compare(replace(made, fractions=((0, 0.9),))).is_exact
