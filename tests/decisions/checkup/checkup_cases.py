"""Domains with just one thing wrong, and the findings that this must give: a table by name."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from checkup_scene import (
    CA,
    CERT1,
    CERT2,
    DOMAIN,
    IPV4,
    IPV6,
    MX1,
    MX2,
    NEXT,
    NOW,
    OTHER,
    POLICY,
    RSA1,
    SECOND,
    Scene,
    old_authority,
    tlsa,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from mxseal.lab.ca import Flaw
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.observations import (
    AuthoritativeAnswer,
    EndpointReached,
    FetchStage,
    HandshakeFailed,
    HandshakeTrouble,
    Outcome,
    PolicyFetchFailed,
    ProtocolViolation,
    RecordType,
    Security,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
    ZoneProof,
)

TLSA1, TLSA2 = "_25._tcp.mx1.example.com TLSA", "_25._tcp.mx2.example.com TLSA"
STS, RPT = "_mta-sts.example.com TXT", "_smtp._tls.example.com TXT"
EMPTY = f"3 1 1 {sha256(b'').hexdigest()}"
REFUSED = Unreachable(Stage.CONNECT, "Connection refused", refused=True)
SILENT = Unreachable(Stage.CONNECT, "no connection within 10 seconds")

CASES = {}


def case(findings):
    """Register a spoiler; its docstring or name says what is wrong."""

    def register(spoil):
        CASES[spoil.__name__] = (spoil, frozenset(findings.split()))
        return spoil

    return register


def records(findings, name, **changes):
    """A case that only changes records; None deletes."""

    def spoil(scene):
        for key, value in changes.items():
            if value is None:
                del scene.records[key]
            else:
                scene.records[key] = value

    CASES[name] = (spoil, frozenset(findings.split()))


def failing(findings, name, question):
    CASES[name] = (lambda scene: scene.failing.append(question), frozenset(findings.split()))


def policy(findings, name, text):
    def spoil(scene):
        scene.policy = text

    CASES[name] = (spoil, frozenset(findings.split()))


def no_policy(findings, name, stage, detail, *response):
    def spoil(scene):
        scene.policy = PolicyFetchFailed(DOMAIN, "https://…", stage, detail, *response)

    CASES[name] = (spoil, frozenset(findings.split()))


def everywhere(findings, name, outcome, *, bare=False):
    """All MX hosts behave so; `bare`: and the domain has no policy of any kind."""

    def spoil(scene):
        scene.everywhere(outcome)
        if bare:
            scene.without_policies()

    CASES[name] = (spoil, frozenset(findings.split()))


@case("")
def well_kept(scene):
    pass


# --- MX ---

failing("MX001", "mx_fails", "example.com MX")
records("MX003", "null_mx", **{"example.com MX": ["0 ."]})
records("MX005", "neither_mx_nor_address", **{"example.com MX": None})
records(
    "MX012",
    "null_mx_beside_others",
    **{"example.com MX": ["0 .", "10 mx1.example.com.", "20 mx2.example.com."]},
)
records(
    "MX007",
    "mx_is_an_address",
    **{"example.com MX": ["10 mx1.example.com.", "20 mx2.example.com.", "30 192.0.2.9"]},
)
records("MX007", "the_only_mx_is_an_address", **{"example.com MX": ["30 192.0.2.9"]})
records(
    "MX009",
    "no_host_has_an_address",
    **{
        "mx1.example.com A": None,
        "mx1.example.com AAAA": None,
        "mx2.example.com A": None,
    },
)
failing("MX010", "one_address_family_fails", "mx1.example.com AAAA")
records("MX011", "private_address", **{"mx1.example.com A": [IPV4, "10.0.0.1"]})


@case("MX002")
def implicit_mx(scene):
    own = CA.issue(DOMAIN)
    del scene.records["example.com MX"]
    scene.records["example.com A"] = [SECOND]
    scene.records["_25._tcp.example.com TLSA"] = [tlsa(own), tlsa(NEXT)]
    scene.policy = "version: STSv1\nmode: enforce\nmx: example.com\nmax_age: 1209600\n"
    scene.show(DOMAIN, SECOND, own)


@case("MX004")
def no_such_domain(scene):
    scene.records.clear()


@case("MX006")
def mx_is_an_alias(scene):
    scene.drop("mx2.example.com", "_25._tcp.mx2.example.com")
    scene.records["mx2.example.com CNAME"] = ["real.example.com."]
    scene.records["real.example.com A"] = [OTHER]
    scene.records["_25._tcp.real.example.com TLSA"] = [tlsa(CERT2), tlsa(NEXT)]


@case("MX008")
def one_host_without_address(scene):
    scene.records["example.com MX"].append("30 gone.example.com.")
    scene.policy = POLICY.replace("mx: mx2", "mx: gone.example.com\nmx: mx2")


@case("MX010")
def no_address_of_one_host_can_be_looked_up(scene):
    scene.failing += ["mx2.example.com A", "mx2.example.com AAAA"]


@case("MX013")
def more_hosts_than_are_examined(scene):
    scene.settings = replace(scene.settings, max_hosts=1)


# --- DNSSEC ---


@case("DNS001")
def unsigned(scene):
    scene.secure.clear()
    scene.without_tlsa()


@case("DNS002")
def bogus_tlsa(scene):
    scene.bogus.append("_25._tcp.mx1.example.com")


@case("DNS002")
def bogus_everything(scene):
    scene.bogus.append("example.com")


@case("DNS002")
def bogus_policy_host(scene):
    scene.bogus.append("mta-sts.example.com")
    scene.policy = PolicyFetchFailed(DOMAIN, "https://…", FetchStage.DNS, "bogus")


@case("DNS003")
def unsupported_algorithm(scene):
    scene.without_tlsa()
    proof = ZoneProof("example.com", Security.INSECURE, "only DS records that nobody can follow", "ECCGOST")
    scene.patch_mx(security=Security.INSECURE, zones=(proof,))


@case("DNS004 DANE002")
def provider_is_unsigned(scene):
    host = HostName("mx.provider.net")
    scene.records["example.com MX"] = ["10 mx1.example.com.", f"20 {host}."]
    scene.records[f"{host} A"] = [SECOND]
    scene.show(host, SECOND, CA.issue(host))
    scene.policy = POLICY.replace(MX2, host)


@case("DNS005")
def signatures_end_today(scene):
    scene.patch_mx(signatures_expire=NOW + timedelta(hours=2))


@case("DNS006")
def signed_with_sha1(scene):
    scene.patch_mx(zones=(ZoneProof("example.com", Security.SECURE, "DS → DNSKEY", "RSASHA1"),))


def server(name, outcome, *texts, detail=""):
    return AuthoritativeAnswer(
        "example.com",
        HostName(name),
        Address("11.0.0.53"),
        "example.com",
        RecordType.MX,
        outcome,
        texts,
        detail=detail,
    )


@case("DNS007")
def servers_differ(scene):
    same = [server(f"ns{n}.example.com", Outcome.FOUND, "10 mx1.example.com.") for n in (1, 2)]
    scene.patch(authoritative=(*same, server("ns3.example.com", Outcome.FOUND, "10 old.example.com.")))


@case("DNS008")
def one_server_is_silent(scene):
    good = server("ns1.example.com", Outcome.FOUND, "10 mx1.example.com.")
    refused = server("ns3.example.com", Outcome.FAILED, detail="not asked: the address is not public")
    scene.patch(authoritative=(good, server("ns2.example.com", Outcome.FAILED, detail="time-out"), refused))


# --- DANE ---

failing("DANE003", "tlsa_lookup_fails", "_25._tcp.mx1.example.com TLSA")
records("DANE001", "dane_is_possible", **{TLSA1: None, TLSA2: None})
records("DANE002", "partial_coverage", **{TLSA2: None})
records("DANE005", "one_record_is_unusable", **{TLSA1: [tlsa(CERT1), tlsa(NEXT), tlsa(CERT1, 1)]})
records("DANE006", "all_records_are_unusable", **{TLSA1: [tlsa(CERT1, 1), "3 1 1 abcd"]})
records("DANE007", "no_next_key", **{TLSA1: [tlsa(CERT1)]})
records("DANE007", "no_next_key_with_two_records_for_one", **{TLSA1: [tlsa(CERT1), tlsa(CERT1, 3, 0)]})
records("", "a_trust_anchor_needs_no_next_key", **{TLSA1: [tlsa(CA.intermediate, 2, 0)]})
records("", "key_and_trust_anchor", **{TLSA1: [tlsa(CERT1), tlsa(CA.intermediate, 2, 1)]})
records("DANE008", "mismatch", **{TLSA1: [tlsa(NEXT)]})
records("DANE008", "a_stale_stronger_digest", **{TLSA1: [tlsa(CERT1), tlsa(NEXT, 3, 1, 2)]})
records("DANE008 DANE014", "digest_of_nothing", **{TLSA1: [EMPTY]})
records("DANE014", "digest_of_nothing_beside_good_ones", **{TLSA1: [tlsa(CERT1), tlsa(NEXT), EMPTY]})
records(
    "DANE008 DANE014",
    "certificate_digest_as_key_digest",
    **{TLSA1: [tlsa(CERT1, 3, 0).replace("3 0 1", "3 1 1")]},
)
records("DANE015", "root_is_not_sent", **{TLSA1: [tlsa(CA.root, 2, 0)]})
records("DANE015", "root_is_not_sent_beside_good_ones", **{TLSA1: [tlsa(CERT1), tlsa(CA.root, 2, 0)]})
records("DANE016", "sha512_only", **{TLSA1: [tlsa(CERT1, 3, 1, 2), tlsa(NEXT, 3, 1, 2)]})
records("DANE017", "whole_certificate_pinned", **{TLSA1: [tlsa(CERT1, 3, 0)]})


@case("DANE004 DNS001")
def tlsa_without_dnssec(scene):
    scene.secure.clear()
    scene.drop("_25._tcp.mx2.example.com")


@case("DANE009")
def another_certificate_at_ipv6(scene):
    scene.show(MX1, IPV6, CA.issue(MX1))


@case("DANE010")
def rsa_certificate_not_covered(scene):
    scene.show(MX1, IPV4, CERT1, rsa=RSA1)
    scene.show(MX1, IPV6, CERT1, rsa=RSA1)


@case("")
def both_kinds_covered(scene):
    scene.show(MX1, IPV4, CERT1, rsa=RSA1)
    scene.records[TLSA1].append(tlsa(RSA1))


def pinned_intermediate(scene, flaw):
    spoilt = CA.issue(MX1, flaw=flaw)
    scene.records[TLSA1] = [tlsa(CA.intermediate, 2, 1)]
    scene.show(MX1, IPV4, spoilt)
    scene.show(MX1, IPV6, spoilt)


@case("DANE011 STS017")
def trust_anchor_and_wrong_name(scene):
    pinned_intermediate(scene, Flaw.WRONG_NAME)


@case("DANE012 STS017")
def trust_anchor_and_expired(scene):
    pinned_intermediate(scene, Flaw.EXPIRED)


@case("DANE012 STS017")
def trust_anchor_and_not_yet_valid(scene):
    pinned_intermediate(scene, Flaw.NOT_YET_VALID)


@case("DANE013")
def tlsa_at_the_mail_domain(scene):
    scene.records["_25._tcp.example.com TLSA"] = scene.records.pop(TLSA1)
    del scene.records[TLSA2]


@case("DANE018 STS001 TLS010")
def expired_trust_anchor(scene):
    authority = old_authority()
    certificate = authority.issue(MX1)
    scene.drop("_mta-sts.example.com")
    scene.records[TLSA1] = [tlsa(authority.intermediate, 2, 0)]
    scene.show(MX1, IPV4, certificate)
    scene.show(MX1, IPV6, certificate)


@case("DANE019 DNS001")
def hosts_signed_and_domain_not(scene):
    scene.secure[:] = ["mx1.example.com", "mx2.example.com", "_tcp.mx1.example.com", "_tcp.mx2.example.com"]


# --- MTA-STS ---

records("STS001", "no_sts_record", **{STS: None})
records("STS001", "unrelated_text_only", **{STS: ["google-site-verification=x"]})
failing("STS002", "sts_lookup_fails", "_mta-sts.example.com TXT")
records("STS003", "sts_record_syntax", **{STS: ["v=STSv1; id=2026-11-01;"]})
records("STS003", "sts_record_in_wrong_case", **{STS: ["V=stsv1; id=20261101"]})
records("STS004", "two_sts_records", **{STS: ["v=STSv1; id=1;", "v=STSv1; id=2;"]})
# RFC 8461 §3.1 discards the second one, which is of another version: the first is what has to be mended.
records("STS003", "a_bad_sts_record_and_a_foreign_one", **{STS: ["v=STSv1; id=", "v=STSv12; id=2;"]})
no_policy("STS005", "policy_host_unknown", FetchStage.DNS, "no address")
no_policy("STS006", "policy_host_down", FetchStage.CONNECT, "refused")
no_policy("STS006", "policy_host_silent", FetchStage.TIMEOUT, "time-out")
no_policy("STS007", "policy_host_tls", FetchStage.TLS, "handshake failure")
no_policy("STS008", "policy_host_certificate", FetchStage.CERTIFICATE, "expired")
no_policy("STS009", "policy_redirect", FetchStage.HTTP, "a redirect", 301)
no_policy("STS010", "policy_404", FetchStage.HTTP, "status 404", 404)
no_policy("STS011", "policy_as_html", FetchStage.HTTP, "text/html", 200, "text/html")
no_policy("STS012", "policy_too_big", FetchStage.HTTP, "more than 65536 octets", 200)
policy("STS013", "mode_none", POLICY.replace("enforce", "none"))
policy("STS014", "policy_syntax", POLICY.replace("max_age: 1209600\n", ""))
policy("STS015", "host_not_in_policy", POLICY.replace("mx: mx2.example.com\n", ""))
policy(
    "STS016 STS019",
    "host_not_in_policy_testing",
    POLICY.replace("mx: mx2.example.com\n", "").replace("enforce", "testing"),
)
policy("STS019", "testing", POLICY.replace("enforce", "testing"))
policy("STS021", "one_day", POLICY.replace("1209600", "86400"))
policy("STS022", "three_years", POLICY.replace("1209600", "99999999"))
policy("STS024", "stale_pattern", POLICY + "mx: old.example.com\n")
policy("STS026", "unknown_line", POLICY + "max_aeg: 5\n")
policy("", "wildcard", "version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmax_age: 1209600\r\n")


def self_signed(scene):
    certificate = CA.issue(MX1, flaw=Flaw.SELF_SIGNED)
    scene.show(MX1, IPV4, certificate)
    scene.show(MX1, IPV6, certificate)
    scene.records[TLSA1] = [tlsa(certificate), tlsa(NEXT)]


@case("STS017")
def certificate_not_public(scene):
    self_signed(scene)


@case("STS018 STS019")
def certificate_not_public_testing(scene):
    self_signed(scene)
    scene.policy = POLICY.replace("enforce", "testing")


@case("STS020")
def in_testing_since_january(scene):
    scene.policy = POLICY.replace("enforce", "testing")
    scene.records[STS] = ["v=STSv1; id=20260101T000000;"]


@case("STS020")
def in_testing_since_an_epoch(scene):
    scene.policy = POLICY.replace("enforce", "testing")
    scene.records[STS] = ["v=STSv1; id=1767225600;"]


@case("STS020")
def in_testing_since_the_previous_check(scene):
    before = Scene()
    before.policy = scene.policy = POLICY.replace("enforce", "testing")
    before.patch(at=NOW - timedelta(days=61))
    scene.previous = before.evidence()


@case("STS023")
def changed_without_new_id(scene):
    before = Scene()
    before.policy = POLICY.replace("1209600", "2419200")
    scene.previous = before.evidence()


@case("")
def changed_with_new_id(scene):
    before = Scene()
    before.policy = POLICY.replace("1209600", "2419200")
    before.records[STS] = ["v=STSv1; id=20261001;"]
    scene.previous = before.evidence()


@case("STS025")
def policy_certificate_ends(scene):
    scene.policy_certificate = CA.issue("mta-sts.example.com", days_left=5)


# --- TLSRPT ---

records("RPT001", "no_tlsrpt", **{RPT: None})
records("RPT002", "tlsrpt_syntax", **{RPT: ["v=TLSRPTv1; rua=tls@example.net"]})
records("RPT002", "a_bad_tlsrpt_and_a_foreign_one", **{RPT: ["v=TLSRPTv1; rua=x", "v=TLSRPTv12; rua=y"]})
records("RPT003", "two_tlsrpt", **{RPT: ["v=TLSRPTv1; rua=mailto:a@b.example"] * 2})
failing("RPT006", "tlsrpt_fails", "_smtp._tls.example.com TXT")


@case("RPT004")
def reports_cannot_be_sent(scene):
    scene.endpoints = [EndpointReached("mailto:tls@example.net", False, "no MX")]


@case("")
def report_endpoint_not_tried(scene):
    scene.endpoints = [EndpointReached("mailto:tls@example.net", None, "private")]


@case("RPT005 STS019")
def in_testing_without_reports(scene):
    del scene.records[RPT]
    scene.policy = POLICY.replace("enforce", "testing")


# --- TLS ---

everywhere("TLS002", "starttls_stripped", StarttlsNotOffered())
everywhere("TLS002", "starttls_refused", StarttlsRefused(454, "4.7.0 not available"))
everywhere("DANE001 STS001 TLS003", "no_tls_and_no_policy", StarttlsNotOffered(), bare=True)
everywhere("TLS005", "all_refuse", REFUSED)
everywhere("TLS005", "all_greet_badly", Unreachable(Stage.GREETING, "closed"))
everywhere("TLS006", "all_silent", SILENT)
everywhere("TLS007", "handshake_fails", HandshakeFailed("alert"))
everywhere(
    "DANE001 STS001 TLS001 TLS008", "handshake_fails_without_policy", HandshakeFailed("alert"), bare=True
)
everywhere("TLS009", "octets_behind_220", ProtocolViolation(Stage.STARTTLS, "octets behind the 220"))
everywhere("TLS012", "no_tls_1_2", HandshakeFailed("…", HandshakeTrouble.VERSION))


@case("DANE001 STS001 TLS001")
def nothing_at_all(scene):
    scene.without_policies()


@case("DANE001 STS013 TLS001")
def withdrawn(scene):
    scene.without_tlsa()
    scene.policy = POLICY.replace("enforce", "none")


@case("TLS004")
def one_address_is_down(scene):
    scene.hosts.add(MX1, IPV6, REFUSED)


@case("TLS002")
def one_address_without_starttls(scene):
    scene.hosts.add(MX1, IPV6, StarttlsNotOffered())


@case("DANE001 STS001 TLS001 TLS010")
def self_signed_and_no_policy(scene):
    self_signed(scene)
    scene.without_policies()


@case("TLS011")
def certificate_ends(scene):
    certificate = CA.issue(MX1, days_left=5)
    scene.show(MX1, IPV4, certificate)
    scene.show(MX1, IPV6, certificate)
    scene.records[TLSA1] = [tlsa(certificate), tlsa(NEXT)]


@case("STS001")
def certificate_ends_and_nobody_cares(scene):
    certificate_ends(scene)
    scene.drop("_mta-sts.example.com")


@case("TLS012")
def tls_1_1(scene):
    scene.show(MX2, OTHER, CERT2, version="TLSv1.1")


@case("TLS013")
def mute_inside_tls(scene):
    scene.show(MX2, OTHER, CERT2, ehlo_again=False)


@case("STS017 TLS014")
def weak_key(scene):
    certificate = CA.issue(MX2, key=rsa.generate_private_key(65537, 1024))
    scene.show(MX2, OTHER, certificate)
    scene.records[TLSA2] = [tlsa(certificate), tlsa(NEXT)]
