"""The options of all commands that touch the world: which resolver, which ports, which trust anchors.

    @click.command()
    @click.argument("domain")
    @world_options
    def explain(domain: str, world: WorldSettings) -> int: ...

All of them have defaults that suit the real internet; a lab needs most of them.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from mxseal.wiring import WorldSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_PORT = click.IntRange(1, 65535)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_OPTIONS = (
    click.option(
        "--resolver",
        "resolvers",
        metavar="IP[:PORT]",
        multiple=True,
        help="Ask this DNS resolver; may be given several times. [default: those of resolv.conf]",
    ),
    click.option(
        "--trust-anchor",
        type=_FILE,
        help="DS or DNSKEY records of the root zone, instead of the built-in ones.",
    ),
    click.option(
        "--ca-file", type=_FILE, help="Certificates (PEM) of the CAs to trust, instead of the system's."
    ),
    click.option("--smtp-port", type=_PORT, default=25, show_default=True, help="Port of MX hosts."),
    click.option("--https-port", type=_PORT, default=443, show_default=True, help="Port of policy hosts."),
    click.option(
        "--dns-port", type=_PORT, default=53, show_default=True, help="Port of authoritative servers."
    ),
    click.option(
        "--allow-private",
        is_flag=True,
        help="Also connect to policy hosts and endpoints on private addresses.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="Time limit for each lookup, fetch and session.",
    ),
)


def world_options(command: Command) -> Command:
    """Adds the options, and gives the command one argument `world` in their place."""

    @wraps(command)
    def with_world(*args: Any, **kwargs: Any) -> Any:
        from mxseal.adapters.dns import parse_server

        world = WorldSettings(
            resolvers=tuple(parse_server(text) for text in kwargs.pop("resolvers")),
            trust_anchor=kwargs.pop("trust_anchor"),
            ca_file=kwargs.pop("ca_file"),
            smtp_port=kwargs.pop("smtp_port"),
            https_port=kwargs.pop("https_port"),
            dns_port=kwargs.pop("dns_port"),
            allow_private=kwargs.pop("allow_private"),
            timeout=kwargs.pop("timeout"),
        )
        return command(*args, world=world, **kwargs)

    decorated: Any = with_world
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    result: Command = decorated
    return result
