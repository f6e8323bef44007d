"""One answer for the whole domain (docs/adr/0009)."""

from collections.abc import Sequence

from mxseal.decisions.delivery.words import (
    HostKnowledge,
    HostRequirement,
    Kind,
    Level,
    Mixed,
    OneAnswer,
    is_unknown,
)
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.mta_sts import Policy
from mxseal.vocabulary.observations import TlsaLookup, TlsaState
from mxseal.vocabulary.rejection import printable


def one_answer(
    requirements: Sequence[HostRequirement],
    hosts: Sequence[HostKnowledge],
    enforced: Policy | None,
    *,
    mx_is_proved: bool,
    mixed: Mixed,
    unexamined: int,
) -> tuple[OneAnswer, Reason]:
    """The one answer that holds each host to at least what it is owed (docs/adr/0009-one-answer.md).

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
    if levels & {Level.DANE, Level.ENCRYPT} or broken or unexamined:
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
    why = "MTA-STS enforces verified certificates: secure, with the policy's MX patterns"
    if Level.DANE in levels:
        why = (
            "only some MX hosts have usable TLSA records, and one answer must do for all: secure, with the"
            " policy's MX patterns, is the one that leaves none unauthenticated"
        )
    return OneAnswer(Kind.SECURE, patterns=enforced.mx), Reason(why, "RFC 8461 §5")


def _temp(detail: str, why: Reason) -> tuple[OneAnswer, Reason]:
    return OneAnswer(Kind.TEMP, detail=printable(detail, 200)), why


def _has_address(lookup: TlsaLookup) -> bool:
    return any(answer.addresses() and not is_unknown(answer) for answer in (lookup.ipv6, lookup.ipv4))
