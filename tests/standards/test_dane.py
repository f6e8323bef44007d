"""DANE without OpenSSL: texts, usability, agility, discovery, reference identifiers, known mistakes."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256, sha512
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.decisions.authentication import verify_dane
from mxseal.standards.dane import (
    Failure,
    Mismatch,
    Unusable,
    Verified,
    classify,
    discover,
    matches,
    parse_tlsa,
    passed_over,
    recognise_wrong_digest,
    reference_identifiers,
    tlsa_for,
    tlsa_name,
    why_unusable,
)
from mxseal.standards.dane.mistakes import _clues
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AddressData,
    Alias,
    Answer,
    Outcome,
    RecordType,
    Security,
    TlsaData,
    TlsaState,
)
from mxseal.vocabulary.rejection import Rejection

HOST = HostName("mx.example.com")
SHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# --- text: RFC 6698 §2.2, §2.3 -----------------------------------------------------------------------

RFC_EXAMPLES = {
    # RFC 6698 §2.3, verbatim but for the ellipsis of the last one.
    """_443._tcp.www.example.com. IN TLSA (
      0 0 1 d2abde240d7cd3ee6b4b28c54df034b9
            7983a1d16e8a410e4561cb106618e971 )""": (
        0,
        0,
        1,
        "d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971",
    ),
    """_443._tcp.www.example.com. IN TLSA
      1 1 2 92003ba34942dc74152e2f2c408d29ec
            a5a520e7f2e06bb944f4dca346baf63c
            1b177615d466f6c4b71c216a50292bd5
            8c9ebdd2f74e38fe51ffd48c43326cbc""": (
        1,
        1,
        2,
        """92003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c
           1b177615d466f6c4b71c216a50292bd58c9ebdd2f74e38fe51ffd48c43326cbc""",
    ),
    "_443._tcp.www.example.com. IN TLSA (3 0 0 30820307308201efa003020102020a)": (
        3,
        0,
        0,
        "30820307308201efa003020102020a",
    ),
}


@pytest.mark.parametrize("text", RFC_EXAMPLES, ids=["0 0 1", "1 1 2", "3 0 0"])
def test_examples_of_rfc_6698(text: str):
    usage, selector, matching_type, data = RFC_EXAMPLES[text]
    assert parse_tlsa(text) == TlsaData(usage, selector, matching_type, bytes.fromhex(data))


@pytest.mark.parametrize(
    "text",
    [
        f"3 1 1 {SHA}",
        f"  3\t1  1 {SHA[:10]} {SHA[10:]} \n",
        f"3 1 1 {SHA.upper()}",
        f"3 1 1 {' '.join(SHA[n : n + 2] for n in range(0, 64, 2))}",
        f"3 1 1 {SHA[:32]}\n      {SHA[32:]}",
        f"3 1 1 ( {SHA[:32]}\n {SHA[32:]} )",
        f"DANE-EE SPKI SHA2-256 {SHA}",
        f"_25._tcp.mx.example.com. 3600 IN TLSA 3 1 1 {SHA}",
        f"tlsa 3 1 1 {SHA}",
    ],
)
def test_text_is_read(text: str):
    assert parse_tlsa(text) == TlsaData(3, 1, 1, bytes.fromhex(SHA))


@pytest.mark.parametrize(
    ("text", "start", "end", "rule"),
    [
        ("", 0, 0, "certificate usage"),
        ("  ", 0, 0, "certificate usage"),
        ("3", 1, 1, "selector"),
        ("3 1", 3, 3, "matching type"),
        ("3 1 1", 5, 5, "certificate association data"),
        ("3 1 1 ()", 8, 8, "certificate association data"),
        ("x 1 1 ab", 0, 1, "certificate usage"),
        ("3 256 1 ab", 2, 5, "selector"),
        ("3 -1 1 ab", 2, 4, "selector"),
        ("3 1 1.0 ab", 4, 7, "matching type"),
        ("3 1 ٣ ab", 4, 5, "matching type"),  # a digit, but not ASCII
        ("3 1 1 abc", 8, 9, "certificate association data"),
        ("3 1 1 ab:cd", 8, 9, "certificate association data"),
        ("3 1 1 abcd\n3 1 1 cdef\n", 11, 16, "certificate association data"),
        ("3 0 0 30 2 1 1 ab", 9, 14, "certificate association data"),
        ("3 1 1 ab\x1b[2J", 8, 9, "certificate association data"),
    ],
)
def test_text_is_rejected_at_the_place(text: str, start: int, end: int, rule: str):
    rejection = parse_tlsa(text)
    assert isinstance(rejection, Rejection)
    assert (rejection.start, rejection.end, rejection.rule) == (start, end, rule)
    assert "\x1b" not in rejection.with_caret()


octet = st.integers(0, 255)
any_record = st.builds(TlsaData, octet, octet, octet, st.binary(min_size=1, max_size=80))


@given(any_record)
def test_text_of_a_record_reads_as_the_record(record: TlsaData):
    assert parse_tlsa(str(record)) == record


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text: str):
    verdict = parse_tlsa(text)
    if isinstance(verdict, Rejection):
        assert 0 <= verdict.start <= verdict.end <= len(text)
        verdict.with_caret()


# --- usability: RFC 7672 §3.1 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "selector", "matching_type", "data", "reason"),
    [
        (3, 1, 1, b"x" * 32, None),
        (3, 0, 2, b"x" * 64, None),
        (2, 0, 1, b"x" * 32, None),
        (0, 0, 1, b"x" * 32, "usage 0 has no meaning in SMTP"),
        (1, 1, 1, b"x" * 32, "usage 1 has no meaning in SMTP"),
        (4, 1, 1, b"x" * 32, "usage 4 is not known"),
        (255, 1, 1, b"x" * 32, "usage 255 is not known"),
        (3, 2, 1, b"x" * 32, "selector 2 is not known"),
        (3, 1, 3, b"x" * 32, "matching type 3 is not known"),
        (3, 1, 1, b"x" * 31, "31 octets"),
        (3, 1, 1, b"x" * 64, "64 octets"),
        (3, 1, 2, b"x" * 32, "32 octets"),
        (3, 1, 1, b"", "0 octets"),
        (3, 0, 0, b"x" * 32, "whole certificate"),
        (2, 1, 0, b"x" * 32, "whole public key"),
        (3, 1, 0, b"", "whole public key"),
    ],
)
def test_usability(usage: int, selector: int, matching_type: int, data: bytes, reason: str | None):
    found = why_unusable(TlsaData(usage, selector, matching_type, data))
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_full_records_must_parse(workshop: Any):
    certificate = workshop.leaf()
    for usage in (2, 3):
        for selector in (0, 1):
            good = workshop.tlsa(usage, selector, 0, certificate)
            assert why_unusable(good) is None
            assert why_unusable(TlsaData(usage, selector, 0, good.data[:-1]))
            assert why_unusable(TlsaData(usage, selector, 0, good.data + b"\0"))
            assert why_unusable(workshop.tlsa(usage, 1 - selector, 0, certificate)) is None
            crossed = TlsaData(usage, selector, 0, workshop.tlsa(usage, 1 - selector, 0, certificate).data)
            assert why_unusable(crossed)


def test_a_full_certificate_of_a_version_that_does_not_exist_is_unusable(workshop: Any):
    version = bytes.fromhex("a003020102")
    octets = workshop.leaf().replace(version, version[:-1] + b"\7", 1)
    assert "none that can be read" in str(why_unusable(TlsaData(3, 0, 0, octets)))


@given(st.lists(any_record, max_size=8))
def test_classify_parts_the_set(records: list[TlsaData]):
    usability = classify(records)
    parts = [*usability.usable, *(record for record, _ in usability.unusable)]
    assert set(parts) == set(records)
    assert len(parts) == len(set(records))
    assert all(why_unusable(record) is None for record in usability.usable)


digests = st.builds(
    lambda usage, selector, matching_type, fill: TlsaData(
        usage, selector, matching_type, bytes([fill]) * (32 * matching_type)
    ),
    st.sampled_from([2, 3]),
    st.sampled_from([0, 1]),
    st.sampled_from([1, 2]),
    octet,
)


@given(st.lists(digests, max_size=10))
def test_agility_leaves_the_strongest_of_each_kind(records: list[TlsaData]):
    weaker = passed_over(records)
    left = [record for record in records if record not in weaker]
    for record in records:
        strongest = max(
            one.matching_type
            for one in records
            if (one.usage, one.selector) == (record.usage, record.selector)
        )
        assert (record in left) == (record.matching_type == strongest)
    assert bool(left) == bool(records)


# --- verdicts ----------------------------------------------------------------------------------------


def test_every_record_has_its_reason(workshop: Any):
    shapes = workshop.shapes()
    leaf, issuer, root = shapes["good"]
    records = (
        TlsaData(1, 1, 1, b"x" * 32),
        workshop.tlsa(3, 1, 1, leaf),
        TlsaData(3, 1, 2, b"y" * 64),
        workshop.tlsa(3, 0, 1, issuer),
        workshop.tlsa(2, 0, 1, leaf),
        workshop.tlsa(2, 1, 1, workshop.other_root),
        workshop.tlsa(2, 1, 2, root),
    )
    verdict = verify_dane(records, (leaf, issuer, root), names=(HostName("other.test"),), at=workshop.NOW)
    assert isinstance(verdict, Mismatch)
    told = [(reason.record, reason.failure, reason.kind) for reason in verdict.reasons]
    assert told == [
        (records[0], Failure.UNUSABLE, ""),
        (records[1], Failure.PASSED_OVER, ""),
        (records[2], Failure.NO_MATCH, ""),
        (records[3], Failure.NO_MATCH, ""),
        (records[4], Failure.NO_MATCH, ""),
        (records[5], Failure.PASSED_OVER, ""),
        (records[6], Failure.NOT_VALID, "name-mismatch"),
    ]
    texts = [reason.detail for reason in verdict.reasons]
    assert "certificate 2 of those sent" in texts[3]
    assert "server's own certificate" in texts[4]
    assert "mx.example.com, not for other.test" in texts[6]


def test_end_entity_ignores_names_dates_and_path(workshop: Any):
    """RFC 7671 §5.1; shuque/dane #3 refused expired certificates."""
    leaf = workshop.leaf(ends=timedelta(days=-100), names=("elsewhere.example",))
    verdict = verify_dane([workshop.tlsa(3, 1, 1, leaf)], [leaf], names=(HOST,), at=workshop.NOW)
    assert isinstance(verdict, Verified)
    assert (verdict.depth, verdict.certificate, verdict.reference) == (0, leaf, None)


def test_one_matching_record_of_either_usage_is_enough(workshop: Any):
    """Stalwart #2287 wanted both usages to match, and the anchor to be a public CA."""
    leaf, issuer, root = workshop.shapes()["good"]
    stale = [TlsaData(2, 1, 1, b"x" * 32), TlsaData(3, 1, 1, b"x" * 32)]
    for good in (workshop.tlsa(3, 1, 1, leaf), workshop.tlsa(2, 1, 1, root)):
        verdict = verify_dane([*stale, good], (leaf, issuer, root), names=(HOST,), at=workshop.NOW)
        assert isinstance(verdict, Verified)
        assert verdict.record == good


def test_anchor_tells_depth_name_and_note(workshop: Any):
    chain = workshop.shapes()["root expired"]
    names = (HostName("example.com"), HOST)
    verdict = verify_dane([workshop.tlsa(2, 0, 1, chain[1])], chain, names=names, at=workshop.NOW)
    assert isinstance(verdict, Verified)
    assert (verdict.depth, verdict.certificate, verdict.reference) == (1, chain[1], HOST)
    assert "expired on 2026-11-22" in verdict.notes[0]


@pytest.mark.parametrize("matching_type", [0, 1, 2])
def test_the_server_itself_is_no_anchor(matching_type: int, workshop: Any):
    """And that is said, as the record most likely ought to have usage 3."""
    leaf = workshop.leaf()
    record = workshop.tlsa(2, 0, matching_type, leaf)
    verdict = verify_dane([record], (leaf, workshop.intermediate), names=(HOST,), at=workshop.NOW)
    assert isinstance(verdict, Mismatch)
    (reason,) = verdict.reasons
    assert reason.failure is Failure.NO_MATCH
    assert "DANE-TA(2) is about an issuer" in reason.detail


def test_an_unknown_selector_or_matching_type_matches_nothing(workshop: Any):
    view = workshop.view(workshop.leaf())
    for selector in (0, 1, 2, 255):
        for matching_type in (0, 1, 2, 3):
            digest = {1: sha256, 2: sha512}.get(matching_type)
            content = view.der if selector == 0 else view.spki
            data = digest(content).digest() if digest else content
            record = TlsaData(3, selector, matching_type, data)
            assert matches(record, view) == (selector < 2 and matching_type < 3)


def test_bare_key_is_above_what_it_signed(workshop: Any):
    chain = workshop.shapes()["root not sent"]
    verdict = verify_dane([workshop.tlsa(2, 1, 0, workshop.root)], chain, names=(HOST,), at=workshop.NOW)
    assert isinstance(verdict, Verified)
    assert (verdict.depth, verdict.certificate) == (2, None)


@pytest.mark.parametrize("chain", [(), (b"",), (b"rubbish",), (b"0\x80" * 50,)])
def test_no_certificate_is_a_mismatch_and_unusable_stays_unusable(chain: tuple[bytes, ...], workshop: Any):
    good = workshop.tlsa(3, 1, 1, workshop.leaf())
    assert isinstance(verify_dane([good], chain, names=(), at=workshop.NOW), Mismatch)
    assert isinstance(verify_dane([TlsaData(0, 0, 1, b"")], chain, names=(), at=workshop.NOW), Unusable)
    assert isinstance(verify_dane([], chain, names=(), at=workshop.NOW), Unusable)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.lists(any_record, max_size=4))
def test_no_octets_are_verified_by_chance(workshop: Any, chain: list[bytes], records: list[TlsaData]):
    assert not isinstance(verify_dane(records, chain, names=(HOST,), at=workshop.NOW), Verified)


def test_mutated_certificates_never_raise_nor_verify(workshop: Any):
    leaf, issuer, root = workshop.shapes()["good"]
    records = [workshop.tlsa(2, 0, 1, root)]
    for certificate, others in ((leaf, (issuer, root)), (issuer, (root,))):
        for position in range(len(certificate)):
            changed = bytearray(certificate)
            changed[position] ^= 0x41
            chain = (bytes(changed), *others) if certificate is leaf else (leaf, bytes(changed), *others)
            assert isinstance(verify_dane(records, chain, names=(HOST,), at=workshop.NOW), Mismatch)


# --- making records ----------------------------------------------------------------------------------


def test_records_are_made_as_they_are_verified(workshop: Any):
    leaf = workshop.leaf()
    for selector, content in ((0, leaf), (1, workshop.spki_of_key("leaf"))):
        for matching_type in (0, 1, 2):
            made = tlsa_for(content, 3, selector, matching_type)
            assert made == workshop.tlsa(3, selector, matching_type, leaf)
            assert isinstance(verify_dane([made], [leaf], names=(), at=workshop.NOW), Verified)
    with pytest.raises(ValueError, match="matching type 3"):
        tlsa_for(leaf, 3, 0, 3)


def mistakes(leaf: bytes, issuer: bytes, spki: bytes) -> Iterator[tuple[str, TlsaData, str]]:
    def pem(content: bytes, label: str) -> bytes:
        text = b64encode(content).decode()
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()

    def digest(content: bytes, usage: int = 3, selector: int = 1) -> TlsaData:
        return TlsaData(usage, selector, 1, sha256(content).digest())

    # The first is in virtualmin #1207: a command that failed for ECC keys, its empty output digested.
    yield "empty", TlsaData(3, 1, 1, bytes.fromhex(SHA)), "nothing at all"
    yield "empty, SHA-512", TlsaData(3, 1, 2, sha512(b"").digest()), "nothing at all"
    yield "new line", digest(b"\n"), "an empty line"
    yield (
        "PEM of certificate",
        digest(pem(leaf, "CERTIFICATE"), selector=0),
        "PEM text of the server's certificate",
    )
    yield "PEM of key", digest(pem(spki, "PUBLIC KEY")), "PEM text of the server's public key"
    yield "PEM, CRLF", digest(pem(spki, "PUBLIC KEY").replace(b"\n", b"\r\n")), "PEM text"
    yield "base64", digest(b64encode(leaf)), "PEM text"
    yield "certificate under selector 1", digest(leaf), "which is selector 0, while the record says 1"
    yield "key under selector 0", digest(spki, selector=0), "which is selector 1, while the record says 0"
    yield "issuer under usage 3", digest(issuer, selector=0), "which is usage 2, while the record says 3"
    yield "leaf under usage 2", digest(leaf, usage=2, selector=0), "which is usage 3, while the record says 2"
    yield "digested twice", digest(sha256(leaf).digest()), "digested twice"
    yield "digest's text digested", digest(sha256(spki).hexdigest().encode() + b"\n"), "digested twice"
    yield "wrong digest", TlsaData(3, 1, 2, sha256(spki).digest()), "SHA2-256 digest"
    yield "full under digest", TlsaData(3, 1, 1, spki), "itself, not a digest"
    yield "bare key", digest(spki[-65:]), "without its algorithm"
    bundle = pem(leaf, "CERTIFICATE") + pem(issuer, "CERTIFICATE")
    yield "bundle", digest(bundle), "whole PEM file"


def test_classic_mistakes_are_recognised(workshop: Any):
    leaf, issuer = workshop.leaf(), workshop.intermediate
    chain = (workshop.view(leaf), workshop.view(issuer))
    cases = list(mistakes(leaf, issuer, workshop.spki_of_key("leaf")))
    for what, record, text in cases:
        assert text in str(recognise_wrong_digest(record, chain)), what
        # Only what does not match is a mistake.
        assert isinstance(
            verify_dane([record], (leaf, issuer), names=(HOST,), at=workshop.NOW), Mismatch | Unusable
        )
    assert recognise_wrong_digest(TlsaData(3, 1, 1, b"x" * 32), chain) is None
    assert recognise_wrong_digest(TlsaData(9, 9, 9, b""), chain) is None
    assert recognise_wrong_digest(TlsaData(3, 1, 1, bytes.fromhex(SHA)), ()) is not None


def test_so_many_records_as_one_likes_are_held_against_one_set_of_digests(workshop: Any):
    chain = tuple(map(workshop.view, workshop.shapes()["unordered"]))
    before = _clues.cache_info().misses
    records = [TlsaData(3, 1, 1, number.to_bytes(32)) for number in range(300)]
    assert not any(recognise_wrong_digest(record, chain) for record in records)
    assert _clues.cache_info().misses <= before + 1


# --- discovery: RFC 7672 §2.2 ------------------------------------------------------------------------

SECURE, INSECURE, BOGUS = Security.SECURE, Security.INSECURE, Security.BOGUS
UNKNOWN = Security.INDETERMINATE
RECORD = TlsaData(3, 1, 1, b"x" * 32)
TLSA_AT_HOST, TLSA_AT_TARGET = "_25._tcp.mx.example.com", "_25._tcp.real.example.net"


def address(security: Security = SECURE, *aliases: Security) -> Answer:
    """An address found; with aliases mx.example.com → real.example.net, the last one being the target's own."""
    found = AddressData(Address("192.0.2.1"))
    steps = tuple(Alias(HOST, "real.example.net", one) for one in aliases)
    return Answer(HOST, RecordType.A, Outcome.FOUND, security, (found,), steps)


def nothing(security: Security = SECURE, outcome: Outcome = Outcome.NO_DATA) -> Answer:
    return Answer("", RecordType.A, outcome, security)


def failed(security: Security = UNKNOWN) -> Answer:
    return Answer("", RecordType.A, Outcome.FAILED, security, reason="SERVFAIL")


def tlsa(security: Security = SECURE) -> Answer:
    return Answer("", RecordType.TLSA, Outcome.FOUND, security, (RECORD,))


def alias(security: Security) -> Answer:
    return Answer(HOST, RecordType.CNAME, Outcome.FOUND, security)


class Walk(NamedTuple):
    """What the world says, and what the walk must find and ask."""

    title: str
    ipv4: Answer
    ipv6: Answer
    state: TlsaState
    at_host: Answer | None = None
    """None: must not be asked."""
    at_target: Answer | None = None
    cname: Answer | None = None
    base: str | None = None


FOUND, ABSENT, NOT_ASKED = TlsaState.FOUND, TlsaState.ABSENT, TlsaState.NOT_ASKED
FAILED, NO_ADDRESS = TlsaState.FAILED, TlsaState.NO_ADDRESS
UNALIASED = nothing()

WALKS = [
    Walk("secure all the way", address(), nothing(), FOUND, at_host=tlsa(), base=HOST),
    Walk("IPv6 only", nothing(), address(), FOUND, at_host=tlsa(), base=HOST),
    Walk("no TLSA", address(), nothing(), ABSENT, at_host=nothing()),
    Walk("no TLSA name", address(), nothing(), ABSENT, at_host=nothing(outcome=Outcome.NO_NAME)),
    Walk("denial is insecure (opt-out)", address(), nothing(), ABSENT, at_host=nothing(INSECURE)),
    Walk("TLSA insecure (postfix-tlspol #8)", address(), nothing(), ABSENT, at_host=tlsa(INSECURE)),
    Walk("TLSA bogus", address(), nothing(), FAILED, at_host=failed(BOGUS)),
    Walk("TLSA SERVFAIL (Stalwart #2328, KumoMTA #543)", address(), nothing(), FAILED, at_host=failed()),
    Walk("TLSA of unknown security", address(), nothing(), FAILED, at_host=tlsa(UNKNOWN)),
    Walk("TLSA found, and bogus", address(), nothing(), FAILED, at_host=tlsa(BOGUS)),
    Walk("denial of unknown security", address(), nothing(), FAILED, at_host=nothing(UNKNOWN)),
    Walk(
        "insecure: never asked (outlook.com, KumoMTA #545)", address(INSECURE), nothing(INSECURE), NOT_ASKED
    ),
    Walk("insecure, and AAAA broken: mail flows", address(INSECURE), failed(), NOT_ASKED),
    Walk("insecure, and A broken: mail flows", failed(), address(INSECURE), NOT_ASKED),
    Walk("secure, and AAAA broken (maddy #292)", address(), failed(), FOUND, at_host=tlsa(), base=HOST),
    Walk("secure, and AAAA bogus", address(), failed(BOGUS), FOUND, at_host=tlsa(), base=HOST),
    Walk("secure, and A bogus", failed(BOGUS), address(), ABSENT, at_host=nothing()),
    Walk("A secure, AAAA insecure", address(), address(INSECURE), FOUND, at_host=tlsa(), base=HOST),
    Walk("A insecure, AAAA secure", address(INSECURE), address(), FOUND, at_host=tlsa(), base=HOST),
    Walk("no address at all", nothing(), nothing(), NO_ADDRESS),
    Walk("no such name", nothing(outcome=Outcome.NO_NAME), nothing(outcome=Outcome.NO_NAME), NO_ADDRESS),
    Walk("no A, AAAA broken", nothing(), failed(), FAILED),
    Walk("both broken", failed(), failed(), FAILED),
    Walk("both bogus", failed(BOGUS), failed(BOGUS), FAILED),
    Walk("address of unknown security", address(UNKNOWN), nothing(), FAILED),
    Walk(
        "alias, all secure, TLSA at its end",
        address(SECURE, SECURE),
        nothing(),
        FOUND,
        at_target=tlsa(),
        base="real.example.net",
    ),
    Walk(
        "alias, all secure, TLSA at the original name",
        address(SECURE, SECURE),
        nothing(),
        FOUND,
        at_target=nothing(),
        at_host=tlsa(),
        base=HOST,
    ),
    Walk(
        "alias, all secure, TLSA at its end insecure",
        address(SECURE, SECURE),
        nothing(),
        FOUND,
        at_target=tlsa(INSECURE),
        at_host=tlsa(),
        base=HOST,
    ),
    Walk(
        "alias, all secure, no TLSA",
        address(SECURE, SECURE),
        nothing(),
        ABSENT,
        at_target=nothing(),
        at_host=nothing(),
    ),
    Walk("alias, an error at its end stops", address(SECURE, SECURE), nothing(), FAILED, at_target=failed()),
    Walk(
        "alias, an error at the original name",
        address(SECURE, SECURE),
        nothing(),
        FAILED,
        at_target=nothing(),
        at_host=failed(),
    ),
    Walk(
        "secure alias into an insecure zone",
        address(INSECURE, SECURE),
        nothing(),
        FOUND,
        at_host=tlsa(),
        base=HOST,
    ),
    Walk(
        "secure alias into an insecure zone, no TLSA",
        address(INSECURE, SECURE),
        nothing(),
        ABSENT,
        at_host=nothing(),
    ),
    Walk(
        "secure alias into an insecure zone, error",
        address(INSECURE, SECURE),
        nothing(),
        FAILED,
        at_host=failed(),
    ),
    Walk("insecure alias", address(INSECURE, INSECURE), nothing(), NOT_ASKED),
    Walk(
        "two aliases, the second insecure",
        address(INSECURE, SECURE, INSECURE),
        nothing(),
        ABSENT,
        at_host=nothing(),
    ),
    Walk("two aliases, the first insecure", address(INSECURE, INSECURE, SECURE), nothing(), NOT_ASKED),
    Walk(
        "AD bit only, alias turns out secure",
        address(INSECURE, UNKNOWN),
        nothing(),
        FOUND,
        cname=alias(SECURE),
        at_host=tlsa(),
        base=HOST,
    ),
    Walk(
        "AD bit only, alias turns out insecure",
        address(INSECURE, UNKNOWN),
        nothing(),
        NOT_ASKED,
        cname=alias(INSECURE),
    ),
    Walk("AD bit only, alias lookup fails", address(INSECURE, UNKNOWN), nothing(), FAILED, cname=failed()),
    Walk(
        "alias, AAAA broken",
        address(SECURE, SECURE),
        failed(),
        FOUND,
        at_target=tlsa(),
        base="real.example.net",
    ),
]


@pytest.mark.parametrize("walk", WALKS, ids=[walk.title for walk in WALKS])
def test_discovery(walk: Walk):
    world = {
        (HOST, RecordType.A): walk.ipv4,
        (HOST, RecordType.AAAA): walk.ipv6,
        (HOST, RecordType.CNAME): walk.cname,
        (TLSA_AT_HOST, RecordType.TLSA): walk.at_host,
        (TLSA_AT_TARGET, RecordType.TLSA): walk.at_target,
    }
    asked: list[tuple[str, RecordType]] = []

    async def resolve(name: str, record_type: RecordType) -> Answer:
        assert (name, record_type) not in asked, "asked twice"
        asked.append((name, record_type))
        answer = world[name, record_type]
        assert answer is not None, f"{name} {record_type} must not be asked"
        return answer

    lookup = asyncio.run(discover(resolve, HOST))
    assert (lookup.state, lookup.base_domain) == (walk.state, walk.base)
    assert lookup.records == ((RECORD,) if walk.state is FOUND else ())
    assert (lookup.ipv4, lookup.ipv6) == (walk.ipv4, walk.ipv6)
    assert len(lookup.questions) == len(asked) - 2
    assert set(asked) == {question for question, answer in world.items() if answer is not None}
    assert lookup.reason


def test_discovery_at_another_port():
    async def resolve(name: str, record_type: RecordType) -> Answer:
        if record_type is RecordType.TLSA:
            return tlsa() if name == "_587._tcp.mx.example.com" else nothing()
        return address()

    assert asyncio.run(discover(resolve, HOST, port=587)).state is FOUND


@pytest.mark.parametrize(("length", "port", "asked"), [(244, 25, True), (244, 587, False), (245, 25, False)])
def test_a_host_name_that_leaves_no_room_has_no_records(length: int, port: int, asked: bool):
    """No resolver can look such a name up: that is no failed lookup, and stops no mail."""
    host = HostName(".".join(["a" * 60] * 4)[:length].ljust(length, "b"))
    names: list[str] = []

    async def resolve(name: str, record_type: RecordType) -> Answer:
        names.append(name)
        return msgspec.structs.replace(address(), name=host) if name == host else tlsa()

    lookup = asyncio.run(discover(resolve, host, port=port))
    assert lookup.state is (FOUND if asked else ABSENT)
    assert (tlsa_name(host, port) in names) == asked


SECURITIES = st.sampled_from(list(Security))
ANSWERS = st.one_of(
    st.builds(address, SECURITIES, SECURITIES),
    st.builds(address, SECURITIES),
    st.builds(nothing, SECURITIES, st.sampled_from([Outcome.NO_DATA, Outcome.NO_NAME])),
    st.builds(failed, st.sampled_from([BOGUS, UNKNOWN])),
    st.builds(tlsa, SECURITIES),
)


@given(st.data())
def test_no_trouble_makes_discovery_weaker(data: Any):
    """With a secure address, only a secure or insecure answer, never an error, leads to "no DANE"."""
    answers: dict[tuple[str, RecordType], Answer] = {}

    async def resolve(name: str, record_type: RecordType) -> Answer:
        assert (name, record_type) not in answers
        answers[name, record_type] = data.draw(ANSWERS)
        return answers[name, record_type]

    lookup = asyncio.run(discover(resolve, HOST))
    addresses = [answers[HOST, RecordType.A], answers[HOST, RecordType.AAAA]]
    secure = any(one.is_secure and one.addresses() for one in addresses if not one.failed)
    if secure:
        assert lookup.state in (FOUND, ABSENT, FAILED)
    tlsa_answers = [one for one in lookup.questions if one not in addresses]
    if lookup.state in (ABSENT, FOUND):
        assert all(not one.failed and one.security in (SECURE, INSECURE) for one in tlsa_answers)
    if lookup.state is FOUND:
        assert lookup.questions[-1].is_secure
    assert len(answers) <= 5


def test_reference_identifiers():
    """RFC 7672 §3.2.2: the next-hop's names count if the MX RRset is secure."""
    domain, expanded = HostName("example.com"), HostName("example.net")
    assert reference_identifiers(HOST, domain, mx_secure=True) == (HOST, domain)
    assert reference_identifiers(HOST, domain, mx_secure=False) == (HOST,)
    assert reference_identifiers(HOST, None, mx_secure=True) == (HOST,)
    assert reference_identifiers(HOST, HOST, mx_secure=True) == (HOST,)
    assert reference_identifiers(HOST, domain, mx_secure=True, expanded_next_hop=expanded) == (
        HOST,
        domain,
        expanded,
    )
    assert reference_identifiers(HOST, domain, mx_secure=False, expanded_next_hop=expanded) == (HOST,)


def test_owner_name():
    assert tlsa_name(HOST) == "_25._tcp.mx.example.com"
    assert tlsa_name(HOST, 587) == "_587._tcp.mx.example.com"
