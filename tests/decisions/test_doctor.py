"""What the doctor says about machines, good and bad."""

from datetime import UTC, datetime, timedelta

import pytest

from mxseal.decisions.doctor import (
    CaStoreObservation,
    ClockObservation,
    ClockWitness,
    Health,
    PostfixObservation,
    Remark,
    ResolverObservation,
    honours_insecure_mx_default,
    is_fit,
    judge_ca_store,
    judge_clock,
    judge_datagram_queue,
    judge_postfix,
    judge_resolver,
    postfix_version,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def resolver(**seen) -> ResolverObservation:
    good = {
        "answers": True,
        "passes_signatures": True,
        "proved": True,
        "proved_denial": True,
        "sets_ad": True,
    }
    return ResolverObservation(address="192.0.2.53:53", **{**good, **seen})


def said(remarks: tuple[Remark, ...], health: Health) -> str:
    return "\n".join(remark.sentence for remark in remarks if remark.health is health)


@pytest.mark.parametrize(
    ("seen", "health", "words"),
    [
        (resolver(), Health.FINE, "validates itself"),
        (resolver(sets_ad=False), Health.FINE, "does not validate itself"),
        (resolver(answers=False, detail="timed out"), Health.WRONG, "does not answer: timed out"),
        (resolver(passes_signatures=False), Health.WRONG, "passes no DNSSEC records on"),
        (resolver(proved=False, detail="no DS matches"), Health.WRONG, "could not be proved: no DS matches"),
        (resolver(proved_denial=False), Health.WRONG, "mangles signed denials"),
        (resolver(speaks_tcp=False), Health.WRONG, "does not answer over TCP"),
        # A resolver's words reach the terminal escaped.
        (resolver(answers=False, detail="\x1b[2J"), Health.WRONG, r"\x1b[2J"),
    ],
)
def test_a_resolver_must_pass_dnssec_on(seen, health, words):
    remarks = judge_resolver(seen)
    assert [remark.health for remark in remarks] == [health]
    assert words in remarks[0].sentence
    assert bool(remarks[0].cure) is (health is Health.WRONG)


def test_whose_word_is_taken_must_validate():
    assert [remark.health for remark in judge_resolver(resolver(), trust_ad=True)] == [Health.FINE]
    (remark,) = judge_resolver(resolver(sets_ad=False), trust_ad=True)
    assert (remark.health, "no AD bit" in remark.sentence) == (Health.WRONG, True)


@pytest.mark.parametrize(
    ("seen", "health", "words"),
    [
        (
            ClockObservation(
                now=NOW,
                witnesses=(ClockWitness(NOW - timedelta(days=3), "when MXSeal was installed"),),
                signatures_current=True,
                kernel_synchronized=True,
                max_error=timedelta(milliseconds=12),
            ),
            Health.FINE,
            "synchronized to 12 ms",
        ),
        (
            ClockObservation(now=NOW, witnesses=(ClockWitness(NOW + timedelta(days=1), "when installed"),)),
            Health.WRONG,
            "before 2026-11-24, when installed",
        ),
        # Nobody's file times agree to the second.
        (
            ClockObservation(
                now=NOW, witnesses=(ClockWitness(NOW + timedelta(seconds=9), ""),), signatures_current=True
            ),
            Health.FINE,
            "signatures of the DNS root hold",
        ),
        (ClockObservation(now=NOW, kernel_synchronized=False), Health.NOTE, "nothing vouches for it"),
        (
            ClockObservation(now=NOW, kernel_synchronized=False, signatures_current=True),
            Health.FINE,
            "signatures of the DNS root hold",
        ),
    ],
)
def test_a_clock_must_be_plausible(seen, health, words):
    (remark,) = judge_clock(seen)
    assert remark.health is health
    assert words in remark.sentence


@pytest.mark.parametrize(
    ("seen", "healths"),
    [
        (CaStoreObservation(source="/ca.pem", total=140), [Health.FINE]),
        (CaStoreObservation(source=""), [Health.WRONG]),
        (CaStoreObservation(source="/ca.pem", unreadable=("/ca.pem: no such file",)), [Health.WRONG]),
        (CaStoreObservation(source="/ca.pem", total=1, expired=("CN=Old",)), [Health.WRONG]),
        (
            CaStoreObservation(source="/ca.pem", total=3, expired=("CN=Old",), unreadable=("no. 2",)),
            [Health.FINE, Health.NOTE, Health.NOTE],
        ),
    ],
)
def test_a_ca_store_must_have_a_valid_root(seen, healths):
    assert [remark.health for remark in judge_ca_store(seen)] == healths


def postfix(**seen) -> PostfixObservation:
    good = {
        "version": "3.10.5",
        "dns_support_level": "dnssec",
        "security_level": "dane",
        "policy_maps": ("socketmap:inet:127.0.0.1:8642:QUERYwithTLSRPT",),
        "ca_file": "/etc/ssl/certs/ca-certificates.crt",
        "dane_insecure_mx_policy": "dane",
        "chrooted": False,
    }
    return PostfixObservation(**{**good, **seen})


@pytest.mark.parametrize(
    ("seen", "health", "words"),
    [
        (postfix(security_level=""), Health.WRONG, "unencrypted"),
        (postfix(security_level="may"), Health.NOTE, "DANE is not used"),
        (postfix(dns_support_level=""), Health.WRONG, "DNSSEC lookups are off"),
        (postfix(host_lookup="native"), Health.WRONG, "addresses from DNS"),
        (postfix(policy_maps=()), Health.NOTE, "MTA-STS is not used"),
        (postfix(version="3.9.9"), Health.WRONG, "defers all MTA-STS mail"),
        (postfix(version="3.3.1", policy_maps=()), Health.FINE, "sends no SNI"),
        (postfix(version="3.10.4"), Health.FINE, "does not enforce MX patterns"),
        (postfix(ca_file=""), Health.WRONG, "no CA store for smtp(8)"),
        (
            postfix(
                version="3.7.11",
                policy_maps=("socketmap:inet:[::1]:8461:postfix",),
                dane_insecure_mx_policy="may",
            ),
            Health.NOTE,
            "ignored for domains with an unsigned MX",
        ),
        (
            postfix(policy_maps=("socketmap:inet:127.0.0.1:8642:QUERY", "hash:/etc/postfix/tls_policy")),
            Health.NOTE,
            "overrides nothing",
        ),
        (
            postfix(chrooted=True, policy_maps=("socketmap:unix:/run/mxseal/policy.sock:QUERY",)),
            Health.WRONG,
            "cannot reach this socket",
        ),
        (postfix(chrooted=True, resolv_conf_differs=True), Health.WRONG, "resolv.conf differs"),
        (postfix(chrooted=False, resolv_conf_differs=True), Health.NOTE, "resolv.conf differs"),
        (postfix(relayhost="[relay.example]"), Health.NOTE, "relayhost = [relay.example]"),
    ],
)
def test_postfix_is_told_what_it_lacks(seen, health, words):
    assert words in said(judge_postfix(seen), health)


@pytest.mark.parametrize(
    "seen",
    [
        postfix(),
        postfix(version="3.11-20260821"),
        postfix(ca_file="", append_default_ca=True),
        postfix(policy_maps=("texthash:/etc/postfix/own", "socketmap:inet:127.0.0.1:8642:QUERY")),
        postfix(chrooted=True, policy_maps=("proxy:socketmap:unix:/run/mxseal/policy.sock:QUERY",)),
        postfix(chrooted=True, policy_maps=("socketmap:unix:/var/spool/postfix/run/m.sock:QUERY",)),
        postfix(version="3.7.13", dane_insecure_mx_policy="may", policy_maps=("hash:/etc/postfix/own",)),
    ],
)
def test_a_good_postfix_gets_no_complaint(seen):
    assert [remark for remark in judge_postfix(seen) if remark.health is not Health.FINE] == []


@pytest.mark.parametrize(
    ("text", "version", "honours"),
    [
        ("3.7.11", (3, 7, 11), False),
        ("3.7.13", (3, 7, 13), True),
        ("3.6.16", (3, 6, 16), False),
        ("3.8.8", (3, 8, 8), True),
        ("3.9.1", (3, 9, 1), False),
        ("3.9.2", (3, 9, 2), True),
        ("3.10.0", (3, 10, 0), True),
        ("3.12-20260821", (3, 12, 0), True),
        ("3.5.25", (3, 5, 25), False),
        ("2.11.0", (2, 11, 0), False),
        ("what?", (0, 0, 0), False),
    ],
)
def test_versions_are_numbers(text, version, honours):
    assert postfix_version(text) == version
    assert honours_insecure_mx_default(version) is honours


def test_the_datagram_queue():
    assert judge_datagram_queue(None) == ()
    assert [remark.health for remark in judge_datagram_queue(10)] == [Health.NOTE]
    assert [remark.health for remark in judge_datagram_queue(512)] == [Health.FINE]


def test_notes_are_not_wrong():
    assert is_fit(judge_datagram_queue(10))
    assert not is_fit([*judge_datagram_queue(10), *judge_resolver(resolver(answers=False))])
