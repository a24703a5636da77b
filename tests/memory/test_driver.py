"""The driver that a simulated card has: how much it gives, and at which addresses."""

from __future__ import annotations

import pytest

from bigmodel_lab.memory._driver import ALIGNMENT_BYTES, FIRST_ADDRESS, RESERVED_WITHOUT_LIMIT_BYTES, Driver

MIB = 1 << 20


def test_addresses_ascend_in_pages_of_2_mib():
    """A segment of odd length does not move the next one off its page."""
    driver = Driver()
    addresses = [driver.allocate(size) for size in (2 * MIB, 3 * MIB, 20 * MIB)]

    assert addresses == [FIRST_ADDRESS, FIRST_ADDRESS + 2 * MIB, FIRST_ADDRESS + 6 * MIB]
    assert ALIGNMENT_BYTES == 2 * MIB


def test_addresses_are_not_used_twice():
    """What was given back keeps its address to itself, so that a picture of both is clear."""
    driver = Driver()
    first = driver.allocate(2 * MIB)
    assert first is not None
    driver.free(first, 2 * MIB)

    assert driver.allocate(2 * MIB) == first + 2 * MIB


def test_it_gives_up_to_its_capacity():
    """To the last byte, and not one more."""
    driver = Driver(10 * MIB)
    driver.allocate(8 * MIB)

    assert driver.allocate(2 * MIB + 1) is None
    assert driver.allocate(2 * MIB) is not None
    assert driver.used_bytes == 10 * MIB


def test_what_is_given_back_can_be_given_again():
    """Only what is in use counts."""
    driver = Driver(10 * MIB)
    address = driver.allocate(10 * MIB)
    assert address is not None
    driver.free(address, 10 * MIB)

    assert driver.allocate(10 * MIB) is not None


def test_a_refusal_takes_nothing():
    """Asking for too much changes neither what is used nor the next address."""
    driver = Driver(10 * MIB)
    driver.allocate(11 * MIB)

    assert driver.used_bytes == 0
    assert driver.allocate(2 * MIB) == FIRST_ADDRESS


def test_a_card_without_end_never_refuses():
    """For a prediction of how much a program needs."""
    assert Driver().allocate(1 << 50) is not None


def test_pages_count_like_segments():
    """Mapped memory and memory of cudaMalloc come from the same card."""
    driver = Driver(10 * MIB)
    address = driver.reserve(100 * MIB, stream=0, is_small=False)

    assert [driver.map(address, 8 * MIB), driver.map(address + 8 * MIB, 4 * MIB)] == [True, False]
    driver.unmap(address, 8 * MIB)
    assert driver.used_bytes == 0


def test_reserved_addresses_cost_no_memory():
    """Function cuMemAddressReserve takes addresses alone."""
    driver = Driver(MIB)
    driver.reserve(100 * MIB, stream=0, is_small=False)

    assert driver.used_bytes == 0


@pytest.mark.parametrize(
    ("driver", "reserved"),
    [
        (Driver(80 * MIB), 90 * MIB),
        (Driver(80 * MIB, total_bytes=800 * MIB), 900 * MIB),
        (Driver(), RESERVED_WITHOUT_LIMIT_BYTES),
    ],
)
def test_an_expandable_segment_reserves_an_eighth_more_than_the_card(driver, reserved):
    """Of what the card reports as its total, whatever this process may have of it."""
    assert driver.reserved_for_expanding_bytes() == reserved
