"""Shared by all tests: what to do where a server from Debian is missing."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

# Laws are about results; how long a busy machine takes for one example is none of them.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

SEARCH_PATH = (
    f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/lib/mxseal-tests/exim4/usr/sbin"
)
"""Servers live in sbin, which is not in everybody's PATH; Exim where scripts/system.sh has unpacked it."""


def lacking(reason: str) -> None:
    """Skip with the reason; with MXSEAL_REQUIRE_REAL=1 (as CI sets it) fail instead."""
    if os.environ.get("MXSEAL_REQUIRE_REAL") == "1":
        pytest.fail(f"MXSEAL_REQUIRE_REAL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def give_up() -> Callable[[str], None]:
    """Call it with the reason where the machine cannot do what a test needs; see `lacking`."""
    return lacking


@pytest.fixture(scope="session")
def require_tools() -> Callable[..., dict[str, str]]:
    """Call it with names of programs; gives their paths, or skips (see `lacking`)."""

    def require(*names: str) -> dict[str, str]:
        paths = {name: shutil.which(name, path=SEARCH_PATH) for name in names}
        missing = sorted(name for name, path in paths.items() if path is None)
        if missing:
            lacking(f"missing: {', '.join(missing)} (sudo make system installs it)")
        return {name: path for name, path in paths.items() if path is not None}

    return require


def _free_ports() -> Iterator[int]:
    for port in range(20_000 + os.getpid() * 37 % 10_000, 32_000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


@pytest.fixture(scope="session")
def free_ports() -> Iterator[int]:
    """For servers that cannot choose a port themselves: `next(free_ports)` is free for UDP and for TCP.

    The ports lie below those that the kernel gives to connections: what is free there now may belong to a
    connection of some other test a moment later.
    """
    return _free_ports()


@pytest.fixture(scope="session")
def require_root() -> Callable[[], None]:
    """Call it in tests that need network namespaces and servers with users of their own."""

    def require() -> None:
        if os.geteuid() != 0:
            # Not an installation that is missing: no MXSEAL_REQUIRE_REAL can make somebody root.
            pytest.skip("needs root, for network namespaces")

    return require
