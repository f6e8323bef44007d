"""How mail to a domain must travel: evidence in, one `Decision` out.

Two standards may speak for a domain.  DANE (RFC 7672) speaks per MX host and
holds by DNSSEC alone; MTA-STS (RFC 8461) speaks per domain and holds by the
web's certificates and trust on first use.  DANE comes first (RFC 8461 §2), so
for each MX host:

=======================================  ===================================================
what is known of the host                what a sender owes it (`Level`)
=======================================  ===================================================
secure MX, secure usable TLSA records    DANE: authenticate by them, or do not deliver
insecure MX, secure usable TLSA records  PKIX if MTA-STS enforces, else DANE all the same
secure TLSA records, none of them usable PKIX if MTA-STS enforces, else ENCRYPT
no secure TLSA records                   PKIX if MTA-STS enforces, else OPPORTUNISTIC
owed PKIX, but no pattern names it       SKIP: not listed
a lookup failed or was bogus             SKIP: not now; never "no TLSA", never MTA-STS instead
no address                               SKIP
=======================================  ===================================================

An MTA such as Postfix takes one answer for the whole domain.  `OneAnswer` is
the one that holds every host to at least what it is owed, see `_one_answer`.

Two laws are tested over the whole grid of states: no fault makes a requirement
or the answer weaker, and no fault is invented where a domain never promised
anything (docs/adr/0010, 0011).

    decision = decide(domain, mx, hosts, sts, now=now)
    decision.answer               # for a one-answer MTA
    decision.hosts                # for our own delivery, by preference
    decision.valid_until
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

import msgspec

from mxseal.decisions.policy_lifecycle import (
    CachedPolicy,
    EffectivePolicy,
    Reason,
    RecordUnanswered,
    StsKnowledge,
    effective_policy,
    know_sts,
)
from mxseal.standards.dane import classify, reference_identifiers
from mxseal.standards.mta_sts import Mode, MxPattern, Policy
from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.observations import (
    Answer,
    Evidence,
    Outcome,
    PolicyFetchFailed,
    Security,
    TlsaData,
    TlsaLookup,
    TlsaState,
)
from mxseal.vocabulary.rejection import Rejection, printable

__all__ = [
    "CachedPolicy",
    "Course",
    "Decision",
    "HostKnowledge",
    "HostRequirement",
    "Kind",
    "Level",
    "Mixed",
    "Obstacle",
    "OneAnswer",
    "Reason",
    "RecordUnanswered",
    "StsKnowledge",
    "decide",
    "decide_evidence",
    "know_sts",
    "nothing_applies",
]

Mixed = Literal["sts", "dane-only"]
"""What a one-answer MTA is told where MTA-STS enforces and only some of the MX hosts have DANE."""

Names = tuple[HostName, ...]

SHORTEST: Final = timedelta(seconds=30)
"""A decision holds at least so long, whatever the TTLs: a TTL of 0 must not mean a gathering for each mail."""
LONGEST: Final = timedelta(hours=1)
"""And at most so long, so that a change is seen within the hour even behind a TTL of a week."""
AFTER_TROUBLE: Final = timedelta(seconds=60)
"""Where a lookup failed, it is worth to ask again soon."""


AFTER_FAILED_FETCH: Final = timedelta(minutes=5)
"""Where no policy could be fetched: RFC 8461 §3.3 asks for five minutes or more between attempts."""


class Level(StrEnum):
    """What a sender owes to one MX host."""

    DANE = "dane"
    """TLS, authenticated by the usable TLSA records; otherwise nothing is delivered (RFC 7672 §2.2)."""
    PKIX = "pkix"
    """TLS with a certificate that a configured root vouches for (RFC 8461 §4.2)."""
    ENCRYPT = "encrypt"
    """TLS, not authenticated: secure TLSA records exist but none is usable (RFC 7672 §2.2)."""
    OPPORTUNISTIC = "opportunistic"
    """TLS if the host offers it (RFC 7435)."""
    SKIP = "skip"
    """No delivery to this host now; see `Obstacle`."""


class Obstacle(StrEnum):
    """Why a host is skipped."""

    LOOKUP_FAILED = "lookup-failed"
    """A DNS lookup failed or was bogus: not now, perhaps later (RFC 7672 §2.1.2)."""
    NOT_LISTED = "not-listed"
    """MTA-STS enforces and no pattern names this host (RFC 8461 §4.1)."""
    NO_ADDRESS = "no-address"


class HostKnowledge(msgspec.Struct, frozen=True):
    """One MX host and the walk to its TLSA records."""

    name: HostName
    preference: int
    tlsa: TlsaLookup


class HostRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender owes to one MX host, and all that is needed to check it."""

    host: HostName
    preference: int
    level: Level
    obstacle: Obstacle | None = None
    records: tuple[TlsaData, ...] = ()
    """With DANE: the usable TLSA records."""
    base_domain: HostName | None = None
    """With DANE: the TLSA base domain, which is also the name for SNI (RFC 7672 §8.1)."""
    names: tuple[HostName, ...] = ()
    """With DANE: the reference identifiers for DANE-TA(2) (RFC 7672 §3.2.2); with PKIX: the host's name."""
    pattern: MxPattern | None = None
    """With PKIX: the pattern that names this host."""
    reasons: tuple[Reason, ...] = ()


class Kind(StrEnum):
    """The answers that a one-answer MTA can be given, in Postfix' words."""

    DANE_ONLY = "dane-only"
    DANE = "dane"
    SECURE = "secure"
    NOT_FOUND = "not-found"
    TEMP = "temp"


class OneAnswer(msgspec.Struct, frozen=True):
    """One answer for the whole domain."""

    kind: Kind
    patterns: tuple[MxPattern, ...] = ()
    """With SECURE: the policy's, never empty."""
    detail: str = ""
    """With TEMP: why, in a few printable words."""


class Course(StrEnum):
    """What happens to mail to this domain as a whole."""

    DELIVER = "deliver"
    """At least one MX host may be tried, on its terms."""
    DEFER = "defer"
    """None may be tried now; the mail waits."""
    BOUNCE = "bounce"
    """There is no such destination (RFC 5321 §5.1, RFC 7505 §4.1)."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender must do with mail to a domain."""

    domain: HostName | None
    """The policy domain; None for an address literal."""
    course: Course
    answer: OneAnswer
    hosts: tuple[HostRequirement, ...]
    """By preference."""
    policy: EffectivePolicy | None
    """What MTA-STS says; None where it cannot say anything (RFC 8461 §3.4)."""
    reasons: tuple[Reason, ...]
    """About the domain as a whole; the last one says why the answer is what it is."""
    valid_until: datetime


def decide(
    domain: HostName,
    mx: Answer | None,
    hosts: Sequence[HostKnowledge],
    sts: StsKnowledge,
    *,
    now: datetime,
    mixed: Mixed = "sts",
    unexamined: int = 0,
) -> Decision:
    """What follows from the evidence at `now`.

    `mx` is None for a next-hop in brackets, whose MX hosts are not looked up:
    `hosts` is then that host.  With an implicit MX `hosts` is the domain itself.
    `unexamined` is how many MX hosts a bound left out of `hosts`; they may
    have TLSA records, so they keep the answer from sinking below `dane`.
    """
    policy = effective_policy(sts, now)
    if mx is not None and _is_unknown(mx):
        # RFC 7672 §2.1.1, §2.2.1: bogus or indeterminate: defer, and never try the domain's own address.
        return _no_mx(domain, mx, policy, now)
    if mx is not None and (mx.outcome is Outcome.NO_NAME or _is_null(mx)):
        return _no_destination(domain, mx, policy, sts, now)
    # A host that is the next-hop itself needs no MX RRset to prove that it is meant.
    mx_is_proved = mx is None or mx.denied or mx.is_secure
    next_hop_names = _next_hop_names(domain, mx) if mx_is_proved else ()
    hosts = sorted(hosts, key=lambda host: (host.preference, host.name))
    requirements = tuple(
        _require(host, policy.enforced, next_hop_names, mx_is_proved=mx_is_proved) for host in hosts
    )
    answer, why = _one_answer(
        requirements,
        hosts,
        policy.enforced,
        mx_is_proved=mx_is_proved,
        mixed=mixed,
        unexamined=unexamined,
    )
    about_mx = list(_about_mx(domain, mx))
    if unexamined:
        about_mx.append(
            Reason(f"only its {len(hosts)} most preferred MX hosts are looked at, and {unexamined} are not")
        )
    course = _course(requirements, hosts, policy.enforced)
    if course is not Course.DELIVER and answer.kind is not Kind.TEMP:
        about_mx.append(_WHY_NOT_DELIVERED[course])
    return Decision(
        domain=domain,
        course=course,
        answer=answer,
        hosts=requirements,
        policy=policy,
        reasons=(*about_mx, why),
        valid_until=_valid_until(_answers(mx, hosts), sts, policy, answer, now),
    )


def decide_evidence(
    evidence: Evidence, *, now: datetime, cached: CachedPolicy | None = None, mixed: Mixed = "sts"
) -> Decision:
    """The same for what `check` collected: what a sender would do with mail to this domain."""
    hosts = [HostKnowledge(host.name, host.preference, host.tlsa) for host in evidence.hosts]
    sts = know_sts(evidence.sts_record, evidence.policy_fetch, cached)
    return decide(evidence.domain, evidence.mx, hosts, sts, now=now, mixed=mixed)


def nothing_applies(why: Reason, *, now: datetime) -> Decision:
    """For next-hops about which no standard can say anything: address literals, parents of a domain."""
    return Decision(
        domain=None,
        course=Course.DELIVER,
        answer=OneAnswer(Kind.NOT_FOUND),
        hosts=(),
        policy=None,
        reasons=(why,),
        valid_until=now + LONGEST,
    )


# --- per host ------------------------------------------------------------------------------------


def _require(
    host: HostKnowledge, enforced: Policy | None, next_hop_names: Names, *, mx_is_proved: bool
) -> HostRequirement:
    """What is owed to one host: the table at the top of this file."""
    lookup = host.tlsa
    if lookup.state is TlsaState.NO_ADDRESS:
        why = Reason("it has no address", "RFC 5321 §5.1")
        return _skip(host, Obstacle.NO_ADDRESS, why)
    if lookup.state is TlsaState.FAILED:
        detail = f": {printable(lookup.reason)}" if lookup.reason else ""
        why = Reason(f"a lookup failed{detail}; so this host has to wait", "RFC 7672 §2.1.2")
        return _skip(host, Obstacle.LOOKUP_FAILED, why)
    if lookup.state is TlsaState.FOUND:
        usable = classify(lookup.records).usable
        if usable and (mx_is_proved or enforced is None):
            return _owe_dane(host, usable, enforced, next_hop_names, mx_is_proved=mx_is_proved)
        if usable:
            why = Reason(
                "it has usable TLSA records, but the MX records that name it are not signed, so DANE"
                " proves nothing about the domain and MTA-STS decides",
                "RFC 7672 §2.2.1",
            )
        else:
            why = Reason("it has secure TLSA records, but none of them is usable", "RFC 7672 §2.2")
        # With usable records MTA-STS enforces here, see above.
        unless_enforced = Level.ENCRYPT
    else:
        why = _why_no_dane(lookup)
        unless_enforced = Level.OPPORTUNISTIC
    if enforced is not None:
        return _owe_pkix(host, enforced, why)
    if unless_enforced is Level.ENCRYPT:
        consequence = Reason("so mail goes over TLS or not at all, without authentication", "RFC 7672 §2.2")
    else:
        consequence = Reason("so TLS is used if it is offered", "RFC 7435 §3")
    return HostRequirement(
        host=host.name, preference=host.preference, level=unless_enforced, reasons=(why, consequence)
    )


def _skip(host: HostKnowledge, obstacle: Obstacle, *reasons: Reason) -> HostRequirement:
    return HostRequirement(
        host=host.name, preference=host.preference, level=Level.SKIP, obstacle=obstacle, reasons=reasons
    )


def _why_no_dane(lookup: TlsaLookup) -> Reason:
    if lookup.state is TlsaState.NOT_ASKED:
        return Reason("its address is not signed, so DANE does not apply", "RFC 7672 §2.2.2")
    return Reason("it has no secure TLSA records, so DANE does not apply", "RFC 7672 §2.2")


def _owe_dane(
    host: HostKnowledge,
    usable: tuple[TlsaData, ...],
    enforced: Policy | None,
    next_hop_names: Names,
    *,
    mx_is_proved: bool,
) -> HostRequirement:
    base = host.tlsa.base_domain or host.name
    count = "a usable TLSA record" if len(usable) == 1 else f"{len(usable)} usable TLSA records"
    reasons = [Reason(f"it has {count} at {base}, so its certificate must match", "RFC 7672 §2.2")]
    if not mx_is_proved:
        reasons.append(
            Reason(
                "the MX records that name it are not signed, so this proves the host and not the domain",
                "RFC 7672 §2.2.1",
            )
        )
    if enforced is not None and enforced.matching(host.name) is None:
        # docs/adr/0010: signed MX records say already what the pattern list would say.
        reasons.append(
            Reason("the MTA-STS policy does not name it, which does not matter: DANE first", "RFC 8461 §2")
        )
    return HostRequirement(
        host=host.name,
        preference=host.preference,
        level=Level.DANE,
        records=usable,
        base_domain=base,
        names=_reference_identifiers(base, next_hop_names),
        reasons=tuple(reasons),
    )


def _next_hop_names(domain: HostName, mx: Answer | None) -> Names:
    """The next-hop and, where signed aliases lead on from it, the name at their end (RFC 7672 §3.2.2)."""
    if mx is None or not mx.aliases or not mx.is_secure:
        return (domain,)
    expanded = parse_host_name(mx.final_name)
    return (domain,) if isinstance(expanded, Rejection) else (domain, expanded)


def _reference_identifiers(base: HostName, next_hop_names: Names) -> Names:
    next_hop = next_hop_names[0] if next_hop_names else None
    expanded = next_hop_names[1] if len(next_hop_names) > 1 else None
    return reference_identifiers(base, next_hop, mx_secure=next_hop is not None, expanded_next_hop=expanded)


def _owe_pkix(host: HostKnowledge, enforced: Policy, why: Reason) -> HostRequirement:
    pattern = enforced.matching(host.name)
    if pattern is None:
        return _skip(
            host,
            Obstacle.NOT_LISTED,
            why,
            Reason("no pattern of the MTA-STS policy names it", "RFC 8461 §4.1"),
        )
    return HostRequirement(
        host=host.name,
        preference=host.preference,
        level=Level.PKIX,
        names=(host.name,),
        pattern=pattern,
        reasons=(
            why,
            Reason(
                f"the MTA-STS policy names it ({pattern}), so its certificate must be valid for its name",
                "RFC 8461 §4.2",
            ),
        ),
    )


# --- the domain as a whole -----------------------------------------------------------------------


def _one_answer(
    requirements: Sequence[HostRequirement],
    hosts: Sequence[HostKnowledge],
    enforced: Policy | None,
    *,
    mx_is_proved: bool,
    mixed: Mixed,
    unexamined: int,
) -> tuple[OneAnswer, Reason]:
    """The one answer that holds each host to at least what it is owed (DESIGN §5.2).

    Hosts that are skipped do not take part, except that one whose address
    could not be looked up may turn out to have TLSA records: it keeps the
    answer from sinking below `dane`, with which the MTA finds out by itself.
    """
    broken = [host for host in hosts if host.tlsa.state is TlsaState.FAILED]
    for host in broken:
        if _has_address(host.tlsa):
            # RFC 7672 §2.1.2: with an address that may have TLSA records, "failed" is not "none".
            return _temp(
                f"TLSA lookup for {host.name} failed",
                Reason(f"the TLSA lookup for {host.name} failed, so mail waits", "RFC 7672 §2.1.2"),
            )
    levels = {requirement.level for requirement in requirements} - {Level.SKIP}
    if not levels and broken:
        return _temp(
            f"address lookup for {broken[0].name} failed",
            Reason("no MX host can be used and at least one lookup failed, so mail waits", "RFC 7672 §2.1.2"),
        )
    if not requirements:
        return _temp(
            "no MX record names a host",
            Reason(
                "none of the MX records names a host that can be looked up, so mail waits", "RFC 5321 §5.1"
            ),
        )
    if levels == {Level.DANE} and mx_is_proved:
        return OneAnswer(Kind.DANE_ONLY), Reason(
            "every MX host that may be used has usable TLSA records: dane-only", "RFC 7672 §2.2"
        )
    if enforced is not None:
        return _answer_enforced(enforced, levels, mixed)
    if levels & {Level.DANE, Level.ENCRYPT} or (levels and (broken or unexamined)):
        return OneAnswer(Kind.DANE), _why_dane(levels)
    return OneAnswer(Kind.NOT_FOUND), Reason(
        "neither DANE nor MTA-STS demands anything, so the MTA's own settings decide", "RFC 7435 §3"
    )


def _why_dane(levels: set[Level]) -> Reason:
    if levels == {Level.DANE}:
        text = "every MX host has usable TLSA records, but the MX records are not signed: dane, host by host"
        return Reason(text, "RFC 7672 §2.2.1")
    if levels == {Level.ENCRYPT}:
        text = "no TLSA record is usable: dane, with which the MTA encrypts without authentication"
    elif levels & {Level.DANE, Level.ENCRYPT}:
        text = "DANE applies to some MX hosts and nothing is demanded of the others: dane, host by host"
    else:
        text = "a host that is not known now may have TLSA records: dane, so that the MTA looks for itself"
    return Reason(text, "RFC 7672 §2.2")


def _answer_enforced(enforced: Policy, levels: set[Level], mixed: Mixed) -> tuple[OneAnswer, Reason]:
    if Level.DANE in levels and mixed == "dane-only":
        return OneAnswer(Kind.DANE_ONLY), Reason(
            "only some MX hosts have usable TLSA records; by your choice mail goes to those alone"
            " (mixed = dane-only)",
            "RFC 8461 §2",
        )
    if not enforced.mx:
        return _temp(
            "MTA-STS policy without MX patterns",
            Reason("the MTA-STS policy names no MX host at all, so mail waits", "RFC 8461 §3.2"),
        )
    why = "MTA-STS enforces verified certificates: secure, with the policy's MX patterns"
    if Level.DANE in levels:
        why = (
            "only some MX hosts have usable TLSA records, and one answer must do for all: secure, with the"
            " policy's MX patterns, is the one that leaves none unauthenticated"
        )
    return OneAnswer(Kind.SECURE, patterns=enforced.mx), Reason(why, "RFC 8461 §5")


def _temp(detail: str, why: Reason) -> tuple[OneAnswer, Reason]:
    return OneAnswer(Kind.TEMP, detail=printable(detail, 200)), why


def _course(
    requirements: Sequence[HostRequirement], hosts: Sequence[HostKnowledge], enforced: Policy | None
) -> Course:
    if any(requirement.level is not Level.SKIP for requirement in requirements):
        return Course.DELIVER
    denied = hosts and all(host.tlsa.state is TlsaState.NO_ADDRESS for host in hosts)
    proved = denied and all(host.tlsa.ipv4.is_secure and host.tlsa.ipv6.is_secure for host in hosts)
    # RFC 5321 §5.1 wants an error where no MX host has an address.  But a denial that
    # nobody signed must not turn mail back from a domain whose policy names its hosts.
    return Course.BOUNCE if proved or (denied and enforced is None) else Course.DEFER


_WHY_NOT_DELIVERED: Final = {
    Course.DEFER: Reason("none of its MX hosts may be used now, so mail waits", "RFC 8461 §5"),
    Course.BOUNCE: Reason("none of its MX hosts has an address, so mail is returned", "RFC 5321 §5.1"),
}


def _is_unknown(answer: Answer) -> bool:
    return answer.failed or answer.security in (Security.BOGUS, Security.INDETERMINATE)


def _has_address(lookup: TlsaLookup) -> bool:
    return any(answer.addresses() and not _is_unknown(answer) for answer in (lookup.ipv6, lookup.ipv4))


def _is_null(mx: Answer) -> bool:
    """RFC 7505 §3: a null MX stands alone."""
    records = mx.mx()
    return bool(records) and all(record.exchange is None for record in records)


def _no_mx(domain: HostName, mx: Answer, policy: EffectivePolicy, now: datetime) -> Decision:
    what = "is bogus" if mx.security is Security.BOGUS else "failed"
    detail = f": {printable(mx.reason)}" if mx.reason else ""
    return Decision(
        domain=domain,
        course=Course.DEFER,
        answer=OneAnswer(Kind.TEMP, detail=f"MX lookup for {domain} {what}"),
        hosts=(),
        policy=policy,
        reasons=(
            Reason(f"the MX lookup for {domain} {what}{detail}", "RFC 7672 §2.1.1"),
            Reason("whoever cannot know the MX hosts must not guess them, so mail waits", "RFC 7672 §2.2.1"),
        ),
        valid_until=now + AFTER_TROUBLE,
    )


def _no_destination(
    domain: HostName, mx: Answer, policy: EffectivePolicy, sts: StsKnowledge, now: datetime
) -> Decision:
    """The domain does not exist, or takes no mail."""
    if mx.found:
        what = Reason(f"{domain} says that it takes no mail (null MX)", "RFC 7505 §3")
    else:
        what = Reason(f"the domain {domain} does not exist", "RFC 5321 §5.1")
    course, answer = Course.BOUNCE, OneAnswer(Kind.NOT_FOUND)
    consequence = Reason("so mail to it is returned", "RFC 5321 §5.1")
    if policy.enforced is not None and policy.enforced.mx:
        answer = OneAnswer(Kind.SECURE, patterns=policy.enforced.mx)
        if not mx.is_secure:
            course = Course.DEFER
            consequence = Reason(
                "but that is not signed, and a valid MTA-STS policy names MX hosts, so mail waits",
                "RFC 8461 §5",
            )
    return Decision(
        domain=domain,
        course=course,
        answer=answer,
        hosts=(),
        policy=policy,
        reasons=(what, consequence),
        valid_until=_valid_until(_answers(mx, ()), sts, policy, answer, now),
    )


def _about_mx(domain: HostName, mx: Answer | None) -> Iterator[Reason]:
    if mx is None:
        yield Reason(
            f"{domain} is named as the host itself, so no MX records are looked up", "RFC 7672 §2.2.3"
        )
        return
    for alias in mx.aliases[:8]:
        yield Reason(
            f"{printable(alias.owner)} is an alias (CNAME) of {printable(alias.target)}", "RFC 5321 §5.1"
        )
    signed = "signed" if mx.is_secure else "not signed"
    if mx.denied:
        yield Reason(
            f"{domain} has no MX records ({signed} denial), so it is its own MX host (implicit MX)",
            "RFC 5321 §5.1",
        )
    elif mx.is_secure:
        yield Reason(f"the MX records of {domain} are signed: they are the domain's own", "RFC 7672 §2.2.1")
    else:
        yield Reason(
            f"the MX records of {domain} are not signed: an attacker can forge them", "RFC 7672 §2.2.1"
        )


# --- lifetime ------------------------------------------------------------------------------------


def _valid_until(
    answers: Iterator[Answer],
    sts: StsKnowledge,
    policy: EffectivePolicy,
    answer: OneAnswer,
    now: datetime,
) -> datetime:
    """The earliest end of what the decision rests on, between `SHORTEST` and `LONGEST`.

    The lower bound may make it outlive a policy by seconds, which is stronger, not weaker.
    """
    seconds = [int(LONGEST.total_seconds())]
    trouble = answer.kind is Kind.TEMP
    for used in answers:
        if _is_unknown(used):
            trouble = True
        else:
            seconds.append(used.ttl)
    if sts.record_ttl is not None:
        seconds.append(sts.record_ttl)
    trouble = trouble or isinstance(sts.record, RecordUnanswered) or policy.wants_fetch
    until = now + timedelta(seconds=max(0, min(seconds)))
    if policy.expires is not None and policy.policy is not None and policy.policy.mode is not Mode.NONE:
        until = min(until, policy.expires)
    if isinstance(sts.fetched, Rejection | PolicyFetchFailed):
        until = min(until, now + AFTER_FAILED_FETCH)
    if trouble:
        until = min(until, now + AFTER_TROUBLE)
    return max(until, now + SHORTEST)


def _answers(mx: Answer | None, hosts: Sequence[HostKnowledge]) -> Iterator[Answer]:
    if mx is not None:
        yield mx
    for host in hosts:
        yield host.tlsa.ipv4
        yield host.tlsa.ipv6
        yield from host.tlsa.questions
