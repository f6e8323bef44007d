"""One laboratory for all tests of a worker; tests that attack calm it again."""

from collections.abc import Iterator

import pytest

from mxseal.lab import Lab, LabThread


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with LabThread(Lab(extra_domains=3)) as running:
        yield running
