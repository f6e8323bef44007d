"""MTA-STS: record, policy host, policy, and the MX hosts under it (RFC 8461)."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from mxseal.decisions.checkup.facts import Facts, HostFacts, SessionFacts
from mxseal.decisions.checkup.wording import counted, day, finding, listed
from mxseal.standards import mta_sts
from mxseal.standards.certificate import Certificate, Untrusted, parse_certificate
from mxseal.standards.mta_sts import Mode, Policy
from mxseal.vocabulary.findings import Finding
from mxseal.vocabulary.observations import FetchStage, PolicyFetched, PolicyFetchFailed, Security
from mxseal.vocabulary.rejection import Rejection

WEEK: Final = 7 * 86400
"""RFC 8461 §3.2: max_age is expected to be "in the range of weeks or greater"."""
TESTING_LONG: Final = timedelta(days=60)
RENEWAL_LATE: Final = timedelta(days=14)
"""Automatic renewal happens a month before the end of a certificate of 90 days."""

_MAX_LINES: Final = 20
"""Of a cure; a policy of 64 KiB has thousands."""

_ID_DATE: Final = re.compile(r"(20[0-9]{2})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_ID_EPOCH: Final = re.compile(r"1[5-9][0-9]{8}\Z|2[0-9]{9}\Z")


def judge_mta_sts(facts: Facts) -> Iterator[Finding]:
    """From the record to the certificates of the MX hosts."""
    yield from _record(facts)
    yield from _fetch(facts)
    policy = facts.policy
    if isinstance(policy, Rejection):
        yield _broken_policy(facts, policy)
    elif policy is not None:
        yield from _mode(facts, policy)
        yield from _max_age(facts, policy)
        yield from _lines(facts, policy)
        if policy.mode is not Mode.NONE:
            yield from _hosts(facts, policy)
        yield from _id_unchanged(facts, policy)


def fresh_id(now: datetime) -> str:
    """An id for a new record: the time, so that it grows."""
    return f"{now:%Y%m%d%H%M%S}"


# --- the record ------------------------------------------------------------------------------------


def _record(facts: Facts) -> Iterator[Finding]:
    domain, answer = facts.domain, facts.evidence.sts_record
    name = mta_sts.record_name(facts.evidence.domain)
    match facts.sts_record:
        case None:
            if answer.security is not Security.BOGUS:  # else DNS002 says it
                yield _about_record(facts, "STS002", name, f"the lookup of {name} fails: {answer.reason}")
        case mta_sts.NoRecord(near=near) if near:
            yield _broken_record(facts, name, near[0])
        case mta_sts.NoRecord():
            if facts.reachable_hosts:
                what = "has no MTA-STS record, so senders without DANE (Gmail) are free to trust anybody"
                yield _about_record(facts, "STS001", domain, f"{domain} {what}")
        case Rejection(rule="sts-text-record", text=records):
            texts = records.split("\n")
            yield _about_record(facts, "STS004", name, f"{name} has {len(texts)} MTA-STS records", texts)
        case Rejection() as rejection:
            yield _broken_record(facts, name, rejection)
        case mta_sts.Record():
            return


def _broken_record(facts: Facts, name: str, rejection: Rejection) -> Finding:
    sentence = f"the MTA-STS record of {facts.domain} cannot be read: {rejection}"
    return _about_record(facts, "STS003", name, sentence, rejection.with_caret().splitlines()[1:])


def _about_record(
    facts: Facts,
    id_: str,
    subject: str,
    sentence: str,
    evidence: Sequence[str] = (),
    *,
    host: str = "",
    patterns: str = "",
    when: str = "",
) -> Finding:
    """A finding whose cure is to publish a record, or to change the policy and the id with it."""
    return finding(
        id_,
        subject,
        sentence,
        evidence=evidence,
        record_name=mta_sts.record_name(facts.evidence.domain),
        id=fresh_id(facts.now),
        url=facts.policy_url,
        policy=_suggested(facts),
        host=host,
        patterns=patterns,
        when=when,
    )


# --- the policy host -------------------------------------------------------------------------------

_BY_STAGE: Final = {
    FetchStage.DNS: "STS005",
    FetchStage.CONNECT: "STS006",
    FetchStage.TIMEOUT: "STS006",
    FetchStage.TLS: "STS007",
    FetchStage.CERTIFICATE: "STS008",
}


def _fetch(facts: Facts) -> Iterator[Finding]:
    fetch = facts.evidence.policy_fetch
    if isinstance(fetch, PolicyFetchFailed):
        if any(answer.security is Security.BOGUS for answer in facts.evidence.policy_host):
            return  # DNS002 says it
        host = mta_sts.policy_host(facts.evidence.domain)
        yield finding(
            _fetch_id(fetch),
            host,
            f"the policy cannot be fetched: {fetch.detail}",
            evidence=fetch.attempts,
            host=host,
            url=facts.policy_url,
            policy=_suggested(facts),
        )
    elif isinstance(fetch, PolicyFetched):
        yield from _policy_certificate(facts, fetch)


def _fetch_id(fetch: PolicyFetchFailed) -> str:
    if fetch.stage is not FetchStage.HTTP:
        return _BY_STAGE[fetch.stage]
    if fetch.status is not None and 300 <= fetch.status < 400:
        return "STS009"
    if fetch.status is not None and fetch.status != 200:
        return "STS010"
    return "STS011" if fetch.content_type else "STS012"


def _policy_certificate(facts: Facts, fetch: PolicyFetched) -> Iterator[Finding]:
    leaf = parse_certificate(fetch.chain[0]) if fetch.chain else None
    if isinstance(leaf, Certificate) and ends_soon(leaf, facts.now):
        host = mta_sts.policy_host(facts.evidence.domain)
        yield finding(
            "STS025",
            host,
            f"the certificate of {host} ends on {day(leaf.not_after)}",
            on=leaf.not_after,
            host=host,
        )


def ends_soon(certificate: Certificate, now: datetime) -> bool:
    """Whether a renewal is overdue: less than 14 days left, or for short-lived ones less than a quarter."""
    lifetime = certificate.not_after - certificate.not_before
    return now <= certificate.not_after < now + min(RENEWAL_LATE, lifetime / 4)


# --- the policy ------------------------------------------------------------------------------------


def _broken_policy(facts: Facts, rejection: Rejection) -> Finding:
    place = rejection.with_caret().splitlines()[1:]
    return finding(
        "STS014",
        facts.policy_url,
        f"the policy cannot be read: {rejection}",
        evidence=place if len(place) > 1 and place[1].strip() else (),
        url=facts.policy_url,
        policy=_suggested(facts),
    )


def _suggested(facts: Facts) -> str:
    """A policy for the MX hosts that there are."""
    # A list of MX hosts that nobody looked over must not be enforced at once: mode testing first.
    hosts = [host.name for host in facts.hosts] or [f"mail.{facts.domain}"]
    return "\n".join(
        ["version: STSv1", "mode: testing", *(f"mx: {host}" for host in hosts), "max_age: 1209600"]
    )


def _mode(facts: Facts, policy: Policy) -> Iterator[Finding]:
    domain = facts.domain
    if policy.mode is Mode.NONE:
        yield _about_record(facts, "STS013", domain, f"the policy of {domain} says mode none")
    elif policy.mode is Mode.TESTING:
        since = _testing_since(facts)
        if since is not None and facts.now - since > TESTING_LONG:
            days = (facts.now - since).days
            yield _about_record(
                facts,
                "STS020",
                domain,
                f"{domain} has been testing since {day(since)}, for {days} days",
                when=_ready(facts, policy),
            )
        else:
            yield _about_record(facts, "STS019", domain, f"the policy of {domain} is in mode testing")


def _ready(facts: Facts, policy: Policy) -> str:
    """When the policy can be enforced: a host that fails under it would lose mail."""
    unlisted = any(policy.matching(host.evidence.name) is None for host in facts.hosts)
    bad = any(untrusted(host) for host in facts.hosts)
    first = [id_ for id_, is_so in (("STS016", unlisted), ("STS018", bad)) if is_so]
    are = "is" if len(first) == 1 else "are"
    return f"as soon as {listed(first)} {are} mended," if first else "now"


def _testing_since(facts: Facts) -> datetime | None:
    """When testing began, at the latest: by a saved check, or by an id that is a date."""
    known: list[datetime] = []
    previous = facts.previous
    if previous is not None and isinstance(previous.policy_fetch, PolicyFetched):
        policy = mta_sts.parse_policy(previous.policy_fetch.body)
        if isinstance(policy, Policy) and policy.mode is Mode.TESTING:
            known.append(previous.at)
    if isinstance(facts.sts_record, mta_sts.Record):
        date = _date_of(facts.sts_record.id)
        if date is not None and date < facts.now:
            known.append(date)
    return min(known, default=None)


def _date_of(policy_id: str) -> datetime | None:
    """Most ids are a date or seconds since 1970."""
    if _ID_EPOCH.match(policy_id):
        return datetime.fromtimestamp(int(policy_id), UTC)
    found = _ID_DATE.match(policy_id)
    if found is None:
        return None
    try:
        return datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC)
    except ValueError:
        return None


def _max_age(facts: Facts, policy: Policy) -> Iterator[Finding]:
    if policy.published_max_age is not None:
        yield _about_record(
            facts,
            "STS022",
            facts.domain,
            f"max_age is {policy.published_max_age} seconds; senders take {policy.max_age}",
        )
    elif policy.mode is Mode.ENFORCE and policy.max_age < WEEK:
        yield _about_record(
            facts,
            "STS021",
            facts.domain,
            f"senders forget the policy after {_span(policy.max_age)} (max_age {policy.max_age})",
        )


def _span(seconds: int) -> str:
    for size, noun in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return counted(seconds // size, noun)
    return counted(seconds, "second")


def _lines(facts: Facts, policy: Policy) -> Iterator[Finding]:
    if policy.extensions:
        lines = [f"{name}: {value}" for name, value in policy.extensions]
        yield finding(
            "STS026",
            facts.domain,
            f"the policy has {counted(len(lines), 'line')} that the standard does not know",
            evidence=lines,
            url=facts.policy_url,
            lines="\n".join(lines[:_MAX_LINES]),
        )
    if not facts.hosts or facts.evidence.left_out:
        return
    idle = [
        pattern
        for pattern in policy.mx
        if not any(pattern.matches(host.evidence.name) for host in facts.hosts)
    ]
    if idle:
        what = f"the pattern {idle[0]}" if len(idle) == 1 else f"{len(idle)} patterns"
        verb = "matches" if len(idle) == 1 else "match"
        lines = [f"mx: {pattern}" for pattern in idle]
        yield _about_record(
            facts,
            "STS024",
            facts.domain,
            f"{what} of the policy {verb} no MX host",
            lines,
            patterns="\n".join(lines[:_MAX_LINES]),
        )


def _id_unchanged(facts: Facts, policy: Policy) -> Iterator[Finding]:
    """RFC 8461 §8.1: the id changes whenever the policy does."""
    previous = facts.previous
    if previous is None or not isinstance(previous.policy_fetch, PolicyFetched):
        return
    record = facts.sts_record
    before = mta_sts.select_record(previous.sts_record.texts())
    policy_before = mta_sts.parse_policy(previous.policy_fetch.body)
    if not (isinstance(record, mta_sts.Record) and isinstance(before, mta_sts.Record)):
        return
    if isinstance(policy_before, Policy) and record.id == before.id and str(policy) != str(policy_before):
        gone = [f"- {line}" for line in policy_before.lines if line not in policy.lines]
        new = [f"+ {line}" for line in policy.lines if line not in policy_before.lines]
        yield _about_record(
            facts,
            "STS023",
            facts.domain,
            f"the policy has changed since {day(previous.at)}, but the id is {record.id} as before",
            [*gone, *new],
        )


# --- the MX hosts ----------------------------------------------------------------------------------


def _hosts(facts: Facts, policy: Policy) -> Iterator[Finding]:
    enforced = policy.mode is Mode.ENFORCE
    for host in facts.hosts:
        if policy.matching(host.evidence.name) is None:
            yield _about_record(
                facts,
                "STS015" if enforced else "STS016",
                host.name,
                f"the MX host {host.name} matches no mx line of the policy",
                [f"mx: {pattern}" for pattern in policy.mx],
                host=host.name,
            )
            continue
        bad = untrusted(host)
        if bad:
            yield finding(
                "STS017" if enforced else "STS018",
                host.name,
                f"the certificate of {host.name} is not valid for MTA-STS: {why_untrusted(bad)}",
                evidence=lines_of(bad),
                host=host.name,
            )


def untrusted(host: HostFacts) -> list[SessionFacts]:
    """The sessions whose certificate PKIX does not accept for the host's name."""
    return [session for session in host.handshakes if isinstance(session.pkix, Untrusted)]


def why_untrusted(sessions: list[SessionFacts]) -> str:
    return listed(session.pkix.detail for session in sessions if isinstance(session.pkix, Untrusted))


def lines_of(sessions: list[SessionFacts]) -> list[str]:
    """An evidence line for each address and kind of key."""
    return list(
        dict.fromkeys(
            f"{session.place}: {session.pkix.detail}"
            for session in sessions
            if isinstance(session.pkix, Untrusted)
        )
    )
