"""How long a decision holds."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from mxseal.decisions.delivery.words import HostKnowledge, Kind, OneAnswer, is_unknown
from mxseal.decisions.policy_lifecycle import EffectivePolicy, RecordUnanswered, StsKnowledge
from mxseal.standards.mta_sts import Mode
from mxseal.vocabulary.observations import Answer, PolicyFetchFailed
from mxseal.vocabulary.rejection import Rejection

SHORTEST: Final = timedelta(seconds=30)
"""A decision holds at least so long, whatever the TTLs: a TTL of 0 must not mean a gathering for each mail."""
LONGEST: Final = timedelta(hours=1)
"""And at most so long, so that a change is seen within the hour even behind a TTL of a week."""
AFTER_TROUBLE: Final = timedelta(seconds=60)
"""Where a lookup failed, it is worth to ask again soon."""
AFTER_FAILED_FETCH: Final = timedelta(minutes=5)
"""Where no policy could be fetched: RFC 8461 §3.3 asks for five minutes or more between attempts."""


def valid_until(
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
        if is_unknown(used):
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


def answers_of(mx: Answer | None, hosts: Sequence[HostKnowledge]) -> Iterator[Answer]:
    if mx is not None:
        yield mx
    for host in hosts:
        yield host.tlsa.ipv4
        yield host.tlsa.ipv6
        yield from host.tlsa.questions
