"""``mxseal sts``: read MTA-STS records and policies, and say what they mean or where they are wrong."""

import click

from mxseal.cli.texts import accepted, read_file, rejected, text_of


@click.group()
def sts() -> None:
    """MTA-STS records and policies: read and judge them (RFC 8461)."""


@sts.command(short_help="Judge a TXT record.")
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def record(text: str, *, as_json: bool) -> int:
    """Judge TEXT as the TXT record at _mta-sts.DOMAIN.

    Exit code 0: valid; 65: not, with the place and the rule.
    """
    from mxseal.standards.mta_sts import parse_record
    from mxseal.vocabulary.rejection import Rejection

    verdict = parse_record(text_of(text))
    if isinstance(verdict, Rejection):
        return rejected("sts-record", verdict, as_json=as_json)
    rows = [("id", verdict.id), *verdict.extensions]
    return accepted("sts-record", verdict, "A valid MTA-STS record.", rows, as_json=as_json)


@sts.command(short_help="Judge a policy file.")
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON.")
def policy(file: str, *, as_json: bool) -> int:
    """Judge FILE as the policy that https://mta-sts.DOMAIN/.well-known/mta-sts.txt serves; - is stdin.

    Exit code 0: valid; 65: not, with the place and the rule.
    """
    from mxseal.standards.mta_sts import MAX_POLICY_OCTETS, parse_policy
    from mxseal.vocabulary.rejection import Rejection

    verdict = parse_policy(read_file(file, MAX_POLICY_OCTETS + 1))
    if isinstance(verdict, Rejection):
        return rejected("sts-policy", verdict, as_json=as_json)
    warnings = verdict.warnings()
    rows = [
        ("mode", f"{verdict.mode}: {verdict.mode.meaning}"),
        *(("mx", f"{pattern}: {pattern.meaning}") for pattern in verdict.mx),
        ("max_age", f"{verdict.max_age} seconds, {_span(verdict.max_age)}"),
        *verdict.extensions,
        *(("warning", warning) for warning in warnings),
    ]
    extra = {"warnings": warnings}
    return accepted("sts-policy", verdict, "A valid MTA-STS policy.", rows, as_json=as_json, extra=extra)


def _span(seconds: int) -> str:
    """The largest unit that fits, in words."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = round(seconds / unit, 1)
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return "less than a minute"
