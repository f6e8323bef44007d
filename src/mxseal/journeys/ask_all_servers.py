"""Ask every authoritative server the same questions, so that differences show.

A resolver asks one server of a zone and never tells which.  Secondary servers
that no longer get updates, and firewalls in front of one of them that drop
TLSA questions, are seen only this way.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from mxseal.journeys.ports import AuthoritativeServers, Resolver
from mxseal.vocabulary.names import Address, HostName, parse_host_name
from mxseal.vocabulary.observations import AuthoritativeAnswer, OtherData, Outcome, RecordType
from mxseal.vocabulary.rejection import Rejection

_MAX_SERVERS: Final = 13
"""For each zone, as many as the root has."""
_MAX_ADDRESSES: Final = 4
_AT_ONCE: Final = 16

Question = tuple[str, RecordType]


async def ask_all_servers(
    resolver: Resolver,
    authoritative: AuthoritativeServers,
    questions: Iterable[Question],
    *,
    private_allowed: bool = False,
) -> tuple[AuthoritativeAnswer, ...]:
    """What each address of each server of the zones in question says; sorted by question and server."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(
        zone: str, server: HostName, address: Address, name: str, record_type: RecordType
    ) -> AuthoritativeAnswer:
        if not (private_allowed or address.is_global):
            detail = "not asked: the address is not public"
            return AuthoritativeAnswer(
                zone, server, address, name, record_type, Outcome.FAILED, detail=detail
            )
        async with turns:
            return await authoritative.ask(zone, server, address, name, record_type)

    async def everywhere(name: str, record_type: RecordType) -> list[AuthoritativeAnswer]:
        zone, servers = await _zone_of(resolver, name)
        addresses = await asyncio.gather(*(_addresses(resolver, server) for server in servers))
        return await asyncio.gather(
            *(
                ask(zone, server, address, name, record_type)
                for server, known in zip(servers, addresses, strict=True)
                for address in known
            )
        )

    found = await asyncio.gather(*(everywhere(name, record_type) for name, record_type in questions))
    return tuple(answer for answers in found for answer in answers)


async def _zone_of(resolver: Resolver, name: str) -> tuple[str, list[HostName]]:
    """The zone that holds `name`, and its servers: the closest name upwards that has NS records."""
    zone = name
    while zone:
        answer = await resolver.resolve(zone, RecordType.NS)
        if answer.found and not answer.aliases:
            texts = sorted(record.text for record in answer.records if isinstance(record, OtherData))
            names = [parse_host_name(text) for text in texts]
            return zone, [host for host in names if not isinstance(host, Rejection)][:_MAX_SERVERS]
        zone = zone.partition(".")[2]
    return "", []


async def _addresses(resolver: Resolver, server: HostName) -> list[Address]:
    ipv6, ipv4 = await asyncio.gather(
        resolver.resolve(server, RecordType.AAAA), resolver.resolve(server, RecordType.A)
    )
    return [*ipv6.addresses()[:_MAX_ADDRESSES], *ipv4.addresses()[:_MAX_ADDRESSES]]
