"""TLSA base domain discovery (RFC 7672 §2.2) and reference identifiers (RFC 7672 §3.2.2)."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from mxseal.vocabulary.names import HostName, InvalidName
from mxseal.vocabulary.observations import (
    Answer,
    Outcome,
    RecordType,
    Security,
    TlsaData,
    TlsaLookup,
    TlsaState,
)

Resolve = Callable[[str, RecordType], Awaitable[Answer]]
"""One DNS question, aliases followed (`journeys.ports.Resolver.resolve`)."""

_LONGEST_NAME: Final = 253
"""RFC 1035 §2.3.4, in characters."""


def tlsa_name(host: HostName, port: int = 25) -> str:
    """The owner name of TLSA records (RFC 6698 §3): ``_25._tcp.mx.example.com``."""
    return f"_{port}._tcp.{host}"


async def discover(resolve: Resolve, host: HostName, *, port: int = 25) -> TlsaLookup:
    """Find the TLSA records of one MX host (RFC 7672 §2.2).

    The addresses come first, because only where they are secure can TLSA
    records be (RFC 7672 §2.2.2): at hosters with unsigned zones the question
    for TLSA is often answered by an error, which then means nothing.  No
    question is asked twice.

    Args:
        resolve: asks one question; called one at a time.
        host: the MX host as the MX record names it.
        port: of the SMTP service.
    """
    ipv6 = await resolve(host, RecordType.AAAA)
    ipv4 = await resolve(host, RecordType.A)
    questions: list[Answer] = []
    address = _judge_addresses(host, ipv6, ipv4)
    bases = address if isinstance(address, _End) else await _base_domains(resolve, host, address, questions)
    end = bases if isinstance(bases, _End) else await _look_up(resolve, bases, port, questions)
    return TlsaLookup(
        host=host,
        state=end.state,
        ipv4=ipv4,
        ipv6=ipv6,
        base_domain=end.base_domain,
        records=end.records,
        questions=tuple(questions),
        reason=end.reason,
    )


class _End(NamedTuple):
    """Where the walk ended."""

    state: TlsaState
    reason: str
    base_domain: HostName | None = None
    records: tuple[TlsaData, ...] = ()


def _judge_addresses(host: HostName, *answers: Answer) -> Answer | _End:
    """The address answer whose security decides (RFC 7672 §2.2.2)."""
    # One good address family is enough: a broken AAAA beside a good A stops no mail.
    good = [answer for answer in answers if _is_usable(answer) and answer.addresses()]
    bad = [answer for answer in answers if not _is_usable(answer)]
    if not good and bad:
        return _End(TlsaState.FAILED, f"no address of {host} could be looked up: {_why(bad[0])}")
    if not good:
        return _End(TlsaState.NO_ADDRESS, f"{host} has no address")
    # Where the families differ, a secure one decides: it has proved that the zone is signed.
    return next((answer for answer in good if answer.is_secure), good[0])


async def _base_domains(
    resolve: Resolve, host: HostName, address: Answer, questions: list[Answer]
) -> list[HostName] | _End:
    """The candidates for the TLSA base domain, in their order (RFC 7672 §2.2.3)."""
    if address.is_secure:
        # Every alias is secure: the expanded name first, then the original one.
        return list(dict.fromkeys([*_host_name(address.final_name), host]))
    if not address.aliases:
        return _End(TlsaState.NOT_ASKED, f"the addresses of {host} are insecure, so TLSA is not looked up")
    # The addresses are insecure, but perhaps only behind the alias: then the original name may have records.
    security = address.aliases[0].security
    if security not in (Security.SECURE, Security.INSECURE):
        # This resolver cannot tell for the alias alone: ask for it (RFC 7672 §2.2.2).
        alias = await resolve(host, RecordType.CNAME)
        questions.append(alias)
        if not _is_usable(alias):
            return _End(TlsaState.FAILED, f"whether the alias {host} is secure is unknown: {_why(alias)}")
        security = alias.security
    if security is Security.SECURE:
        return [host]
    return _End(TlsaState.NOT_ASKED, f"{host} is an insecure alias, so TLSA is not looked up")


async def _look_up(resolve: Resolve, candidates: list[HostName], port: int, questions: list[Answer]) -> _End:
    """The first secure TLSA RRset; an error stops the walk."""
    insecure = ""
    for candidate in candidates:
        if len(tlsa_name(candidate, port)) > _LONGEST_NAME:
            continue  # a name that leaves no room for "_25._tcp." has no TLSA records
        answer = await resolve(tlsa_name(candidate, port), RecordType.TLSA)
        questions.append(answer)
        if not _is_usable(answer):
            # RFC 7672 §2.1.2: an error is not "no records", and stops here.
            return _End(TlsaState.FAILED, f"the TLSA lookup at {answer.name} failed: {_why(answer)}")
        if answer.found and answer.tlsa():
            if answer.is_secure:
                reason = f"TLSA records at {answer.name}"
                return _End(TlsaState.FOUND, reason, candidate, answer.tlsa())
            insecure = f"the TLSA records at {answer.name} are insecure, so they do not count"
    have = "have" if len(candidates) > 1 else "has"
    return _End(TlsaState.ABSENT, insecure or f"{' and '.join(candidates)} {have} no TLSA records")


def _is_usable(answer: Answer) -> bool:
    """An answer to act upon: neither failed nor bogus, nor of unknown security (RFC 7672 §2.1.1)."""
    return answer.outcome is not Outcome.FAILED and answer.security in (Security.SECURE, Security.INSECURE)


def _why(answer: Answer) -> str:
    return answer.reason or str(answer.security)


def _host_name(text: str) -> list[HostName]:
    try:
        return [HostName(text)]
    except InvalidName:
        return []  # an alias to what no certificate can name; the original name remains


def reference_identifiers(
    base_domain: HostName,
    next_hop: HostName | None,
    *,
    mx_secure: bool,
    expanded_next_hop: HostName | None = None,
) -> tuple[HostName, ...]:
    """The names of which a server's certificate must have one under DANE-TA(2) (RFC 7672 §3.2.2).

    Args:
        base_domain: the TLSA base domain, which is also the SNI (RFC 7672 §8.1).
        next_hop: the domain whose MX RRset was looked up; None for a host given in brackets.
        mx_secure: whether that RRset is secure; only then may the next-hop's name stand in.
        expanded_next_hop: the end of its aliases, if it is an alias.
    """
    names = [base_domain]
    if mx_secure:
        names += [name for name in (next_hop, expanded_next_hop) if name is not None]
    return tuple(dict.fromkeys(names))
