"""One real kernel for the benchmarks' own tests."""

from collections.abc import Iterator

import pytest

from benchmarks.measuring.kernel import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel that is driven as by a browser."""
    with Kernel() as running:
        yield running
