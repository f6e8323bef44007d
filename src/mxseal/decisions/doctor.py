"""Is this machine fit to judge and to send sealed mail?

`mxseal doctor` collects a few observations of the machine that it runs on
(resolver, clock, CA store, Postfix, kernel) and judges them here.  A wrong
machine gives wrong verdicts about everybody else: a resolver that drops
signatures makes every signed domain look bogus, a clock that is off makes
signatures and certificates expire, an empty CA store distrusts every policy
host, and Postfix that asks a policy service but has no CA store defers the mail.

Each function takes one observation and gives `Remark`s: a sentence, and where
something is not as it should be, the line that mends it.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from mxseal.vocabulary.rejection import printable


class Health(StrEnum):
    """How one thing on this machine is."""

    FINE = "fine"
    NOTE = "note"
    """It works, and is weaker than it could be or will matter later."""
    WRONG = "wrong"
    """Verdicts or mail suffer from it now."""


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's report."""

    subject: str
    """``resolver``, ``clock``, ``CA store``, ``Postfix`` or ``kernel``."""
    health: Health
    sentence: str
    cure: str = ""
    section: str = ""


def is_fit(remarks: Sequence[Remark]) -> bool:
    """Whether nothing is wrong; notes do not count."""
    return not any(remark.health is Health.WRONG for remark in remarks)


# --- resolver ------------------------------------------------------------------------------------


class ResolverObservation(msgspec.Struct, frozen=True, kw_only=True):
    """What one resolver did with signed questions (queries with DO and CD, RFC 4035 §4.9)."""

    address: str
    """IP address and port, as text."""
    answers: bool
    passes_signatures: bool | None = None
    """Whether RRSIG records came along; None: not seen, because it did not answer."""
    proved: bool | None = None
    """Whether our own validation of a signed name from the trust anchors down succeeded."""
    proved_denial: bool | None = None
    """Whether a signed denial could be proved."""
    speaks_tcp: bool | None = None
    """Whether it answers over TCP, which long signed answers need (RFC 7766 §5)."""
    sets_ad: bool | None = None
    """Whether it says itself that a signed answer is authentic (RFC 4035 §3.2.3)."""
    detail: str = ""


def judge_resolver(seen: ResolverObservation, *, trust_ad: bool = False) -> tuple[Remark, ...]:
    """A resolver has to pass DNSSEC records on (RFC 3225, RFC 4035 §3.2).

    That it validates is only nice, unless its word is taken (`trust_ad`).
    """

    def remark(health: Health, sentence: str, cure: str = "", section: str = "") -> tuple[Remark, ...]:
        detail = f": {printable(seen.detail, 200)}" if seen.detail and health is not Health.FINE else ""
        return (
            Remark(
                subject="resolver",
                health=health,
                sentence=f"{seen.address} {sentence}{detail}",
                cure=cure,
                section=section,
            ),
        )

    if not seen.answers:
        return remark(
            Health.WRONG,
            "does not answer",
            "name another one with --resolver, or mend /etc/resolv.conf",
        )
    if trust_ad and not seen.sets_ad:
        return remark(
            Health.WRONG,
            "gives no AD bit for a signed name, so its word on DNSSEC is worth nothing",
            "leave --trust-ad away, or name a validating resolver with --resolver",
            "RFC 4035 §3.2.3",
        )
    if not seen.passes_signatures:
        return remark(
            Health.WRONG,
            "passes no DNSSEC records on, so nothing can be proved behind it",
            "apt-get install unbound, then 'nameserver 127.0.0.1' in /etc/resolv.conf; or --resolver 127.0.0.1",
            "RFC 4035 §3.2.1",
        )
    if not seen.proved:
        return remark(
            Health.WRONG,
            "passes signatures on, but the chain of trust to a signed name could not be proved",
            "look at the clock below; behind a split or private DNS root give --trust-anchor",
            "RFC 4035 §5",
        )
    if seen.proved_denial is False:
        return remark(
            Health.WRONG,
            "mangles signed denials (NSEC, NSEC3), so absence of records cannot be proved",
            "name another one with --resolver",
            "RFC 4035 §5.4",
        )
    if seen.speaks_tcp is False:
        return remark(
            Health.WRONG,
            "does not answer over TCP, so long answers cannot be had",
            "let port 53 over TCP through, or name another one with --resolver",
            "RFC 7766 §5",
        )
    validates = {
        True: "validates itself",
        False: "does not validate itself (not needed here; Postfix needs it for DANE)",
        None: "",
    }[seen.sets_ad]
    return remark(
        Health.FINE,
        "passes DNSSEC records on; chain of trust proved" + (f"; {validates}" if validates else ""),
    )


# --- clock -------------------------------------------------------------------------------------------


class ClockWitness(msgspec.Struct, frozen=True):
    """Something that cannot be younger than now."""

    not_before: datetime
    source: str


class ClockObservation(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine and others say about the time."""

    now: datetime
    witnesses: tuple[ClockWitness, ...] = ()
    signatures_current: bool | None = None
    """Whether signatures of the DNS root hold now, which pins the clock to within days (RFC 4034 §3.1.5)."""
    kernel_synchronized: bool | None = None
    """adjtimex(2): whether a time service disciplines the clock; None: the kernel does not tell."""
    max_error: timedelta | None = None
    """The kernel's own bound for the error, where it is synchronized."""


CLOCK_SLACK: Final = timedelta(minutes=5)


def judge_clock(seen: ClockObservation) -> tuple[Remark, ...]:
    """Signatures and certificates are judged by this clock, so an implausible one is wrong."""
    for witness in seen.witnesses:
        if seen.now + CLOCK_SLACK < witness.not_before:
            return (
                Remark(
                    subject="clock",
                    health=Health.WRONG,
                    sentence=f"{seen.now:%Y-%m-%d %H:%M} UTC is before {witness.not_before:%Y-%m-%d}, "
                    f"{printable(witness.source, 100)}",
                    cure="timedatectl set-ntp true",
                ),
            )
    how = []
    if seen.signatures_current:
        how.append("the signatures of the DNS root hold now")
    if seen.kernel_synchronized:
        error = f" to {seen.max_error / timedelta(milliseconds=1):.0f} ms" if seen.max_error else ""
        how.append(f"the kernel says it is synchronized{error}")
    if how:
        return (
            Remark(
                subject="clock",
                health=Health.FINE,
                sentence=f"{seen.now:%Y-%m-%d %H:%M} UTC: {' and '.join(how)}",
            ),
        )
    return (
        Remark(
            subject="clock",
            health=Health.NOTE,
            sentence=f"{seen.now:%Y-%m-%d %H:%M} UTC is plausible, but nothing vouches for it",
            cure="timedatectl set-ntp true",
        ),
    )


# --- CA store ----------------------------------------------------------------------------------------


class CaStoreObservation(msgspec.Struct, frozen=True, kw_only=True):
    """The certificates that MTA-STS policy hosts and MX hosts are judged by."""

    source: str
    """The file or directory; empty where none was found."""
    total: int = 0
    unreadable: tuple[str, ...] = ()
    """Why certificates could not be read, one line each."""
    expired: tuple[str, ...] = ()
    """Subjects of certificates that have expired."""


def judge_ca_store(seen: CaStoreObservation) -> tuple[Remark, ...]:
    """RFC 8461 §3.3 and §4.1 want certificates that chain to a root the sender trusts."""
    usable = seen.total - len(seen.expired)
    if usable <= 0:
        where = f"{printable(seen.source, 200)} holds no valid root" if seen.source else "none found"
        reason = f": {printable(seen.unreadable[0], 160)}" if seen.unreadable else ""
        return (
            Remark(
                subject="CA store",
                health=Health.WRONG,
                sentence=f"{where}, so no policy host can be trusted{reason}",
                cure="apt-get install ca-certificates, or --ca-file FILE",
                section="RFC 8461 §3.3",
            ),
        )
    remarks = [
        Remark(
            subject="CA store",
            health=Health.FINE,
            sentence=f"{printable(seen.source, 200)}: {usable} valid root{'s' if usable != 1 else ''}",
        )
    ]
    if seen.unreadable:
        remarks.append(
            Remark(
                subject="CA store",
                health=Health.NOTE,
                sentence=f"{len(seen.unreadable)} entries cannot be read, "
                f"first: {printable(seen.unreadable[0], 160)}",
                cure="update-ca-certificates --fresh",
            )
        )
    if seen.expired:
        remarks.append(
            Remark(
                subject="CA store",
                health=Health.NOTE,
                sentence=f"{len(seen.expired)} expired, first: {printable(seen.expired[0], 160)}",
                cure="apt-get install --only-upgrade ca-certificates",
            )
        )
    return tuple(remarks)


# --- Postfix -----------------------------------------------------------------------------------------


class PostfixObservation(msgspec.Struct, frozen=True, kw_only=True):
    """Postfix' settings that matter to sealed mail, as postconf(1) gives them, expanded."""

    version: str
    dns_support_level: str = ""
    host_lookup: str = "dns"
    security_level: str = ""
    policy_maps: tuple[str, ...] = ()
    ca_file: str = ""
    ca_path: str = ""
    append_default_ca: bool = False
    dane_insecure_mx_policy: str = ""
    relayhost: str = ""
    chrooted: bool | None = None
    """Whether smtp(8) runs chrooted; None: master.cf could not be read."""
    queue_directory: str = "/var/spool/postfix"
    resolv_conf_differs: bool = False
    """Whether the copy of resolv.conf in the chroot is another than the machine's."""
    tlsrpt_enabled: bool = False


def postfix_version(text: str) -> tuple[int, int, int]:
    """``3.7.11`` as numbers; a snapshot (``3.12-20260821``) counts as its release; (0, 0, 0) if unreadable."""
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?", text)
    if not found:
        return (0, 0, 0)
    return (int(found[1]), int(found[2]), int(found[3] or 0))


def honours_insecure_mx_default(version: tuple[int, int, int]) -> bool:
    """Whether `dane` from a policy table covers domains with an unsigned MX RRset by default.

    Fixed in 3.6.17, 3.7.13, 3.8.8, 3.9.2 and everything later.
    """
    fixed = {(3, 6): 17, (3, 7): 13, (3, 8): 8, (3, 9): 2}
    return version[:2] > (3, 9) or version[2] >= fixed.get(version[:2], 1 << 30)


def judge_postfix(seen: PostfixObservation) -> tuple[Remark, ...]:
    """Version gates and settings; silent about what is in order."""
    version = postfix_version(seen.version)
    remarks = [
        Remark(
            subject="Postfix",
            health=Health.FINE,
            sentence=f"version {printable(seen.version, 40)}{_gate(version)}",
        ),
        *_judge_levels(seen),
        *_judge_policy_maps(seen, version),
    ]
    if seen.resolv_conf_differs:
        remarks.append(
            Remark(
                subject="Postfix",
                health=Health.WRONG if seen.chrooted else Health.NOTE,
                sentence=f"{seen.queue_directory}/etc/resolv.conf differs from /etc/resolv.conf: "
                "a chrooted smtp(8) asks another resolver",
                cure=f"cp /etc/resolv.conf {seen.queue_directory}/etc/ && postfix reload",
            )
        )
    if seen.relayhost:
        remarks.append(
            Remark(
                subject="Postfix",
                health=Health.NOTE,
                sentence=f"relayhost = {printable(seen.relayhost, 200)}: policies of recipients' domains "
                "are that host's business",
            )
        )
    return tuple(remarks)


def _gate(version: tuple[int, int, int]) -> str:
    if version < (3, 4, 0):
        return ": sends no SNI for MTA-STS (RFC 8461 §4.1 wants it; since 3.4)"
    if version < (3, 10, 0):
        return ": no TLSRPT (since 3.10); a policy service must not send it TLSRPT attributes"
    if version < (3, 10, 5):
        return ": does not enforce MX patterns of MTA-STS by itself (since 3.10.5)"
    return ""


def _judge_levels(seen: PostfixObservation) -> list[Remark]:
    level = seen.security_level or "none"
    remarks = []
    if level == "none":
        remarks.append(
            Remark(
                subject="Postfix",
                health=Health.WRONG,
                sentence="smtp_tls_security_level is not set: mail leaves this machine unencrypted",
                cure="postconf -e smtp_tls_security_level=dane smtp_dns_support_level=dnssec",
                section="RFC 7672 §2.2",
            )
        )
    elif level == "may":
        remarks.append(
            Remark(
                subject="Postfix",
                health=Health.NOTE,
                sentence="smtp_tls_security_level = may: DANE is not used",
                cure="postconf -e smtp_tls_security_level=dane smtp_dns_support_level=dnssec",
                section="RFC 7672 §2.2",
            )
        )
    elif level.startswith("dane"):
        if seen.dns_support_level != "dnssec":
            remarks.append(
                Remark(
                    subject="Postfix",
                    health=Health.WRONG,
                    sentence=f"smtp_tls_security_level = {level}, but DNSSEC lookups are off: DANE does nothing",
                    cure="postconf -e smtp_dns_support_level=dnssec",
                    section="RFC 7672 §2.1",
                )
            )
        elif "dns" not in re.split(r"[\s,]+", seen.host_lookup):
            remarks.append(
                Remark(
                    subject="Postfix",
                    health=Health.WRONG,
                    sentence=f"smtp_host_lookup = {printable(seen.host_lookup, 40)}: "
                    "DANE needs addresses from DNS",
                    cure="postconf -e smtp_host_lookup=dns",
                )
            )
        else:
            remarks.append(
                Remark(
                    subject="Postfix",
                    health=Health.FINE,
                    sentence=f"smtp_tls_security_level = {level}, with DNSSEC lookups",
                )
            )
    return remarks


def _judge_policy_maps(seen: PostfixObservation, version: tuple[int, int, int]) -> list[Remark]:
    def remark(health: Health, sentence: str, cure: str = "") -> Remark:
        return Remark(subject="Postfix", health=health, sentence=sentence, cure=cure)

    if not seen.policy_maps:
        return [remark(Health.NOTE, "smtp_tls_policy_maps is empty: MTA-STS is not used")]
    remarks = [remark(Health.FINE, f"smtp_tls_policy_maps = {printable(', '.join(seen.policy_maps), 200)}")]
    first_service = next((i for i, table in enumerate(seen.policy_maps) if _is_service(table)), None)
    if first_service is not None and any(
        not _is_service(table) for table in seen.policy_maps[first_service:]
    ):
        remarks.append(
            remark(
                Health.NOTE,
                "a policy service stands before a table of your own, which then overrides nothing",
                "put your own table first in smtp_tls_policy_maps",
            )
        )
    for table in filter(_is_service, seen.policy_maps):
        shown = printable(table, 120)
        if table.endswith(":QUERYwithTLSRPT") and version < (3, 10, 0):
            remarks.append(
                remark(
                    Health.WRONG,
                    f"{shown}: this version takes TLSRPT attributes for errors and defers all MTA-STS mail",
                    "ask with the map name QUERY instead",
                )
            )
        if (
            seen.chrooted
            and table.startswith("socketmap:unix:/")
            and not table.startswith(f"socketmap:unix:{seen.queue_directory}")
        ):
            remarks.append(
                remark(
                    Health.WRONG,
                    f"{shown}: smtp(8) is chrooted to {seen.queue_directory} and cannot reach this socket",
                    f"put the socket below {seen.queue_directory} and name it relative to that, "
                    "or use socketmap:inet:127.0.0.1:…, or proxy:",
                )
            )
    if not (seen.ca_file or seen.ca_path or seen.append_default_ca):
        remarks.append(
            remark(
                Health.WRONG,
                "no CA store for smtp(8): every 'secure' policy fails and its mail waits",
                "postconf -e smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt",
            )
        )
    if not honours_insecure_mx_default(version) and seen.dane_insecure_mx_policy != "dane":
        remarks.append(
            remark(
                Health.NOTE,
                "'dane' from a policy table is ignored for domains with an unsigned MX RRset",
                "postconf -e smtp_tls_dane_insecure_mx_policy=dane",
            )
        )
    return remarks


def _is_service(table: str) -> bool:
    return table.removeprefix("proxy:").startswith(("socketmap:", "tcp:"))


# --- kernel ------------------------------------------------------------------------------------------

DATAGRAM_QUEUE_WANTED: Final = 512


def judge_datagram_queue(length: int | None) -> tuple[Remark, ...]:
    """`net.unix.max_dgram_qlen`: how many TLS results may wait while the collector is busy."""
    if length is None:
        return ()
    if length >= DATAGRAM_QUEUE_WANTED:
        return (Remark(subject="kernel", health=Health.FINE, sentence=f"net.unix.max_dgram_qlen = {length}"),)
    return (
        Remark(
            subject="kernel",
            health=Health.NOTE,
            sentence=f"net.unix.max_dgram_qlen = {length}: in a burst of deliveries Postfix drops TLS results "
            "for TLSRPT",
            cure=f"echo net.unix.max_dgram_qlen={DATAGRAM_QUEUE_WANTED} > /etc/sysctl.d/60-mxseal.conf "
            "&& sysctl --system",
        ),
    )
