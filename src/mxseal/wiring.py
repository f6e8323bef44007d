"""Settings → adapters → journeys: the only file that knows all of them."""

from pathlib import Path

import msgspec

from mxseal.vocabulary.names import Address


class WorldSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the world is; the defaults are the real internet's."""

    resolvers: tuple[tuple[Address, int], ...] = ()
    """DNS resolvers to ask, in order; empty: those of resolv.conf."""
    trust_anchor: Path | None = None
    """A file with DS or DNSKEY records of the root; None: the built-in ones."""
    ca_file: Path | None = None
    """A PEM file with the trusted CAs; None: the system's."""
    smtp_port: int = 25
    https_port: int = 443
    dns_port: int = 53
    """Of authoritative servers."""
    allow_private: bool = False
    timeout: float = 10.0
    """Seconds for each lookup, fetch and session."""
