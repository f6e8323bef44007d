"""Where mail goes: RFC 5321 §5.1, RFC 7505."""

from collections.abc import Iterator
from typing import Final

from mxseal.decisions.checkup.facts import Facts, HostFacts
from mxseal.decisions.checkup.wording import finding, listed, why_failed
from mxseal.vocabulary.findings import Finding, Severity
from mxseal.vocabulary.observations import Answer, OtherData, Outcome, Security, TlsaState

_MAX_ODD: Final = 8
"""Of MX records that name no host, so many are told; a hostile RRset has hundreds."""


def judge_mx(facts: Facts) -> Iterator[Finding]:
    """The MX RRset and the addresses of its hosts."""
    mx, domain = facts.evidence.mx, facts.domain
    if mx.failed:
        if mx.security is not Security.BOGUS:  # else DNS002 says it
            yield finding(
                "MX001",
                domain,
                f"the MX lookup for {domain} fails: {mx.reason or 'no reason given'}",
                domain=domain,
            )
    elif mx.outcome is Outcome.NO_NAME:
        yield finding("MX004", domain, f"{domain} does not exist (NXDOMAIN)", domain=domain)
    elif facts.is_null:
        yield finding("MX003", domain, f"{domain} says that it accepts no mail (null MX)", domain=domain)
    else:
        yield from _records(facts)
        yield from _hosts(facts)
        if facts.evidence.left_out:
            yield finding(
                "MX013",
                domain,
                "not everything was examined, because of the limits of check",
                evidence=facts.evidence.left_out,
            )


def _records(facts: Facts) -> Iterator[Finding]:
    mx, domain = facts.evidence.mx, facts.domain
    if mx.found and any(record.exchange is None for record in mx.mx()):
        yield finding(
            "MX012", domain, f"{domain} has a null MX and other MX records beside it", domain=domain
        )
    odd = [record.text for record in mx.records if isinstance(record, OtherData)]
    for text in odd[:_MAX_ODD]:
        preference, _, exchange = text.partition(" ")
        yield finding(
            "MX007",
            domain,
            f"an MX record names {exchange or text!r}, which is no host name",
            severity=Severity.WARNING if facts.reachable_hosts else None,
            evidence=[f"{domain}. IN MX {text}"],
            record=f"{domain}. IN MX {text}",
            domain=domain,
            preference=preference if preference.isdigit() else "10",
        )


def _hosts(facts: Facts) -> Iterator[Finding]:
    domain = facts.domain
    implicit = facts.evidence.mx.denied
    dead = [host for host in facts.hosts if host.state is TlsaState.NO_ADDRESS]
    if implicit:
        if dead:
            yield finding("MX005", domain, f"{domain} has neither an MX record nor an address", domain=domain)
        elif facts.reachable_hosts:
            yield finding(
                "MX002", domain, f"{domain} has no MX record; mail goes to its own address", domain=domain
            )
    elif dead and len(dead) == len(facts.hosts):
        names = listed(host.name for host in dead)
        yield finding("MX009", domain, f"no MX host of {domain} has an address: {names}", host=dead[0].name)
    else:
        for host in dead:
            yield finding(
                "MX008",
                host.name,
                f"the MX host {host.name} has no address",
                host=host.name,
                domain=domain,
                preference=host.evidence.preference,
            )
    for host in facts.hosts:
        yield from _host(facts, host)


def _host(facts: Facts, host: HostFacts) -> Iterator[Finding]:
    lookup = host.evidence.tlsa
    failed = [answer for answer in (lookup.ipv6, lookup.ipv4) if answer.failed]
    bogus = any(answer.security is Security.BOGUS for answer in failed)
    if failed and not bogus:
        others = any(other.addresses for other in facts.hosts)
        yield finding(
            "MX010",
            host.name,
            f"not all addresses of {host.name} can be looked up: {failed[0].reason}",
            severity=None if others else Severity.BROKEN,
            evidence=map(why_failed, failed),
            host=host.name,
            record_type=failed[0].record_type,
        )
    alias = _alias(lookup.ipv4, lookup.ipv6)
    if alias and facts.evidence.mx.found:
        yield finding(
            "MX006",
            host.name,
            f"{host.name} is an alias (CNAME) of {alias}",
            domain=facts.domain,
            preference=host.evidence.preference,
            target=alias,
            host=host.name,
        )
    private = [address for address in host.addresses if not address.is_global]
    if private and not facts.evidence.private_allowed:
        yield finding(
            "MX011",
            host.name,
            f"{host.name} has an address that is not public: {listed(private)}",
            address=listed(private),
            host=host.name,
        )


def _alias(*answers: Answer) -> str:
    return next((answer.final_name for answer in answers if answer.aliases), "")
