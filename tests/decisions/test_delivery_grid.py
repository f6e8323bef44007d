"""The decision over a whole grid of states, against an oracle of ADR 9 and against laws.

The grid: up to three MX hosts × what DNS says of each × whether the policy
names it × the MX RRset × the MTA-STS policy, its record, fetch and cache.
"""

import functools
import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from mxseal.decisions.delivery import (
    CachedPolicy,
    Course,
    HostKnowledge,
    Kind,
    Level,
    Obstacle,
    RecordUnanswered,
    StsKnowledge,
    decide,
    decide_evidence,
)
from mxseal.standards.dane import discover
from mxseal.standards.mta_sts import NoRecord, Policy, Record, parse_policy
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AddressData,
    Alias,
    Answer,
    Evidence,
    FetchStage,
    MxData,
    MxHostEvidence,
    OtherData,
    Outcome,
    PolicyFetchFailed,
    RecordType,
    Security,
    TlsaData,
)
from mxseal.vocabulary.rejection import Rejection

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DOMAIN = HostName("example.com")
SECURE, INSECURE, BOGUS = Security.SECURE, Security.INSECURE, Security.BOGUS
INDETERMINATE = Security.INDETERMINATE


# --- building states ---------------------------------------------------------------------------------


def answer(name, kind, text):
    """An answer in short: ``secure found``, ``insecure nodata``, ``bogus``, ``timeout``."""
    if text in ("bogus", "timeout"):
        return Answer(name, kind, Outcome.FAILED, BOGUS if text == "bogus" else INDETERMINATE, reason=text)
    security, outcome = text.split()
    records = ()
    if outcome == "found":
        records = {
            RecordType.A: (AddressData(Address("192.0.2.1")),),
            RecordType.AAAA: (AddressData(Address("2001:db8::1")),),
            RecordType.TLSA: (TlsaData(3, 1, 1, bytes(32)),),
        }[kind]
    if outcome == "unusable":
        records, outcome = (TlsaData(1, 1, 1, bytes(32)), TlsaData(3, 1, 1, b"short")), "found"
    return Answer(name, kind, Outcome(outcome), Security(security), records, ttl=300)


HOST_STATES = {
    # what it is called, and then: its category, and the answers for A, AAAA and TLSA
    "dane": ("dane", "secure found", "secure nodata", "secure found"),
    "dane, AAAA broken": ("dane", "secure found", "timeout", "secure found"),
    "unusable": ("unusable", "secure found", "secure found", "secure unusable"),
    "signed, no TLSA": ("none", "secure found", "secure nodata", "secure nodata"),
    "signed, insecure TLSA": ("none", "secure found", "secure nodata", "insecure found"),
    "unsigned": ("none", "insecure found", "insecure nodata", "insecure found"),
    "unsigned, AAAA broken": ("none", "insecure found", "timeout", "timeout"),
    "unsigned, TLSA broken": ("none", "insecure found", "insecure found", "timeout"),
    "TLSA times out": ("tlsa error", "secure found", "secure nodata", "timeout"),
    "TLSA bogus": ("tlsa error", "secure nodata", "secure found", "bogus"),
    "address times out": ("address error", "timeout", "timeout", "timeout"),
    "address bogus": ("address error", "bogus", "bogus", "bogus"),
    "address half broken": ("address error", "secure nodata", "timeout", "timeout"),
    "no address, signed": ("no address", "secure nxdomain", "secure nxdomain", "secure nxdomain"),
    "no address, unsigned": ("no address", "insecure nxdomain", "insecure nxdomain", "insecure nxdomain"),
}


def drive(coroutine):
    """Run a coroutine that never waits: discovery over a dictionary needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def look_up(name, state):
    return look_up_answers(name, *HOST_STATES[state][1:])


def look_up_answers(name, ipv4, ipv6, tlsa):
    texts = {RecordType.A: ipv4, RecordType.AAAA: ipv6, RecordType.TLSA: tlsa}

    async def resolve(asked, kind):
        return answer(asked, kind, texts[kind])

    return drive(discover(resolve, name))


LISTED = tuple(HostName(f"mx{n}.listed.example") for n in range(3))
UNLISTED = tuple(HostName(f"mx{n}.other.example") for n in range(3))
LOOKUPS = {(name, state): look_up(name, state) for name in LISTED + UNLISTED for state in HOST_STATES}


def host(number, state, listed):
    name = (LISTED if listed else UNLISTED)[number]
    return HostKnowledge(name, 10 * number, LOOKUPS[name, state])


def mx(text):
    if text.startswith("null"):
        security = Security(text.split()[1])
        return Answer(DOMAIN, RecordType.MX, Outcome.FOUND, security, (MxData(0, None),), ttl=300)
    if text in ("bogus", "timeout"):
        return answer(DOMAIN, RecordType.MX, text)
    security, outcome = text.split()
    records = (MxData(0, HostName("anything.example")),) if outcome == "found" else ()
    return Answer(DOMAIN, RecordType.MX, Outcome(outcome), Security(security), records, ttl=300)


MX_STATES = {
    "secure found": "proved",
    "insecure found": "unproved",
    "secure nodata": "proved",
    "insecure nodata": "proved",
    "bogus": "unknown",
    "timeout": "unknown",
    "bogus found": "unknown",
    "indeterminate nodata": "unknown",
    "secure nxdomain": "nowhere",
    "insecure nxdomain": "nowhere",
    "null secure": "nowhere",
    "null insecure": "nowhere",
}


def policy(mode, max_age=604800):
    body = f"version: STSv1\nmode: {mode}\nmx: *.listed.example\nmx: mail.example.com\nmax_age: {max_age}\n"
    parsed = parse_policy(body)
    assert isinstance(parsed, Policy)
    return parsed


POLICIES = {mode: policy(mode) for mode in ("enforce", "testing", "none")}
RECORDS = {
    "same id": Record("1"),
    "new id": Record("2"),
    "none": NoRecord(0),
    "invalid": Rejection("v=STSv1", 0, 7, "wrong"),
    "failed": RecordUnanswered("SERVFAIL"),
}
FETCHES = {
    None: None,
    **POLICIES,
    "invalid": Rejection("x", 0, 1, "wrong"),
    "failed": PolicyFetchFailed(DOMAIN, "https://mta-sts.example.com/", FetchStage.CONNECT, "refused"),
}
CACHES = {
    None: None,
    **{mode: CachedPolicy("1", POLICIES[mode], NOW - timedelta(days=1)) for mode in POLICIES},
    "expired enforce": CachedPolicy("1", POLICIES["enforce"], NOW - timedelta(days=7)),
}


def sts(record, fetch=None, cache=None):
    return StsKnowledge(record=RECORDS[record], fetched=FETCHES[fetch], cached=CACHES[cache])


# Each effective state of MTA-STS, by one of the ways that lead to it.
STS_STATES = {
    ("none", None, None): "absent",
    ("same id", "failed", None): "absent",
    ("same id", "enforce", None): "enforce",
    ("failed", None, "enforce"): "enforce",
    ("same id", "testing", None): "testing",
    ("same id", "none", "enforce"): "none",
}


# --- the oracle: ADR 9 as rules over categories -----------------------------------------------


def oracle_policy(record, fetch, cache):
    """RFC 8461 §3.3, §5.1 in one paragraph: the newest valid policy that is still alive."""
    alive = cache if cache in POLICIES else None
    announced = record in ("same id", "new id")
    if fetch in POLICIES and (announced or alive):
        return fetch
    return alive or "absent"


HOST_RULES = {
    # (category, MX proved): (level if enforced and listed, if enforced and not listed, if not enforced)
    ("dane", True): ("dane", "dane", "dane"),
    ("dane", False): ("pkix", "skip", "dane"),
    ("unusable", True): ("pkix", "skip", "encrypt"),
    ("unusable", False): ("pkix", "skip", "encrypt"),
    ("none", True): ("pkix", "skip", "opportunistic"),
    ("none", False): ("pkix", "skip", "opportunistic"),
    ("tlsa error", True): ("skip", "skip", "skip"),
    ("tlsa error", False): ("skip", "skip", "skip"),
    ("address error", True): ("skip", "skip", "skip"),
    ("address error", False): ("skip", "skip", "skip"),
    ("no address", True): ("skip", "skip", "skip"),
    ("no address", False): ("skip", "skip", "skip"),
}


def oracle_level(state, listed, proved, mode):
    column = 2 if mode != "enforce" else 0 if listed else 1
    return HOST_RULES[HOST_STATES[state][0], proved][column]


def oracle_answer(hosts, mx_kind, mode, mixed):
    enforce = mode == "enforce"
    if mx_kind == "unknown":
        return "temp"
    if mx_kind == "nowhere":
        return "secure" if enforce else "not-found"
    proved = mx_kind == "proved"
    categories = [HOST_STATES[state][0] for state, _ in hosts]
    levels = {oracle_level(state, listed, proved, mode) for state, listed in hosts} - {"skip"}
    unsure = "address error" in categories
    rules = [
        ("a DANE lookup error where the address is secure", "tlsa error" in categories, "temp"),
        ("no host left, and a lookup failed", not levels and unsure, "temp"),
        ("every host left has DANE, MX secure", levels == {"dane"} and proved, "dane-only"),
        (
            "some have DANE, enforce, by choice",
            enforce and "dane" in levels and mixed == "dane-only",
            "dane-only",
        ),
        ("enforce", enforce, "secure"),
        ("some have TLSA records", bool(levels & {"dane", "encrypt"}), "dane"),
        ("some might have TLSA records", bool(levels) and unsure, "dane"),
        ("nothing is demanded", True, "not-found"),
    ]
    return next(result for _, holds, result in rules if holds)


# --- the grid ---------------------------------------------------------------------------------------

CHOICES = [(state, listed) for state in HOST_STATES for listed in (True, False)]
BRIEF = [
    (state, listed)
    for state in (
        "dane", "unusable", "unsigned", "unsigned, AAAA broken", "TLSA times out", "address bogus",
        "no address, signed",
    )
    for listed in (True, False)
]  # fmt: skip


def groups(choices, sizes):
    for size in sizes:
        yield from itertools.combinations_with_replacement(choices, size)


def build(group):
    return [host(number, state, listed) for number, (state, listed) in enumerate(group)]


@functools.cache
def decided(group, mx_text, sts_key, mixed="sts"):
    return decide(DOMAIN, mx(mx_text), build(group), sts(*sts_key), now=NOW, mixed=mixed)


def check(group, mx_text, sts_key, mixed):
    """One point of the grid: the oracle, and what must hold of every decision whatever the oracle says."""
    mode = oracle_policy(*sts_key)
    decision = decided(group, mx_text, sts_key, mixed)
    place = (group, mx_text, sts_key, mixed)
    kind = MX_STATES[mx_text]
    assert decision.answer.kind == oracle_answer(group, kind, mode, mixed), place
    if kind in ("proved", "unproved"):
        expected = [oracle_level(state, listed, kind == "proved", mode) for state, listed in group]
        assert [requirement.level for requirement in decision.hosts] == expected, place
        for requirement in decision.hosts:
            assert holds(decision.answer.kind, requirement, kind == "proved"), place
    else:
        assert decision.hosts == ()
    if mode == "enforce":
        assert decision.answer.kind is not Kind.NOT_FOUND, place
    assert bool(decision.answer.patterns) == (decision.answer.kind is Kind.SECURE), place
    assert bool(decision.answer.detail) == (decision.answer.kind is Kind.TEMP), place
    assert timedelta(seconds=30) <= decision.valid_until - NOW <= timedelta(hours=1), place
    assert all(reason.text for reason in decision.reasons), place
    return decision


HOST_RANK = {Level.OPPORTUNISTIC: 0, Level.ENCRYPT: 1, Level.PKIX: 2, Level.DANE: 2, Level.SKIP: 3}
ANSWER_RANK = {Kind.NOT_FOUND: 0, Kind.DANE: 1, Kind.SECURE: 2, Kind.DANE_ONLY: 2, Kind.TEMP: 3}


def holds(kind, requirement, proved):
    """Whether an MTA that was given this one answer treats the host at least as strictly as it is owed."""
    level, obstacle = requirement.level, requirement.obstacle
    if level is Level.SKIP:
        # What the MTA cannot reach or look up itself it cannot use; what no pattern names it must not.
        return obstacle is not Obstacle.NOT_LISTED or kind in (Kind.SECURE, Kind.DANE_ONLY, Kind.TEMP)
    given = {
        Kind.NOT_FOUND: Level.OPPORTUNISTIC,
        # With `dane` Postfix looks each host up, and does what its TLSA records demand.
        Kind.DANE: level if level in (Level.DANE, Level.ENCRYPT) else Level.OPPORTUNISTIC,
        Kind.SECURE: Level.PKIX,
        Kind.DANE_ONLY: Level.DANE if proved else Level.SKIP,
        Kind.TEMP: Level.SKIP,
    }[kind]
    return HOST_RANK[given] >= HOST_RANK[level]


def test_every_combination_of_hosts():
    points = 0
    for group in groups(CHOICES, (1, 2)):
        for mx_text, sts_key, mixed in itertools.product(
            ("secure found", "insecure found"), STS_STATES, ("sts", "dane-only")
        ):
            check(group, mx_text, sts_key, mixed)
            points += 1
    for group in groups(BRIEF, (3,)):
        for mx_text, sts_key, mixed in itertools.product(
            ("secure found", "insecure found"), STS_STATES, ("sts", "dane-only")
        ):
            check(group, mx_text, sts_key, mixed)
            points += 1
    assert points > 20_000


def test_every_state_of_mx_records():
    for group, mx_text, sts_key in itertools.product(groups(CHOICES, (1,)), MX_STATES, STS_STATES):
        check(group, mx_text, sts_key, "sts")


def test_every_state_of_record_fetch_and_cache():
    for sts_key in itertools.product(RECORDS, FETCHES, CACHES):
        for group in groups(BRIEF, (1, 2)):
            check(group, "insecure found", sts_key, "sts")


def test_the_order_of_hosts_and_of_evidence_does_not_matter_to_the_answer():
    for group in groups(BRIEF, (2,)):
        hosts = build(group)
        one = decide(DOMAIN, mx("secure found"), hosts, sts("same id", "enforce"), now=NOW)
        other = decide(DOMAIN, mx("secure found"), hosts[::-1], sts("same id", "enforce"), now=NOW)
        assert one == other


# --- law: no fault makes it weaker -----------------------------------------------------------------------

TLSA_FAULTS = ("TLSA times out", "TLSA bogus")
ADDRESS_FAULTS = ("address times out", "address bogus", "address half broken")
SIGNED = {state for state, (_, ipv4, ipv6, _) in HOST_STATES.items() if "secure found" in (ipv4, ipv6)}


FAULTLESS = [
    (state, listed) for state, listed in BRIEF if HOST_STATES[state][0] not in ("tlsa error", "address error")
] + [("signed, no TLSA", True)]


def faulted(group):
    """The group with the evidence of one host or of several replaced by what a fault makes of it."""
    ways = [[state, *ADDRESS_FAULTS, *(TLSA_FAULTS if state in SIGNED else ())] for state, _ in group]
    for states in itertools.product(*ways):
        worse = tuple((state, listed) for state, (_, listed) in zip(states, group, strict=True))
        if worse != group:
            yield worse


def assert_not_weaker(before, after, place):
    assert ANSWER_RANK[after.answer.kind] >= ANSWER_RANK[before.answer.kind], place
    levels = {requirement.host: requirement.level for requirement in after.hosts}
    for requirement in before.hosts:
        if requirement.host in levels:
            assert HOST_RANK[levels[requirement.host]] >= HOST_RANK[requirement.level], place
    assert (after.course is Course.BOUNCE) <= (before.course is Course.BOUNCE), place


def test_no_fault_in_dns_makes_it_weaker():
    pairs = 0
    for group in groups(FAULTLESS, (1, 2)):
        for mx_text, sts_key, mixed in itertools.product(
            ("secure found", "insecure found"), STS_STATES, ("sts", "dane-only")
        ):
            before = decided(group, mx_text, sts_key, mixed)
            for worse in faulted(group):
                assert_not_weaker(
                    before, decided(worse, mx_text, sts_key, mixed), (group, worse, mx_text, sts_key)
                )
                pairs += 1
            for fault in ("bogus", "timeout"):
                assert_not_weaker(before, decided(group, fault, sts_key, mixed), (group, fault, sts_key))
    assert pairs > 10_000


def single_answers():
    """A, AAAA and TLSA of one host, without faults.  One zone: both addresses have the same security."""
    kinds = ("found", "nodata", "nxdomain")
    for security, ipv4, ipv6 in itertools.product(("secure", "insecure"), kinds, kinds):
        for tlsa in ("secure found", "secure unusable", "secure nodata", "insecure found", "insecure nodata"):
            yield f"{security} {ipv4}", f"{security} {ipv6}", tlsa


def test_no_fault_in_any_single_answer_makes_it_weaker():
    """The same law one step deeper: through the discovery of RFC 7672 §2.2, answer by answer."""
    name, pairs = LISTED[0], 0
    for answers in single_answers():
        for mx_text, sts_key in itertools.product(("secure found", "insecure found"), (ENFORCE, ABSENT)):

            def judge(texts, mx_text=mx_text, sts_key=sts_key):
                knowledge = HostKnowledge(name, 10, look_up_answers(name, *texts))
                return decide(DOMAIN, mx(mx_text), [knowledge], sts(*sts_key), now=NOW)

            before = judge(answers)
            for worse in itertools.product(*((text, "timeout", "bogus") for text in answers)):
                after = judge(worse)
                assert_not_weaker(before, after, (answers, worse, mx_text, sts_key))
                pairs += 1
                if answers[0] == "insecure found" == worse[0]:
                    # RFC 7672 §2.2.2: without signed addresses nobody asks for TLSA records, broken or not.
                    assert after.hosts[0].level is before.hosts[0].level
    assert pairs > 9_000


def sts_faults(record, fetch, cache):
    """The same knowledge after faults on the way to the domain; the cache is ours and stays."""
    records = {record, "none", "invalid", "failed"}
    fetches = {fetch, "invalid", "failed"}
    for worse in itertools.product(records, fetches):
        if worse != (record, fetch):
            yield (*worse, cache)


@pytest.mark.parametrize("cache", ["enforce", "testing", "none"])
def test_no_fault_in_mta_sts_makes_it_weaker_than_the_cached_policy(cache):
    for record, fetch in itertools.product(RECORDS, FETCHES):
        for worse in sts_faults(record, fetch, cache):
            for group in groups(BRIEF, (1, 2)):
                floor = decided(group, "insecure found", ("failed", None, cache))
                before = decided(group, "insecure found", (record, fetch, cache))
                after = decided(group, "insecure found", worse)
                # A fetch that succeeded may replace the cached policy by a weaker one; a fault may not.
                least = before if worse[1] == fetch else floor
                assert_not_weaker(least, after, (group, record, fetch, worse))


# --- law: no failure is invented -----------------------------------------------------------------------------

HARMLESS = ("unsigned", "unsigned, AAAA broken", "unsigned, TLSA broken", "no address, unsigned")


def test_no_failure_is_invented_for_domains_that_promised_nothing():
    """Rule 1 of docs/architecture.md, second half: SES' broken AAAA, one dead MX host."""
    nothing_promised = [(r, f, None) for r in RECORDS for f in (None, "invalid", "failed")]
    for size in (1, 2, 3):
        for states in itertools.combinations_with_replacement(HARMLESS, size):
            if set(states) == {"no address, unsigned"}:
                continue
            group = tuple((state, False) for state in states)
            for sts_key in nothing_promised:
                decision = decided(group, "insecure found", sts_key)
                assert decision.answer.kind is Kind.NOT_FOUND
                assert decision.course is Course.DELIVER
                assert {r.level for r in decision.hosts} <= {Level.OPPORTUNISTIC, Level.SKIP}


def test_a_host_that_cannot_be_looked_up_stops_no_mail_to_the_others():
    for fault in ADDRESS_FAULTS:
        decision = decided((("unsigned", False), (fault, False)), "insecure found", ("none", None, None))
        assert decision.course is Course.DELIVER
        assert decision.answer.kind is Kind.DANE  # the MTA looks the other host up for itself


# --- the rows of ADR 9, spelt out --------------------------------------------------------------------------

D, U, N = ("dane", True), ("unusable", True), ("signed, no TLSA", True)
ENFORCE, TESTING, WITHDRAWN, ABSENT = (
    ("same id", "enforce", None),
    ("same id", "testing", None),
    ("same id", "none", None),
    ("none", None, None),
)


@pytest.mark.parametrize(
    ("group", "mx_text", "sts_key", "mixed", "kind"),
    [
        *[((D, D), "secure found", s, "sts", Kind.DANE_ONLY) for s in (ENFORCE, TESTING, WITHDRAWN, ABSENT)],
        ((("dane", False),), "secure found", ENFORCE, "sts", Kind.DANE_ONLY),  # G01
        *[((D, N), "secure found", s, "sts", Kind.DANE) for s in (TESTING, WITHDRAWN, ABSENT)],
        ((D, N), "secure found", ENFORCE, "sts", Kind.SECURE),
        ((D, N), "secure found", ENFORCE, "dane-only", Kind.DANE_ONLY),
        ((D, D), "insecure found", ABSENT, "sts", Kind.DANE),
        ((D, D), "insecure found", ENFORCE, "sts", Kind.SECURE),
        ((U, U), "secure found", ABSENT, "sts", Kind.DANE),
        ((U, U), "secure found", ENFORCE, "sts", Kind.SECURE),  # G05
        *[
            ((D, ("TLSA times out", True)), m, s, "sts", Kind.TEMP)
            for m in ("secure found", "insecure found")
            for s in (ENFORCE, ABSENT)
        ],
        ((N, N), "secure found", ENFORCE, "sts", Kind.SECURE),
        *[((N, N), "secure found", s, "sts", Kind.NOT_FOUND) for s in (TESTING, WITHDRAWN, ABSENT)],
        ((N,), "timeout", ("failed", None, "enforce"), "sts", Kind.TEMP),
        ((), "null insecure", ("failed", None, "enforce"), "sts", Kind.SECURE),
    ],
)
def test_the_rows_of_the_table(group, mx_text, sts_key, mixed, kind):
    assert decided(group, mx_text, sts_key, mixed).answer.kind is kind


@pytest.mark.parametrize(
    ("group", "mx_text", "sts_key", "course"),
    [
        ((D,), "secure found", ABSENT, Course.DELIVER),
        ((("TLSA bogus", True), D), "secure found", ABSENT, Course.DELIVER),
        ((("TLSA bogus", True),), "secure found", ABSENT, Course.DEFER),
        ((("unsigned", False),), "insecure found", ENFORCE, Course.DEFER),
        ((), "secure nxdomain", ABSENT, Course.BOUNCE),
        ((), "insecure nxdomain", ABSENT, Course.BOUNCE),
        ((), "null secure", ENFORCE, Course.BOUNCE),
        ((), "null insecure", ENFORCE, Course.DEFER),
        ((), "bogus", ABSENT, Course.DEFER),
        ((("no address, unsigned", True),), "insecure found", ABSENT, Course.BOUNCE),
        ((("no address, unsigned", True),), "insecure found", ENFORCE, Course.DEFER),
        ((("no address, signed", True),), "secure found", ENFORCE, Course.BOUNCE),
        ((), "secure found", ABSENT, Course.DEFER),
    ],
)
def test_the_course(group, mx_text, sts_key, course):
    assert decided(group, mx_text, sts_key).course is course


# --- details -----------------------------------------------------------------------------------------------


def test_a_host_with_dane_carries_all_that_authenticating_it_takes():
    (requirement,) = decided((("dane", False),), "secure found", ENFORCE).hosts
    assert requirement.records == (TlsaData(3, 1, 1, bytes(32)),)
    assert requirement.base_domain == UNLISTED[0]
    assert requirement.names == (UNLISTED[0], DOMAIN)
    assert any("DANE first" in reason.text for reason in requirement.reasons)


def test_an_unsigned_mx_rrset_lends_no_name_to_the_certificate():
    (requirement,) = decided((D,), "insecure found", ABSENT).hosts
    assert requirement.names == (LISTED[0],)


def test_the_end_of_signed_aliases_is_a_name_too():
    aliased = msgspec.structs.replace(
        mx("secure found"), aliases=(Alias("example.com", "mail.example.net", SECURE),)
    )
    decision = decide(DOMAIN, aliased, build((D,)), sts(*ABSENT), now=NOW)
    assert decision.hosts[0].names == (LISTED[0], DOMAIN, HostName("mail.example.net"))


def test_an_unsigned_denial_behind_an_alias_lends_no_name():
    """The alias may be forged as well, so its end must not stand in for the domain."""
    aliased = msgspec.structs.replace(
        mx("insecure nodata"), aliases=(Alias("example.com", "mail.attacker.example", INSECURE),)
    )
    decision = decide(DOMAIN, aliased, build((D,)), sts(*ABSENT), now=NOW)
    assert decision.hosts[0].names == (LISTED[0], DOMAIN)


def test_the_base_domain_is_where_the_records_were_found():
    base = HostName("real.example.net")
    (plain,) = build((D,))
    found = msgspec.structs.replace(plain, tlsa=msgspec.structs.replace(plain.tlsa, base_domain=base))
    (requirement,) = decide(DOMAIN, mx("secure found"), [found], sts(*ABSENT), now=NOW).hosts
    assert (requirement.host, requirement.base_domain) == (LISTED[0], base)
    assert requirement.names == (base, DOMAIN)


def test_hosts_come_by_preference_whatever_their_names():
    zebra, aardvark = (HostName(f"{name}.listed.example") for name in ("zebra", "aardvark"))
    lookup = LOOKUPS[LISTED[0], "unsigned"]
    hosts = [HostKnowledge(aardvark, 20, lookup), HostKnowledge(zebra, 10, lookup)]
    decision = decide(DOMAIN, mx("insecure found"), hosts, sts(*ABSENT), now=NOW)
    assert [requirement.host for requirement in decision.hosts] == [zebra, aardvark]


def test_a_null_mx_stands_alone_or_counts_for_nothing():
    """RFC 7505 §3: "a domain that advertises a null MX MUST NOT advertise any other MX RR"."""
    null, real = MxData(0, None), MxData(10, LISTED[0])
    for records, course in (((null,), Course.BOUNCE), ((null, real), Course.DELIVER)):
        found = msgspec.structs.replace(mx("secure found"), records=records)
        hosts = build((D,)) if real in records else ()
        assert decide(DOMAIN, found, hosts, sts(*ABSENT), now=NOW).course is course


@pytest.mark.parametrize("policy", [ABSENT, ENFORCE])
def test_mail_waits_where_no_mx_record_names_a_host(policy):
    numeric = msgspec.structs.replace(mx("secure found"), records=(OtherData("10 192.0.2.1"),), ttl=86400)
    decision = decide(DOMAIN, numeric, (), sts(*policy), now=NOW)
    assert (decision.answer.kind, decision.course) == (Kind.TEMP, Course.DEFER)
    assert decision.valid_until == NOW + timedelta(seconds=60)


def test_an_address_of_unknown_security_is_as_good_as_none():
    unknown = answer(LISTED[0], RecordType.A, "indeterminate found")
    lookup = msgspec.structs.replace(LOOKUPS[LISTED[0], "address times out"], ipv4=unknown)
    hosts = [HostKnowledge(LISTED[0], 10, lookup), host(1, "unsigned", True)]
    # Neither a reason to stop the mail to the other host nor to sink below dane.
    decision = decide(DOMAIN, mx("secure found"), hosts, sts(*ABSENT), now=NOW)
    assert (decision.answer.kind, decision.course) == (Kind.DANE, Course.DELIVER)


def test_a_host_in_brackets_needs_no_mx_records():
    decision = decide(LISTED[0], None, build((D,)), sts(*ABSENT), now=NOW)
    assert decision.answer.kind is Kind.DANE_ONLY
    assert decision.hosts[0].names == (LISTED[0],)


def test_pkix_names_the_pattern():
    (requirement,) = decided((N,), "insecure found", ENFORCE).hosts
    assert requirement.pattern == "*.listed.example"
    assert requirement.names == (LISTED[0],)


def test_hosts_that_were_not_looked_at_keep_the_answer_from_sinking():
    hosts = build((N,))
    for unexamined, kind in ((0, Kind.NOT_FOUND), (1, Kind.DANE)):
        decision = decide(DOMAIN, mx("secure found"), hosts, sts(*ABSENT), now=NOW, unexamined=unexamined)
        assert decision.answer.kind is kind


def test_hosts_that_were_not_looked_at_keep_mail_from_being_returned():
    hosts = build((("no address, signed", True),))
    for unexamined, course in ((0, Course.BOUNCE), (1, Course.DEFER)):
        decision = decide(DOMAIN, mx("secure found"), hosts, sts(*ABSENT), now=NOW, unexamined=unexamined)
        assert decision.course is course


def test_evidence_is_decided_like_what_it_consists_of():
    names = LISTED[:2]
    found = msgspec.structs.replace(mx("secure found"), records=tuple(MxData(10, name) for name in names))
    txt = Answer("_mta-sts.example.com", RecordType.TXT, Outcome.NO_NAME, SECURE, ttl=300)
    rpt = Answer("_smtp._tls.example.com", RecordType.TXT, Outcome.NO_NAME, SECURE, ttl=300)
    for examined, kind in ((names, Kind.NOT_FOUND), (names[:1], Kind.DANE)):
        evidence = Evidence(
            domain=DOMAIN,
            at=NOW,
            mx=found,
            hosts=tuple(MxHostEvidence(name, 10, LOOKUPS[name, "signed, no TLSA"]) for name in examined),
            sts_record=txt,
            policy_fetch=None,
            tlsrpt_record=rpt,
        )
        assert decide_evidence(evidence, now=NOW).answer.kind is kind
        alive = CachedPolicy("1", POLICIES["enforce"], NOW - timedelta(days=1))
        assert decide_evidence(evidence, now=NOW, cached=alive).answer.kind is Kind.SECURE


@pytest.mark.parametrize(
    ("ttls", "sts_ttl", "expires_in", "seconds"),
    [
        ((300, 300), None, None, 300),
        ((300, 120), None, None, 120),
        ((300, 300), 60, None, 60),
        ((0, 300), None, None, 30),
        ((86400, 86400), 86400, None, 3600),
        ((2**31 - 1, 2**31 - 1), None, None, 3600),
        ((86400, 86400), 86400, 100, 100),
        ((86400, 86400), 86400, 5, 30),
    ],
)
def test_the_lifetime_is_that_of_the_shortest_lived_piece(ttls, sts_ttl, expires_in, seconds):
    the_mx = msgspec.structs.replace(mx("secure found"), ttl=ttls[0])
    (plain,) = build((D,))
    lookup = long_lived(plain.tlsa, ttls[1])
    cached = None
    if expires_in is not None:
        cached = CachedPolicy("1", POLICIES["enforce"], NOW - timedelta(seconds=604800 - expires_in))
    knowledge = StsKnowledge(record=Record("1"), cached=cached, fetched=None, record_ttl=sts_ttl)
    if cached is None:
        knowledge = msgspec.structs.replace(knowledge, record=NoRecord(0))
    decision = decide(DOMAIN, the_mx, [msgspec.structs.replace(plain, tlsa=lookup)], knowledge, now=NOW)
    assert decision.valid_until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("piece", ["mx", "ipv4", "ipv6", "questions", "record"])
def test_each_piece_can_be_the_shortest_lived(piece):
    def ttl(name):
        return 77 if name == piece else 86400

    (plain,) = build((D,))
    lookup = msgspec.structs.replace(
        plain.tlsa,
        ipv4=msgspec.structs.replace(plain.tlsa.ipv4, ttl=ttl("ipv4")),
        ipv6=msgspec.structs.replace(plain.tlsa.ipv6, ttl=ttl("ipv6")),
        questions=tuple(
            msgspec.structs.replace(question, ttl=ttl("questions")) for question in plain.tlsa.questions
        ),
    )
    the_mx = msgspec.structs.replace(mx("secure found"), ttl=ttl("mx"))
    knowledge = StsKnowledge(record=NoRecord(0), record_ttl=ttl("record"))
    decision = decide(DOMAIN, the_mx, [msgspec.structs.replace(plain, tlsa=lookup)], knowledge, now=NOW)
    assert decision.valid_until == NOW + timedelta(seconds=77)


def test_a_fetch_that_is_due_makes_it_short_lived():
    (plain,) = build((D,))
    hosts = [msgspec.structs.replace(plain, tlsa=long_lived(plain.tlsa))]
    the_mx = msgspec.structs.replace(mx("secure found"), ttl=86400)
    for policy_id, seconds in (("1", 3600), ("2", 60)):
        knowledge = StsKnowledge(
            record=Record(policy_id), cached=CachedPolicy("1", POLICIES["enforce"], NOW), record_ttl=86400
        )
        decision = decide(DOMAIN, the_mx, hosts, knowledge, now=NOW)
        assert decision.valid_until == NOW + timedelta(seconds=seconds)


def test_after_trouble_it_is_worth_asking_again_soon():
    for group, mx_text, sts_key in [
        ((D,), "timeout", ABSENT),
        ((("TLSA bogus", True),), "secure found", ABSENT),
        ((D, ("address bogus", True)), "secure found", ABSENT),
        ((D,), "secure found", ("failed", None, None)),
    ]:
        assert decided(group, mx_text, sts_key).valid_until == NOW + timedelta(seconds=60)


@pytest.mark.parametrize("fetch", ["failed", "invalid"])
@pytest.mark.parametrize("cache", [None, "enforce"])
def test_a_policy_host_is_asked_again_after_five_minutes(fetch, cache):
    hosts = [
        msgspec.structs.replace(host(0, "unsigned", True), tlsa=long_lived(LOOKUPS[LISTED[0], "unsigned"]))
    ]
    the_mx = msgspec.structs.replace(mx("insecure found"), ttl=86400)
    decision = decide(DOMAIN, the_mx, hosts, sts("new id", fetch, cache), now=NOW)
    assert decision.valid_until == NOW + timedelta(minutes=5)


def long_lived(lookup, ttl=86400):
    return msgspec.structs.replace(
        lookup,
        ipv4=msgspec.structs.replace(lookup.ipv4, ttl=ttl),
        ipv6=msgspec.structs.replace(lookup.ipv6, ttl=ttl),
        questions=tuple(msgspec.structs.replace(question, ttl=ttl) for question in lookup.questions),
    )


def test_no_text_from_outside_reaches_a_reason_unescaped():
    nasty = "\x1b[31mred\n\u202e"
    lookup = msgspec.structs.replace(LOOKUPS[LISTED[0], "TLSA bogus"], reason=nasty)
    hosts = [HostKnowledge(LISTED[0], 10, lookup)]
    bad_mx = msgspec.structs.replace(mx("timeout"), reason=nasty)
    knowledge = StsKnowledge(record=RecordUnanswered(nasty), fetched=Rejection(nasty, 0, 1, nasty))
    for the_mx in (mx("secure found"), bad_mx):
        decision = decide(DOMAIN, the_mx, hosts, knowledge, now=NOW)
        texts = [decision.answer.detail]
        texts += [reason.text for reason in decision.reasons + decision.policy.reasons]
        texts += [reason.text for requirement in decision.hosts for reason in requirement.reasons]
        assert all(text.isprintable() for text in texts)
