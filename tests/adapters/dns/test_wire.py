"""Our reader against dnspython's, over good, odd, hostile and broken replies."""

import struct

import dns.dnssec
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.dns.transport import MALFORMED, MAX_RECORDS
from mxseal.adapters.dns.wire import canonical_rdata, read

TEXTS = (
    "MAIL.leaf.Test. 300 IN A 192.0.2.1",
    "mail.leaf.test. 200 IN A 192.0.2.2",
    "mail.leaf.test. 300 IN AAAA 2001:db8::1",
    "leaf.test. 300 IN MX 10 Mail.Leaf.test.",
    "leaf.test. 300 IN MX 20 .",
    "leaf.test. 300 IN NS ns.Leaf.test.",
    "leaf.test. 300 IN SOA NS.leaf.test. hostMaster.leaf.test. 1 2 3 4 5",
    "leaf.test. 300 IN TXT one two",
    "tree.leaf.test. 300 IN DNAME Branch.leaf.test.",
    "alias.leaf.test. 300 IN CNAME Mail.leaf.test.",
    "_25._tcp.mail.leaf.test. 300 IN TLSA 3 1 1 " + "ab" * 32,
    "leaf.test. 300 IN DS 1 13 2 " + "cd" * 32,
    "leaf.test. 300 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
    "leaf.test. 300 IN NSEC Mail.leaf.test. NS SOA MX RRSIG NSEC TYPE1234",
    "leaf.test. 300 IN RRSIG MX 15 2 300 20261203120000 20261122120000 1 Leaf.test. AAAA",
    "leaf.test. 300 IN RRSIG NS 15 2 300 20261203120000 20261122120000 1 leaf.test. BBBB",
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.leaf.test. 300 IN NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX",
    'leaf.test. 300 IN CAA 0 issue "ca.test"',
    "leaf.test. 300 IN TYPE4711 \\# 3 010203",
    "leaf.test. 300 IN SRV 1 2 3 Target.leaf.test.",
    "leaf.test. 300 IN PTR Target.leaf.test.",
)


def message(texts=TEXTS, *, section="answer", name="mail.leaf.test.") -> dns.message.Message:
    made = dns.message.make_response(dns.message.make_query(name, "A", want_dnssec=True))
    for text in texts:
        owner, ttl, rdclass, rdtype, data = text.split(" ", 4)
        rdata = dns.rdata.from_text(rdclass, rdtype, data)
        rrset = made.find_rrset(
            getattr(made, section),
            dns.name.from_text(owner),
            rdata.rdclass,
            rdata.rdtype,
            rdata.covers(),
            create=True,
        )
        rrset.add(rdata, int(ttl))
    return made


def content(rrsets):
    return {
        (rrset.name.canonicalize(), rrset.rdtype, rrset.covers): (
            rrset.ttl,
            sorted({rdata.to_digestable() for rdata in rrset}),
        )
        for rrset in rrsets
    }


def same(ours: dns.message.Message, theirs: dns.message.Message) -> None:
    assert (ours.id, ours.flags, ours.rcode()) == (theirs.id, theirs.flags, theirs.rcode())
    for mine, other in ((ours.answer, theirs.answer), (ours.authority, theirs.authority)):
        assert content(mine) == content([rrset for rrset in other if rrset.rdclass == dns.rdataclass.IN])


@pytest.mark.parametrize("section", ["answer", "authority"])
def test_it_reads_what_dnspython_reads(section):
    made = message(section=section)
    made.use_edns(0, options=[dns.edns.EDEOption(6, "bogus")])
    made.set_rcode(dns.rcode.BADVERS)  # half of it is in EDNS
    wire = made.to_wire()
    same(read(wire), dns.message.from_wire(wire))
    assert [option.to_text() for option in read(wire).options] == ["EDE 6 (DNSSEC Bogus): bogus"]
    assert len(read(wire).answer or read(wire).authority) == len(TEXTS) - 2  # two A, two MX
    ttls = {rrset.rdtype: rrset.ttl for rrset in read(wire).answer + read(wire).authority}
    assert ttls[dns.rdatatype.A] == 200


@pytest.mark.parametrize("text", TEXTS)
def test_the_canonical_form_is_dnspythons(text):
    (rrset,) = message([text]).answer
    assert canonical_rdata(rrset[0]) == rrset[0].to_digestable()


def test_a_signature_over_names_in_mixed_letters_holds_either_way():
    from mxseal.adapters.dns.signatures import Budget, Verified, verify_rrset

    private = ed25519.Ed25519PrivateKey.generate()
    key = dns.dnssec.make_dnskey(private.public_key(), "ED25519", flags=257)
    zone = dns.name.from_text("leaf.test.")
    for text in TEXTS:
        (rrset,) = message([text]).answer
        if rrset.rdtype == dns.rdatatype.RRSIG:
            continue
        rrsig = dns.dnssec.sign(rrset, private, zone, key, inception=1000, expiration=3000)
        reply = dns.message.make_response(dns.message.make_query(rrset.name, rrset.rdtype))
        reply.answer.append(rrset)
        (got,) = read(reply.to_wire()).answer
        twice = dns.rrset.from_rdata(got.name, got.ttl, *got)
        for each in (got, twice):
            result = verify_rrset(each, [rrsig], zone, [key], now=2000, budget=Budget())
            assert isinstance(result, Verified), text


@given(st.data())
def test_broken_replies_are_refused_by_both_or_read_alike(data):
    octets = bytearray(message().to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(12, len(octets) - 1))] = data.draw(st.integers(0, 255))
    wire = bytes(
        octets[
            : data.draw(st.sampled_from([len(octets), len(octets), data.draw(st.integers(0, len(octets)))]))
        ]
    )
    try:
        ours = read(wire)
    except MALFORMED:
        ours = None
    try:
        theirs = dns.message.from_wire(wire, ignore_trailing=True, keyring=False)
    except MALFORMED:
        theirs = None
    if ours is not None and theirs is not None:
        same(ours, theirs)
    # Ours passes over the additional section and other classes, so that it may read what dnspython refuses.
    assert ours is not None or theirs is None


QUESTION = dns.name.from_text("a." * 120 + "te.").to_wire() + b"\0\1\0\1"
NS = b"\xc0\x0c\0\2\0\1\0\0\1\0"
AHEAD = struct.pack("!H", 0xC000 | 12 + len(QUESTION) + len(NS) + 4)
"""A pointer to the owner of the second record."""


def hostile(counts: tuple[int, ...], body: bytes) -> bytes:
    return struct.pack("!6H", 1, 0x8180, *counts) + QUESTION + body


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        bytes(11),
        hostile((1, 1, 0, 0), b""),
        hostile((1, 1, 0, 0), NS),
        hostile((1, 1, 0, 0), NS + b"\0\4\1a\xc0"),
        hostile((1, 1, 0, 0), NS + b"\0\5\1a\xc0\x0c\0"),  # an octet too many
        hostile((1, 1, 0, 0), NS + b"\0\3\1a\xc0\x0c"),  # one too few
        hostile((1, 1, 0, 0), NS + b"\0\2\xff\xff"),  # a pointer ahead
        hostile((1, 2, 0, 0), NS + b"\0\2" + AHEAD + b"\1a\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4"),
        hostile((1, 1, 0, 0), NS + b"\0\1\x41a"),  # a label type that there is not
        hostile((1, 1, 0, 0), NS + b"\0\x15" + b"\x11" + b"b" * 17 + b"\xc0\x0c"),  # 256 octets and more
        struct.pack("!6H", 1, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # a name that points to itself
        struct.pack("!6H", 1, 0x8180, 0, 1, 0, 0) + b"\0\0\x2e\0\1\0\0\0\0\0\2\0\1",  # a cut RRSIG
        struct.pack("!6H", 1, 0x8180, 0, 0, 0, 2) + b"\0\0\x29\4\xd0\0\0\0\0\0\0" * 2,  # EDNS twice
    ],
)
def test_hostile_octets_are_refused(wire):
    with pytest.raises(MALFORMED):
        read(wire)


@pytest.mark.parametrize(("count", "accepted"), [(1, True), (100, True), (127, False), (10_000, False)])
def test_a_chain_of_pointers_ends(count, accepted):
    """Each points to the one before it: legal one by one, but no name of an honest server."""
    start = 12 + len(QUESTION) + 11
    places = [12, *range(start, start + 2 * count, 2)]
    pointers = b"".join(struct.pack("!H", 0xC000 | place & 0x3FFF) for place in places[:-1])
    unknown = b"\0" + struct.pack("!HHIH", 65280, 1, 0, len(pointers)) + pointers
    last = struct.pack("!H", 0xC000 | places[-1] & 0x3FFF) + b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
    wire = hostile((1, 2, 0, 0), unknown + last)
    if accepted:
        assert read(wire).answer[1].name == dns.name.from_text("a." * 120 + "te.")
    else:
        with pytest.raises(dns.exception.FormError):
            read(wire)


def test_long_names_in_short_records_are_read_in_linear_time(monkeypatch):
    """Counted by the names that are made: dnspython's own reader makes 120 for each of these records."""
    made = []
    original = dns.name.Name.__init__

    def counting(self, labels):
        made.append(1)
        original(self, labels)

    monkeypatch.setattr(dns.name.Name, "__init__", counting)
    records = b"".join(NS + b"\0\4\1" + bytes([97 + i % 26]) + b"\xc0\x10" for i in range(MAX_RECORDS))
    reply = read(hostile((1, MAX_RECORDS, 0, 0), records))
    assert len(reply.answer) == 1
    assert len(made) < 4 * MAX_RECORDS
    assert len(reply.answer[0]) == 26  # the same octets again are the same record
