"""Evidence and other values, saved and read back."""

from datetime import UTC, datetime

import pytest

from mxseal.standards.mta_sts import MxPattern, Policy, parse_policy
from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AddressData,
    Answer,
    Evidence,
    FetchStage,
    Handshake,
    MxData,
    MxHostEvidence,
    Outcome,
    PolicyFetched,
    PolicyFetchFailed,
    RecordType,
    Security,
    SmtpSession,
    Stage,
    TextData,
    TlsaData,
    TlsaLookup,
    TlsaState,
    Unreachable,
)
from mxseal.vocabulary.saved import from_json, to_builtins, to_json

DOMAIN, MX = HostName("example.com"), HostName("mx.example.com")
ADDRESS = Address("2001:db8::1")


def answer(name, kind, *records):
    return Answer(name, kind, Outcome.FOUND, Security.SECURE, records, ttl=300)


def evidence(fetch):
    v6 = answer(MX, RecordType.AAAA, AddressData(ADDRESS))
    v4 = Answer(MX, RecordType.A, Outcome.NO_DATA, Security.SECURE)
    tlsa = TlsaData(3, 1, 1, bytes(range(32)))
    lookup = TlsaLookup(
        MX, TlsaState.FOUND, v4, v6, MX, (tlsa,), (answer(f"_25._tcp.{MX}", RecordType.TLSA, tlsa),)
    )
    sessions = (
        SmtpSession(
            MX, ADDRESS, 25, Handshake("TLSv1.3", "TLS_AES_128_GCM_SHA256", (b"\x30\x00\xff",)), sni=MX
        ),
        SmtpSession(MX, ADDRESS, 25, Unreachable(Stage.CONNECT, "refused")),
    )
    return Evidence(
        domain=DOMAIN,
        at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        mx=answer(DOMAIN, RecordType.MX, MxData(10, MX), MxData(0, None)),
        hosts=(MxHostEvidence(MX, 10, lookup, sessions),),
        sts_record=answer(f"_mta-sts.{DOMAIN}", RecordType.TXT, TextData((b"v=STSv1; ", b"id=\xff\x00"))),
        policy_fetch=fetch,
        tlsrpt_record=answer(f"_smtp._tls.{DOMAIN}", RecordType.TXT),
    )  # fmt: skip


@pytest.mark.parametrize(
    "fetch",
    [
        None,
        PolicyFetched(
            DOMAIN, "https://mta-sts.example.com/", b"version: STSv1\r\n\xff", ADDRESS, "text/plain"
        ),
        PolicyFetchFailed(
            DOMAIN, "https://mta-sts.example.com/", FetchStage.TLS, "alert", attempts=("a: b",)
        ),
    ],
)
def test_evidence_survives_saving(fetch):
    saved = evidence(fetch)
    assert from_json(Evidence, to_json(saved), source="e.json") == saved


def test_a_policy_survives_saving():
    policy = parse_policy("version: STSv1\nmode: enforce\nmx: *.Example.com\nmax_age: 99999999\nx: ü\n")
    read = from_json(Policy, to_json(policy), source="cache")
    assert read == policy
    assert type(read.mx[0]) is MxPattern


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (b'"enforce"', b'"none-at-all"', "enum"),
        (b'["*.example.com"]', b"[]", "mx pattern"),  # no damaged cache makes an empty match list
        (b'"*.example.com"', b'"*"', "label"),
        (b'"*.example.com"', b'""', "missing"),
        (b'"*.example.com"', b'"a.example b.example"', "character"),
        (b'"*.example.com"', b"3", "str"),
        (b"86400", b"-1", "max_age"),
        (b"86400", b"true", "int"),
    ],
)
def test_a_damaged_policy_is_refused_with_its_source(old, new, word):
    text = to_json(parse_policy("version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 86400\n"))
    damaged = text.replace(old, new, 1)
    assert damaged != text
    with pytest.raises(DataFault, match=word) as caught:
        from_json(Policy, damaged, source="/var/lib/x")
    assert "/var/lib/x" in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"domain": "a b"}', b'{"domain": 3}']
)
def test_what_is_no_evidence(text):
    with pytest.raises(DataFault, match=r"e\.json is no saved evidence"):
        from_json(Evidence, text, source="e.json")


def test_what_a_damaged_file_says_does_not_act_on_the_terminal():
    damaged = to_json(evidence(None)).replace(b'"TXT"', b'"\\u001b[2J\\nall is well"', 1)
    with pytest.raises(DataFault, match=r"Invalid enum value") as caught:
        from_json(Evidence, damaged, source="e.json")
    assert str(caught.value).isprintable()


def test_builtins_are_plain():
    plain = to_builtins(evidence(None))
    assert type(plain["domain"]) is str
    assert plain["hosts"][0]["tlsa"]["state"] == "found"
