"""PYTORCH_ALLOC_CONF: what is read, what is refused, and which sizes follow.

Source of every rule: PyTorch 2.13, c10/core/AllocatorConfig.cpp (the functions are named).
"""

from __future__ import annotations

import sys

import pytest

from bigmodel_lab.errors import ConfigError
from bigmodel_lab.memory.settings import AllocatorSettings

MIB = 1 << 20


def parsed(conf: str) -> AllocatorSettings:
    """Settings that this value of PYTORCH_ALLOC_CONF means."""
    return AllocatorSettings.parse(conf)


def test_nothing_written_means_the_defaults():
    """An empty variable changes nothing."""
    assert parsed("") == parsed("  ") == AllocatorSettings()


@pytest.mark.parametrize(
    ("conf", "name", "value"),
    [
        ("max_split_size_mb:128", "max_split_size_mb", 128),
        ("garbage_collection_threshold:0.8", "garbage_collection_threshold", 0.8),
        ("max_non_split_rounding_mb:30", "max_non_split_rounding_mb", 30),
        ("expandable_segments:True", "expandable_segments", True),
        ("expandable_segments:False", "expandable_segments", False),
        ("large_segment_size_mb:64", "large_segment_size_mb", 64),
        ("per_process_memory_fraction:0.5", "per_process_memory_fraction", 0.5),
        ("roundup_power2_divisions:4", "roundup_power2_divisions", (4,) * 16),
    ],
)
def test_each_setting_is_read(conf, name, value):
    """One setting alone leaves the others as they are."""
    assert getattr(parsed(conf), name) == value


def test_blanks_are_left_out():
    """ConfigTokenizer drops whitespace wherever it stands."""
    assert parsed(" max_split_size_mb : 64 , expandable_segments:True ") == AllocatorSettings(
        max_split_size_mb=64, expandable_segments=True
    )


def test_a_list_of_divisions_names_sizes_in_mebibytes():
    """parseRoundUpPower2Divisions: the first also for smaller ones, each for its size, > for all larger ones."""
    divisions = parsed("roundup_power2_divisions:[256:1,512:2,1024:4,>:8]").roundup_power2_divisions

    assert divisions == (1,) * 9 + (2, 4) + (8,) * 5


def test_sizes_that_a_list_leaves_out_are_not_rounded():
    """Between two named sizes nothing is filled in."""
    assert parsed("roundup_power2_divisions:[2:8,8:4]").roundup_power2_divisions == (8, 8, 0, 4) + (0,) * 12


def test_sizes_above_the_last_interval_share_its_place():
    """The index is clamped to the sixteen places."""
    assert parsed("roundup_power2_divisions:[131072:2]").roundup_power2_divisions == (2,) * 16


@pytest.mark.parametrize(
    ("conf", "allowed"),
    [
        ("max_split_size_mb:19", "20 (the large segment) or more"),
        ("max_split_size_mb:40,large_segment_size_mb:64", "64 (the large segment) or more"),
        ("max_split_size_mb:-1", "a whole number"),
        ("max_non_split_rounding_mb:1", "20 (the large segment) or more"),
        ("large_segment_size_mb:10", "a whole number above 10"),
        ("garbage_collection_threshold:1.0", "between 0 and 1"),
        ("garbage_collection_threshold:0", "between 0 and 1"),
        ("garbage_collection_threshold:much", "a number between 0 and 1"),
        ("per_process_memory_fraction:1.5", "a number from 0 to 1"),
        ("expandable_segments:true", "True or False"),
        ("roundup_power2_divisions:3", "powers of two"),
        ("roundup_power2_divisions:0", "powers of two"),
        ("roundup_power2_divisions:[3:4]", "powers of two"),
        ("backend:cudaMallocAsync", "only 'native' is simulated"),
        ("throw_on_cudamalloc_oom:True", "only 'False' is simulated"),
        ("max_split_size:128", "max_split_size_mb"),
    ],
)
def test_what_is_refused_is_said_with_what_is_allowed(conf, allowed):
    """The message names the setting and the allowed values."""
    with pytest.raises(ConfigError, match=r"cannot be .* Allowed: ") as caught:
        parsed(conf)

    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    "conf", ["max_split_size_mb", "a:b:c", "max_split_size_mb:64;x:1", "roundup_power2_divisions:[1:2"]
)
def test_what_cannot_be_read_is_shown_from_there_on(conf):
    """A form that is no list of pairs is refused with an example."""
    with pytest.raises(ConfigError, match="name:value pairs"):
        parsed(conf)


@pytest.mark.parametrize(
    "conf", ["pinned_use_background_threads:True", "backend:native", "throw_on_cudamalloc_oom:False"]
)
def test_settings_that_do_not_touch_the_card_are_read_over(conf):
    """What concerns host memory or threads changes no block."""
    assert parsed(conf) == AllocatorSettings()


@pytest.mark.parametrize("divisions", [(4, 4), (4,) * 17, (3,) * 16])
def test_divisions_in_code_are_checked_as_well(divisions):
    """Sixteen powers of two, or 0."""
    with pytest.raises(ConfigError, match="roundup_power2_divisions"):
        AllocatorSettings(roundup_power2_divisions=divisions)


@pytest.mark.parametrize(
    "settings",
    [
        AllocatorSettings(),
        AllocatorSettings(max_split_size_mb=200, garbage_collection_threshold=0.6, per_process_memory_fraction=0.25),
        AllocatorSettings(roundup_power2_divisions=(0, 1, 2, 4) * 4, expandable_segments=True),
        AllocatorSettings(large_segment_size_mb=32, max_non_split_rounding_mb=48),
    ],
)
def test_written_settings_read_as_they_were(settings):
    """What str writes, parse reads."""
    assert parsed(str(settings)) == settings


def test_no_limit_is_larger_than_any_block():
    """max_split_size is the largest number by default, and the rounding allowance a large segment."""
    assert AllocatorSettings().max_split_bytes == sys.maxsize
    assert AllocatorSettings(large_segment_size_mb=32).max_non_split_rounding_bytes == 32 * MIB


@pytest.mark.parametrize(
    ("size", "rounded"), [(1, 512), (511, 512), (512, 512), (513, 1024), (MIB, MIB), (MIB + 1, MIB + 512)]
)
def test_requests_are_rounded_up_to_512_bytes(size, rounded):
    """round_size with no divisions."""
    assert AllocatorSettings().rounded_bytes(size) == rounded


@pytest.mark.parametrize(
    ("divisions", "size", "rounded"),
    [
        (4, 2049, 2560),  # 2048 … 4096 in four steps of 512
        (4, 5000, 5120),  # 4096 … 8192 in steps of 1024
        (4, 5 * MIB, 5 * MIB),  # a step is met exactly
        (4, 5 * MIB + 1, 6 * MIB),
        (4, 8 * MIB, 8 * MIB),  # powers of two stay
        (4, 2048, 2048),  # up to 512 · divisions bytes the usual rounding
        (8, 4000, 4096),
        (1, 5 * MIB + 1, 5 * MIB + 512),  # one step is none
        (2, 9_000_000, 12 * MIB),
    ],
)
def test_requests_are_rounded_to_steps_between_powers_of_two(divisions, size, rounded):
    """roundup_power2_next_division: the range from one power of two to the next in equal steps."""
    assert parsed(f"roundup_power2_divisions:{divisions}").rounded_bytes(size) == rounded


@pytest.mark.parametrize(
    ("size", "rounded"), [(3 * MIB + 1, 3 * MIB + 512), (5 * MIB + 1, 6 * MIB), (20 << 30, 20 << 30)]
)
def test_each_size_has_its_own_steps(size, rounded):
    """roundup_power2_divisions(size) looks the interval up; here only 4 … 8 MiB has steps."""
    assert parsed("roundup_power2_divisions:[2:0,4:4]").rounded_bytes(size) == rounded


@pytest.mark.parametrize(
    ("rounded", "segment"),
    [
        (512, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
        (31 * MIB, 32 * MIB),
    ],
)
def test_segments_have_three_sizes(rounded, segment):
    """get_allocation_size: 2 MiB, the large segment, or a multiple of 2 MiB."""
    assert AllocatorSettings().segment_bytes(rounded) == segment


def test_the_large_segment_can_be_larger():
    """large_segment_size_mb replaces the 20 MiB below 10 MiB, and nothing else."""
    settings = AllocatorSettings(large_segment_size_mb=64)

    assert (settings.segment_bytes(2 * MIB), settings.segment_bytes(12 * MIB)) == (64 * MIB, 12 * MIB)
