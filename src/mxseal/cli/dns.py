"""``mxseal dns``: DNS lookups with their security status and the reason for it."""

from typing import TYPE_CHECKING

import click

from mxseal.cli.options import resolver_options
from mxseal.cli.output import print_json
from mxseal.vocabulary.faults import DataFault, TemporaryFault, UsageFault
from mxseal.wiring import WorldSettings

if TYPE_CHECKING:
    from mxseal.vocabulary.observations import Answer, RecordData, RecordType


@click.group()
def dns() -> None:
    """DNS with a security status (RFC 4035 §4.3)."""


@dns.command()
@click.argument("name")
@click.argument("record_type", metavar="TYPE")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
@resolver_options
def lookup(name: str, record_type: str, *, as_json: bool, world: WorldSettings) -> int:
    """Look NAME up and say whether the answer is secure, and why.

    Exit code 0: answered, secure or insecure; 1: bogus; 75: the lookup failed.
    """
    import asyncio

    from mxseal.wiring import World

    asked, kind = _name(name), _type(record_type)
    answer = asyncio.run(World(world).resolver.resolve(asked, kind))
    if as_json:
        print_json("dns-answer", answer)
    else:
        _show(answer)
    return _exit_code(answer)


def _name(text: str) -> str:
    """The name in the form that is asked for: U-labels become A-labels; service names and wildcards pass."""
    from mxseal.adapters.dns.convert import to_name
    from mxseal.vocabulary.names import parse_host_name
    from mxseal.vocabulary.rejection import Rejection, printable

    if not text.isascii():
        host = parse_host_name(text)
        if isinstance(host, Rejection):
            raise DataFault(host.with_caret(), cure="give a domain name, for instance example.com")
        return host
    name = to_name(text) if text else "it is empty (the root is written as .)"
    if isinstance(name, str):
        raise DataFault(
            f"{printable(text, 100)!r} is no DNS name: {name}",
            cure="give a domain name, for instance example.com or _25._tcp.mx.example.com",
        )
    return text


def _type(text: str) -> "RecordType":
    import difflib

    from mxseal.vocabulary.observations import RecordType
    from mxseal.vocabulary.rejection import printable

    try:
        return RecordType(text.upper())
    except ValueError:
        close = difflib.get_close_matches(text.upper(), list(RecordType), n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        raise UsageFault(
            f"no such record type here: {printable(text, 40)}",
            cure=f"{guess}known are {', '.join(RecordType)}",
        ) from None


def _exit_code(answer: "Answer") -> int:
    from mxseal.vocabulary.observations import Security

    if answer.security is Security.BOGUS:
        return 1
    return TemporaryFault.exit_code if answer.failed else 0


_STYLES = {"secure": "bold green", "insecure": "yellow", "bogus": "bold red", "indeterminate": "magenta"}


def _show(answer: "Answer") -> None:
    from rich.text import Text

    from mxseal.cli.output import console
    from mxseal.vocabulary.observations import Outcome, Security
    from mxseal.vocabulary.rejection import printable

    out = console()

    def status(security: Security) -> tuple[str, str]:
        return security.value, _STYLES[security]

    def row(label: str, *parts: str | tuple[str, str]) -> None:
        out.print(Text.assemble((f"{label:<11}", "dim"), *parts))

    kinds = {
        Outcome.FOUND: "found",
        Outcome.NO_DATA: f"there is no {answer.record_type} record",
        Outcome.NO_NAME: "there is no such name",
        Outcome.FAILED: "no answer that can be used",
    }
    out.print(Text.assemble((f"{answer.name} {answer.record_type}", "bold"), ": ", kinds[answer.outcome]))
    row("security", status(answer.security))
    row("reason", printable(answer.reason))
    for alias in answer.aliases:
        row("alias", f"{alias.owner} → {alias.target}  ", status(alias.security))
    for record in answer.records:
        row("record", _record_text(record))
    for step in answer.zones:
        algorithm = f", {step.algorithm}" if step.algorithm else ""
        row("zone", f"{step.zone}  ", status(step.security), f"  {printable(step.reason)}{algorithm}")
    if not answer.failed:
        row("TTL", f"{answer.ttl} seconds")
    if answer.signatures_expire is not None:
        row("signatures", f"good until {answer.signatures_expire:%Y-%m-%d %H:%M} UTC")
    for error in answer.extended_errors:
        row("server says", printable(error))


def _record_text(record: "RecordData") -> str:
    from mxseal.vocabulary.observations import AddressData, MxData, OtherData, TextData, TlsaData
    from mxseal.vocabulary.rejection import printable

    match record:
        case MxData():
            return f"{record.preference} {record.exchange or '.'}"
        case AddressData():
            return str(record.address)
        case TextData():
            return " ".join(
                f'"{printable(string.decode("utf-8", "backslashreplace"), 500)}"' for string in record.strings
            )
        case TlsaData():
            return str(record)
        case OtherData():
            return printable(record.text)
