"""The sessions with MX hosts: reachable, STARTTLS, TLS, certificates' dates (RFC 3207)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mxseal.decisions.checkup.facts import Facts, HostFacts, SessionFacts
from mxseal.decisions.checkup.mta_sts import ends_soon, lines_of, untrusted, why_untrusted
from mxseal.decisions.checkup.wording import day, finding, listed
from mxseal.standards.dane import Usage, Verified
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.observations import (
    HandshakeFailed,
    HandshakeTrouble,
    ProtocolViolation,
    SessionOutcome,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)

OUTDATED: Final = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1")
WEAK_RSA: Final = 2048


def judge_starttls(facts: Facts) -> Iterator[Finding]:
    """Reachability first: without a session nothing else can be said."""
    yield from _reachability(facts)
    for host in facts.hosts:
        yield from _upgrade(facts, host)
        yield from _handshakes(host)
        yield from _certificate(facts, host)


# --- is anybody there? -------------------------------------------------------------------------------


def _reachability(facts: Facts) -> Iterator[Finding]:
    dead = [
        (host, session)
        for host in facts.hosts
        for session in host.first_sessions
        if isinstance(session.session.outcome, Unreachable)
    ]
    if not dead:
        return
    lines = [f"{host.name} [{s.session.address}]: {explain(s.session.outcome)}" for host, s in dead]
    host, session = dead[0]
    if facts.some_host_answers:
        for host, session in dead:
            yield finding(
                "TLS004",
                host.name,
                f"{host.name} [{session.session.address}] cannot be reached: {explain(session.session.outcome)}",
                host=host.name,
                address=session.session.address,
            )
    elif any(has_answered(session.session.outcome) for _, session in dead):
        yield finding(
            "TLS005",
            facts.domain,
            f"no MX host of {facts.domain} accepts SMTP connections: {explain(session.session.outcome)}",
            evidence=lines,
            host=host.name,
            port=facts.evidence.smtp_port,
        )
    else:
        yield finding(
            "TLS006",
            facts.domain,
            f"no MX host of {facts.domain} could be reached from here",
            evidence=lines,
            port=facts.evidence.smtp_port,
        )


def has_answered(outcome: SessionOutcome) -> bool:
    """Whether packets come back, so that it is not only this network that blocks the port."""
    if not isinstance(outcome, Unreachable):
        return True
    return outcome.stage is not Stage.CONNECT or outcome.refused


def explain(outcome: SessionOutcome) -> str:
    """A session without TLS, in a few words."""
    match outcome:
        case StarttlsNotOffered():
            return "STARTTLS is not offered"
        case StarttlsRefused(code=code, text=text):
            return f"STARTTLS is refused: {code} {text}".rstrip()
        case Unreachable(detail=detail) | ProtocolViolation(detail=detail) | HandshakeFailed(detail=detail):
            return detail
        case _:
            return "a TLS session"


# --- from clear text to TLS --------------------------------------------------------------------------


def _upgrade(facts: Facts, host: HostFacts) -> Iterator[Finding]:
    demanded = host.demands_tls
    port = facts.evidence.smtp_port
    by_id: dict[str, list[SessionFacts]] = defaultdict(list)
    for session in host.first_sessions:
        match session.session.outcome:
            case StarttlsNotOffered() | StarttlsRefused():
                by_id["TLS002" if demanded else "TLS003"].append(session)
            case HandshakeFailed(trouble=HandshakeTrouble.VERSION):
                by_id["TLS012"].append(session)
            case HandshakeFailed():
                by_id["TLS007" if demanded else "TLS008"].append(session)
            case ProtocolViolation():
                by_id["TLS009"].append(session)
            case _:
                pass
    for id_, sessions in by_id.items():
        first = sessions[0].session
        where = listed(session.session.address for session in sessions)
        yield finding(
            id_,
            host.name,
            f"{host.name} [{where}]: {explain(first.outcome)}",
            severity=Severity.BROKEN if id_ in ("TLS009", "TLS012") and demanded else None,
            evidence=[f"{s.session.address}: {explain(s.session.outcome)}" for s in sessions],
            host=host.name,
            address=first.address,
            connect=f"[{first.address}]:{port}" if first.address.version == 6 else f"{first.address}:{port}",
        )


# --- within TLS ---------------------------------------------------------------------------------------


def _handshakes(host: HostFacts) -> Iterator[Finding]:
    checks: tuple[tuple[str, str, Callable[[SessionFacts], str]], ...] = (
        ("TLS012", "speaks only", _outdated),
        ("TLS013", "does not answer EHLO inside of TLS", _mute),
    )
    for id_, what, check in checks:
        found = {s.session.address: words for s in host.first_sessions if (words := check(s))}
        if found:
            address = next(iter(found))
            words = listed(found.values())
            yield finding(
                id_,
                host.name,
                f"{host.name} [{listed(found)}] {what} {words}".rstrip(),
                severity=Severity.BROKEN if id_ == "TLS013" and host.demands_tls else None,
                host=host.name,
                address=address,
            )
    weak = list(dict.fromkeys(filter(None, map(_weak_key, host.handshakes))))
    if weak:
        yield finding("TLS014", host.name, f"{host.name} has a weak key: {listed(weak)}", host=host.name)


def _outdated(session: SessionFacts) -> str:
    handshake = session.handshake
    return handshake.version if handshake is not None and handshake.version in OUTDATED else ""


def _mute(session: SessionFacts) -> str:
    handshake = session.handshake
    return " " if handshake is not None and not handshake.ehlo_again else ""


def _weak_key(session: SessionFacts) -> str:
    leaf = session.leaf
    if leaf is None or leaf.key_kind != "RSA" or leaf.key_size >= WEAK_RSA:
        return ""
    return f"RSA with {leaf.key_size} bits"


def _certificate(facts: Facts, host: HostFacts) -> Iterator[Finding]:
    active = facts.active_policy
    listed_there = active is not None and active.matching(host.evidence.name) is not None
    if active is None:
        bad = untrusted(host)
        if bad:
            yield finding(
                "TLS010",
                host.name,
                f"the certificate of {host.name} would not be valid for MTA-STS: {why_untrusted(bad)}",
                evidence=lines_of(bad),
                host=host.name,
            )
    if listed_there or _rests_on_dates(host.handshakes):
        leaves = [session.leaf for session in host.handshakes if session.leaf is not None]
        ending = [leaf.not_after for leaf in leaves if ends_soon(leaf, facts.now)]
        if ending:
            yield finding(
                "TLS011",
                host.name,
                f"the certificate of {host.name} ends on {day(min(ending))}",
                on=min(ending),
                host=host.name,
            )


def _rests_on_dates(sessions: Iterable[SessionFacts]) -> bool:
    """DANE-TA(2) looks at dates (RFC 7672 §3.1.2), DANE-EE(3) does not."""
    return any(
        isinstance(session.dane, Verified) and session.dane.record.usage == Usage.DANE_TA
        for session in sessions
    )
