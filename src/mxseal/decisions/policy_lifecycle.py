"""Which MTA-STS policy holds for a domain now (RFC 8461 §3.3, §5.1).

MTA-STS is trust on first use.  Whoever sits in the path can make the TXT
record vanish and the policy host unreachable, but cannot forge a fetched
policy; so a policy that was once fetched is an asset, and the rules are

* a cached policy holds until its `max_age` has passed since the **last
  successful fetch**, whatever became of record and policy host since then;
* only a newer policy that was fetched and is valid takes its place, be it
  weaker: that is how a domain withdraws one (RFC 8461 §8.3);
* where nothing valid was ever seen, nothing is demanded and mail flows.

    knowledge = know_sts(txt_answer, fetch, cached)
    effective = effective_policy(knowledge, now)
    effective.keep         # what the store has to hold from now on
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.standards.mta_sts import Mode, NoRecord, Policy, Record, parse_policy, select_record
from mxseal.vocabulary.observations import Answer, FetchStage, PolicyFetch, PolicyFetchFailed, Security
from mxseal.vocabulary.rejection import Rejection, printable


class Reason(msgspec.Struct, frozen=True):
    """One step of an argument: a sentence for people, and who says so."""

    text: str
    """A plain sentence without a final full stop; texts from outside in it are printable."""
    section: str = ""
    """For instance ``RFC 7672 §2.2``; empty where it is a plain fact or the project's own choice."""


class RecordUnanswered(msgspec.Struct, frozen=True, tag="unanswered"):
    """The question for the TXT record got no answer that can be used."""

    reason: str


class CachedPolicy(msgspec.Struct, frozen=True):
    """A policy as the store holds it."""

    policy_id: str
    """The `id` of the record that led to the fetch."""
    policy: Policy
    fetched_at: datetime
    """The last successful fetch (UTC)."""

    @property
    def expires(self) -> datetime:
        """The first moment at which it no longer holds."""
        try:
            return self.fetched_at + timedelta(seconds=self.policy.max_age)
        except OverflowError:
            return _END_OF_TIME


class StsKnowledge(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a domain's MTA-STS policy before it is judged."""

    record: Record | NoRecord | Rejection | RecordUnanswered
    fetched: Policy | Rejection | PolicyFetchFailed | None = None
    """None: no fetch was tried."""
    cached: CachedPolicy | None = None
    record_ttl: int | None = None
    """Seconds that the TXT answer may be kept; None where there was no answer."""


class PolicySource(StrEnum):
    FETCHED = "fetched"
    CACHED = "cached"
    NONE = "none"


class EffectivePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that holds now, or that none does, and why."""

    policy: Policy | None
    source: PolicySource
    policy_id: str = ""
    expires: datetime | None = None
    """When the policy stops to hold if no fetch succeeds until then."""
    keep: CachedPolicy | None = None
    """What belongs into the store now; None: the store may forget the domain."""
    wants_fetch: bool = False
    """Whether record and cache call for a fetch that this knowledge does not contain (RFC 8461 §3.3)."""
    reasons: tuple[Reason, ...] = ()

    @property
    def enforced(self) -> Policy | None:
        """The policy if MX hosts have to be held to it (RFC 8461 §5)."""
        policy = self.policy
        return policy if policy is not None and policy.mode is Mode.ENFORCE else None


_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)


def know_sts(
    record: Answer | None, fetch: PolicyFetch | None, cached: CachedPolicy | None = None
) -> StsKnowledge:
    """Read what DNS and the policy host said.  `record` is the TXT answer; None if it was not asked for."""
    if record is None:
        return StsKnowledge(record=RecordUnanswered("it was not asked for"), cached=cached)
    if record.failed or record.security is Security.BOGUS:
        why = printable(record.reason) or "no reason given"
        return StsKnowledge(record=RecordUnanswered(why), fetched=_read(fetch), cached=cached)
    return StsKnowledge(
        record=select_record(record.texts()),
        fetched=_read(fetch),
        cached=cached,
        record_ttl=record.ttl,
    )


def _read(fetch: PolicyFetch | None) -> Policy | Rejection | PolicyFetchFailed | None:
    if fetch is None or isinstance(fetch, PolicyFetchFailed):
        return fetch
    return parse_policy(fetch.body)


def needs_fetch(
    record: Record | NoRecord | Rejection | RecordUnanswered, cached: CachedPolicy | None, now: datetime
) -> bool:
    """Whether the policy has to be fetched before mail goes out (RFC 8461 §3.1, §3.3).

    Yes if the record names an id that the cached policy does not have, or if
    none is cached that still holds.
    """
    if not isinstance(record, Record):
        return False
    return cached is None or now >= cached.expires or record.id != cached.policy_id


def effective_policy(knowledge: StsKnowledge, now: datetime) -> EffectivePolicy:
    """The policy that holds at `now`.

    A clock that runs backwards only makes a cached policy hold longer, never shorter.
    """
    cached, fetched, record = knowledge.cached, knowledge.fetched, knowledge.record
    if cached is not None and now >= cached.expires:
        expired, cached = cached, None
    else:
        expired = None
    reasons = [_about_record(record)]
    if fetched is not None:
        reasons.append(_about_fetch(fetched))
    if isinstance(fetched, Policy) and (isinstance(record, Record) or cached is not None):
        return _take_fetched(fetched, record, knowledge.cached, now, reasons)
    if cached is not None:
        reasons.append(_why_cached(cached, record, fetched))
        return EffectivePolicy(
            policy=cached.policy,
            source=PolicySource.CACHED,
            policy_id=cached.policy_id,
            expires=cached.expires,
            keep=cached,
            wants_fetch=fetched is None and needs_fetch(record, cached, now),
            reasons=(*reasons, _about_mode(cached.policy)),
        )
    reasons.append(_why_none(record, expired))
    return EffectivePolicy(
        policy=None,
        source=PolicySource.NONE,
        wants_fetch=fetched is None and needs_fetch(record, None, now),
        reasons=tuple(reasons),
    )


def _take_fetched(
    fetched: Policy, record: object, cached: CachedPolicy | None, now: datetime, reasons: list[Reason]
) -> EffectivePolicy:
    """A valid policy that came over verified HTTPS replaces any other, with or without a new id."""
    policy_id = record.id if isinstance(record, Record) else cached.policy_id if cached else ""
    # If the clock was set back since the last fetch, the earlier "now" must not shorten
    # the life that the policy would have had.
    fetched_at = max(now, cached.fetched_at) if cached is not None else now
    keep = CachedPolicy(policy_id=policy_id, policy=fetched, fetched_at=fetched_at)
    return EffectivePolicy(
        policy=fetched,
        source=PolicySource.FETCHED,
        policy_id=policy_id,
        expires=keep.expires,
        keep=keep,
        reasons=(*reasons, _about_mode(fetched)),
    )


# --- the sentences -------------------------------------------------------------------------------


def _about_record(record: Record | NoRecord | Rejection | RecordUnanswered) -> Reason:
    match record:
        case Record():
            return Reason(
                f"the domain announces an MTA-STS policy with id {printable(record.id)}", "RFC 8461 §3.1"
            )
        case NoRecord():
            return Reason("the domain has no MTA-STS record", "RFC 8461 §3.1")
        case Rejection():
            return Reason(
                f"its MTA-STS record is invalid, which counts as none: {printable(str(record))}",
                "RFC 8461 §3.1",
            )
        case RecordUnanswered():
            return Reason(
                f"the lookup of its MTA-STS record failed: {printable(record.reason)}", "RFC 8461 §3.1"
            )


_FETCH_TROUBLE: Final[dict[FetchStage, str]] = {
    FetchStage.DNS: "the policy host's address could not be looked up",
    FetchStage.CONNECT: "the policy host could not be reached",
    FetchStage.TLS: "the policy host made no TLS session",
    FetchStage.CERTIFICATE: "the policy host's certificate is not valid for it",
    FetchStage.HTTP: "the policy host did not answer as it must",
    FetchStage.TIMEOUT: "the policy host took too long",
}


def _about_fetch(fetched: Policy | Rejection | PolicyFetchFailed) -> Reason:
    match fetched:
        case Policy():
            return Reason("its policy was fetched and is valid", "RFC 8461 §3.3")
        case Rejection():
            return Reason(f"a policy was fetched but is invalid: {printable(str(fetched))}", "RFC 8461 §3.2")
        case PolicyFetchFailed():
            trouble = _FETCH_TROUBLE[fetched.stage]
            return Reason(
                f"no policy could be fetched: {trouble} ({printable(fetched.detail)})", "RFC 8461 §3.3"
            )


def _why_cached(
    cached: CachedPolicy, record: object, fetched: Policy | Rejection | PolicyFetchFailed | None
) -> Reason:
    until = f"the policy fetched on {_day(cached.fetched_at)} holds until {_day(cached.expires)}"
    if fetched is not None:
        return Reason(f"{until}; an attempt that failed does not replace it", "RFC 8461 §3.3")
    if isinstance(record, Record):
        if record.id == cached.policy_id:
            return Reason(f"{until}; the id is unchanged", "RFC 8461 §3.3")
        return Reason(f"{until}; its successor has not been fetched yet", "RFC 8461 §3.3")
    return Reason(f"{until}; a missing record does not end it", "RFC 8461 §3.3")


def _why_none(record: object, expired: CachedPolicy | None) -> Reason:
    if expired is not None:
        return Reason(
            f"the policy of {_day(expired.fetched_at)} has expired on {_day(expired.expires)}"
            " and no newer one is known, so MTA-STS demands nothing",
            "RFC 8461 §3.2",
        )
    if isinstance(record, Record):
        return Reason("no policy was ever fetched, so MTA-STS demands nothing yet", "RFC 8461 §5.1")
    return Reason("so MTA-STS demands nothing", "RFC 8461 §3.1")


def _about_mode(policy: Policy) -> Reason:
    return _MODE_SENTENCES[policy.mode](policy)


def _enforce(policy: Policy) -> Reason:
    listed = ", ".join(printable(pattern) for pattern in policy.mx[:8])
    more = f" and {len(policy.mx) - 8} more" if len(policy.mx) > 8 else ""
    return Reason(
        f"the policy's mode is enforce: mail goes only to MX hosts that match {listed}{more},"
        " over TLS with a verified certificate",
        "RFC 8461 §5",
    )


def _testing(policy: Policy) -> Reason:
    del policy
    return Reason(
        "the policy's mode is testing: failures are reported, mail flows all the same", "RFC 8461 §5"
    )


def _none(policy: Policy) -> Reason:
    del policy
    return Reason("the policy's mode is none: the domain has withdrawn its policy", "RFC 8461 §5")


_MODE_SENTENCES: Final[dict[Mode, Callable[[Policy], Reason]]] = {
    Mode.ENFORCE: _enforce,
    Mode.TESTING: _testing,
    Mode.NONE: _none,
}


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
