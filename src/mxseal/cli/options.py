"""The options of all commands that touch the world: which resolver, which ports, which trust anchors.

    @click.command()
    @click.argument("domain")
    @world_options
    def explain(domain: str, world: WorldSettings) -> int: ...

All of them have defaults that suit the real internet.  ``--lab`` (or the
environment's MXSEAL_LAB) points all of them at a running `mxseal lab up`;
options beside it override single ones.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from mxseal.vocabulary.faults import UsageFault
from mxseal.wiring import WorldSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_PORT: Final = click.IntRange(1, 65535)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_NAMES: Final = (
    "trust_anchor",
    "ca_file",
    "smtp_port",
    "https_port",
    "dns_port",
    "timeout",
)

_RESOLVER: Final = (
    click.option(
        "--resolver",
        "resolvers",
        metavar="IP[:PORT]",
        multiple=True,
        help="Ask this DNS resolver; may be given several times.  [default: those of resolv.conf]",
    ),
    click.option(
        "--trust-anchor",
        type=_FILE,
        help="DS or DNSKEY records of the root zone, instead of the built-in ones.",
    ),
    click.option(
        "--trust-ad",
        is_flag=True,
        help="Take the word (AD bit) of the --resolver named, once it has proved that it validates.",
    ),
)
_CONNECTIONS: Final = (
    click.option(
        "--ca-file", type=_FILE, help="Certificates (PEM) of the CAs to trust, instead of the system's."
    ),
    click.option("--smtp-port", type=_PORT, help="Port of MX hosts.  [default: 25]"),
    click.option("--https-port", type=_PORT, help="Port of policy hosts.  [default: 443]"),
    click.option("--dns-port", type=_PORT, help="Port of authoritative servers.  [default: 53]"),
    click.option(
        "--allow-private",
        is_flag=True,
        help="Also connect to policy hosts and endpoints on private addresses.",
    ),
)
_COMMON: Final = (
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 600),
        metavar="SECONDS",
        help="Time limit for each lookup, connection and session.  [default: 10]",
    ),
    click.option(
        "--lab",
        envvar="MXSEAL_LAB",
        metavar="DIR|auto",
        help="Use the laboratory that 'mxseal lab up' runs, by its directory.  [env: MXSEAL_LAB]",
    ),
)


def world_options(command: Command) -> Command:
    """Adds the options, and gives the command one argument `world` in their place."""
    return _with_world(command, (*_RESOLVER, *_CONNECTIONS, *_COMMON))


def resolver_options(command: Command) -> Command:
    """The same for commands that only ask DNS resolvers: without the options for anything else."""
    return _with_world(command, (*_RESOLVER, *_COMMON))


def _with_world(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    @wraps(command)
    def with_world(*args: Any, **kwargs: Any) -> Any:
        from mxseal.adapters.dns import parse_server

        lab = kwargs.pop("lab")
        base = settings_of_lab(lab) if lab else WorldSettings()
        given = {name: value for name in _NAMES if (value := kwargs.pop(name, None)) is not None}
        resolvers = tuple(parse_server(text) for text in kwargs.pop("resolvers"))
        trust_ad = kwargs.pop("trust_ad")
        if trust_ad and not resolvers:
            raise UsageFault(
                "--trust-ad needs to know whose word to take",
                cure="name the validating resolver: --resolver IP[:PORT]",
            )
        world = msgspec.structs.replace(
            base,
            **given,
            trust_ad=trust_ad,
            resolvers=resolvers or base.resolvers,
            allow_private=kwargs.pop("allow_private", False) or base.allow_private,
        )
        return command(*args, world=world, **kwargs)

    decorated: Any = with_world
    for option in reversed(options):
        decorated = option(decorated)
    result: Command = decorated
    return result


def settings_of_lab(where: str) -> WorldSettings:
    """Where everything is in the laboratory of a directory, or of the default one (``auto``)."""
    from mxseal.adapters.dns import parse_server
    from mxseal.cli.lab import default_directory, read_description

    found = read_description(default_directory() if where == "auto" else Path(where))
    return WorldSettings(
        resolvers=(parse_server(found.resolver),),
        trust_anchor=Path(found.trust_anchor),
        ca_file=Path(found.ca_file),
        smtp_port=found.smtp_port,
        https_port=found.https_port,
        dns_port=found.dns_port,
        allow_private=True,
    )
