"""Signatures, and the limits to the effort that they may cost (CVE-2023-50387, "KeyTrap")."""

import asyncio
import random

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from mxseal.adapters.dns import ValidatingResolver
from mxseal.adapters.dns.signatures import (
    MAX_CHECKS,
    Budget,
    Unverified,
    Verified,
    keys_for_ds,
    usable_ds,
    verify_rrset,
    zone_keys,
)
from mxseal.vocabulary.observations import RecordType, Security

ZONE = dns.name.from_text("leaf.test.")
NOW = 1_795_000_000
PRIVATE = ed25519.Ed25519PrivateKey.generate()
KEY = dns.dnssec.make_dnskey(PRIVATE.public_key(), "ED25519", flags=257)
RRSET = dns.rrset.from_text("Mail.leaf.test.", 300, "IN", "MX", "10 MAIL.leaf.test.", "20 b.leaf.test.")


def signed(rrset=RRSET, *, inception=NOW - 100, expiration=NOW + 100, signer=ZONE, **changes):
    rrsig = dns.dnssec.sign(rrset, PRIVATE, signer, KEY, inception=inception, expiration=expiration)
    return rrsig.replace(**changes) if changes else rrsig


def colliding_keys(count: int):
    """Keys of one tag: the tag is a sum of words, so their order does not matter."""
    rng = random.Random(7)
    words = [KEY.key[i : i + 2] for i in range(0, 32, 2)]
    found = {KEY.key: KEY}
    while len(found) < count:
        rng.shuffle(words)
        found[b"".join(words)] = KEY.replace(key=b"".join(words))
    keys = list(found.values())[1:]
    assert all(dns.dnssec.key_id(key) == dns.dnssec.key_id(KEY) for key in keys)
    return keys


def verify(rrset, signatures, keys=(KEY,), budget=None):
    return verify_rrset(rrset, signatures, ZONE, keys, now=NOW, budget=budget or Budget())


def test_a_good_signature():
    result = verify(RRSET, [signed()])
    assert isinstance(result, Verified)
    assert (result.ttl, result.expires, result.closest_encloser) == (100, NOW + 100, None)


def test_one_good_signature_is_enough():
    assert isinstance(verify(RRSET, [signed(expiration=NOW - 1), signed(key_tag=1), signed()]), Verified)


def test_times_wrap_around():
    late = (1 << 32) + 50  # in the year 2106 the times begin at zero again (RFC 4034 §3.1.5)
    rrsig = signed(inception=(late - 100) % (1 << 32), expiration=(late + 100) % (1 << 32))
    result = verify_rrset(RRSET, [rrsig], ZONE, [KEY], now=late, budget=Budget())
    assert isinstance(result, Verified)
    assert result.expires == late + 100


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ({"expiration": NOW - 1}, "expired on 2026-11-18"),
        ({"inception": NOW + 1}, "valid only from"),
        ({"signer": dns.name.from_text("test.")}, "signed by test, which is not its zone leaf.test"),
        ({"signer": dns.name.from_text("mail.leaf.test.")}, "not its zone"),
        ({"key_tag": 1}, "no key 1 in zone leaf.test"),
        ({"algorithm": 200}, "unsupported algorithm (200)"),
        ({"labels": 9}, "for a longer name"),
        ({"labels": 2}, "does not verify"),
        ({"original_ttl": 299}, "does not verify"),
        ({"type_covered": dns.rdatatype.A}, "has no signature"),
        ({"signature": b""}, "does not verify"),
        ({"signature": b"\0" * 64}, "does not verify"),
    ],
)
def test_a_bad_signature_says_what_is_bad(signature, reason):
    result = verify(RRSET, [signed(**signature)])
    assert isinstance(result, Unverified)
    assert reason in result.reason


@pytest.mark.parametrize("change", [{"flags": 256 | 128}, {"flags": 1}, {"protocol": 2}, {"algorithm": 3}])
def test_keys_that_may_not_sign(change):
    assert zone_keys([KEY.replace(**change)]) == ()


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"\0",
        b"\x03\x01\x00\x01",
        b"\xff" * 40,
        b"\0\xff\xff" + b"\1" * 1000,
        b"\x01\x03" + b"\xff" * 2000,
    ],
)
@pytest.mark.parametrize("algorithm", [5, 8, 10, 13, 14, 15, 16])
def test_hostile_keys_verify_nothing(key, algorithm):
    hostile = KEY.replace(key=key, algorithm=algorithm)
    signature = signed(algorithm=algorithm, key_tag=dns.dnssec.key_id(hostile))
    assert isinstance(verify(RRSET, [signature], [hostile]), Unverified)


def test_a_wildcard_is_noticed():
    wild = dns.rrset.from_text("*.leaf.test.", 300, "IN", "A", "192.0.2.1")
    expanded = dns.rrset.from_rdata("a.b.leaf.test.", 300, *wild)
    result = verify(expanded, [signed(wild)])
    assert isinstance(result, Verified)
    assert result.closest_encloser == ZONE
    result = verify(wild, [signed(wild)])
    assert isinstance(result, Verified)
    assert result.closest_encloser is None


def test_many_signatures_times_many_keys_end_at_the_limit():
    keys = colliding_keys(200)
    signatures = [signed(signature=bytes([i]) * 64) for i in range(100)]
    budget = Budget()
    assert isinstance(verify(RRSET, signatures, keys, budget), Unverified)
    assert MAX_CHECKS - budget.left <= 32
    small = Budget(3)
    result = verify(RRSET, signatures, keys, small)
    assert isinstance(result, Unverified)
    assert "signature checks needed" in result.reason
    assert small.left == 0


def test_digests_of_colliding_keys_are_limited():
    ds = dns.dnssec.make_ds(ZONE, KEY, "SHA256")
    keys = colliding_keys(300)
    budget = Budget()
    assert list(keys_for_ds(ZONE, ds, keys, budget)) == []
    assert MAX_CHECKS - budget.left == 4
    assert list(keys_for_ds(ZONE, ds, [KEY], Budget())) == [KEY]


def test_sha_2_goes_before_sha_1():
    digests = {
        kind: dns.dnssec.make_ds(ZONE, KEY, kind, policy=dns.dnssec.allow_all_policy)
        for kind in ("SHA1", "SHA256")
    }
    assert usable_ds([digests["SHA1"]]) == (digests["SHA1"],)
    assert usable_ds(digests.values()) == (digests["SHA256"],)
    unknown = digests["SHA256"].replace(algorithm=200)
    assert usable_ds([digests["SHA1"], unknown]) == (digests["SHA1"],)
    assert usable_ds([unknown]) == ()


def test_a_trap_in_a_zone_is_bogus_and_the_next_question_has_its_own_effort(world):
    keys, junk = colliding_keys(60), [bytes([i]) * 64 for i in range(40)]

    def trap(message) -> None:
        question = message.question[0]
        if question.name == ZONE and question.rdtype == dns.rdatatype.DNSKEY:
            for rrset in message.answer:
                if rrset.rdtype == dns.rdatatype.DNSKEY:
                    message.answer[message.answer.index(rrset)] = dns.rrset.from_rdata(
                        ZONE, 300, *rrset, *keys
                    )
        if question.rdtype == dns.rdatatype.TXT:
            for rrset in list(message.answer):
                if rrset.rdtype == dns.rdatatype.RRSIG:
                    message.answer.remove(rrset)
                    forged = [rrset[0].replace(signature=signature) for signature in junk]
                    message.answer.append(dns.rrset.from_rdata(rrset.name, 300, *forged))

    from datetime import UTC, datetime

    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def ask(*kinds):
        resolver = ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: now)

        async def all_of_them():
            names = {RecordType.TXT: "txt.leaf.test", RecordType.A: "mail.leaf.test"}
            return [await resolver.resolve(names[kind], kind) for kind in kinds]

        return [answer.security for answer in asyncio.run(all_of_them())]

    world.change = trap
    assert ask(RecordType.A, RecordType.TXT) == [Security.BOGUS, Security.BOGUS]  # the keys were changed
    keys.clear()
    assert ask(RecordType.TXT, RecordType.A) == [Security.BOGUS, Security.SECURE]
