"""TLSA base domain discovery (RFC 7672 §2.2) and reference identifiers (RFC 7672 §3.2.2)."""

from collections.abc import Awaitable, Callable
from typing import Final

from mxseal.vocabulary.names import HostName, InvalidName
from mxseal.vocabulary.observations import (
    Answer,
    Outcome,
    RecordType,
    Security,
    TlsaLookup,
    TlsaState,
)

Resolve = Callable[[str, RecordType], Awaitable[Answer]]
"""One DNS question, aliases followed (`journeys.ports.Resolver.resolve`)."""

SECTION: Final = "RFC 7672 §2.2"


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

    def result(
        state: TlsaState, reason: str, found: Answer | None = None, base: HostName | None = None
    ) -> TlsaLookup:
        return TlsaLookup(
            host=host,
            state=state,
            ipv4=ipv4,
            ipv6=ipv6,
            base_domain=base,
            records=found.tlsa() if found else (),
            questions=tuple(questions),
            reason=reason,
        )

    # One good address family is enough: a broken AAAA beside a good A stops no mail.
    good = [answer for answer in (ipv6, ipv4) if _is_usable(answer) and answer.addresses()]
    if not good:
        bad = [answer for answer in (ipv6, ipv4) if not _is_usable(answer)]
        if bad:
            return result(TlsaState.FAILED, f"no address of {host} could be looked up: {_why(bad[0])}")
        return result(TlsaState.NO_ADDRESS, f"{host} has no address")
    # Where the families differ, a secure one decides: it has proved that the zone is signed.
    address = next((answer for answer in good if answer.is_secure), good[0])

    if address.is_secure:
        # RFC 7672 §2.2.3: every alias secure: the expanded name first, then the original one.
        candidates = list(dict.fromkeys([*_host_name(address.final_name), host]))
    elif not address.aliases:
        return result(TlsaState.NOT_ASKED, f"the addresses of {host} are insecure, so TLSA is not looked up")
    else:
        # RFC 7672 §2.2.2: the addresses are insecure, but perhaps only behind the alias.
        security = address.aliases[0].security
        if security not in (Security.SECURE, Security.INSECURE):
            # This resolver cannot tell for the alias alone: ask for it.
            alias = await resolve(host, RecordType.CNAME)
            questions.append(alias)
            if not _is_usable(alias):
                return result(
                    TlsaState.FAILED,
                    f"whether the alias {host} is secure could not be found out: {_why(alias)}",
                )
            security = alias.security
        if security is not Security.SECURE:
            return result(TlsaState.NOT_ASKED, f"{host} is an insecure alias, so TLSA is not looked up")
        candidates = [host]

    insecure = ""
    for candidate in candidates:
        answer = await resolve(tlsa_name(candidate, port), RecordType.TLSA)
        questions.append(answer)
        if not _is_usable(answer):
            # RFC 7672 §2.1.2: an error is not "no records", and stops here.
            return result(TlsaState.FAILED, f"the TLSA lookup at {answer.name} failed: {_why(answer)}")
        if answer.found and answer.tlsa():
            if answer.is_secure:
                return result(TlsaState.FOUND, f"TLSA records at {answer.name}", answer, candidate)
            insecure = f"the TLSA records at {answer.name} are insecure, so they do not count"
    have = "have" if len(candidates) > 1 else "has"
    return result(TlsaState.ABSENT, insecure or f"{' and '.join(candidates)} {have} no TLSA records")


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
