"""A small internet with everything that can go wrong in it, for one sender that runs in virtual time."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum

from mxseal.adapters.memory.dns import parse_record_data
from mxseal.vocabulary.faults import StorageFault
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Answer,
    FetchStage,
    Outcome,
    PolicyFetched,
    PolicyFetchFailed,
    RecordType,
    Security,
    TextData,
)

TTL = 300
TLSA = "3 1 1 " + "ab" * 32


class Fault(StrEnum):
    NONE = "none"
    FAILS = "fails"
    HANGS = "hangs"
    SLOW = "slow"
    """Slower than anybody waits, but not for ever."""
    SLOWISH = "slowish"
    """Within what is waited for."""
    LIES = "lies"


DELAYS = {Fault.HANGS: 1e9, Fault.SLOW: 8.0, Fault.SLOWISH: 0.7}


@dataclass
class Domain:
    """What is true of one policy domain, and what is wrong with it now."""

    name: HostName
    dane: bool = False
    record_id: str | None = None
    served: str | None = None
    """The policy that its policy host serves."""
    faults: dict[str, Fault] = field(
        default_factory=lambda: dict.fromkeys(("txt", "mx", "address", "tlsa"), Fault.NONE)
    )
    host_fault: Fault = Fault.NONE


def policy_text(mode, number, max_age):
    return f"version: STSv1\nmode: {mode}\nmx: mx{number}.mail.example\nmx: *.{number}.example\nmax_age: {max_age}\n"


class World:
    def __init__(self, loop, domains):
        self.loop = loop
        self.domains = {d.name: d for d in domains}
        self.delivered = []
        """(domain, text, time) of each good policy that a policy host handed over."""
        self.attempts = []
        """(domain, begun, ended, good) of each fetch."""
        self.at_once = {}
        self.questions = 0

    # --- ports.Resolver

    async def resolve(self, name, record_type):
        self.questions += 1
        owner = next(d for d in self.domains.values() if name == d.name or name.endswith(f".{d.name}"))
        kind = {RecordType.TXT: "txt", RecordType.MX: "mx", RecordType.TLSA: "tlsa"}.get(
            record_type, "address"
        )
        fault = owner.faults[kind]
        await asyncio.sleep(DELAYS.get(fault, 0.01))
        if fault is Fault.FAILS:
            return Answer(name, record_type, Outcome.FAILED, Security.INDETERMINATE, reason="SERVFAIL")
        secure = Security.SECURE if owner.dane else Security.INSECURE
        if fault is Fault.LIES:
            if owner.dane:
                # Who forges answers of a signed zone is found out.
                return Answer(name, record_type, Outcome.FAILED, Security.BOGUS, reason="bogus")
            if kind == "txt":
                return Answer(name, record_type, Outcome.NO_NAME, Security.INSECURE, ttl=TTL)
        texts = self._records(owner, kind, record_type)
        if not texts:
            return Answer(name, record_type, Outcome.NO_DATA, secure, ttl=TTL)
        return Answer(name, record_type, Outcome.FOUND, secure, texts, ttl=TTL)

    def _records(self, owner, kind, record_type):
        if kind == "txt":
            text = owner.record_id and f"v=STSv1; id={owner.record_id};"
            return (TextData((text.encode(),)),) if text else ()
        texts = {
            "mx": f"10 mx.{owner.name}.",
            "address": "192.0.2.1" if record_type is RecordType.A else None,
            "tlsa": TLSA if owner.dane else None,
        }[kind]
        return (parse_record_data(record_type, texts),) if texts else ()

    # --- ports.PolicyHosts

    async def fetch(self, domain):
        owner = self.domains[domain]
        begun = self.loop.time()
        self.at_once[domain] = self.at_once.get(domain, 0) + 1
        assert self.at_once[domain] == 1, "two fetches for one domain side by side"
        good = False
        try:
            fault = owner.host_fault
            await asyncio.sleep(DELAYS.get(fault, 0.05))
            url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
            if fault is Fault.FAILS or owner.served is None:
                return PolicyFetchFailed(domain, url, FetchStage.CERTIFICATE, "expired")
            if fault is Fault.LIES:
                body = b"version: STSv1\nmode: enforce\nmax_age: 86400\n"
            else:
                good, body = True, owner.served.encode()
                self.delivered.append((domain, owner.served, self.loop.time()))
            return PolicyFetched(domain, url, body, Address("192.0.2.80"), "text/plain")
        finally:
            self.at_once[domain] -= 1
            self.attempts.append((domain, begun, self.loop.time(), good))


class ShakyStore:
    """A store through which `get` may fail or hang, and whose file may be full or locked."""

    def __init__(self, store):
        self.inner = store
        self.reading = Fault.NONE

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def get(self, domain):
        if self.reading is Fault.FAILS:
            raise StorageFault("no")
        await asyncio.sleep(DELAYS.get(self.reading, 0))
        return await self.inner.get(domain)

    @property
    def trouble(self):
        return self.inner.trouble


def refuse(message):
    def write(batch):
        del batch
        raise sqlite3.OperationalError(message)

    return write
