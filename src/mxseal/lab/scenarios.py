"""The laboratory's domains: one table, each row a documented scenario.

A row says what the domain is like (`Domain`), tells it in one sentence, says
what becomes of mail that a strict sender has for it, and lists the finding ids
that ``mxseal check`` gives, no more and no fewer.  Tests, the demo and the
documentation (docs/lab.md) all read this table.

What is left out of a `Domain` is well kept: the defaults are a zone signed with
ECDSA, one MX host with a valid certificate, and a TLSRPT record.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from mxseal.lab.attacks import Attack
from mxseal.lab.ca import Flaw, KeyType
from mxseal.lab.mx_hosts import Behaviour
from mxseal.lab.policy_hosts import Manner
from mxseal.lab.zones import Signing

TWO_WEEKS: Final = 14 * 86400


class Fate(StrEnum):
    """What becomes of a mail to the domain at a sender that does DANE and MTA-STS by the letter."""

    SEALED = "sealed"
    """Delivered over TLS to an authenticated host."""
    OPEN = "open"
    """Delivered, over whatever TLS there is or none, to whoever answers."""
    WAITS = "waits"
    """Kept in the queue: tried again later, returned after some days."""
    RETURNED = "returned"
    """Returned to its author at once."""


class Of(StrEnum):
    """What a TLSA record is made of."""

    LEAF = "leaf"
    RSA_LEAF = "rsa-leaf"
    NEXT_KEY = "next-key"
    OLD_KEY = "old-key"
    """A key that no server has any more."""
    ISSUER = "issuer"
    ROOT = "root"
    NOTHING = "nothing"
    """The digest of zero octets: what a script writes when its input was missing."""
    PEM = "pem"
    """The digest of the PEM text where that of the DER octets is meant."""


class Tlsa(msgspec.Struct, frozen=True):
    """How one TLSA record is made (RFC 6698 §2.1)."""

    usage: int = 3
    selector: int = 1
    matching_type: int = 1
    of: Of = Of.LEAF


class Mx(msgspec.Struct, frozen=True, kw_only=True):
    """One MX host within the domain."""

    name: str = "mx1"
    """Relative to the domain; ``@`` is the domain itself."""
    preference: int = 10
    flaw: Flaw = Flaw.NONE
    keys: tuple[KeyType, ...] = (KeyType.ECDSA,)
    tlsa: tuple[Tlsa, ...] = ()
    behaviour: Behaviour = Behaviour.STARTTLS
    days_left: int = 60
    sends_root: bool = False
    ipv6: bool = False
    second_address_down: bool = False
    """A second address at which nothing listens."""
    second_address_stale: bool = False
    """A second address, whose server still has the certificate before the last one."""
    has_address: bool = True


class Sts(msgspec.Struct, frozen=True, kw_only=True):
    """MTA-STS as the domain has it."""

    mode: str = "enforce"
    max_age: int = TWO_WEEKS
    mx: tuple[str, ...] = ()
    """Patterns; empty: the MX hosts' names, as it should be."""
    age_days: int = 30
    """How long ago the policy was published, which is what the id says."""
    records: tuple[str, ...] | None = None
    """TXT records in place of the right one; ``{id}`` is filled in."""
    text: str | None = None
    """A policy text in place of the right one."""
    manner: Manner = Manner.GOOD
    flaw: Flaw = Flaw.NONE
    """Of the policy host's certificate."""
    days_left: int = 60
    """Of the policy host's certificate."""
    has_address: bool = True


REPORTS: Final = ("v=TLSRPTv1; rua=mailto:tlsrpt@reports.test",)


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain of the laboratory is like."""

    signing: Signing = Signing.ECDSA
    hosts: tuple[Mx, ...] = (Mx(),)
    mx: tuple[str, ...] | None = None
    """MX records in place of those that name `hosts`; empty: none."""
    sts: Sts | None = None
    tlsrpt: tuple[str, ...] = REPORTS
    records: tuple[tuple[str, str, str], ...] = ()
    """More records: owner, type, text."""
    tampered: tuple[tuple[str, str, str], ...] = ()
    """RRsets that are served other than they were signed."""
    servfail: tuple[tuple[str, str], ...] = ()
    """Owner and type of questions that the resolver answers with SERVFAIL."""
    lagging: tuple[tuple[str, str, str], ...] = ()
    """RRsets as the second name server still has them."""
    silent_server: bool = False
    """The second name server does not answer."""
    exists: bool = True
    misplaced_tlsa: str = ""
    """Put the TLSA records of the first host here, in place of their right owner."""
    tlsa_alias: str = ""
    """Put the TLSA records of the first host here, and a CNAME at their right owner."""
    attack: Attack | None = None
    """What the attacker does to this domain from the start."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    story: str
    """One sentence: how things are there, and how they came to be so."""
    sender: str
    """What a strict sender does, and why."""
    fate: Fate
    findings: frozenset[str]
    domain: Domain
    options: tuple[str, ...] = ()
    """Further options of ``mxseal check`` that the findings need."""


def dane(*tlsa: Tlsa, **others: object) -> Mx:
    """An MX host with TLSA records; without any given: for its key and for the next one."""
    records = tlsa or (Tlsa(), Tlsa(of=Of.NEXT_KEY))
    return msgspec.structs.replace(Mx(tlsa=records), **others)


_UNSIGNED = Signing.NONE
_BOTH_KEYS = (KeyType.ECDSA, KeyType.RSA)
_SEALED, _OPEN, _WAITS, _RETURNED = Fate.SEALED, Fate.OPEN, Fate.WAITS, Fate.RETURNED


def _row(  # noqa: PLR0917 - the columns of the table, in their order
    name: str, story: str, sender: str, fate: Fate, findings: str, domain: Domain, *options: str
) -> Scenario:
    return Scenario(
        name=f"{name}.test",
        story=story,
        sender=sender,
        fate=fate,
        findings=frozenset(findings.split()),
        domain=domain,
        options=options,
    )


def _sts_only(sts: Sts | None = None, *hosts: Mx, attack: Attack | None = None) -> Domain:
    """An unsigned domain that relies on MTA-STS, as most do that have it."""
    return Domain(signing=_UNSIGNED, sts=sts or Sts(), hosts=hosts or (Mx(),), attack=attack)


_TABLE: Final = (
    # --- well kept ---
    _row(
        "good-dane",
        "Signed zone, TLSA records for the key in use and for the next one.",
        "delivers over TLS to the host that DANE-EE(3) authenticates",
        _SEALED,
        "STS001",
        Domain(hosts=(dane(),)),
    ),
    _row(
        "good-sts",
        "Unsigned zone, MTA-STS policy in mode enforce, valid certificate.",
        "delivers over TLS to a host of the policy with a valid certificate",
        _SEALED,
        "DNS001",
        _sts_only(),
    ),
    _row(
        "good-both",
        "DANE and MTA-STS, two MX hosts, RSA and ECDSA certificates, IPv4 and IPv6.",
        "delivers by DANE, which goes before MTA-STS (RFC 8461 §2)",
        _SEALED,
        "",
        Domain(
            sts=Sts(),
            hosts=(
                dane(
                    Tlsa(),
                    Tlsa(of=Of.RSA_LEAF),
                    Tlsa(of=Of.NEXT_KEY),
                    keys=_BOTH_KEYS,
                    ipv6=True,
                ),
                dane(name="mx2", preference=20),
            ),
        ),
    ),
    _row(
        "good-dane-ta",
        "A DANE-TA(2) record for the intermediate CA, which the server sends.",
        "delivers: the chain leads to the pinned CA, name and dates are right",
        _SEALED,
        "STS001",
        Domain(hosts=(dane(Tlsa(usage=2, of=Of.ISSUER)),)),
    ),
    _row(
        "good-dane-alias",
        "The TLSA name is a CNAME to one place where all hosts' records stand.",
        "follows the alias and delivers by DANE",
        _SEALED,
        "STS001",
        Domain(hosts=(dane(),), tlsa_alias="_dane"),
    ),
    _row(
        "good-nsec3",
        "Like good-dane, with hashed denial of existence (NSEC3).",
        "delivers by DANE",
        _SEALED,
        "STS001",
        Domain(signing=Signing.NSEC3, hosts=(dane(),)),
    ),
    _row(
        "good-rsa-zone",
        "Signed with RSASHA256, MTA-STS beside DANE.",
        "delivers by DANE",
        _SEALED,
        "",
        Domain(signing=Signing.RSA, hosts=(dane(),), sts=Sts()),
    ),
    _row(
        "dane-ee-expired",
        "The certificate has expired, and DANE-EE(3) pins its key.",
        "delivers: with DANE-EE(3) dates and names do not count (RFC 7672 §3.1.1)",
        _SEALED,
        "STS001 TLS010",
        Domain(hosts=(dane(flaw=Flaw.EXPIRED),)),
    ),
    _row(
        "plain",
        "A mail server with STARTTLS as the distribution made it; nobody thought of more.",
        "uses TLS as long as nobody takes the offer out",
        _OPEN,
        "DNS001 STS001 RPT001 TLS001 TLS010",
        Domain(signing=_UNSIGNED, hosts=(Mx(flaw=Flaw.SELF_SIGNED),), tlsrpt=()),
    ),
    # --- MX ---
    _row(
        "no-mx",
        "No MX record; the domain's own address takes the mail (implicit MX).",
        "delivers to the address of the domain, without protection",
        _OPEN,
        "DNS001 MX002 STS001 TLS001",
        Domain(signing=_UNSIGNED, hosts=(Mx(name="@"),), mx=()),
    ),
    _row(
        "null-mx",
        "The null MX says that the domain takes no mail.",
        "returns the mail at once (RFC 7505)",
        _RETURNED,
        "MX003",
        Domain(hosts=(), mx=("0 .",), tlsrpt=()),
    ),
    _row(
        "no-address-at-all",
        "Neither MX nor address: somebody forgot the records when moving the web site.",
        "returns the mail",
        _RETURNED,
        "MX005",
        Domain(hosts=(), mx=(), tlsrpt=()),
    ),
    _row(
        "mx-cname",
        "The MX record names an alias of the real host.",
        "follows the alias and delivers by DANE, as a kindness",
        _SEALED,
        "MX006 STS001 TLS010",
        Domain(
            hosts=(dane(),),
            mx=("10 mail",),
            records=(("mail", "CNAME", "mx1"),),
        ),
    ),
    _row(
        "mx-missing-address",
        "The second MX host was switched off and its address removed, its MX record was not.",
        "uses the first host",
        _SEALED,
        "MX008 STS001",
        Domain(hosts=(dane(), Mx(name="old", preference=20, has_address=False))),
    ),
    _row(
        "mx-is-address",
        "The MX record holds an IP address where a host name belongs.",
        "finds no host to connect to and keeps the mail",
        _WAITS,
        "MX007",
        Domain(hosts=(), mx=("10 192.0.2.25.",)),
    ),
    _row(
        "mx-down",
        "The only MX host accepts no connections.",
        "keeps the mail and tries again",
        _WAITS,
        "STS001 TLS005",
        Domain(hosts=(dane(behaviour=Behaviour.DOWN),)),
    ),
    _row(
        "mx-servfail",
        "The name server fails on the question for MX.",
        'keeps the mail: a failed lookup is not "no MX", and the domain\'s own address is not tried',
        _WAITS,
        "MX001",
        Domain(hosts=(dane(),), servfail=(("@", "MX"),)),
    ),
    _row(
        "mx-gone",
        "The only MX host was switched off for good and its address removed.",
        "returns the mail: there is no host, and DNSSEC proves it",
        _RETURNED,
        "MX009",
        Domain(hosts=(Mx(has_address=False),)),
    ),
    _row(
        "mx-null-beside",
        "A null MX was put beside the MX record instead of in its place.",
        "uses the host and overlooks the null MX",
        _SEALED,
        "MX012 STS001",
        Domain(hosts=(dane(),), mx=("0 .", "10 mx1")),
    ),
    _row(
        "mx-second-address-down",
        "The MX host has two addresses, and nothing listens at the second.",
        "delivers at the first address",
        _SEALED,
        "STS001 TLS004",
        Domain(hosts=(dane(second_address_down=True),)),
    ),
    _row(
        "no-such-domain",
        "The domain was given up and is no longer registered.",
        "returns the mail",
        _RETURNED,
        "MX004",
        Domain(exists=False),
    ),
    # --- DNSSEC ---
    _row(
        "bogus",
        "The MX record was changed and the zone not signed again.",
        "keeps the mail: a bogus answer is no answer (RFC 7672 §2.1.2)",
        _WAITS,
        "DNS002",
        Domain(hosts=(dane(),), tampered=(("@", "MX", "5 mx1"),)),
    ),
    _row(
        "expired-dnssec",
        "The signer stopped five weeks ago, and all signatures have expired.",
        "keeps the mail",
        _WAITS,
        "DNS002",
        Domain(signing=Signing.EXPIRED, hosts=(dane(),)),
    ),
    _row(
        "wrong-ds",
        "The key was changed and the registrar still has the old DS record.",
        "keeps the mail",
        _WAITS,
        "DNS002",
        Domain(signing=Signing.WRONG_DS, hosts=(dane(),)),
    ),
    _row(
        "dnssec-stripped",
        "The domain moved to a provider without DNSSEC and left its DS record behind.",
        "keeps the mail: a signed zone without signatures is bogus, not unsigned",
        _WAITS,
        "DNS002",
        Domain(signing=Signing.STRIPPED, hosts=(dane(),)),
    ),
    _row(
        "unsupported-algorithm",
        "Signed with an algorithm that validators no longer know.",
        "treats the zone as unsigned, and its TLSA records as absent",
        _OPEN,
        "DANE004 DNS003 STS001 TLS001",
        Domain(signing=Signing.UNSUPPORTED, hosts=(dane(),)),
    ),
    _row(
        "aaaa-servfail",
        "An unsigned domain whose name server fails on AAAA questions.",
        "takes the IPv4 address: nothing in an unsigned zone speaks against it",
        _SEALED,
        "DNS001 MX010",
        Domain(signing=_UNSIGNED, sts=Sts(), servfail=(("mx1", "AAAA"),)),
    ),
    _row(
        "dnssec-expiring",
        "The signer has stopped, and the signatures have some hours left.",
        "delivers by DANE, some hours more",
        _SEALED,
        "DNS005 STS001",
        Domain(signing=Signing.EXPIRING, hosts=(dane(),)),
    ),
    _row(
        "dnssec-sha1",
        "Signed with RSASHA1, as was usual fifteen years ago.",
        "delivers by DANE, where SHA-1 is still accepted",
        _SEALED,
        "DNS006 STS001",
        Domain(signing=Signing.SHA1, hosts=(dane(),)),
    ),
    # --- DANE ---
    _row(
        "tlsa-missing",
        "Everything is signed, and nobody has published TLSA records.",
        "uses TLS as long as nobody takes the offer out",
        _OPEN,
        "DANE001 STS001 TLS001",
        Domain(),
    ),
    _row(
        "good-wildcard",
        "The TLSA records stand at a wildcard below the MX host.",
        "follows the proof of expansion and delivers by DANE",
        _SEALED,
        "STS001",
        Domain(hosts=(dane(),), misplaced_tlsa="*._tcp.mx1"),
    ),
    _row(
        "dane-half",
        "An unsigned domain with its mail at a host that has TLSA records.",
        "authenticates the host; who forges the MX record leads past it",
        _SEALED,
        "DANE019 DNS001 STS001 TLS001",
        Domain(signing=_UNSIGNED, hosts=(), mx=("10 mx1.good-dane.test.",)),
    ),
    _row(
        "tlsa-servfail",
        "The zone is signed, and a firewall drops questions for TLSA.",
        'keeps the mail: a failed lookup is not "no TLSA records" (RFC 7672 §2.1.2)',
        _WAITS,
        "DANE003 STS001",
        Domain(hosts=(dane(),), servfail=(("_25._tcp.mx1", "TLSA"),)),
    ),
    _row(
        "tlsa-bogus",
        "Only the TLSA records fail validation: they were edited behind the signer's back.",
        "keeps the mail",
        _WAITS,
        "DNS002 STS001",
        Domain(
            hosts=(dane(),),
            tampered=(("_25._tcp.mx1", "TLSA", "3 1 1 " + "ab" * 32),),
        ),
    ),
    _row(
        "unsigned-tlsa",
        "TLSA records in a zone that is not signed.",
        "ignores them",
        _OPEN,
        "DANE004 DNS001 STS001 TLS001",
        Domain(signing=_UNSIGNED, hosts=(dane(),)),
    ),
    _row(
        "tlsa-mismatch",
        "The certificate was renewed with a new key, and the TLSA record stayed.",
        "keeps the mail: no record matches",
        _WAITS,
        "DANE008 STS001",
        Domain(hosts=(dane(Tlsa(of=Of.OLD_KEY)),)),
    ),
    _row(
        "tlsa-wrong-owner",
        "The TLSA record stands at the mail domain and not at the MX host.",
        "never sees it",
        _OPEN,
        "DANE013 STS001 TLS001",
        Domain(hosts=(dane(),), misplaced_tlsa="_25._tcp"),
    ),
    _row(
        "tlsa-empty-digest",
        "The script that made the TLSA record hashed nothing.",
        "keeps the mail: no record matches",
        _WAITS,
        "DANE008 DANE014 STS001",
        Domain(hosts=(dane(Tlsa(of=Of.NOTHING)),)),
    ),
    _row(
        "tlsa-pem-digest",
        "The TLSA record is the digest of the PEM file.",
        "keeps the mail: no record matches",
        _WAITS,
        "DANE008 DANE014 STS001",
        Domain(hosts=(dane(Tlsa(selector=0, of=Of.PEM)),)),
    ),
    _row(
        "tlsa-unusable",
        "Only a PKIX-EE(1) record, which mail does not use.",
        "demands TLS and authenticates nobody (RFC 7672 §2.2)",
        _OPEN,
        "DANE006 STS001 TLS001",
        Domain(hosts=(dane(Tlsa(usage=1)),)),
    ),
    _row(
        "tlsa-some-unusable",
        "A PKIX-EE(1) record stands beside good ones.",
        "overlooks it and delivers by DANE",
        _SEALED,
        "DANE005 STS001",
        Domain(hosts=(dane(Tlsa(), Tlsa(of=Of.NEXT_KEY), Tlsa(usage=1)),)),
    ),
    _row(
        "tlsa-sha512-only",
        "All TLSA records are SHA-512.",
        "delivers by DANE if it knows SHA-512, which it need not",
        _SEALED,
        "DANE016 STS001",
        Domain(hosts=(dane(Tlsa(matching_type=2), Tlsa(matching_type=2, of=Of.NEXT_KEY)),)),
    ),
    _row(
        "tlsa-stale-sha512",
        "A SHA-512 record of the old key was left beside the right SHA-256 record.",
        "keeps the mail: of several digests only the strongest counts (RFC 7671 §9)",
        _WAITS,
        "DANE008 STS001",
        Domain(hosts=(dane(Tlsa(), Tlsa(matching_type=2, of=Of.OLD_KEY)),)),
    ),
    _row(
        "tlsa-partial",
        "The backup MX host has no TLSA record.",
        "authenticates the first host and nobody at the second",
        _SEALED,
        "DANE002 STS001 TLS001",
        Domain(hosts=(dane(), Mx(name="mx2", preference=20))),
    ),
    _row(
        "tlsa-no-next-key",
        "One TLSA record, for the key in use only: the next renewal will break it.",
        "delivers by DANE, today",
        _SEALED,
        "DANE007 STS001",
        Domain(hosts=(dane(Tlsa()),)),
    ),
    _row(
        "tlsa-full-digest",
        "The TLSA record pins the whole certificate, which is renewed every 60 days.",
        "delivers by DANE, until the renewal",
        _SEALED,
        "DANE017 STS001",
        Domain(hosts=(dane(Tlsa(selector=0)),)),
    ),
    _row(
        "dane-ta-root-not-sent",
        "A DANE-TA(2) record for the root CA, which the server does not send.",
        "keeps the mail: a digest cannot be turned into a certificate (RFC 7671 §5.2.2)",
        _WAITS,
        "DANE015 STS001",
        Domain(hosts=(dane(Tlsa(usage=2, of=Of.ROOT)),)),
    ),
    _row(
        "dane-ta-wrong-name",
        "A DANE-TA(2) record matches, and the certificate is for another host.",
        "keeps the mail: with DANE-TA(2) the name counts (RFC 7672 §3.2.2)",
        _WAITS,
        "DANE011 STS001 TLS010",
        Domain(hosts=(dane(Tlsa(usage=2, of=Of.ISSUER), flaw=Flaw.WRONG_NAME),)),
    ),
    _row(
        "dane-ta-expired",
        "A DANE-TA(2) record matches, and the certificate has expired.",
        "keeps the mail: with DANE-TA(2) the dates count (RFC 7672 §3.1.2)",
        _WAITS,
        "DANE012 STS001 TLS010",
        Domain(hosts=(dane(Tlsa(usage=2, of=Of.ISSUER), flaw=Flaw.EXPIRED),)),
    ),
    _row(
        "tlsa-rsa-only",
        "The server has an RSA and an ECDSA certificate, the TLSA record fits the RSA one.",
        "keeps the mail when it is shown the ECDSA certificate, which most clients are",
        _WAITS,
        "DANE010 STS001",
        Domain(hosts=(dane(Tlsa(of=Of.RSA_LEAF), Tlsa(of=Of.NEXT_KEY), keys=_BOTH_KEYS),)),
    ),
    _row(
        "tlsa-stale-address",
        "Two addresses of one host, and the server behind the second has an old certificate.",
        "delivers at the first address, refuses the second",
        _SEALED,
        "DANE009 STS001",
        Domain(hosts=(dane(second_address_stale=True),)),
    ),
    # --- MTA-STS: record and policy host ---
    _row(
        "sts-record-syntax",
        "The id of the MTA-STS record has a hyphen.",
        "acts as if there were no MTA-STS",
        _OPEN,
        "DNS001 STS003 TLS001",
        _sts_only(Sts(records=("v=STSv1; id=2026-11-01;",))),
    ),
    _row(
        "sts-two-records",
        "An old MTA-STS record was left beside the new one.",
        "acts as if there were no MTA-STS (RFC 8461 §3.1)",
        _OPEN,
        "DNS001 STS004 TLS001",
        _sts_only(Sts(records=("v=STSv1; id=20240101;", "v=STSv1; id={id};"))),
    ),
    _row(
        "sts-no-policy-host",
        "A record announces a policy, and mta-sts.… does not exist.",
        "learns no policy; whoever has one keeps it",
        _OPEN,
        "DNS001 STS005 TLS001",
        _sts_only(Sts(has_address=False)),
    ),
    _row(
        "sts-record-servfail",
        "The name server fails on the question for the MTA-STS record.",
        "learns no policy; whoever has one keeps it",
        _OPEN,
        "DNS001 STS002 TLS001",
        Domain(signing=_UNSIGNED, sts=Sts(), servfail=(("_mta-sts", "TXT"),)),
    ),
    _row(
        "sts-unknown-host",
        "The web server knows no site of the policy host's name and ends the handshake.",
        "learns no policy",
        _OPEN,
        "DNS001 STS007 TLS001",
        _sts_only(Sts(manner=Manner.UNKNOWN)),
    ),
    _row(
        "sts-policy-host-down",
        "The web server with the policy is switched off.",
        "learns no policy; whoever has one keeps it until max_age is over",
        _OPEN,
        "DNS001 STS006 TLS001",
        _sts_only(Sts(manner=Manner.DOWN)),
    ),
    _row(
        "sts-policy-cert",
        "The policy host shows the web site's certificate, which does not name it.",
        "learns no policy",
        _OPEN,
        "DNS001 STS008 TLS001",
        _sts_only(Sts(flaw=Flaw.WRONG_NAME)),
    ),
    _row(
        "sts-policy-cert-soon",
        "The policy host's certificate has three days left.",
        "delivers by MTA-STS, and soon learns no policy any more",
        _SEALED,
        "DNS001 STS025",
        _sts_only(Sts(days_left=3)),
    ),
    _row(
        "sts-redirect",
        "The policy host redirects to www.",
        "learns no policy: redirects are not followed (RFC 8461 §3.3)",
        _OPEN,
        "DNS001 STS009 TLS001",
        _sts_only(Sts(manner=Manner.REDIRECT)),
    ),
    _row(
        "sts-404",
        "The policy host serves nothing at the well-known place.",
        "learns no policy",
        _OPEN,
        "DNS001 STS010 TLS001",
        _sts_only(Sts(manner=Manner.NOT_FOUND)),
    ),
    _row(
        "sts-html",
        "The policy comes as text/html.",
        "learns no policy",
        _OPEN,
        "DNS001 STS011 TLS001",
        _sts_only(Sts(manner=Manner.HTML)),
    ),
    _row(
        "sts-huge",
        "The policy host sends a megabyte.",
        "stops reading and learns no policy",
        _OPEN,
        "DNS001 STS012 TLS001",
        _sts_only(Sts(manner=Manner.HUGE)),
    ),
    # --- MTA-STS: policy ---
    _row(
        "sts-policy-syntax",
        "The policy has no max_age.",
        "learns no policy",
        _OPEN,
        "DNS001 STS014 TLS001",
        _sts_only(Sts(text="version: STSv1\r\nmode: enforce\r\nmx: mx1.sts-policy-syntax.test\r\n")),
    ),
    _row(
        "sts-mx-missing",
        "The mail moved to another host, and the policy names the old one.",
        "keeps the mail: the MX host is not in the policy (RFC 8461 §4.1)",
        _WAITS,
        "DNS001 STS015 STS024",
        _sts_only(Sts(mx=("mail.sts-mx-missing.test",))),
    ),
    _row(
        "sts-testing-mx-missing",
        "The policy names the old MX host, in mode testing.",
        "delivers, and reports the failure",
        _OPEN,
        "DNS001 STS016 STS019 STS024 TLS001",
        _sts_only(Sts(mode="testing", age_days=10, mx=("mail.sts-testing-mx-missing.test",))),
    ),
    _row(
        "sts-unknown-lines",
        "The policy has a line that the standard does not know.",
        "overlooks the line and delivers by MTA-STS",
        _SEALED,
        "DNS001 STS026",
        _sts_only(
            Sts(
                text="version: STSv1\r\nmode: enforce\r\nmx: mx1.sts-unknown-lines.test\r\n"
                "mx-backup: mx2.sts-unknown-lines.test\r\nmax_age: 1209600\r\n"
            )
        ),
    ),
    _row(
        "sts-long-max-age",
        "max_age is ten years.",
        "delivers by MTA-STS, and remembers the policy for one year",
        _SEALED,
        "DNS001 STS022",
        _sts_only(Sts(max_age=315360000)),
    ),
    _row(
        "sts-short-max-age",
        "max_age is one hour.",
        "delivers by MTA-STS, and forgets the policy soon",
        _SEALED,
        "DNS001 STS021",
        _sts_only(Sts(max_age=3600)),
    ),
    _row(
        "sts-testing",
        "Mode testing since ten days, with reports.",
        "delivers in any case, and reports failures",
        _OPEN,
        "DNS001 STS019 TLS001",
        _sts_only(Sts(mode="testing", age_days=10)),
    ),
    _row(
        "sts-testing-for-ever",
        "Mode testing for 200 days, a self-signed certificate, and nobody gets the reports.",
        "delivers in any case",
        _OPEN,
        "DNS001 RPT005 STS018 STS020 TLS001",
        Domain(
            signing=_UNSIGNED,
            sts=Sts(mode="testing", age_days=200),
            hosts=(Mx(flaw=Flaw.SELF_SIGNED),),
            tlsrpt=(),
        ),
    ),
    _row(
        "sts-none",
        "Mode none: the domain has withdrawn from MTA-STS.",
        "protects nothing",
        _OPEN,
        "DNS001 STS013 TLS001",
        _sts_only(Sts(mode="none")),
    ),
    # --- MTA-STS: certificates of MX hosts ---
    _row(
        "expired-cert",
        "The MX host's certificate expired a week ago, under mode enforce.",
        "keeps the mail",
        _WAITS,
        "DNS001 STS017",
        _sts_only(None, Mx(flaw=Flaw.EXPIRED)),
    ),
    _row(
        "self-signed-cert",
        "A self-signed certificate under mode enforce.",
        "keeps the mail",
        _WAITS,
        "DNS001 STS017",
        _sts_only(None, Mx(flaw=Flaw.SELF_SIGNED)),
    ),
    _row(
        "wrong-name-cert",
        "The certificate is for the host's former name.",
        "keeps the mail",
        _WAITS,
        "DNS001 STS017",
        _sts_only(None, Mx(flaw=Flaw.WRONG_NAME)),
    ),
    _row(
        "cn-only-cert",
        "The host's name is in the common name only.",
        "keeps the mail: only a DNS-ID counts (RFC 8461 §4.1)",
        _WAITS,
        "DNS001 STS017",
        _sts_only(None, Mx(flaw=Flaw.CN_ONLY)),
    ),
    _row(
        "missing-intermediate",
        "The server does not send the intermediate certificate.",
        "keeps the mail: no path leads to a root",
        _WAITS,
        "DNS001 STS017",
        _sts_only(None, Mx(flaw=Flaw.NO_INTERMEDIATE)),
    ),
    _row(
        "expires-soon",
        "The certificate has five days left, and no renewal has happened.",
        "delivers by MTA-STS, five more days",
        _SEALED,
        "DNS001 TLS011",
        _sts_only(None, Mx(days_left=5)),
    ),
    # --- STARTTLS ---
    _row(
        "starttls-stripped",
        "An attacker in the path takes STARTTLS out of the EHLO reply.",
        "keeps the mail: the policy demands TLS",
        _WAITS,
        "DNS001 TLS002",
        _sts_only(attack=Attack.STRIP_STARTTLS),
    ),
    _row(
        "starttls-refused",
        "STARTTLS is offered and answered with 454, because the key file cannot be read.",
        "keeps the mail",
        _WAITS,
        "DNS001 TLS002",
        _sts_only(None, Mx(behaviour=Behaviour.REFUSES)),
    ),
    _row(
        "starttls-closes",
        "The server closes the connection after its 220, under mode enforce.",
        "keeps the mail",
        _WAITS,
        "DNS001 TLS007",
        _sts_only(None, Mx(behaviour=Behaviour.CLOSES)),
    ),
    _row(
        "starttls-closes-open",
        "The server closes the connection after its 220, and no policy demands TLS.",
        "falls back to sending in clear",
        _OPEN,
        "DNS001 STS001 TLS001 TLS008",
        Domain(signing=_UNSIGNED, hosts=(Mx(behaviour=Behaviour.CLOSES),)),
    ),
    _row(
        "mute-after-tls",
        "The handshake succeeds, and then the server hangs up.",
        "keeps the mail",
        _WAITS,
        "STS001 TLS013",
        Domain(hosts=(dane(behaviour=Behaviour.MUTE),)),
    ),
    _row(
        "weak-key",
        "The server has an RSA key of 1024 bits, which its TLSA record pins.",
        "delivers by DANE, where such keys are still accepted",
        _SEALED,
        "STS001 TLS010 TLS014",
        Domain(hosts=(dane(keys=(KeyType.WEAK_RSA,)),)),
    ),
    _row(
        "starttls-injected",
        "Somebody puts clear text behind the 220 reply.",
        "breaks off and keeps the mail (RFC 3207 §4.2)",
        _WAITS,
        "DNS001 TLS009",
        _sts_only(attack=Attack.INJECT),
    ),
    _row(
        "no-tls",
        "The server knows no TLS at all.",
        "delivers in clear: nothing forbids it",
        _OPEN,
        "DNS001 STS001 TLS003",
        Domain(signing=_UNSIGNED, hosts=(Mx(behaviour=Behaviour.NO_STARTTLS),)),
    ),
    _row(
        "old-tls",
        "The server speaks nothing newer than TLS 1.1, under mode enforce.",
        "keeps the mail",
        _WAITS,
        "DNS001 TLS012",
        _sts_only(None, Mx(behaviour=Behaviour.OLD_TLS)),
    ),
    # --- TLSRPT ---
    _row(
        "tlsrpt-bad",
        "The TLSRPT record has a bare mail address where a URI belongs.",
        "delivers by DANE, and sends no report",
        _SEALED,
        "RPT002",
        Domain(hosts=(dane(),), sts=Sts(), tlsrpt=("v=TLSRPTv1; rua=tlsrpt@reports.test",)),
    ),
    _row(
        "tlsrpt-two-records",
        "Two TLSRPT records, one of the old provider.",
        "delivers by DANE, and sends no report",
        _SEALED,
        "RPT003",
        Domain(hosts=(dane(),), sts=Sts(), tlsrpt=(*REPORTS, "v=TLSRPTv1; rua=mailto:old@reports.test")),
    ),
    _row(
        "tlsrpt-unreachable",
        "Reports go to a domain that takes no mail.",
        "delivers by DANE; its reports get lost",
        _SEALED,
        "RPT004",
        Domain(hosts=(dane(),), sts=Sts(), tlsrpt=("v=TLSRPTv1; rua=mailto:tlsrpt@null-mx.test",)),
    ),
    _row(
        "tlsrpt-servfail",
        "The name server fails on the question for the TLSRPT record.",
        "delivers by DANE, and sends no report",
        _SEALED,
        "RPT006",
        Domain(hosts=(dane(),), sts=Sts(), servfail=(("_smtp._tls", "TXT"),)),
    ),
    _row(
        "tlsrpt-missing",
        "Well kept, without a TLSRPT record.",
        "delivers by DANE, and has nobody to report to",
        _SEALED,
        "RPT001",
        Domain(hosts=(dane(),), sts=Sts(), tlsrpt=()),
    ),
    # --- servers and attackers ---
    _row(
        "lagging-secondary",
        "The second name server still has the TLSA record of the last key.",
        "delivers or waits, by chance of the name server asked",
        _SEALED,
        "DNS007",
        Domain(
            hosts=(dane(),),
            sts=Sts(),
            lagging=(("_25._tcp.mx1", "TLSA", "3 1 1 " + "cd" * 32),),
        ),
        "--all-servers",
    ),
    _row(
        "silent-secondary",
        "The second name server does not answer.",
        "delivers by DANE, sometimes after a delay",
        _SEALED,
        "DNS008",
        Domain(hosts=(dane(),), sts=Sts(), silent_server=True),
        "--all-servers",
    ),
    _row(
        "dns-forged",
        "An attacker answers DNS questions for this signed domain with his own MX host.",
        "keeps the mail: the forged answers have no valid signature",
        _WAITS,
        "DNS002",
        Domain(hosts=(dane(),), attack=Attack.FORGE_DNS),
    ),
    _row(
        "hijacked",
        "An attacker answers in the place of the MX host, with a certificate of his own.",
        "keeps the mail: the key is not the one that DANE names",
        _WAITS,
        "DANE008 STS017",
        Domain(hosts=(dane(),), sts=Sts(), attack=Attack.OTHER_CERTIFICATE),
    ),
    _row(
        "hosted",
        "Mail and policy at a provider without DNSSEC; policy host and record are aliases.",
        "delivers by MTA-STS to the provider's host",
        _SEALED,
        "DNS004",
        Domain(
            hosts=(),
            mx=("10 mx.provider.test.",),
            sts=Sts(mx=("mx.provider.test",), has_address=False),
            records=(("mta-sts", "CNAME", "policy.provider.test."),),
        ),
    ),
)

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({row.name: row for row in _TABLE})
"""Domain → scenario, in the table's order."""


def fleet_domain(number: int) -> str:
    """The name of one of the well-kept domains of a generated fleet."""
    return f"d{number:04}.test"
