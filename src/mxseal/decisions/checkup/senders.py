"""What three kinds of senders would do with mail to this domain today, in plain words."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mxseal.decisions.checkup.facts import Facts, HostFacts, SessionFacts
from mxseal.decisions.checkup.judgement import Fate, HostView, Protection, Sender, SenderView
from mxseal.decisions.checkup.starttls import explain, has_answered
from mxseal.decisions.checkup.wording import listed
from mxseal.standards.certificate import Trusted, Untrusted
from mxseal.standards.dane import Mismatch, Verified, short
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.observations import (
    Handshake,
    HandshakeFailed,
    Outcome,
    ProtocolViolation,
    Security,
    StarttlsNotOffered,
    StarttlsRefused,
    TlsaState,
    Unreachable,
)


class _Attempt(msgspec.Struct, frozen=True):
    """One session as one sender sees it."""

    fate: Fate
    protection: Protection
    words: str


Try = Callable[[Facts, HostFacts, SessionFacts], _Attempt]

NAMES: Final = {
    Sender.DANE: "a sender with DANE (Postfix-type)",
    Sender.MTA_STS: "a sender with MTA-STS (Gmail-type)",
    Sender.OLD: "an old sender (neither)",
}


def view_senders(facts: Facts) -> tuple[SenderView, ...]:
    """One view for each kind."""
    return tuple(_view(facts, sender) for sender in Sender)


def _view(facts: Facts, sender: Sender) -> SenderView:
    whole = _without_hosts(facts, sender)
    if whole is not None:
        fate, words = whole
        return SenderView(sender, fate, Protection.NONE, words)
    views = tuple(_at_host(facts, sender, host) for host in facts.hosts)
    return _together(facts, sender, views)


def _without_hosts(facts: Facts, sender: Sender) -> tuple[Fate, str] | None:
    """Where mail does not come as far as an MX host."""
    mx = facts.evidence.mx
    if mx.failed and mx.security is Security.BOGUS:
        if sender is Sender.DANE:
            return Fate.DEFERRED, "waits: the MX records are bogus, and whoever validates must not use them"
        return Fate.UNKNOWN, "waits if its resolver validates DNSSEC, and takes whatever comes if not"
    if mx.failed:
        return Fate.DEFERRED, "waits: the MX lookup fails"
    if facts.is_null:
        return Fate.RETURNED, "is returned: the domain says that it accepts no mail"
    if facts.takes_no_mail:
        gone = mx.outcome is Outcome.NO_NAME
        why = "the domain does not exist" if gone else "there is neither an MX record nor an address"
        return Fate.RETURNED, f"is returned: {why}"
    if not facts.reachable_hosts:
        if any(host.state is TlsaState.FAILED for host in facts.hosts):
            return Fate.DEFERRED, "waits: the addresses of the MX hosts cannot be looked up"
        return Fate.RETURNED, "is returned: no MX host has an address"
    return None


# --- one host --------------------------------------------------------------------------------------


def _at_host(facts: Facts, sender: Sender, host: HostFacts) -> HostView:
    name = host.evidence.name
    if not host.addresses:
        return HostView(name, Fate.DEFERRED, Protection.NONE, "it has no address")
    refused = _refused(facts, sender, host)
    if refused:
        return HostView(name, Fate.DEFERRED, Protection.NONE, refused)
    by_address: dict[Address, list[_Attempt]] = defaultdict(list)
    for session in _seen_by(sender, host):
        by_address[session.session.address].append(_TRY[sender](facts, host, session))
    if not by_address:
        return HostView(name, Fate.UNKNOWN, Protection.NONE, "it was not connected to")
    # RFC 5321 §5.1: whoever fails at one address goes on to the next.
    results = [_at_address(attempts) for attempts in by_address.values()]
    for fate in (Fate.DELIVERED, Fate.PARTLY):
        good = [result for result in results if result.fate is fate]
        if good:
            bad = [result.words for result in results if result.fate is Fate.DEFERRED]
            weakest = _weakest(good)
            words = f"{weakest.words} (elsewhere: {listed(bad)})" if bad else weakest.words
            return HostView(name, fate, weakest.protection, words)
    fate = Fate.UNKNOWN if any(result.fate is Fate.UNKNOWN for result in results) else Fate.DEFERRED
    return HostView(name, fate, Protection.NONE, listed(result.words for result in results))


def _at_address(attempts: Sequence[_Attempt]) -> _Attempt:
    """One address, with each kind of certificate that it may show."""
    good = [attempt for attempt in attempts if attempt.fate is Fate.DELIVERED]
    bad = [attempt for attempt in attempts if attempt.fate is Fate.DEFERRED]
    if good and bad:
        weakest = _weakest(good)
        words = f"{weakest.words}; but {listed(attempt.words for attempt in bad)}"
        return _Attempt(Fate.PARTLY, weakest.protection, words)
    if good:
        return _weakest(good)
    return bad[0] if bad else attempts[0]


_ORDER: Final = (Protection.CLEAR, Protection.ENCRYPTED, Protection.AUTHENTICATED)


def _weakest(attempts: Sequence[_Attempt]) -> _Attempt:
    return min(attempts, key=lambda attempt: _ORDER.index(attempt.protection))


def _refused(facts: Facts, sender: Sender, host: HostFacts) -> str:
    """Why a sender would not even connect; empty if it would."""
    if sender is Sender.DANE and host.state is TlsaState.FAILED:
        return "it is skipped: the TLSA lookup fails, and that does not mean that there are no records"
    policy = facts.enforced_policy
    if sender is Sender.MTA_STS and policy is not None and policy.matching(host.evidence.name) is None:
        return "it is skipped: the MTA-STS policy does not name it"
    return ""


def _seen_by(sender: Sender, host: HostFacts) -> tuple[SessionFacts, ...]:
    """An old sender does not care which certificate it gets; to the others each kind may be shown."""
    if sender is Sender.OLD:
        return host.first_sessions
    return (*host.first_sessions, *(s for s in host.handshakes if s not in host.first_sessions))


_NO_EHLO: Final = "EHLO is not answered inside of TLS"
_MUTE: Final = _Attempt(Fate.DEFERRED, Protection.NONE, _NO_EHLO)


def _try_dane(facts: Facts, host: HostFacts, session: SessionFacts) -> _Attempt:
    if host.state is not TlsaState.FOUND:
        return _opportunistic(session)
    if session.handshake is None:
        return _no_tls(session, "the TLSA records demand TLS")
    if not session.handshake.ehlo_again:
        return _MUTE
    match session.dane:
        case Verified(record=record):
            words = f"by TLS; the certificate matches TLSA {short(record)}"
            if not facts.mx_is_proved:
                # Who forges the MX records chooses the host, and has a certificate for that one.
                words += ", but the MX records are not signed"
                return _Attempt(Fate.DELIVERED, Protection.ENCRYPTED, words)
            return _Attempt(Fate.DELIVERED, Protection.AUTHENTICATED, words)
        case Mismatch():
            kind = f"{session.leaf.key_kind} " if session.leaf is not None else ""
            words = f"the {kind}certificate at {session.session.address} matches no TLSA record"
            return _Attempt(Fate.DEFERRED, Protection.NONE, words)
        case _:
            words = "by TLS, without authentication: no TLSA record can be used"
            return _Attempt(Fate.DELIVERED, Protection.ENCRYPTED, words)


def _try_mta_sts(facts: Facts, host: HostFacts, session: SessionFacts) -> _Attempt:
    del host
    if facts.enforced_policy is None:
        return _opportunistic(session)
    if session.handshake is None:
        return _no_tls(session, "the MTA-STS policy demands TLS")
    if not session.handshake.ehlo_again:
        return _MUTE
    match session.pkix:
        case Trusted():
            words = "by TLS; the policy names the host and its certificate is valid"
            return _Attempt(Fate.DELIVERED, Protection.AUTHENTICATED, words)
        case Untrusted(detail=detail):
            return _Attempt(Fate.DEFERRED, Protection.NONE, f"the certificate is not valid: {detail}")
        case None:
            return _Attempt(Fate.DEFERRED, Protection.NONE, "no certificate was sent")


def _try_old(facts: Facts, host: HostFacts, session: SessionFacts) -> _Attempt:
    del facts, host
    return _opportunistic(session)


_TRY: Final[dict[Sender, Try]] = {
    Sender.DANE: _try_dane,
    Sender.MTA_STS: _try_mta_sts,
    Sender.OLD: _try_old,
}


def _opportunistic(session: SessionFacts) -> _Attempt:
    """TLS if it is offered, whoever answers, and else in the clear (RFC 7435)."""
    match session.session.outcome:
        case Handshake(ehlo_again=False):
            return _Attempt(
                Fate.DELIVERED, Protection.CLEAR, f"in the clear, after TLS has failed: {_NO_EHLO}"
            )
        case Handshake(version=version):
            return _Attempt(
                Fate.DELIVERED, Protection.ENCRYPTED, f"by {version}, to whoever answers, unchecked"
            )
        case StarttlsNotOffered() | StarttlsRefused():
            return _Attempt(
                Fate.DELIVERED, Protection.CLEAR, f"in the clear: {explain(session.session.outcome)}"
            )
        case HandshakeFailed() | ProtocolViolation():
            return _Attempt(
                Fate.DELIVERED,
                Protection.CLEAR,
                f"in the clear, after TLS has failed: {explain(session.session.outcome)}",
            )
        case Unreachable():
            return _unreachable(session)


def _no_tls(session: SessionFacts, why: str) -> _Attempt:
    if isinstance(session.session.outcome, Unreachable):
        return _unreachable(session)
    return _Attempt(Fate.DEFERRED, Protection.NONE, f"{explain(session.session.outcome)}, and {why}")


def _unreachable(session: SessionFacts) -> _Attempt:
    """A refusal counts; silence may be the fault of the network that `check` runs in."""
    outcome = session.session.outcome
    words = f"{session.session.address} cannot be reached: {explain(outcome)}"
    return _Attempt(Fate.DEFERRED if has_answered(outcome) else Fate.UNKNOWN, Protection.NONE, words)


# --- all hosts together ------------------------------------------------------------------------------


def _together(facts: Facts, sender: Sender, views: tuple[HostView, ...]) -> SenderView:
    """By preference: the first host that takes the mail (RFC 5321 §5.1)."""
    skipped: list[HostView] = []
    for view in views:
        if view.fate in (Fate.DELIVERED, Fate.PARTLY):
            before = f", after {listed(str(s.host) for s in skipped)} failed" if skipped else ""
            verb = "is delivered" if view.fate is Fate.DELIVERED else "is delivered or waits, by chance,"
            words = f"{verb} to {view.host}{before}: {view.sentence}{_testing(facts, sender)}"
            return SenderView(sender, view.fate, view.protection, words, views)
        skipped.append(view)
    if any(view.fate is Fate.UNKNOWN for view in views):
        return SenderView(
            sender, Fate.UNKNOWN, Protection.NONE, f"cannot be said from here: {_all(views)}", views
        )
    return SenderView(sender, Fate.DEFERRED, Protection.NONE, f"waits: {_all(views)}", views)


def _all(views: Sequence[HostView]) -> str:
    if len(views) == 1:
        return views[0].sentence
    return "; ".join(f"{view.host}: {view.sentence}" for view in views[:4])


def _testing(facts: Facts, sender: Sender) -> str:
    """RFC 8461 §5: in mode testing, failures are reported and the mail goes all the same."""
    active = facts.active_policy
    if sender is Sender.MTA_STS and active is not None and facts.enforced_policy is None:
        return " (the policy is only being tested)"
    return ""
