"""What all of it together means."""

from collections.abc import Iterator

from mxseal.decisions.checkup.facts import Facts
from mxseal.decisions.checkup.judgement import Standard
from mxseal.decisions.checkup.wording import finding, listed
from mxseal.vocabulary.findings import Finding
from mxseal.vocabulary.observations import StarttlsNotOffered, StarttlsRefused, TlsaState


def judge_whole(facts: Facts) -> Iterator[Finding]:
    """Whether anything obliges senders at all."""
    if facts.evidence.mx.failed or not facts.reachable_hosts:
        return
    if seals(facts):
        return
    if not any(host.handshakes for host in facts.reachable_hosts) and _is_without_starttls(facts):
        return  # TLS003 comes first: no policy can be introduced before there is TLS
    yield finding(
        "TLS001",
        facts.domain,
        f"whoever sits in the path can read and take mail to {facts.domain}: {_why(facts)}",
    )


def seals(facts: Facts) -> tuple[Standard, ...]:
    """The standards that oblige those senders who know them, as far as mail to the domain exists."""
    if facts.evidence.mx.failed or not facts.reachable_hosts:
        return ()
    dane = (Standard.DANE,) if sealed_by_dane(facts) else ()
    # With max_age 0 nobody remembers the policy: who hinders the fetch is rid of it (RFC 8461 §10.2).
    remembered = facts.enforced_policy is not None and facts.enforced_policy.max_age > 0
    return (*dane, Standard.MTA_STS) if remembered else dane


def sealed_by_dane(facts: Facts) -> bool:
    """Every MX host that can be used has usable TLSA records, and nobody can forge the list of them.

    A host whose TLSA lookup fails is not used by senders with DANE: mail waits, and is not taken.
    """
    hosts = facts.reachable_hosts
    return facts.mx_is_proved and all(host.has_dane or host.state is TlsaState.FAILED for host in hosts)


def _is_without_starttls(facts: Facts) -> bool:
    """Whether some MX host has no STARTTLS, which TLS003 says; a handshake that fails is less than that."""
    return any(
        isinstance(session.session.outcome, StarttlsNotOffered | StarttlsRefused)
        for host in facts.reachable_hosts
        for session in host.first_sessions
    )


def _why(facts: Facts) -> str:
    without = [host.name for host in facts.reachable_hosts if not host.has_dane]
    if len(without) < len(facts.reachable_hosts):
        dane = f"no DANE for {listed(without)}" if without else "the MX records are not signed"
    else:
        dane = "no DANE"
    if facts.enforced_policy is not None:
        return f"{dane}, and an MTA-STS policy that nobody may remember"
    if facts.active_policy is not None:
        return f"{dane}, and MTA-STS is only being tested"
    if facts.policy is not None or facts.evidence.policy_fetch is not None:
        return f"{dane}, and no MTA-STS policy that holds"
    return f"{dane}, and no MTA-STS"
