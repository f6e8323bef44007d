"""Which MTA-STS policy holds: every state of record, fetch and cache, and clocks that lie."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.decisions.policy_lifecycle import (
    CachedPolicy,
    PolicySource,
    RecordUnanswered,
    StsKnowledge,
    effective_policy,
    know_sts,
    needs_fetch,
)
from mxseal.standards.mta_sts import Mode, NoRecord, Policy, Record, parse_policy
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    Answer,
    FetchStage,
    Outcome,
    PolicyFetched,
    PolicyFetchFailed,
    RecordType,
    Security,
    TextData,
)
from mxseal.vocabulary.rejection import Rejection

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DOMAIN = HostName("example.com")
URL = "https://mta-sts.example.com/.well-known/mta-sts.txt"
DAY = timedelta(days=1)


def policy(mode="enforce", max_age=604800):
    parsed = parse_policy(f"version: STSv1\nmode: {mode}\nmx: mail.example.com\nmax_age: {max_age}\n")
    assert isinstance(parsed, Policy)
    return parsed


def cached(mode="enforce", age=DAY, max_age=604800, policy_id="1"):
    return CachedPolicy(policy_id, policy(mode, max_age), NOW - age)


FAILED = PolicyFetchFailed(DOMAIN, URL, FetchStage.CERTIFICATE, "expired")
INVALID = Rejection("mode: x", 6, 7, "no such mode")
GONE = (NoRecord(0), RecordUnanswered("SERVFAIL"), INVALID)
ENFORCE, TESTING, WITHDRAWN = policy(), policy("testing"), policy("none")

# record, fetched, cached → which policy, whence
CASES = {
    "first contact": (Record("1"), ENFORCE, None, ENFORCE, PolicySource.FETCHED),
    "first contact, policy host broken: mail flows": (Record("1"), FAILED, None, None, PolicySource.NONE),
    "first contact, policy invalid: mail flows": (Record("1"), INVALID, None, None, PolicySource.NONE),
    "not fetched yet": (Record("1"), None, None, None, PolicySource.NONE),
    "no record": (NoRecord(0), None, None, None, PolicySource.NONE),
    "no record, so a policy that is there all the same is none": (
        NoRecord(0), ENFORCE, None, None, PolicySource.NONE,
    ),
    "same id": (Record("1"), None, cached(), ENFORCE, PolicySource.CACHED),
    "new id, fetched": (Record("2"), TESTING, cached(), TESTING, PolicySource.FETCHED),
    "new id, withdrawn": (Record("2"), WITHDRAWN, cached(), WITHDRAWN, PolicySource.FETCHED),
    "new id, fetch failed": (Record("2"), FAILED, cached(), ENFORCE, PolicySource.CACHED),
    "new id, policy invalid": (Record("2"), INVALID, cached(), ENFORCE, PolicySource.CACHED),
    "new id, not fetched yet": (Record("2"), None, cached(), ENFORCE, PolicySource.CACHED),
    "same id, refreshed: the text counts, not the id": (
        Record("1"), TESTING, cached(), TESTING, PolicySource.FETCHED,
    ),
    "record gone": (NoRecord(3), None, cached(), ENFORCE, PolicySource.CACHED),
    "record unanswered": (RecordUnanswered("SERVFAIL"), None, cached(), ENFORCE, PolicySource.CACHED),
    "record invalid": (INVALID, None, cached(), ENFORCE, PolicySource.CACHED),
    "record gone, refreshed in the background": (
        NoRecord(0), WITHDRAWN, cached(), WITHDRAWN, PolicySource.FETCHED,
    ),
    "expired, fetch failed": (Record("1"), FAILED, cached(age=7 * DAY), None, PolicySource.NONE),
    "expired, record gone": (NoRecord(0), None, cached(age=8 * DAY), None, PolicySource.NONE),
    "expired, fetched": (Record("1"), ENFORCE, cached(age=8 * DAY), ENFORCE, PolicySource.FETCHED),
    "a second before expiry": (
        NoRecord(0), None, cached(age=7 * DAY - timedelta(seconds=1)), ENFORCE, PolicySource.CACHED,
    ),
    "cached none": (NoRecord(0), None, cached("none"), WITHDRAWN, PolicySource.CACHED),
    "max_age 0 holds for the mail it was fetched for": (
        Record("1"), policy(max_age=0), None, policy(max_age=0), PolicySource.FETCHED,
    ),
    "clock set back": (NoRecord(0), None, cached(age=-400 * DAY), ENFORCE, PolicySource.CACHED),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_which_policy_holds(name):
    record, fetched, cache, expected, source = CASES[name]
    effective = effective_policy(StsKnowledge(record=record, fetched=fetched, cached=cache), NOW)
    assert effective.policy == expected
    assert effective.source is source
    assert (effective.keep is None) == (expected is None)
    assert effective.reasons
    assert all(reason.text and reason.section for reason in effective.reasons)
    assert bool(effective.enforced) == (expected is not None and expected.mode is Mode.ENFORCE)


def test_a_fetch_starts_max_age_anew():
    old = cached(age=6 * DAY)
    for fetched in (ENFORCE, TESTING):
        effective = effective_policy(StsKnowledge(record=Record("1"), fetched=fetched, cached=old), NOW)
        assert effective.keep == CachedPolicy("1", fetched, NOW)
        assert effective.expires == NOW + 7 * DAY
    for fetched in (FAILED, INVALID, None):
        effective = effective_policy(StsKnowledge(record=Record("2"), fetched=fetched, cached=old), NOW)
        assert effective.keep == old
        assert effective.expires == NOW + DAY


def test_a_refresh_without_a_record_keeps_the_id():
    effective = effective_policy(StsKnowledge(record=NoRecord(0), fetched=ENFORCE, cached=cached()), NOW)
    assert effective.keep is not None
    assert effective.keep.policy_id == "1"


records = st.sampled_from([Record("1"), Record("2"), *GONE])
fetches = st.sampled_from([None, FAILED, INVALID, ENFORCE, TESTING, WITHDRAWN])
caches = st.builds(
    cached,
    st.sampled_from(["enforce", "testing", "none"]),
    st.timedeltas(-800 * DAY, 800 * DAY),
    st.integers(0, 31557600),
)
shifts = st.timedeltas(timedelta(0), 2000 * DAY)


@given(records, fetches, caches, shifts)
def test_a_clock_that_is_set_back_never_weakens(record, fetched, cache, shift):
    knowledge = StsKnowledge(record=record, fetched=fetched, cached=cache)
    late, early = effective_policy(knowledge, NOW), effective_policy(knowledge, NOW - shift)
    if late.policy is not None:
        assert early.policy == late.policy
        assert early.keep is not None


@given(records, caches, shifts)
def test_a_refetch_under_a_clock_set_back_does_not_shorten_the_life(record, cache, shift):
    knowledge = StsKnowledge(record=record, fetched=cache.policy, cached=cache)
    effective = effective_policy(knowledge, NOW - shift)
    if effective.keep is not None:
        assert effective.keep.expires >= cache.expires


@given(records, st.sampled_from([None, FAILED, INVALID]), caches)
def test_no_fault_ends_a_policy_before_its_time(record, fetched, cache):
    effective = effective_policy(StsKnowledge(record=record, fetched=fetched, cached=cache), NOW)
    alive = cache.expires > NOW
    assert effective.policy == (cache.policy if alive else None)
    assert effective.keep == (cache if alive else None)


@given(records, fetches, caches)
def test_only_valid_policies_are_kept(record, fetched, cache):
    effective = effective_policy(StsKnowledge(record=record, fetched=fetched, cached=cache), NOW)
    if effective.keep is not None:
        assert effective.keep.policy in (fetched, cache.policy)
        assert effective.keep.policy == effective.policy


def test_the_end_of_time_is_no_error():
    far = CachedPolicy("1", ENFORCE, datetime.max.replace(tzinfo=UTC))
    assert far.expires == datetime.max.replace(tzinfo=UTC)
    effective = effective_policy(StsKnowledge(record=NoRecord(0), cached=far), NOW)
    assert effective.policy == ENFORCE


@pytest.mark.parametrize(
    ("record", "cache", "wanted"),
    [
        (Record("1"), None, True),
        (Record("1"), cached(), False),
        (Record("2"), cached(), True),
        (Record("1"), cached(age=7 * DAY), True),
        *[
            (gone, cache, False)
            for gone, cache in itertools.product(GONE, (None, cached(), cached(age=8 * DAY)))
        ],
    ],
)
def test_when_a_policy_has_to_be_fetched(record, cache, wanted):
    assert needs_fetch(record, cache, NOW) is wanted
    assert effective_policy(StsKnowledge(record=record, cached=cache), NOW).wants_fetch is wanted
    # An attempt was made; when the next one is due is not for this mail to wait for.
    tried = StsKnowledge(record=record, fetched=FAILED, cached=cache)
    assert not effective_policy(tried, NOW).wants_fetch


def txt(*texts, outcome=Outcome.FOUND, security=Security.INSECURE):
    records = tuple(TextData((text.encode(),)) for text in texts)
    return Answer("_mta-sts.example.com", RecordType.TXT, outcome, security, records, ttl=77, reason="why")


def test_what_dns_and_the_policy_host_said_is_read():
    fetched = PolicyFetched(DOMAIN, URL, str(ENFORCE).encode(), Address("192.0.2.1"))
    knowledge = know_sts(txt("v=STSv1; id=7;"), fetched, None)
    assert knowledge.record == Record("7", (), "v=STSv1; id=7;")
    assert isinstance(knowledge.fetched, Policy)
    assert knowledge.record_ttl == 77
    assert isinstance(know_sts(txt("v=STSv1; id=7;", "v=STSv1; id=8;"), None).record, Rejection)
    assert isinstance(know_sts(txt("v=spf1 -all"), None).record, NoRecord)
    assert isinstance(know_sts(txt(outcome=Outcome.NO_NAME), None).record, NoRecord)
    assert know_sts(txt(outcome=Outcome.FAILED), None).record == RecordUnanswered("why")
    assert know_sts(txt("v=STSv1; id=7;", security=Security.BOGUS), None).record == RecordUnanswered("why")
    assert isinstance(know_sts(None, None).record, RecordUnanswered)
    broken = PolicyFetched(DOMAIN, URL, b"mode: enforce\n", Address("192.0.2.1"))
    assert isinstance(know_sts(txt("v=STSv1; id=7;"), broken).fetched, Rejection)
    assert know_sts(txt("v=STSv1; id=7;"), FAILED).fetched is FAILED
