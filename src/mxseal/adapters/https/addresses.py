"""From a host name to the addresses that may be tried, in order."""

import asyncio
from itertools import chain, zip_longest
from typing import Final, Protocol

import msgspec

from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import Answer, RecordType

MAX_ADDRESSES: Final = 8
"""Addresses of one host that are tried; who has more of them has others that work."""


class Resolver(Protocol):
    """What is needed of `journeys.ports.Resolver`."""

    async def resolve(self, name: str, record_type: RecordType) -> Answer: ...


class Found(msgspec.Struct, frozen=True):
    """Addresses to try, families taking turns from IPv6 on, and those that are refused."""

    addresses: tuple[Address, ...]
    refused: tuple[Address, ...] = ()
    """Not public, and not allowed; no more than would have been tried."""


class NotFound(msgspec.Struct, frozen=True):
    """No address is known, and why."""

    detail: str
    denied: bool
    """Whether DNS said that there is none; False: nobody could say."""


async def find_addresses(
    resolver: Resolver, host: HostName | Address, *, allow_private: bool
) -> Found | NotFound:
    """Look up A and AAAA; one family that fails does not spoil the other.  An address is its own.

    The families take turns, so that a host with many broken addresses in one
    family is still reached within the time limit (the aim of RFC 8305 §4, without
    racing).
    """
    if isinstance(host, Address):
        allowed = allow_private or host.is_global
        return Found((host,)) if allowed else Found((), (host,))
    ipv6, ipv4 = await asyncio.gather(
        resolver.resolve(host, RecordType.AAAA), resolver.resolve(host, RecordType.A)
    )
    # A bogus answer has no records, whatever it carries (RFC 4035 §5.5).
    families = [() if answer.failed else answer.addresses() for answer in (ipv6, ipv4)]
    both = [address for address in chain(*zip_longest(*families)) if address is not None]
    if not both:
        failed = [answer for answer in (ipv6, ipv4) if answer.failed]
        answer = failed[0] if failed else ipv4
        why = f": {answer.reason}" if answer.reason else ""
        if failed:
            return NotFound(f"the {answer.record_type} lookup of {host} failed{why}", denied=False)
        return NotFound(f"{host} has neither an AAAA nor an A record{why}", denied=True)
    tried = [address for address in both if allow_private or address.is_global]
    refused = [address for address in both if not (allow_private or address.is_global)]
    return Found(tuple(tried[:MAX_ADDRESSES]), tuple(refused[:MAX_ADDRESSES]))
