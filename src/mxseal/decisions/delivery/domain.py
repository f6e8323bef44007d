"""The domain as a whole: from evidence to a `Decision`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from mxseal.decisions.delivery.hosts import next_hop_names, require
from mxseal.decisions.delivery.lifetime import AFTER_TROUBLE, LONGEST, answers_of, valid_until
from mxseal.decisions.delivery.one_answer import one_answer
from mxseal.decisions.delivery.words import (
    Course,
    Decision,
    HostKnowledge,
    HostRequirement,
    Kind,
    Level,
    Mixed,
    OneAnswer,
    is_unknown,
)
from mxseal.decisions.policy_lifecycle import (
    CachedPolicy,
    EffectivePolicy,
    Reason,
    StsKnowledge,
    effective_policy,
    know_sts,
)
from mxseal.standards.mta_sts import Policy
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import Answer, Evidence, Outcome, Security, TlsaState
from mxseal.vocabulary.rejection import printable


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
    if mx is not None and is_unknown(mx):
        # RFC 7672 §2.1.1, §2.2.1: bogus or indeterminate: defer, and never try the domain's own address.
        return _no_mx(domain, mx, policy, now)
    if mx is not None and (mx.outcome is Outcome.NO_NAME or _is_null(mx)):
        return _no_destination(domain, mx, policy, sts, now)
    # A host that is the next-hop itself needs no MX RRset to prove that it is meant.
    mx_is_proved = mx is None or mx.denied or mx.is_secure
    names = next_hop_names(domain, mx) if mx_is_proved else ()
    hosts = sorted(hosts, key=lambda host: (host.preference, host.name))
    requirements = tuple(require(host, policy.enforced, names, mx_is_proved=mx_is_proved) for host in hosts)
    answer, why = one_answer(
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
    course = _course(requirements, hosts, policy.enforced, unexamined=unexamined)
    if course is not Course.DELIVER and answer.kind is not Kind.TEMP:
        about_mx.append(_WHY_NOT_DELIVERED[course])
    return Decision(
        domain=domain,
        course=course,
        answer=answer,
        hosts=requirements,
        policy=policy,
        reasons=(*about_mx, why),
        valid_until=valid_until(answers_of(mx, hosts), sts, policy, answer, now),
    )


def decide_evidence(
    evidence: Evidence, *, now: datetime, cached: CachedPolicy | None = None, mixed: Mixed = "sts"
) -> Decision:
    """The same for what `check` collected: what a sender would do with mail to this domain."""
    hosts = [HostKnowledge(host.name, host.preference, host.tlsa) for host in evidence.hosts]
    sts = know_sts(evidence.sts_record, evidence.policy_fetch, cached)
    named = {record.exchange for record in evidence.mx.mx() if record.exchange is not None}
    unexamined = len(named - {host.name for host in hosts})
    return decide(evidence.domain, evidence.mx, hosts, sts, now=now, mixed=mixed, unexamined=unexamined)


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


def _course(
    requirements: Sequence[HostRequirement],
    hosts: Sequence[HostKnowledge],
    enforced: Policy | None,
    *,
    unexamined: int,
) -> Course:
    if any(requirement.level is not Level.SKIP for requirement in requirements):
        return Course.DELIVER
    denied = hosts and not unexamined and all(host.tlsa.state is TlsaState.NO_ADDRESS for host in hosts)
    proved = denied and all(host.tlsa.ipv4.is_secure and host.tlsa.ipv6.is_secure for host in hosts)
    # RFC 5321 §5.1 wants an error where no MX host has an address.  But a denial that
    # nobody signed must not turn mail back from a domain whose policy names its hosts.
    return Course.BOUNCE if proved or (denied and enforced is None) else Course.DEFER


_WHY_NOT_DELIVERED: Final = {
    Course.DEFER: Reason("none of its MX hosts may be used now, so mail waits", "RFC 8461 §5"),
    Course.BOUNCE: Reason("none of its MX hosts has an address, so mail is returned", "RFC 5321 §5.1"),
}


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
    if policy.enforced is not None:
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
        valid_until=valid_until(answers_of(mx, ()), sts, policy, answer, now),
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
