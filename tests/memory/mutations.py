"""The allocator's rules, broken one at a time: what recordings must notice.

Each mutation changes one rule in place, as little as it can, and is taken back afterwards. A rule that no recording
notices is a rule that nothing holds: then a recording is missing (``benchmarks/gpu/allocator_programs.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel_lab.memory import _blocks, _expandable, _growth, allocator, settings
from bigmodel_lab.memory._blocks import Pool, Pools
from bigmodel_lab.memory._growth import Growth
from bigmodel_lab.memory.allocator import CachingAllocator
from bigmodel_lab.memory.settings import MIN_BLOCK_BYTES
from tests.memory.broken_growth import (
    ages,
    at_once,
    collect_always,
    first_room_by_size,
    fraction_for_ever,
    fraction_once,
    free_tail_unused,
    map_whole_segment,
    never_shrink,
    one_stream,
    streams_by_age,
    true_age,
    unmap_refused,
    until_enough,
)
from tests.memory.broken_rules import (
    MIB,
    Change,
    chosen,
    cut_oversize,
    derived,
    first_division,
    highest_of_equals,
    keep,
    lowest_address,
    merge,
    method,
    no_oversize_release,
    no_retry,
    number,
    only_large_pool,
    oversize_serves_all,
    oversize_serves_any_large,
    page,
    release_largest_first,
    release_only_one,
    rounded_to,
    setting,
    small_pool_first,
    split_segments_too,
    waiting_stays,
    without_growing_fit,
    worst,
)


@dataclass(frozen=True)
class Mutation:
    """One broken rule."""

    rule: str
    """In words, as it should be."""
    change: Change
    """Breaks it."""


MUTATIONS = (
    Mutation("requests are rounded up to 512 B", rounded_to(1024)),
    Mutation("the small pool serves requests up to 1 MiB", number("SMALL_BYTES", MIB - 512, _blocks, allocator)),
    Mutation("1 MiB itself is small", number("SMALL_BYTES", MIB + 512, _blocks, allocator)),
    Mutation("a small segment has 2 MiB", number("SMALL_SEGMENT_BYTES", 4 * MIB)),
    Mutation("a large segment has 20 MiB", derived("large_segment_bytes", lambda self: 24 * MIB)),
    Mutation("from 10 MiB on a request has its own segment", number("MIN_LARGE_BYTES", 10 * MIB + 512)),
    Mutation("below 10 MiB it has a common one", number("MIN_LARGE_BYTES", 10 * MIB - 512)),
    Mutation("segments are multiples of 2 MiB", number("ROUND_LARGE_BYTES", MIB)),
    Mutation("segments are multiples of no more than 2 MiB", number("ROUND_LARGE_BYTES", 4 * MIB)),
    Mutation("small blocks are cut", keep("small", 1 << 60)),
    Mutation("small blocks are cut down to 512 B", keep("small", MIN_BLOCK_BYTES)),
    Mutation("large blocks are cut", keep("large", 1 << 60)),
    Mutation("large blocks are cut where more than 1 MiB remains", keep("large", MIB - 1)),
    Mutation("large blocks are cut where 1 MiB and 512 B remain", keep("large", MIB + 512)),
    Mutation("large blocks keep a remainder of 512 B", keep("large", 0)),
    Mutation("the smallest block that fits serves", chosen(worst)),
    Mutation("the size decides before the address", chosen(lowest_address)),
    Mutation("of equal blocks the one at the lowest address serves", chosen(highest_of_equals)),
    Mutation("a freed block is joined with the one before", merge(before=False, after=True)),
    Mutation("a freed block is joined with the one behind", merge(before=True, after=False)),
    Mutation("max_split_size_mb is heard", setting("max_split_size_mb", None)),
    Mutation("oversize blocks are not cut", cut_oversize),
    Mutation("oversize blocks serve no smaller request", method(CachingAllocator, "_fitting", oversize_serves_all)),
    Mutation(
        "oversize blocks serve requests near their size",
        method(CachingAllocator, "_fitting", oversize_serves_any_large),
    ),
    Mutation("max_non_split_rounding_mb is heard", setting("max_non_split_rounding_mb", None)),
    Mutation("by default near means 20 MiB", derived("max_non_split_rounding_bytes", lambda self: 10 * MIB)),
    Mutation("oversize blocks go back first", method(_growth, "release_oversize", no_oversize_release)),
    Mutation("of these the smallest that is enough", method(_growth, "release_oversize", release_largest_first)),
    Mutation("or several where none is enough", method(_growth, "release_oversize", release_only_one)),
    Mutation("where memory is short everything cached goes back", method(CachingAllocator, "_from_driver", no_retry)),
    Mutation("of the large pool first", method(Pools, "releasable", small_pool_first)),
    Mutation("and of the small pool", method(Pools, "releasable", only_large_pool)),
    Mutation("from the smallest segment on", method(_growth, "release_cached", split_segments_too)),
    Mutation("frees that wait are completed first", method(CachingAllocator, "empty_cache", waiting_stays)),
    Mutation("garbage_collection_threshold is heard", setting("garbage_collection_threshold", 0.0)),
    Mutation("garbage is what is of average age or older", ages(true_age, strict=True)),
    Mutation("age counts searches since the block became free", ages(lambda pool, block: -block.inserted * 0)),
    Mutation("the oldest go, not the newest", ages(lambda pool, block: block.inserted)),
    Mutation("rounds go on until enough went back", ages(true_age, once=True)),
    Mutation("a round frees all that are old, even where fewer would do", until_enough),
    Mutation("a fraction that is set later collects too", fraction_once),
    Mutation("a fraction of 1 ends it", fraction_for_ever),
    Mutation("without a fraction nothing is collected", collect_always),
    Mutation("a fraction limits what is reserved", method(Growth, "_share_of", lambda old: lambda self, share: None)),
    Mutation("per_process_memory_fraction is heard", setting("per_process_memory_fraction", 1.0)),
    Mutation("roundup_power2_divisions is heard", setting("roundup_power2_divisions", settings.NONE)),
    Mutation("divisions hold for their size alone", first_division),
    Mutation("large_segment_size_mb is heard", setting("large_segment_size_mb", 20)),
    Mutation("expandable_segments is heard", setting("expandable_segments", False)),
    Mutation("pages of small expandable segments have 2 MiB", page("small", 4 * MIB)),
    Mutation("pages of large expandable segments have 20 MiB", page("large", 2 * MIB)),
    Mutation("expandable blocks are cut down to 512 B", keep("large", MIB)),
    Mutation("a block counts with what it can grow to", without_growing_fit),
    Mutation("no more pages are mapped than needed", method(_expandable, "_map", map_whole_segment)),
    Mutation("segments grow at the lowest address", method(_expandable, "_lowest_room", first_room_by_size)),
    Mutation("a free block grows in place", method(_expandable, "_lowest_room", free_tail_unused)),
    Mutation("free pages are unmapped", method(_expandable, "shrink", never_shrink)),
    Mutation("pages of a refused request stay mapped", unmap_refused),
    Mutation("streams do not share blocks", method(Pool, "cache", one_stream)),
    Mutation("memory goes back stream by stream", method(Pool, "sorted_caches", streams_by_age)),
    Mutation("a block that another stream uses waits", method(CachingAllocator, "free_later", at_once)),
)
"""All of them."""
