"""``mxseal send postfix-config``: the lines that make Postfix ask the service."""

from pathlib import Path
from typing import Final

import click

from mxseal.cli.config import config_option
from mxseal.vocabulary.faults import UsageFault

Version = tuple[int, int, int]

_REPORTS: Final = (3, 10, 0)
"""TLSRPT attributes in policies (postconf(5) smtp_tlsrpt_enable)."""
_SNI: Final = (3, 4, 0)
"""servername= in policies; older ones take it for a mistake and defer the mail."""
_INSECURE_MX: Final = ((3, 6, 17), (3, 7, 13), (3, 8, 8), (3, 9, 2))
"""Since these, and in 3.10, smtp_tls_dane_insecure_mx_policy is dane by itself at level dane."""


@click.command("postfix-config")
@click.option(
    "--postfix", metavar="VERSION", help="Of the Postfix that is set up.  [default: this machine's]"
)
@config_option
def postfix_config(postfix: str | None, file: Path | None) -> int:
    """The lines that make Postfix ask this service; run them as root, then reload Postfix."""
    from mxseal.config import Listen, load

    version = _parse(postfix) if postfix else _installed()
    if version < _SNI:
        raise UsageFault(
            f"Postfix {'.'.join(map(str, version))} cannot send a server name, which RFC 8461 wants",
            cure="update Postfix to 3.4 or newer",
        )
    places = load(file).serve.socketmap
    if not places:
        raise UsageFault("serve.socketmap is empty", cure="give it an address to listen at")
    # TCP works from within Postfix' chroot, wherever that is.
    place = next((place for place in places if place.path is None), places[0])
    for line in lines(version, Listen(place)):
        click.echo(line)
    return 0


def lines(version: Version, place: str) -> list[str]:
    """Shell lines for one version of Postfix and one place at which the service listens."""
    name = "QUERYwithTLSRPT" if version >= _REPORTS else "postfix"
    where = f"unix:{place}" if place.startswith("/") else f"inet:{place}"
    found = [
        "# DNSSEC, and TLS where a server offers it: what both standards build on",
        "postconf -e 'smtp_dns_support_level = dnssec'",
        "postconf -e 'smtp_tls_security_level = dane'",
        "# the CAs of the web, for MTA-STS",
        "postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt'",
    ]
    if not _is_mended(version):
        found += [
            "# without this, older versions ignore TLSA records of hosts behind an unsigned MX record",
            "postconf -e 'smtp_tls_dane_insecure_mx_policy = dane'",
        ]
    if place.startswith("/"):
        found.append("# smtp(8) runs in a chroot on Debian: the socket must be below its queue directory")
    found += [
        "# tables of your own go before it, separated by a comma",
        f"postconf -e 'smtp_tls_policy_maps = socketmap:{where}:{name}'",
        "postfix reload",
    ]
    return found


def _is_mended(version: Version) -> bool:
    if version >= _REPORTS:
        return True
    return any(version[:2] == mended[:2] and version >= mended for mended in _INSECURE_MX)


def _parse(text: str) -> Version:
    from mxseal.decisions.doctor import postfix_version

    version = postfix_version(text)
    if not any(version):
        raise UsageFault(
            f"{text!r} is no version of Postfix", cure="write it as 3.7.11; 'postconf mail_version' tells it"
        )
    return version


def _installed() -> Version:
    from mxseal.adapters.machine import observe_postfix

    seen = observe_postfix()
    if seen is None:
        raise UsageFault("there is no Postfix on this machine", cure="tell its version: --postfix 3.10.5")
    return _parse(seen.version)
