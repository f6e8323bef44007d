"""Single authoritative servers, asked without recursion: what does this one say?"""

import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.SOA

from mxseal.adapters.dns.convert import to_name
from mxseal.adapters.dns.sections import rrset_of
from mxseal.adapters.dns.transport import Flags, NoReply, Transport
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import AuthoritativeAnswer, Outcome, RecordType
from mxseal.vocabulary.rejection import printable

_DIRECT = Flags(recursion=False, dnssec_ok=False, checking_disabled=False)


class AuthoritativeClient:
    """Satisfies `journeys.ports.AuthoritativeServers`; `timeout` in seconds for one question."""

    def __init__(self, *, port: int = 53, timeout: float = 5.0) -> None:
        self._port = port
        self._timeout = timeout

    async def ask(
        self, zone: str, server: HostName, address: Address, name: str, record_type: RecordType
    ) -> AuthoritativeAnswer:
        """One question to one server; aliases are not followed, failure is a value."""

        def answer(
            outcome: Outcome, detail: str, records: tuple[str, ...] = (), serial: int | None = None
        ) -> AuthoritativeAnswer:
            return AuthoritativeAnswer(
                zone, server, address, name, record_type, outcome, records, serial, detail
            )

        asked = to_name(name)
        if isinstance(asked, str):
            return answer(Outcome.FAILED, f"no DNS name: {asked}")
        transport = Transport([(address, self._port)], timeout=self._timeout)
        rdtype = dns.rdatatype.from_text(record_type)
        reply = await transport.ask(asked, rdtype, _DIRECT)
        if isinstance(reply, NoReply):
            return answer(Outcome.FAILED, reply.reason)
        message = reply.message
        if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return answer(Outcome.FAILED, dns.rcode.to_text(dns.rcode.Rcode(reply.rcode)))
        if not reply.authoritative:
            return answer(Outcome.FAILED, "not authoritative for this zone (lame delegation)")
        serial = next(
            (
                rdata.serial
                for rrset in (*message.answer, *message.authority)
                for rdata in rrset
                if isinstance(rdata, dns.rdtypes.ANY.SOA.SOA)
            ),
            None,
        )
        found = rrset_of(message.answer, asked, rdtype)
        alias = rrset_of(message.answer, asked, dns.rdatatype.CNAME)
        if found is not None:
            texts = sorted(presentation(rdata) for rdata in found)
            return answer(Outcome.FOUND, "", tuple(texts), serial)
        if alias is not None:
            texts = sorted(f"CNAME {presentation(rdata)}" for rdata in alias)
            return answer(Outcome.FOUND, "an alias", tuple(texts), serial)
        if reply.rcode == dns.rcode.NXDOMAIN:
            return answer(Outcome.NO_NAME, "", (), serial)
        return answer(Outcome.NO_DATA, "", (), serial)


def presentation(rdata: dns.rdata.Rdata) -> str:
    """Presentation format in which equal records are equal texts: names in lower case."""
    wire = rdata.to_digestable()
    same = dns.rdata.from_wire(rdata.rdclass, rdata.rdtype, wire, 0, len(wire))
    return printable(same.to_text(), 8000)
