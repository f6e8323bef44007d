"""``mxseal dane``: make TLSA records, and verify a chain against them, without a network."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mxseal.cli.output import print_json
from mxseal.cli.texts import read_time
from mxseal.vocabulary.faults import DataFault, UsageFault
from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.observations import TlsaData
from mxseal.vocabulary.rejection import Rejection, printable

if TYPE_CHECKING:
    from mxseal.cli.key_files import Pinned
    from mxseal.standards.dane import Verdict


class RecordShown(msgspec.Struct, frozen=True, kw_only=True):
    """A TLSA record."""

    record: str
    """In presentation format."""
    usage: int
    selector: int
    matching_type: int
    data: str
    """Hexadecimal."""


class MadeRecord(RecordShown, frozen=True, kw_only=True):
    """What `dane tlsa --json` prints."""

    owner: str | None
    """With a trailing dot; null without `--name`."""
    made_of: str
    """`certificate`, `private key`, `public key` or `certificate request`."""
    subject: str | None
    """Of the certificate."""
    warnings: tuple[str, ...]
    """What is legal, and most likely not meant."""


class Matched(RecordShown, frozen=True, kw_only=True):
    """The record that verified a chain."""

    depth: int
    """Of the certificate or key that matched; 0 is the server's own."""
    subject: str | None
    """Of that certificate; null if it was not sent."""
    reference: HostName | None
    """The name that the server's certificate is for; null under DANE-EE(3), which ignores names."""
    notes: tuple[str, ...]
    """What is odd, and does not stop mail."""


class Mismatched(RecordShown, frozen=True, kw_only=True):
    """A record that did not verify the chain."""

    failure: str
    """`unusable`, `passed-over`, `no-match`, `not-valid` or `no-certificate`."""
    detail: str
    kind: str | None
    """With `not-valid`: why, in a word."""
    mistake: str | None
    """The known mistake by which such data comes about."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `dane verify --json` prints."""

    verdict: str
    """`verified`, `mismatch` or `unusable`."""
    at: datetime
    """The time for which it holds."""
    names: tuple[HostName, ...]
    certificates: int
    """How many there are in the chain."""
    result_type: str | None
    """What RFC 8460 §4.3 calls the failure."""
    matched: Matched | None = None
    """With `verified`."""
    reasons: tuple[Mismatched, ...] = ()
    """Otherwise, one for each record."""


@click.group()
def dane() -> None:
    """TLSA records: make them, verify a certificate chain against them (RFC 7672)."""


@dane.command()
@click.argument("file", metavar="CERT|KEY")
@click.option(
    "--usage", type=click.IntRange(0, 3), default=3, show_default=True, help="3 DANE-EE, 2 DANE-TA."
)
@click.option("--selector", type=click.IntRange(0, 1), default=1, show_default=True, help="1 SPKI, 0 Cert.")
@click.option(
    "--mtype",
    "matching_type",
    type=click.IntRange(0, 2),
    default=1,
    show_default=True,
    help="1 SHA2-256, 2 SHA2-512, 0 Full.",
)
@click.option("--name", metavar="MX", help="The MX host: prints the whole line of the zone.")
@click.option("--port", type=click.IntRange(1, 65535), default=25, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The record as JSON.")
def tlsa(
    file: str, *, usage: int, selector: int, matching_type: int, name: str | None, port: int, as_json: bool
) -> int:
    """Make the TLSA record for a certificate or key; - reads stdin.

    CERT|KEY is a certificate, a private or public key, or a certificate request,
    in PEM or DER.  Of several certificates the first counts.
    """
    from mxseal.cli.key_files import read_pinned
    from mxseal.standards.dane import Selector, tlsa_for, tlsa_name

    host = _host_name(name) if name is not None else None
    pinned = read_pinned(file)
    if selector == Selector.SPKI:
        content = pinned.spki
    elif pinned.certificate is not None:
        content = pinned.certificate.der
    else:
        raise DataFault(
            f"selector 0 is about a certificate, and {printable(file)} holds a {pinned.what}",
            cure="give the certificate, or --selector 1",
        )
    record = tlsa_for(content, usage, selector, matching_type)
    made = MadeRecord(
        **_fields(record),
        owner=f"{tlsa_name(host, port)}." if host else None,
        made_of=pinned.what,
        subject=pinned.certificate.subject if pinned.certificate else None,
        warnings=tuple(_doubts(record, pinned)),
    )
    if as_json:
        print_json("tlsa", made)
        return 0
    click.echo(f"{made.owner} IN TLSA {record}" if made.owner else str(record))
    for warning in made.warnings:
        click.echo(f"mxseal: {warning}", err=True)
    return 0


@dane.command()
@click.option(
    "--chain", metavar="CHAIN.pem", required=True, help="What the server sends, its own certificate first."
)
@click.option(
    "--tlsa", "texts", metavar="RECORD", required=True, multiple=True, help='For instance "3 1 1 2d84…".'
)
@click.option("--name", "names", metavar="NAME", multiple=True, help="The MX host, and then the next-hop.")
@click.option("--at", metavar="TIME", help="ISO 8601, UTC unless it says otherwise. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def verify(
    *, chain: str, texts: tuple[str, ...], names: tuple[str, ...], at: str | None, as_json: bool
) -> int:
    """Verify a chain against TLSA records, as an SMTP client does.

    Prints `verified`, `mismatch` or `unusable`, and why.  Exit code 0: verified;
    1: not.  DANE-TA(2) records need the names.
    """
    from mxseal.adapters.clock import SystemClock
    from mxseal.cli.key_files import read_chain
    from mxseal.decisions.authentication import verify_dane
    from mxseal.standards.dane import Usage, Verified

    records = [_record(text) for text in texts]
    references = tuple(_host_name(name) for name in names)
    if not references and any(record.usage == Usage.DANE_TA for record in records):
        raise UsageFault(
            "a DANE-TA(2) record is verified for a name", cure="give the MX host: --name mx.example.com"
        )
    time = read_time(at) if at is not None else SystemClock().now()
    certificates = read_chain(chain)
    verdict = verify_dane(records, certificates, names=references, at=time)
    report = _report(verdict, certificates, references, time)
    if as_json:
        print_json("dane-verify", report)
    else:
        _show(report)
    return 0 if isinstance(verdict, Verified) else 1


def _record(text: str) -> TlsaData:
    from mxseal.standards.dane import parse_tlsa

    record = parse_tlsa(text)
    if isinstance(record, Rejection):
        raise DataFault(f"not a TLSA record: {record.with_caret()}")
    return record


def _host_name(text: str) -> HostName:
    name = parse_host_name(text)
    if isinstance(name, Rejection):
        raise DataFault(f"not a host name: {name.with_caret()}", cure="a name is like mx.example.com")
    return name


def _fields(record: TlsaData) -> dict[str, Any]:
    return {
        "record": str(record),
        "usage": record.usage,
        "selector": record.selector,
        "matching_type": record.matching_type,
        "data": record.data.hex(),
    }


def _doubts(record: TlsaData, pinned: "Pinned") -> list[str]:
    """What is legal, and most likely not meant."""
    from mxseal.standards.dane import MatchingType, Usage, why_unusable

    found: list[str] = []
    unusable = why_unusable(record)
    if unusable:
        found.append(f"mail servers ignore this record: {unusable}")
    certificate = pinned.certificate
    if record.usage == Usage.DANE_TA and certificate is not None and not certificate.is_ca:
        found.append("usage 2 is about a CA, and this certificate is none; for a server's own give --usage 3")
    # Many self-signed server certificates say that they are a CA; those have names.
    if record.usage == Usage.DANE_EE and certificate and certificate.is_ca and not certificate.dns_names:
        found.append(
            "usage 3 is about the server's own certificate, and this is a CA's; for a CA give --usage 2"
        )
    if record.matching_type == MatchingType.FULL and len(record.data) > 1000:
        found.append(
            "records this long make DNS fall back to TCP; a digest (--mtype 1) is better (RFC 7671 §10.1.1)"
        )
    return found


def _report(
    verdict: "Verdict", chain: tuple[bytes, ...], names: tuple[HostName, ...], at: datetime
) -> Verification:
    from mxseal.decisions.authentication import result_type
    from mxseal.standards.certificate import parse_chain
    from mxseal.standards.dane import Verified, recognise_wrong_digest

    certificates = parse_chain(chain)
    views = certificates if isinstance(certificates, tuple) else ()
    report = Verification(
        verdict=type(verdict).__name__.lower(),
        at=at,
        names=names,
        certificates=len(chain),
        result_type=result_type(verdict),
    )
    if isinstance(verdict, Verified):
        matched = Matched(
            **_fields(verdict.record),
            depth=verdict.depth,
            subject=next((view.subject for view in views if view.der == verdict.certificate), None),
            reference=verdict.reference,
            notes=verdict.notes,
        )
        return msgspec.structs.replace(report, matched=matched)
    reasons = tuple(
        Mismatched(
            **_fields(reason.record),
            failure=reason.failure,
            detail=reason.detail,
            kind=reason.kind or None,
            mistake=recognise_wrong_digest(reason.record, views),
        )
        for reason in verdict.reasons
    )
    return msgspec.structs.replace(report, reasons=reasons)


def _show(report: Verification) -> None:
    click.echo(report.verdict)
    if matched := report.matched:
        what = "certificate" if matched.selector == 0 else "public key"
        whose = f" of {matched.subject}" if matched.subject else ""
        click.echo(f"  {_short(matched)} matches the {what}{whose} at depth {matched.depth}")
        if matched.reference:
            click.echo(f"  the server's certificate is for {matched.reference}")
        for note in matched.notes:
            click.echo(f"  note: {note}")
    for reason in report.reasons:
        click.echo(f"  {_short(reason)}: {reason.detail}")
        if reason.mistake:
            click.echo(f"    {reason.mistake}")


def _short(shown: RecordShown) -> str:
    return shown.record if len(shown.record) <= 24 else f"{shown.record[:22]}…"
