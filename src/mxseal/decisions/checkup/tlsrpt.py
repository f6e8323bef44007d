"""TLSRPT: who hears of failures (RFC 8460)."""

from collections.abc import Iterator
from typing import Final

from mxseal.decisions.checkup.facts import Facts
from mxseal.decisions.checkup.wording import finding
from mxseal.standards import tlsrpt
from mxseal.standards.mta_sts import Mode
from mxseal.vocabulary.findings import Finding
from mxseal.vocabulary.observations import Security
from mxseal.vocabulary.rejection import Rejection

_MAX_TOGETHER: Final = 6


def judge_tlsrpt(facts: Facts) -> Iterator[Finding]:
    """The record and its destinations."""
    answer, domain = facts.evidence.tlsrpt_record, facts.domain
    name = tlsrpt.record_name(facts.evidence.domain)
    match facts.tlsrpt_record:
        case None:
            if answer.security is not Security.BOGUS:
                yield finding(
                    "RPT006", name, f"the lookup of {name} fails: {answer.reason}", record_name=name
                )
        case tlsrpt.NoRecord(near=near) if near:
            yield _broken(name, domain, near[0])
        case tlsrpt.NoRecord():
            if facts.reachable_hosts:
                yield _missing(facts, name, domain)
        case Rejection(rule="tlsrpt-record", text=records):
            texts = records.split("\n")
            yield finding(
                "RPT003",
                name,
                f"{name} has {len(texts)} TLSRPT records",
                evidence=texts,
                record=f"{name}. IN TXT {_together(texts, domain)}",
            )
        case Rejection() as rejection:
            yield _broken(name, domain, rejection)
        case tlsrpt.Record():
            yield from _endpoints(facts, name)


def _together(texts: list[str], domain: str) -> str:
    """One record in the place of several, with the destinations of all, as a zone file has it."""
    records = [record for text in texts if isinstance(record := tlsrpt.parse_record(text), tlsrpt.Record)]
    destinations = list(dict.fromkeys(uri for record in records for uri in record.rua))
    text = f"v=TLSRPTv1; rua={','.join(destinations[:_MAX_TOGETHER]) or f'mailto:tlsrpt@{domain}'}"
    # RFC 1035 §3.3: a character-string has at most 255 octets; those of one record are joined.
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))


def _missing(facts: Facts, name: str, domain: str) -> Finding:
    policy = facts.active_policy
    if policy is not None and policy.mode is Mode.TESTING:
        return finding(
            "RPT005",
            domain,
            f"the policy of {domain} is in mode testing, but no TLSRPT record asks for reports",
            record_name=name,
            domain=domain,
        )
    return finding("RPT001", domain, f"{domain} asks nobody for TLS reports", record_name=name, domain=domain)


def _broken(name: str, domain: str, rejection: Rejection) -> Finding:
    return finding(
        "RPT002",
        name,
        f"the TLSRPT record of {domain} cannot be read: {rejection}",
        evidence=rejection.with_caret().splitlines()[1:],
        record_name=name,
        domain=domain,
    )


def _endpoints(facts: Facts, name: str) -> Iterator[Finding]:
    for endpoint in facts.evidence.report_endpoints:
        if endpoint.reachable is False:
            yield finding(
                "RPT004",
                endpoint.uri,
                f"reports cannot be sent to {endpoint.uri}: {endpoint.detail}",
                uri=endpoint.uri,
                record_name=name,
            )
