"""``mxseal tlsrpt``: read TLSRPT records, and say where reports go or what is wrong."""

import click

from mxseal.cli.texts import accepted, rejected, text_of


@click.group()
def tlsrpt() -> None:
    """TLSRPT records: read and judge them (RFC 8460)."""


@tlsrpt.command(short_help="Judge a TXT record.")
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def record(text: str, *, as_json: bool) -> int:
    """Judge TEXT as the TXT record at _smtp._tls.DOMAIN.

    Exit code 0: valid; 65: not, with the place and the rule.
    """
    from mxseal.standards.tlsrpt import parse_record
    from mxseal.vocabulary.rejection import Rejection

    verdict = parse_record(text_of(text))
    if isinstance(verdict, Rejection):
        return rejected("tlsrpt-record", verdict, as_json=as_json)
    rows = [
        *(("report to", uri) for uri in verdict.rua),
        *(("passed over", f"{uri} ({_why(uri)})") for uri in verdict.passed_over),
        *verdict.extensions,
    ]
    return accepted("tlsrpt-record", verdict, "A valid TLSRPT record.", rows, as_json=as_json)


def _why(uri: str) -> str:
    """Why a destination is passed over."""
    from mxseal.standards.tlsrpt import MAX_DESTINATIONS, UnknownDestination, parse_destination
    from mxseal.vocabulary.rejection import Rejection

    match parse_destination(uri):
        case Rejection(message=message):
            return message
        case UnknownDestination():
            return "neither mailto: nor https:"
        case _:
            return f"beyond the first {MAX_DESTINATIONS}"
