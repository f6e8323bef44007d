"""What is owed to one MX host: the table of the package's docstring."""

from mxseal.decisions.delivery.words import HostKnowledge, HostRequirement, Level, Names, Obstacle
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.dane import classify, reference_identifiers
from mxseal.standards.mta_sts import Policy
from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.observations import Answer, TlsaData, TlsaLookup, TlsaState
from mxseal.vocabulary.rejection import Rejection, printable


def require(
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
        # docs/adr/0008: signed MX records say already what the pattern list would say.
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
        mx_is_proved=mx_is_proved,
        reasons=tuple(reasons),
    )


def next_hop_names(domain: HostName, mx: Answer | None) -> Names:
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
