"""What NSEC and NSEC3 prove; the zones are those of RFC 4035 appendix A and RFC 5155 appendix A."""

import base64

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.dns.denial import (
    Denial,
    Denied,
    Unproved,
    nsec3_proves_expansion,
    nsec_proves_expansion,
    prove_nsec,
    prove_nsec3,
)


def name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def kind(text: str) -> int:
    return dns.rdatatype.from_text(text)


EXAMPLE = name("example.")


# --- NSEC: RFC 4035 appendix A ------------------------------------------------------------------------------

CHAIN = {
    "example.": ("a.example.", "NS SOA MX RRSIG NSEC DNSKEY"),
    "a.example.": ("ai.example.", "NS DS RRSIG NSEC"),
    "ai.example.": ("b.example.", "A HINFO AAAA RRSIG NSEC"),
    "b.example.": ("ns1.example.", "NS RRSIG NSEC"),
    "ns1.example.": ("ns2.example.", "A RRSIG NSEC"),
    "ns2.example.": ("*.w.example.", "A RRSIG NSEC"),
    "*.w.example.": ("x.w.example.", "MX RRSIG NSEC"),
    "x.w.example.": ("x.y.w.example.", "MX RRSIG NSEC"),
    "x.y.w.example.": ("xx.example.", "MX RRSIG NSEC"),
    "xx.example.": ("example.", "A HINFO AAAA RRSIG NSEC"),
    # not in the RFC: what else a record can be
    "d.other.": ("e.other.", "DNAME RRSIG NSEC"),
    "c.other.": ("d.other.", "CNAME RRSIG NSEC"),
    "x.other.": ("z.other.", "NXNAME RRSIG NSEC"),
    "other.": ("b.other.", "NS SOA RRSIG NSEC"),
    ".": ("aaa.", "NS SOA RRSIG NSEC"),
}


def nsec(owner: str):
    following, types = CHAIN[owner]
    types = types.replace("NXNAME", "TYPE128")
    return name(owner), dns.rdata.from_text("IN", "NSEC", f"{following} {types}")


TYPE, NAME, UNKNOWN = Denied.TYPE, Denied.NAME, Denied.UNKNOWN


@pytest.mark.parametrize(
    ("question", "records", "denied"),
    [
        (("ml.example.", "A"), ("b.example.", "example."), NAME),  # RFC 4035 B.2
        (("ns1.example.", "MX"), ("ns1.example.",), TYPE),  # B.3
        (
            ("a.z.w.example.", "AAAA"),
            ("x.y.w.example.", "*.w.example."),
            TYPE,
        ),  # B.7: the wildcard has no AAAA
        (("y.w.example.", "MX"), ("x.w.example.",), TYPE),  # an empty non-terminal
        (("w.example.", "MX"), ("ns2.example.",), TYPE),  # one above a wildcard
        (("zz.example.", "A"), ("xx.example.", "example."), NAME),  # behind the last name
        (("0.example.", "A"), ("example.",), NAME),  # one record covers name and wildcard
        (("ns1.example.", "DS"), ("ns1.example.",), TYPE),
        (("x.other.", "A"), ("x.other.",), NAME),  # RFC 9824: compact denial
    ],
)
def test_nsec_proves(question, records, denied):
    zone = EXAMPLE if question[0].endswith("example.") else name("other.")
    proof = prove_nsec(name(question[0]), kind(question[1]), zone, [nsec(owner) for owner in records])
    assert isinstance(proof, Denial), proof
    assert proof.denied is denied
    assert not proof.is_cut
    assert not proof.weak


def test_nsec_proves_an_unsigned_delegation():
    proof = prove_nsec(name("b.example."), kind("DS"), EXAMPLE, [nsec("b.example.")])  # RFC 4035 B.4
    assert isinstance(proof, Denial)
    assert proof.is_cut


@pytest.mark.parametrize(
    ("question", "records", "reason"),
    [
        (("ml.example.", "A"), ("b.example.",), "wildcard|stand in"),  # nothing about *.example
        (("ml.example.", "A"), ("example.",), "matches or covers"),
        (("ml.example.", "A"), (), "matches or covers"),
        (("ns1.example.", "A"), ("ns1.example.",), "says that there is a A"),
        (("a.example.", "DS"), ("a.example.",), "says that there is a DS"),
        (("example.", "DS"), ("example.",), "child's side"),  # RFC 4035 B.8
        (("b.example.", "MX"), ("b.example.",), "parent's side"),  # RFC 6840 §4.1
        (("a.example.", "TXT"), ("a.example.",), "parent's side"),
        (("mx.b.example.", "A"), ("b.example.", "example."), "matches or covers"),  # below a delegation
        (("mx.d.other.", "A"), ("d.other.", "other."), "matches or covers"),  # below a DNAME
        (("c.other.", "A"), ("c.other.",), "there is a CNAME"),  # RFC 6840 §4.3
        (("c.other.", "DS"), ("c.other.",), "there is a CNAME"),
        (
            ("a.z.w.example.", "MX"),
            ("x.y.w.example.", "*.w.example."),
            "there is a MX",
        ),  # it should have been expanded
        (("a.z.w.example.", "A"), ("x.y.w.example.", "example."), "does not stand in"),
    ],
)
def test_nsec_does_not_prove(question, records, reason):
    import re

    zone = EXAMPLE if question[0].endswith("example.") else name("other.")
    proof = prove_nsec(name(question[0]), kind(question[1]), zone, [nsec(owner) for owner in records])
    assert isinstance(proof, Unproved), proof
    assert re.search(reason, proof.reason)


def test_records_of_another_zone_prove_nothing():
    assert isinstance(prove_nsec(name("aa."), kind("A"), EXAMPLE, [nsec(".")]), Unproved)
    assert isinstance(
        prove_nsec(name("ml.example."), kind("A"), name("w.example."), [nsec("b.example.")]), Unproved
    )


@pytest.mark.parametrize(
    ("owner", "encloser", "record", "proved"),
    [
        ("a.z.w.example.", "w.example.", "x.y.w.example.", True),  # RFC 4035 B.6
        ("a.z.w.example.", "example.", "x.y.w.example.", False),  # the wildcard is not the closest
        ("a.z.w.example.", "w.example.", "b.example.", False),
        ("y.w.example.", "w.example.", "x.w.example.", False),  # an empty non-terminal exists
        ("x.w.example.", "w.example.", "x.w.example.", False),  # it exists
    ],
)
def test_a_wildcard_may_stand_in_only_for_what_is_not_there(owner, encloser, record, proved):
    assert nsec_proves_expansion(name(owner), name(encloser), EXAMPLE, [nsec(record)]) is proved


# --- NSEC3: RFC 5155 appendix A -----------------------------------------------------------------------------

HASHES = {
    "example.": "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom",
    "a.example.": "35mthgpgcu1qg68fab165klnsnk3dpvl",
    "ai.example.": "gjeqe526plbf1g8mklp59enfd789njgi",
    "ns1.example.": "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
    "ns2.example.": "q04jkcevqvmu85r014c7dkba38o0ji5r",
    "w.example.": "k8udemvp1j2f7eg6jebps17vp3n8i58h",
    "*.w.example.": "r53bq7cc2uvmubfu5ocmm6pers9tk9en",
    "x.w.example.": "b4um86eghhds6nea196smvmlo4ors995",
    "y.w.example.": "ji6neoaepv8b5o6k4ev33abha8ht9fgc",
    "x.y.w.example.": "2vptu5timamqttgl4luu9kg21e0aor3s",
    "xx.example.": "t644ebqk9bibcna874givr6joj62mlhv",
}
TYPES = {
    "example.": "NS SOA MX RRSIG DNSKEY NSEC3PARAM",
    "a.example.": "NS DS RRSIG",
    "w.example.": "",
    "y.w.example.": "",
    "*.w.example.": "MX RRSIG",
    "x.w.example.": "MX RRSIG",
    "x.y.w.example.": "MX RRSIG",
}
ORDER = sorted(HASHES.values())


def nsec3(owner: str, *, flags: int = 0, algorithm: int = 1, iterations: int = 12):
    digest = HASHES[owner]
    following = ORDER[(ORDER.index(digest) + 1) % len(ORDER)]
    types = TYPES.get(owner, "A RRSIG")
    text = f"{algorithm} {flags} {iterations} aabbccdd {following} {types}"
    return name(f"{digest}.example."), dns.rdata.from_text("IN", "NSEC3", text)


def test_the_hashes_are_those_of_the_rfc():
    for owner, digest in HASHES.items():
        assert dns.dnssec.nsec3_hash(owner, "aabbccdd", 12, 1).lower() == digest


@pytest.mark.parametrize(
    ("question", "records", "denied"),
    [
        (("a.c.x.w.example.", "A"), ("example.", "x.w.example.", "a.example."), NAME),  # RFC 5155 B.1
        (("ns1.example.", "MX"), ("ns1.example.",), TYPE),  # B.2
        (("y.w.example.", "A"), ("y.w.example.",), TYPE),  # B.2.1: an empty non-terminal
        (("a.z.w.example.", "AAAA"), ("w.example.", "ns2.example.", "*.w.example."), TYPE),  # B.5
    ],
)
def test_nsec3_proves(question, records, denied):
    proof = prove_nsec3(name(question[0]), kind(question[1]), EXAMPLE, [nsec3(owner) for owner in records])
    assert isinstance(proof, Denial), proof
    assert proof.denied is denied
    assert not proof.weak


def test_opt_out_yields_no_more_than_insecure():
    records = [nsec3("example.", flags=1), nsec3("x.w.example.", flags=1), nsec3("a.example.", flags=1)]
    proof = prove_nsec3(name("a.c.x.w.example."), kind("A"), EXAMPLE, records)
    assert isinstance(proof, Denial)
    assert "opt-out" in proof.weak
    # RFC 5155 B.3: c.example is a delegation without DS, hidden in the span before a.example.
    hidden = [nsec3("a.example.", flags=1), nsec3("example.", flags=1)]
    proof = prove_nsec3(name("c.example."), kind("DS"), EXAMPLE, hidden)
    assert isinstance(proof, Denial)
    assert proof.denied is UNKNOWN
    assert "opt-out" in proof.weak


@pytest.mark.parametrize(
    ("question", "records", "reason"),
    [
        (("a.c.x.w.example.", "A"), ("example.", "x.w.example."), "does not stand in"),
        (("a.c.x.w.example.", "A"), ("example.", "a.example."), "no NSEC3 record covers"),
        (("a.c.x.w.example.", "A"), ("x.w.example.", "a.example."), "no NSEC3 record covers"),
        (("ns1.example.", "A"), ("ns1.example.",), "says that there is a A"),
        (("a.example.", "MX"), ("a.example.",), "parent's side"),
        (("example.", "DS"), ("example.",), "child's side"),  # RFC 5155 B.6
        (("mx.a.example.", "A"), ("a.example.", "example.", "x.w.example."), "delegation or a DNAME"),
        (("xx.example.", "TXT"), ("ns1.example.",), "matches an encloser"),
    ],
)
def test_nsec3_does_not_prove(question, records, reason):
    proof = prove_nsec3(name(question[0]), kind(question[1]), EXAMPLE, [nsec3(owner) for owner in records])
    assert isinstance(proof, Unproved), proof
    assert reason in proof.reason


def test_unknown_algorithms_and_flags_are_ignored():
    for odd in (nsec3("ns1.example.", algorithm=2), nsec3("ns1.example.", flags=2)):
        assert isinstance(prove_nsec3(name("ns1.example."), kind("MX"), EXAMPLE, [odd]), Unproved)


@pytest.mark.parametrize(("iterations", "weak"), [(150, False), (151, True), (65535, True)])
def test_too_many_iterations_are_not_computed(iterations, weak):
    owner = dns.dnssec.nsec3_hash("ns1.example.", "aabbccdd", iterations if not weak else 0, 1).lower()
    text = f"1 0 {iterations} aabbccdd {HASHES['xx.example.']} A"
    record = (name(f"{owner}.example."), dns.rdata.from_text("IN", "NSEC3", text))
    proof = prove_nsec3(name("ns1.example."), kind("MX"), EXAMPLE, [record])
    assert isinstance(proof, Denial)
    assert bool(proof.weak) is weak


def test_a_wildcard_by_nsec3():
    asked, encloser = name("a.z.w.example."), name("w.example.")
    proof = nsec3_proves_expansion(asked, encloser, EXAMPLE, [nsec3("ns2.example.")])  # RFC 5155 B.4
    assert isinstance(proof, Denial)
    assert not proof.weak
    proof = nsec3_proves_expansion(asked, encloser, EXAMPLE, [nsec3("ns2.example.", flags=1)])
    assert isinstance(proof, Denial)
    assert proof.weak
    assert isinstance(nsec3_proves_expansion(asked, encloser, EXAMPLE, [nsec3("example.")]), Unproved)
    assert isinstance(nsec3_proves_expansion(asked, encloser, EXAMPLE, []), Unproved)


def test_hostile_owners_are_no_hashes():
    for label in ("not-base32", "0", "0p9mhaveqvm6t7vbl5lop2u3t2rp3to"):
        record = (name(f"{label}.example."), nsec3("example.")[1])
        assert isinstance(prove_nsec3(name("ml.example."), kind("A"), EXAMPLE, [record]), Unproved)


# --- laws ------------------------------------------------------------------------------------------------------

labels = st.sampled_from(["a", "b", "c", "*", "mail", "zz"])
names = st.lists(labels, min_size=0, max_size=3).map(lambda parts: name(".".join((*parts, "zone.test."))))
zones = st.sets(names, min_size=1, max_size=8).map(lambda found: found | {name("zone.test.")})
APEX = name("zone.test.")


def _exists(asked, owners) -> bool:
    return any(owner.is_subdomain(asked) for owner in owners)


def _wildcard(asked, owners):
    """RFC 4592: the wildcard at the closest encloser, if it is there."""
    encloser = asked
    while not _exists(encloser, owners):
        encloser = encloser.parent()
    wildcard = dns.name.Name((b"*", *encloser.labels))
    return wildcard if _exists(wildcard, owners) else None


@given(zones, names)
def test_the_whole_nsec_chain_proves_exactly_what_is_not_there(owners, asked):
    ordered = sorted(owners)
    chain = [
        (
            owner,
            dns.rdata.from_text(
                "IN", "NSEC", f"{following} A RRSIG NSEC" + (" SOA NS" if owner == APEX else "")
            ),
        )
        for owner, following in zip(ordered, [*ordered[1:], APEX], strict=True)
    ]
    proof = prove_nsec(asked, kind("A"), APEX, chain)
    _agrees(proof, asked, owners)


@given(zones, names)
def test_the_whole_nsec3_chain_proves_exactly_what_is_not_there(owners, asked):
    every = {owner.split(depth)[1] for owner in owners for depth in range(len(APEX), len(owner) + 1)}
    hashed = {base64.b32hexdecode(dns.dnssec.nsec3_hash(one, "", 0, 1)): one for one in every}
    ordered = sorted(hashed)
    chain = []
    for digest, following in zip(ordered, [*ordered[1:], ordered[0]], strict=True):
        one = hashed[digest]
        types = ("A SOA NS" if one == APEX else "A") if one in owners else ""
        text = f"1 0 0 - {base64.b32hexencode(following).decode()} {types}"
        owner = name(f"{base64.b32hexencode(digest).decode().lower()}.zone.test.")
        chain.append((owner, dns.rdata.from_text("IN", "NSEC3", text)))
    _agrees(prove_nsec3(asked, kind("A"), APEX, chain), asked, owners)


def _agrees(proof, asked, owners) -> None:
    """Every owner has an A record; what has none are empty non-terminals and names that are not there."""
    if asked in owners:
        assert isinstance(proof, Unproved)
    elif _exists(asked, owners):
        assert isinstance(proof, Denial)
        assert proof.denied is TYPE
    else:
        wildcard = _wildcard(asked, owners)
        if wildcard in owners:
            assert isinstance(proof, Unproved)
        else:
            assert isinstance(proof, Denial)
            assert proof.denied is (NAME if wildcard is None else TYPE)
