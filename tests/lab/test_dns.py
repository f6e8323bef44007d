"""The laboratory's DNS, as foreign validators see it: dnspython's signature check, and delv."""

import subprocess

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

WAIT = 10


def ask(lab, name, kind, *, tcp=False, server=None, dnssec=True):
    query = dns.message.make_query(name, kind, want_dnssec=dnssec)
    if server:
        query.flags &= ~dns.flags.RD
    address = server or lab.resolver[0]
    transport = dns.query.tcp if tcp else dns.query.udp
    return transport(query, address, port=lab.dns_port, timeout=WAIT)


def split(section):
    """RRsets with their signatures."""
    signatures = {
        (rrset.name, rrset.covers): rrset for rrset in section if rrset.rdtype == dns.rdatatype.RRSIG
    }
    return [
        (rrset, signatures.get((rrset.name, rrset.rdtype)))
        for rrset in section
        if rrset.rdtype != dns.rdatatype.RRSIG
    ]


def validate(rrset, signatures, keys, now):
    """Like `dns.dnssec.validate`, for the single signature there is, with the reason of a failure."""
    (signature,) = signatures
    dns.dnssec.validate_rrsig(rrset, signature, keys, now=now.timestamp())


def keys_of(lab, zone):
    """The DNSKEY RRset of a zone, proved down from the root's trust anchor."""
    ((dnskeys, signature),) = split(ask(lab, zone, "DNSKEY", tcp=True).answer)
    name = dns.name.from_text(zone)
    if name == dns.name.root:
        anchor = lab.trust_anchor.splitlines()[1].split("DNSKEY ")[1]
        assert [key.to_text() for key in dnskeys] == [anchor]
    else:
        parent = name.parent().to_text()
        ((ds, ds_signature),) = split(ask(lab, zone, "DS").answer)
        validate(ds, ds_signature, {name.parent(): keys_of(lab, parent)}, lab.now)
        assert any(dns.dnssec.make_ds(name, key, "SHA256") in ds for key in dnskeys)
    validate(dnskeys, signature, {name: dnskeys}, lab.now)
    return dnskeys


def prove(lab, zone, section):
    keys = {dns.name.from_text(zone): keys_of(lab, zone)}
    pairs = split(section)
    assert pairs
    for rrset, signature in pairs:
        assert signature is not None, f"{rrset.name} {rrset.rdtype} is not signed"
        validate(rrset, signature, keys, lab.now)
    return [rrset for rrset, _ in pairs]


@pytest.mark.parametrize(
    ("name", "kind", "zone"),
    [
        ("good-dane.test", "MX", "good-dane.test"),
        ("_25._tcp.mx1.good-dane.test", "TLSA", "good-dane.test"),
        ("_25._tcp.mx1.good-dane-alias.test", "TLSA", "good-dane-alias.test"),
        ("_25._tcp.mx1.good-nsec3.test", "TLSA", "good-nsec3.test"),
        ("good-rsa-zone.test", "MX", "good-rsa-zone.test"),
        ("_mta-sts.good-both.test", "TXT", "good-both.test"),
        ("ns1.hoster.test", "A", "hoster.test"),
        ("d0002.test", "MX", "d0002.test"),
        ("test", "NS", "test"),
    ],
)
def test_answers_are_proved_from_the_root(lab, name, kind, zone):
    answer = ask(lab, name, kind)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.RA
    prove(lab, zone, answer.answer)


@pytest.mark.parametrize(
    ("name", "kind", "zone"),
    [
        ("bogus.test", "MX", "bogus.test"),
        ("_25._tcp.mx1.tlsa-bogus.test", "TLSA", "tlsa-bogus.test"),
    ],
)
def test_tampered_records_fail_validation(lab, name, kind, zone):
    answer = ask(lab, name, kind)
    with pytest.raises(dns.dnssec.ValidationFailure, match="verify failure"):
        prove(lab, zone, answer.answer)


def test_expired_signatures_fail_validation(lab):
    with pytest.raises(dns.dnssec.ValidationFailure, match="expired"):
        keys_of(lab, "expired-dnssec.test")


def test_the_wrong_ds_fits_no_key(lab):
    with pytest.raises(AssertionError):
        keys_of(lab, "wrong-ds.test")


@pytest.mark.parametrize("name", ["good-sts.test", "plain.test"])
def test_an_unsigned_zone_is_proved_to_be_unsigned(lab, name):
    answer = ask(lab, name, "DS")
    assert not answer.answer
    proof = prove(lab, "test", answer.authority)
    (nsec,) = (rrset for rrset in proof if rrset.rdtype == dns.rdatatype.NSEC)
    assert nsec.name == dns.name.from_text(name)
    types = nsec[0].to_text().split()[1:]
    assert "NS" in types
    assert "DS" not in types
    assert "SOA" not in types


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nobody.good-dane.test", "A", dns.rcode.NXDOMAIN),
        ("zzz.mx1.good-dane.test", "A", dns.rcode.NXDOMAIN),
        ("good-dane.test", "AAAA", dns.rcode.NOERROR),
        ("_tcp.mx1.good-dane.test", "TLSA", dns.rcode.NOERROR),
    ],
)
def test_denials_have_nsec_records_that_match_or_cover(lab, name, kind, rcode):
    answer = ask(lab, name, kind)
    assert answer.rcode() == rcode
    proof = prove(lab, "good-dane.test", answer.authority)
    asked = dns.name.from_text(name)
    nsecs = [(rrset.name, rrset[0].next) for rrset in proof if rrset.rdtype == dns.rdatatype.NSEC]
    matching = [owner for owner, _ in nsecs if owner == asked]
    covering = [
        owner for owner, following in nsecs if owner < asked and (asked < following or following < owner)
    ]
    assert matching or covering


@pytest.mark.parametrize("name", ["nobody.good-nsec3.test", "a.b.good-nsec3.test"])
def test_denials_have_nsec3_records_that_match_and_cover(lab, name):
    answer = ask(lab, name, "A")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    proof = prove(lab, "good-nsec3.test", answer.authority)
    spans = [
        (rrset.name.labels[0].decode().upper(), rrset[0].next_name(None).labels[0].decode().upper())
        for rrset in proof
        if rrset.rdtype == dns.rdatatype.NSEC3
    ]

    def digest(text):
        return dns.dnssec.nsec3_hash(text, None, 0, 1)

    def covers(hashed):
        return any(
            start < hashed < end or (end <= start and not end <= hashed <= start) for start, end in spans
        )

    next_closer = ".".join(name.split(".")[-3:])
    assert digest("good-nsec3.test") in {start for start, _ in spans}
    assert covers(digest(next_closer))
    assert covers(digest("*.good-nsec3.test"))


def test_who_does_not_ask_for_dnssec_gets_none(lab):
    answer = ask(lab, "good-dane.test", "MX", dnssec=False)
    assert [rrset.rdtype for rrset in answer.answer] == [dns.rdatatype.MX]


def test_a_long_answer_is_truncated_over_udp_and_whole_over_tcp(lab):
    # RFC 6891 §6.2.3: a payload below 512 counts as 512.
    query = dns.message.make_query("nobody.good-nsec3.test", "A", want_dnssec=True, payload=512)
    address, port = lab.resolver
    short = dns.query.udp(query, address, port=port, timeout=WAIT)
    assert short.flags & dns.flags.TC
    assert not short.authority
    assert dns.query.tcp(query, address, port=port, timeout=WAIT).authority


def test_garbage_is_answered_with_formerr(lab):
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(WAIT)
        address, port = lab.resolver
        peer.sendto(b"\x12\x34" + b"\x01\x00" + b"\xff" * 20, (address, port))
        response = peer.recv(512)
    assert response[:2] == b"\x12\x34"
    assert response[3] & 15 == dns.rcode.FORMERR


def test_failing_questions_fail(lab):
    assert ask(lab, "mx1.aaaa-servfail.test", "AAAA").rcode() == dns.rcode.SERVFAIL
    assert ask(lab, "mx1.aaaa-servfail.test", "A").answer


def test_authoritative_servers_refer_refuse_and_differ(lab):
    (top,) = lab.addresses("ns.nic.test")
    referral = ask(lab, "mx1.good-dane.test", "A", server=top)
    assert not referral.answer
    assert {rrset.rdtype for rrset in referral.authority} >= {dns.rdatatype.NS, dns.rdatatype.DS}
    (hoster,) = lab.addresses("ns1.hoster.test")
    answer = ask(lab, "good-dane.test", "MX", server=hoster)
    assert answer.flags & dns.flags.AA
    assert not answer.flags & dns.flags.RA
    assert ask(lab, "lagging-secondary.test", "MX", server=hoster).rcode() == dns.rcode.REFUSED
    glue = ask(lab, "lagging-secondary.test", "MX", server=top).additional
    assert {rrset[0].address for rrset in glue} == {
        address for n in "12" for address in lab.addresses(f"ns{n}.lagging-secondary.test")
    }
    tlsa = [
        ask(lab, "_25._tcp.mx1.lagging-secondary.test", "TLSA", server=lab.addresses(server)[0]).answer[0]
        for server in ("ns1.lagging-secondary.test", "ns2.lagging-secondary.test")
    ]
    assert tlsa[0] != tlsa[1]


def test_forged_answers_have_no_signature(lab):
    query = dns.message.make_query("good-dane.test", "MX", want_dnssec=True)
    address, port = lab.forging_resolver
    answer = dns.query.udp(query, address, port=port, timeout=WAIT).answer
    assert [rrset.rdtype for rrset in answer] == [dns.rdatatype.MX]
    assert "attacker" in answer[0].to_text()


@pytest.fixture(scope="session")
def delv(require_tools):
    return require_tools("delv")["delv"]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("good-dane.test", "MX", "; fully validated"),
        ("nobody.good-dane.test", "A", "; negative response, fully validated"),
        ("_tcp.mx1.good-dane.test", "TLSA", "; negative response, fully validated"),
        ("nobody.good-nsec3.test", "A", "; negative response, fully validated"),
        ("_tcp.mx1.good-nsec3.test", "TLSA", "; negative response, fully validated"),
        ("good-rsa-zone.test", "MX", "; fully validated"),
        ("_25._tcp.mx1.good-wildcard.test", "TLSA", "; fully validated"),
        ("dnssec-expiring.test", "MX", "; fully validated"),
        ("_25._tcp.mx1.good-dane-alias.test", "TLSA", "; fully validated"),
        ("good-sts.test", "MX", "; unsigned answer"),
        ("good-sts.test", "AAAA", "; negative response, unsigned answer"),
        ("unsupported-algorithm.test", "MX", "; unsigned answer"),
        ("bogus.test", "MX", "RRSIG failed to verify"),
        ("expired-dnssec.test", "MX", "broken trust chain"),
        ("wrong-ds.test", "MX", "broken trust chain"),
        ("dnssec-stripped.test", "MX", "insecurity proof failed"),
        ("dns-forged.test", "MX", "insecurity proof failed"),
        ("_25._tcp.mx1.tlsa-bogus.test", "TLSA", "RRSIG failed to verify"),
    ],
)
def test_delv_agrees(  # noqa: PLR0917 - fixtures and the columns of the table
    lab, delv, tmp_path, name, kind, verdict
):
    flags, protocol, algorithm, key = lab.trust_anchor.splitlines()[1].split("DNSKEY ")[1].split(" ", 3)
    anchor = tmp_path / "anchor"
    anchor.write_text(
        f'trust-anchors {{ . static-key {flags} {protocol} {algorithm} "{key.replace(" ", "")}"; }};\n'
    )
    address, port = lab.resolver
    run = subprocess.run(
        [delv, f"@{address}", "-p", str(port), "-a", str(anchor), "+root=.", name, kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert verdict in run.stdout + run.stderr
