"""All findings of ``mxseal check``, in one table.

An id is stable: it means the same in every release, in the terminal, in JSON
and in `docs/findings/`, whose pages `scripts/build_findings.py` writes from
this table.  An id that is given up is never given to another finding.

Two principles keep the list short for the reader:

* one cause, one finding: what only follows from another finding is not said
  again (a bogus zone is `DNS002`, not also a failed MX, TLSA and TXT lookup);
* an item has severity *open* only if nothing else seals the domain: that is
  why a missing MTA-STS record is a note, and `TLS001` draws the sum.

`cure` is a template; the names in braces are filled with the domain's own
values.  What can be pasted (a record, a command, a line of a policy) has a
line to itself, so that nothing else gets copied with it: see `is_to_paste`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from mxseal.vocabulary.findings import Severity

BROKEN: Final = Severity.BROKEN
OPEN: Final = Severity.OPEN
WARNING: Final = Severity.WARNING
NOTE: Final = Severity.NOTE


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be known about one kind of finding, whatever domain it is found at."""

    id: str
    severity: Severity
    title: str
    """Without final full stop."""
    explanation: str
    """What it means and who is affected."""
    cure: str
    """A template, `str.format` with named fields."""
    section: str
    """For instance ``RFC 8461 §3.1``."""


_NEW_ID: Final = '\nand then, so that senders notice:\n{record_name}. IN TXT "v=STSv1; id={id};"'

_OWN_KEY: Final = (
    "but only if that is the host's own key, and nobody's in between; on the host this prints the same:\n"
    "mxseal dane tlsa cert.pem --mtype {mtype} --name {host}"
)
"""What was seen from here came without authentication, or else there would be no finding."""

_NEXT_KEY: Final = (
    "make the next key now, and publish what the second line prints:\n"
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out next.key\n"
    "mxseal dane tlsa next.key --name {host}"
)

_TO_PASTE: Final = re.compile(
    r"\S+\. IN [A-Z]|(?:mxseal|openssl|postconf) |(?:version|mode|mx|max_age|Content-Type): "
)


def is_to_paste(line: str) -> bool:
    """Whether a line of a cure is a record, a command or a line of a policy, and not words around them."""
    return _TO_PASTE.match(line) is not None


def _table(*rows: tuple[str, Severity, str, str, str, str]) -> Mapping[str, Entry]:
    entries = [
        Entry(
            id=id_,
            severity=severity,
            title=title,
            section=section,
            explanation=" ".join(explanation.split()),
            cure=cure,
        )
        for id_, severity, title, section, explanation, cure in rows
    ]
    return MappingProxyType({entry.id: entry for entry in entries})


CATALOGUE: Final[Mapping[str, Entry]] = _table(
    # --- MX: where mail goes -----------------------------------------------------------------
    (
        "MX001",
        BROKEN,
        "The MX lookup fails",
        "RFC 5321 §5.1",
        """No sender can find out where mail for the domain goes: the name servers time out, answer SERVFAIL or
        refuse.  Mail waits at the senders and comes back after some days.  A lookup that fails is never read as
        "there is no MX": nobody may fall back to the address of the domain.""",
        "see why with:\nmxseal dns lookup {domain} MX",
    ),
    (
        "MX002",
        NOTE,
        "The MX is implicit: there is no MX record, mail goes to the domain's own address",
        "RFC 5321 §5.1",
        """Senders then take the domain itself as the MX host.  It works, but nothing says that it is meant, and an
        MTA-STS policy must name the domain itself.""",
        "{domain}. IN MX 10 {domain}.",
    ),
    (
        "MX003",
        NOTE,
        "The null MX says that the domain accepts no mail",
        "RFC 7505 §3",
        """A single MX record "0 ." makes senders give up at once.  Nothing else is examined.""",
        "nothing to do, if that is meant",
    ),
    (
        "MX004",
        BROKEN,
        "The domain does not exist",
        "RFC 5321 §5.1",
        """The name servers of the parent zone say that there is no such name (NXDOMAIN).  Senders return mail for
        it at once.""",
        "look for a typing error in {domain}, or register the domain again",
    ),
    (
        "MX005",
        BROKEN,
        "There is neither an MX record nor an address: no mail can be delivered",
        "RFC 5321 §5.1",
        """The name exists, but senders find no host to connect to and return the mail.  If no mail is wanted, the
        null MX says so clearly.""",
        "{domain}. IN MX 10 mail.{domain}.\nor, for no mail at all:\n{domain}. IN MX 0 .",
    ),
    (
        "MX006",
        WARNING,
        "The name in an MX record is an alias (CNAME)",
        "RFC 5321 §5.1",
        """An exchange must be a name with address records of its own (also RFC 2181 §10.3).  Most senders follow the
        alias, some return the mail.  For DANE it moves the place where TLSA records are looked for.""",
        "{domain}. IN MX {preference} {target}.\nin the place of:\n{domain}. IN MX {preference} {host}.",
    ),
    (
        "MX007",
        BROKEN,
        "The exchange of an MX record is an IP address or no host name at all",
        "RFC 5321 §5.1",
        """An MX record names a host; an address in its place is read as a name in the top-level domain "1" and is
        never found.  Senders skip this record, and return the mail if there is no other.""",
        "{domain}. IN MX {preference} mail.{domain}.\nin the place of:\n{record}\nwith the host's address at mail.{domain}",
    ),
    (
        "MX008",
        WARNING,
        "An MX host has no address",
        "RFC 5321 §5.1",
        """Senders skip this host and use the others.  Until somebody registers or takes over the dead name; who does
        so receives mail.""",
        "give it an address again, or remove:\n{domain}. IN MX {preference} {host}.",
    ),
    (
        "MX009",
        BROKEN,
        "No MX host has an address",
        "RFC 5321 §5.1",
        """There are MX records, but none leads to an address, so no mail can be delivered at all.""",
        "{host}. IN A …",
    ),
    (
        "MX010",
        WARNING,
        "An address lookup for an MX host fails",
        "RFC 7672 §2.1.2",
        """The A or AAAA lookup fails (time-out, SERVFAIL).  One good answer of the two is enough for senders; with none
        they skip the host, and mail waits if it is the only one.""",
        "see why with:\nmxseal dns lookup {host} {record_type}",
    ),
    (
        "MX011",
        WARNING,
        "An MX host has a private address",
        "RFC 1918 §3",
        """An address of a private, loopback or link-local network means something else at each sender: mail loops
        there, is refused, or reaches a stranger in the sender's own network.""",
        "remove {address} from {host}",
    ),
    (
        "MX012",
        WARNING,
        "A null MX stands beside other MX records",
        "RFC 7505 §3",
        """A domain that accepts mail must not publish the null MX.  Senders differ in what they make of it.""",
        "remove:\n{domain}. IN MX 0 .",
    ),
    (
        "MX013",
        NOTE,
        "Not all MX hosts and addresses were examined",
        "RFC 5321 §5.1",
        """The domain has more MX hosts, or a host has more addresses, than `check` connects to.  What is said holds for
        those that were examined.""",
        "nothing to do",
    ),
    # --- DNS: what is proved -----------------------------------------------------------------
    (
        "DNS001",
        NOTE,
        "The mail domain is not signed with DNSSEC",
        "RFC 7672 §2.2.1",
        """Without DNSSEC an attacker in the path can forge the MX records, and DANE cannot protect the domain.
        MTA-STS works without DNSSEC.""",
        "sign the zone {zone} and give its DS record to the registrar",
    ),
    (
        "DNS002",
        BROKEN,
        "DNSSEC is broken: answers are bogus",
        "RFC 4035 §5.5",
        """Signatures, keys and the DS record of the parent do not fit together, or have expired.  For everybody behind a
        validating resolver (and all senders with DANE) the names do not resolve, and mail waits.  Resolvers without
        validation notice nothing, which is why it works "for some".  Where only records of policy and reports are bogus,
        mail flows, without them (a warning).  If the domain's operator sees nothing wrong,
        somebody forges answers on the way: compare from another network.""",
        "sign {zone} again; if its key has changed, renew the DS record at the registrar",
    ),
    (
        "DNS003",
        WARNING,
        "A zone is signed with an algorithm that validators do not support",
        "RFC 4035 §5.2",
        """All DS records of the zone name algorithms or digests that are unknown or withdrawn.  Such a zone counts as
        unsigned: no error, and no protection.""",
        "sign {zone} with ECDSAP256SHA256 (13) and publish a DS record with digest SHA-256 (2)",
    ),
    (
        "DNS004",
        NOTE,
        "The zone of an MX host is not signed with DNSSEC",
        "RFC 7672 §2.2.2",
        """The domain may be signed, but the addresses of its MX host are not, so DANE cannot be used for this host.  If
        somebody else runs it, only he can change that.""",
        "sign the zone {zone}, or ask its operator to",
    ),
    (
        "DNS005",
        WARNING,
        "DNSSEC signatures are about to expire",
        "RFC 4035 §5.3.1",
        """A signer that works renews signatures long before their end.  Here only hours are left; after that all
        answers are bogus and mail waits.""",
        "look at the signer of {zone}: it should have renewed these signatures already",
    ),
    (
        "DNS006",
        WARNING,
        "A zone is signed with SHA-1",
        "RFC 8624 §3.1",
        """RSASHA1 and RSASHA1-NSEC3-SHA1 are going away: some systems (RHEL 9 and its kin) already treat such zones as
        unsigned, so protection depends on who looks.""",
        "roll the keys of {zone} to ECDSAP256SHA256 (13)",
    ),
    (
        "DNS007",
        WARNING,
        "Authoritative servers give different answers",
        "RFC 1034 §4.3.5",
        """A sender gets one answer or the other, by chance.  Usual reasons: a secondary server that no longer gets
        updates, a firewall that drops TLSA, a server with another copy of the zone.""",
        "bring {server} ({address}) up to date with the other servers of {zone}",
    ),
    (
        "DNS008",
        WARNING,
        "An authoritative server does not answer",
        "RFC 2182 §5",
        """The zone lives on its other servers.  Lookups are slower and fail more often; a server that drops only TLSA
        questions makes senders with DANE wait.""",
        "mend {server} ({address}), or take it out of the NS records of {zone}",
    ),
    # --- DANE --------------------------------------------------------------------------------
    (
        "DANE001",
        NOTE,
        "DANE is possible and not used: there are no TLSA records",
        "RFC 7672 §2.2",
        """The domain and its MX hosts are signed with DNSSEC, so one TLSA record for each host would make senders with
        DANE use TLS always, with the right key.""",
        "{tlsa}",
    ),
    (
        "DANE002",
        WARNING,
        "Some MX hosts have TLSA records and others have none",
        "RFC 7672 §2.2",
        """DANE is judged host by host.  Who can disturb the connection to the sealed hosts makes the sender try the next
        one, where nothing is checked: the domain is as open as its weakest MX host.""",
        "{tlsa}",
    ),
    (
        "DANE003",
        BROKEN,
        "The TLSA lookup for an MX host fails",
        "RFC 7672 §2.1.2",
        """The host's addresses are secure, so a sender with DANE must ask for TLSA records; the lookup times out or
        fails, and that must not be read as "there are none".  The sender skips the host, and mail waits if there is no
        other.  Usual reason: a name server or firewall that drops unknown record types.""",
        "see why with:\nmxseal dns lookup {name} TLSA",
    ),
    (
        "DANE004",
        WARNING,
        "TLSA records are published in a zone that is not signed",
        "RFC 7672 §2.2",
        """Senders ignore TLSA records that DNSSEC does not protect, and do not even ask for them where the addresses are
        insecure.  Nothing is broken, and nothing is protected.""",
        "sign the zone {zone} and give its DS record to the registrar",
    ),
    (
        "DANE005",
        WARNING,
        "Some TLSA records of an MX host are unusable",
        "RFC 7672 §3.1",
        """Records with the usages PKIX-TA(0) and PKIX-EE(1), with unknown parameters, or with a digest of the wrong length
        are skipped by senders.  The usable records beside them still count.""",
        "remove:\n{records}",
    ),
    (
        "DANE006",
        WARNING,
        "All TLSA records of an MX host are unusable",
        "RFC 7672 §2.2",
        """Senders with DANE then demand TLS but authenticate nobody: an attacker with any certificate gets the mail.""",
        "{tlsa}",
    ),
    (
        "DANE007",
        WARNING,
        "No TLSA record for the next key is published",
        "RFC 7671 §8.1",
        """All records match the key that is in use.  As soon as the server gets another one, senders with DANE refuse
        it until the new record is published and the old one has gone from all caches.  The next key's record has to be
        there at least two TTLs before the key.""",
        _NEXT_KEY,
    ),
    (
        "DANE008",
        BROKEN,
        "No TLSA record matches the certificate of an MX host",
        "RFC 7672 §3.2",
        """Senders with DANE break off and keep the mail; it comes back after some days.  Most often the certificate was
        renewed with a new key and the record stayed.""",
        "{tlsa}\n" + _OWN_KEY,
    ),
    (
        "DANE009",
        BROKEN,
        "At some addresses of an MX host no TLSA record matches the certificate",
        "RFC 7672 §3.2",
        """The addresses of the host show different certificates, and the TLSA records cover only some.  A
        sender that gets to a wrong one has to try the next address; mail of those that have only IPv4 or only IPv6
        may wait.""",
        "{tlsa}\n" + _OWN_KEY,
    ),
    (
        "DANE010",
        BROKEN,
        "The TLSA records cover only one of the host's certificates (RSA or ECDSA)",
        "RFC 7671 §8",
        """The server has one certificate with an RSA key and one with an ECDSA key, and shows the one that the client
        prefers.  Senders that get the other one find no matching record and keep the mail.""",
        "{tlsa}\n" + _OWN_KEY,
    ),
    (
        "DANE011",
        BROKEN,
        "A DANE-TA(2) record matches, but the certificate does not name the MX host",
        "RFC 7672 §3.2.2",
        """With DANE-TA(2) the certificate has to be for the TLSA base domain (or the mail domain).  Senders keep the
        mail.  DANE-EE(3) has no such condition.""",
        "get a certificate for {host}, or publish:\n{tlsa}",
    ),
    (
        "DANE012",
        BROKEN,
        "A DANE-TA(2) record matches, but the certificate has expired or is not yet valid",
        "RFC 7672 §3.1.2",
        """With DANE-TA(2) the dates of the certificate count.  Senders keep the mail.  DANE-EE(3) has no such
        condition.""",
        "renew the certificate of {host}, or publish:\n{tlsa}",
    ),
    (
        "DANE013",
        WARNING,
        "TLSA records stand at a name where no sender looks",
        "RFC 7672 §2.2.3",
        """For mail, TLSA records belong to the MX host, below _25._tcp.  Records at the mail domain, at the host's own
        name or at the policy host are never asked for.""",
        "{tlsa}",
    ),
    (
        "DANE014",
        WARNING,
        "A TLSA record holds a digest of the wrong thing",
        "RFC 6698 §2.1.4",
        """The digest is recognised: it is that of nothing, of the PEM text in place of its DER octets, of the whole
        certificate where the selector says key (or the other way round), or of a certificate at the wrong place in the
        chain.  It can never match.""",
        "{tlsa}\nin the place of:\n{record}",
    ),
    (
        "DANE015",
        BROKEN,
        "A DANE-TA(2) record names a CA certificate that the server does not send",
        "RFC 7671 §5.2.2",
        """Senders have the digest only; they cannot find a match unless the server sends that very certificate in its
        chain, also if it is a well-known root.""",
        "append the certificate of {issuer} to the server's chain file, or publish:\n{tlsa}\nin the place of:\n{record}",
    ),
    (
        "DANE016",
        WARNING,
        "All usable TLSA records are SHA-512",
        "RFC 6698 §6",
        """Only SHA-256 (matching type 1) is mandatory to implement.  Clients without SHA-512 find no usable record and
        authenticate nobody.""",
        "{tlsa}",
    ),
    (
        "DANE017",
        WARNING,
        "A TLSA record pins the whole certificate and breaks at its renewal",
        "RFC 7671 §5.1",
        """With selector Cert(0) the record changes with every renewal, also if the key stays.  Selector SPKI(1) lives as
        long as the key does.""",
        "{tlsa}",
    ),
    (
        "DANE018",
        WARNING,
        "The trust anchor of a DANE-TA(2) record has expired",
        "RFC 7672 §3.1.2",
        """Postfix and others accept an expired trust anchor; not every implementation does.""",
        "{tlsa}",
    ),
    (
        "DANE019",
        WARNING,
        "MX hosts have secure TLSA records, but the MX records are not signed",
        "RFC 7672 §2.2.1",
        """An attacker who forges the MX records leads senders to a host of his own, past all TLSA records.  The hosts are
        ready for DANE; the mail domain has to be signed as well.""",
        "sign the zone {zone} and give its DS record to the registrar",
    ),
    # --- MTA-STS -----------------------------------------------------------------------------
    (
        "STS001",
        NOTE,
        "There is no MTA-STS record",
        "RFC 8461 §3.1",
        """Senders that know MTA-STS but not DANE (Google, Microsoft in part, Yahoo and others) are not told to use TLS.""",
        'serve at {url} for the first weeks\n{policy}\nand then publish:\n{record_name}. IN TXT "v=STSv1; id={id};"',
    ),
    (
        "STS002",
        WARNING,
        "The lookup of the MTA-STS record fails",
        "RFC 8461 §3.1",
        """Senders that know the domain's policy keep it; new ones learn none.""",
        "see why with:\nmxseal dns lookup {record_name} TXT",
    ),
    (
        "STS003",
        WARNING,
        "The MTA-STS record breaks the grammar",
        "RFC 8461 §3.1",
        """Senders act as if the domain had no MTA-STS.""",
        '{record_name}. IN TXT "v=STSv1; id={id};"',
    ),
    (
        "STS004",
        WARNING,
        "There are several MTA-STS records",
        "RFC 8461 §3.1",
        """With more than one record that begins with v=STSv1, senders must assume that there is none.""",
        'leave one only:\n{record_name}. IN TXT "v=STSv1; id={id};"',
    ),
    (
        "STS005",
        WARNING,
        "The policy host has no address",
        "RFC 8461 §3.3",
        """The record announces a policy, but the host that should serve it does not exist or cannot be looked up.  New
        senders learn no policy; those that know one lose it at the end of its max_age.""",
        "give {host} an address, or a CNAME to where the policy is served",
    ),
    (
        "STS006",
        WARNING,
        "The policy host cannot be reached",
        "RFC 8461 §3.3",
        """Connections to port 443 are refused or time out at each address.  New senders learn no policy.""",
        "serve the policy at {url}",
    ),
    (
        "STS007",
        WARNING,
        "The TLS handshake with the policy host fails",
        "RFC 8461 §3.3",
        """The policy has to come over HTTPS with TLS 1.2 or newer.  New senders learn no policy.""",
        "let {host} speak TLS 1.2 or 1.3",
    ),
    (
        "STS008",
        WARNING,
        "The certificate of the policy host is not valid",
        "RFC 8461 §3.3",
        """It has expired, is for another name, or comes from no public CA.  This is the most frequent error of all:
        usually nobody ordered a certificate for the mta-sts name, or its renewal failed.  New senders learn no
        policy.""",
        "get a certificate for {host}",
    ),
    (
        "STS009",
        WARNING,
        "The policy host answers with a redirect",
        "RFC 8461 §3.3",
        """Senders must not follow redirects; for them there is no policy.""",
        "serve the text at {url} itself, without redirect",
    ),
    (
        "STS010",
        WARNING,
        "The policy host answers with an HTTP error",
        "RFC 8461 §3.3",
        """Only the status 200 counts.  New senders learn no policy.""",
        "serve at {url}\n{policy}",
    ),
    (
        "STS011",
        WARNING,
        "The policy does not come as text/plain",
        "RFC 8461 §3.2",
        """Senders should refuse other media types, because they are how shared web space serves foreign content.""",
        "with {url} let the web server send\nContent-Type: text/plain",
    ),
    (
        "STS012",
        WARNING,
        "The policy is too big, or its HTTP answer is broken",
        "RFC 8461 §3.3",
        """Senders limit the size (64 kilobytes is suggested) and the time.  Beyond that there is no policy for them.""",
        "serve nothing but the policy at {url}",
    ),
    (
        "STS013",
        WARNING,
        "The policy names mode none: MTA-STS is switched off",
        "RFC 8461 §8.3",
        """That is how a domain withdraws from MTA-STS.  Senders protect nothing.""",
        "nothing to do, if that is meant; otherwise say in {url}, for the first weeks\nmode: testing"
        + _NEW_ID,
    ),
    (
        "STS014",
        WARNING,
        "The policy breaks the grammar",
        "RFC 8461 §3.2",
        """Senders must not use it: for new ones there is no policy.""",
        "serve at {url}\n{policy}",
    ),
    (
        "STS015",
        BROKEN,
        "An MX host is not in the policy (mode enforce)",
        "RFC 8461 §4.1",
        """Senders with MTA-STS never deliver to this host.  If no MX host is in the policy, their mail waits and comes
        back.""",
        "add to {url} the line\nmx: {host}" + _NEW_ID,
    ),
    (
        "STS016",
        WARNING,
        "An MX host is not in the policy (mode testing)",
        "RFC 8461 §4.1",
        """Nothing is refused yet; in mode enforce senders would never deliver to this host.""",
        "add to {url} the line\nmx: {host}" + _NEW_ID,
    ),
    (
        "STS017",
        BROKEN,
        "The certificate of an MX host is not valid for MTA-STS (mode enforce)",
        "RFC 8461 §4.2",
        """The certificate must come from a public CA, be in time, and name the MX host in a DNS-ID; a common name does not
        count.  Senders with MTA-STS do not deliver to this host.""",
        "renew or get a certificate for {host} from a public CA, and send the intermediate certificates with it",
    ),
    (
        "STS018",
        WARNING,
        "The certificate of an MX host is not valid for MTA-STS (mode testing)",
        "RFC 8461 §4.2",
        """Nothing is refused yet; in mode enforce senders would not deliver to this host.""",
        "renew or get a certificate for {host} from a public CA, and send the intermediate certificates with it",
    ),
    (
        "STS019",
        NOTE,
        "The policy is in mode testing: nothing is enforced",
        "RFC 8461 §5",
        """Senders report failures and deliver all the same.  That is the right first step, for some weeks.""",
        "when reports have been clean for two weeks, say in {url} now\nmode: enforce" + _NEW_ID,
    ),
    (
        "STS020",
        WARNING,
        "The policy has been in mode testing for a long time",
        "RFC 8461 §5",
        """The id, read as a date, or a saved earlier check says that testing goes on for more than 60 days.  It protects
        nothing.""",
        "{when} say in {url}\nmode: enforce" + _NEW_ID,
    ),
    (
        "STS021",
        WARNING,
        "max_age is shorter than a week",
        "RFC 8461 §3.2",
        """MTA-STS protects those senders who remember the policy.  The RFC expects weeks; with less an attacker only has
        to hinder the fetch for that long, and domains that get little mail are never protected.""",
        "say in {url} now\nmax_age: 1209600" + _NEW_ID,
    ),
    (
        "STS022",
        NOTE,
        "max_age is longer than the standard allows",
        "RFC 8461 §3.2",
        """The maximum is 31557600 seconds, about one year; senders take that.""",
        "say in {url} now\nmax_age: 31557600" + _NEW_ID,
    ),
    (
        "STS023",
        WARNING,
        "The policy has changed and the id in the record has not",
        "RFC 8461 §8.1",
        """Senders ask for the policy again only when the id changes or max_age is over; until then the old policy
        holds.""",
        '{record_name}. IN TXT "v=STSv1; id={id};"',
    ),
    (
        "STS024",
        NOTE,
        "A pattern of the policy matches no MX host",
        "RFC 8461 §4.1",
        """Left over, or for a host to come.  Whoever controls that name could receive mail if he also forged DNS.""",
        "remove from {url} if it is not needed\n{patterns}" + _NEW_ID,
    ),
    (
        "STS025",
        WARNING,
        "The certificate of the policy host expires soon",
        "RFC 8461 §3.3",
        """After that no sender can fetch or renew the policy.""",
        "renew the certificate of {host}",
    ),
    (
        "STS026",
        NOTE,
        "The policy has lines that the standard does not know",
        "RFC 8461 §3.2",
        """Senders skip them.  A typing error looks like that.""",
        "look in {url} at\n{lines}",
    ),
    # --- TLSRPT ------------------------------------------------------------------------------
    (
        "RPT001",
        NOTE,
        "There is no TLSRPT record",
        "RFC 8460 §3",
        """Senders who fail to reach the domain by TLS have nobody to tell.  Reports are how operators learn of a broken
        certificate before the users do.""",
        '{record_name}. IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@{domain}"',
    ),
    (
        "RPT002",
        WARNING,
        "The TLSRPT record breaks the grammar",
        "RFC 8460 §3",
        """Senders send no reports.""",
        '{record_name}. IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@{domain}"',
    ),
    (
        "RPT003",
        WARNING,
        "There are several TLSRPT records",
        "RFC 8460 §3",
        """With more than one record senders must assume that there is none.""",
        "leave one only:\n{record}",
    ),
    (
        "RPT004",
        WARNING,
        "A destination for reports cannot be reached",
        "RFC 8460 §3",
        """The mail domain of a mailto: address takes no mail, or an https: address does not answer.  Reports get
        lost.""",
        "mend {uri}, or take it out of {record_name}",
    ),
    (
        "RPT005",
        WARNING,
        "The policy is in mode testing and nobody gets the reports",
        "RFC 8460 §3",
        """Testing has no other effect than reports; without a TLSRPT record it is the same as no policy.""",
        '{record_name}. IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@{domain}"',
    ),
    (
        "RPT006",
        WARNING,
        "The lookup of the TLSRPT record fails",
        "RFC 8460 §3",
        """Senders cannot find out where reports go.""",
        "see why with:\nmxseal dns lookup {record_name} TXT",
    ),
    # --- TLS: the sessions with MX hosts -------------------------------------------------------
    (
        "TLS001",
        OPEN,
        "Nothing obliges senders to protect mail to this domain",
        "RFC 3207 §6",
        """Neither DANE for all MX hosts nor an MTA-STS policy in mode enforce is in place.  Senders use TLS if it is
        offered, with any certificate; who sits in the path takes the offer out and reads and changes everything.""",
        "publish an MTA-STS policy in mode enforce, or sign the zone and publish TLSA records for all MX hosts",
    ),
    (
        "TLS002",
        BROKEN,
        "An MX host does not offer STARTTLS, or refuses it, although its policy demands it",
        "RFC 3207 §4",
        """Senders that honour the domain's DANE records or MTA-STS policy do not deliver without TLS.  Either the server
        is set up wrongly, or somebody between here and there strips STARTTLS: compare from another network.""",
        "let {host} [{address}] offer STARTTLS and accept it; with Postfix:\npostconf -e smtpd_tls_security_level=may",
    ),
    (
        "TLS003",
        OPEN,
        "An MX host does not offer STARTTLS, or refuses it",
        "RFC 3207 §4",
        """All mail to this host travels in the clear.""",
        "let {host} [{address}] offer STARTTLS and accept it; with Postfix:\npostconf -e smtpd_tls_security_level=may",
    ),
    (
        "TLS004",
        WARNING,
        "An address of an MX host cannot be reached",
        "RFC 5321 §5.1",
        """Senders lose time and go on to the next address.  If it is the only IPv4 or IPv6 address, senders with one
        family only cannot deliver to this host.""",
        "mend {host} [{address}], or remove the address",
    ),
    (
        "TLS005",
        BROKEN,
        "No MX host accepts SMTP connections",
        "RFC 5321 §5.1",
        """Connections to every address of every MX host are refused or closed.  Mail waits at the senders.""",
        "start the mail server at {host}, or open port {port} in its firewall",
    ),
    (
        "TLS006",
        WARNING,
        "No MX host could be reached from here",
        "RFC 5321 §5.1",
        """All connections timed out.  Many access providers block port 25, so this may be a trouble of the place where
        `check` runs, and nothing could be said about STARTTLS and certificates.""",
        "try again from a mail server, or from a host whose provider does not block port {port}",
    ),
    (
        "TLS007",
        BROKEN,
        "The TLS handshake with an MX host fails although its policy demands TLS",
        "RFC 3207 §4.1",
        """STARTTLS is offered but no TLS session comes to be.  Senders that honour the domain's DANE records or MTA-STS
        policy do not deliver to this address.""",
        "try it:\nopenssl s_client -starttls smtp -connect {connect} -servername {host}",
    ),
    (
        "TLS008",
        WARNING,
        "The TLS handshake with an MX host fails",
        "RFC 3207 §4.1",
        """Senders fall back to sending in the clear, or keep the mail.""",
        "try it:\nopenssl s_client -starttls smtp -connect {connect} -servername {host}",
    ),
    (
        "TLS009",
        WARNING,
        "An MX host breaks the SMTP protocol at STARTTLS",
        "RFC 3207 §4.2",
        """For instance plain text behind the 220 reply, which is how commands are smuggled into the protected session
        (CVE-2011-0411), or replies without end.  Careful senders break off.""",
        "update the mail server at {host} [{address}]",
    ),
    (
        "TLS010",
        NOTE,
        "The certificate of an MX host would not be valid for MTA-STS",
        "RFC 8461 §4.2",
        """No policy of the domain asks for a valid certificate today, so senders take it as it is.  Mend it before
        MTA-STS is introduced.""",
        "renew or get a certificate for {host} from a public CA, and send the intermediate certificates with it",
    ),
    (
        "TLS011",
        WARNING,
        "The certificate of an MX host expires soon",
        "RFC 5280 §4.1.2.5",
        """MTA-STS and DANE-TA(2) demand a certificate that is in time.  An automatic renewal should have happened by
        now.""",
        "renew the certificate of {host}; if its key changes, publish the TLSA record of the new key before",
    ),
    (
        "TLS012",
        WARNING,
        "An MX host speaks only outdated TLS",
        "RFC 8996 §4",
        """TLS 1.0 and 1.1 are withdrawn; MTA-STS demands TLS 1.2 or newer (RFC 8461 §7.2), and many senders refuse less.""",
        "allow TLS 1.2 and 1.3 at {host} [{address}]",
    ),
    (
        "TLS013",
        WARNING,
        "An MX host does not answer EHLO inside of TLS",
        "RFC 3207 §4.2",
        """The handshake succeeds, but the SMTP session does not go on, so no mail can be delivered by TLS.""",
        "look at the log of {host} [{address}]",
    ),
    (
        "TLS014",
        WARNING,
        "The key of an MX host is weak",
        "RFC 9325 §4.5",
        """RSA keys below 2048 bits are refused by a growing number of senders.""",
        "make a new key for {host}: RSA with 2048 bits, or ECDSA P-256",
    ),
)
"""Finding id → what is to be known about it."""
