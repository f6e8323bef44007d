"""``mxseal config``: check the configuration, or show what is in force."""

from pathlib import Path
from typing import Final

import click
import msgspec

from mxseal.cli.output import print_json

_FILE: Final = click.Path(dir_okay=False, path_type=Path)

config_option = click.option(
    "--config",
    "file",
    type=_FILE,
    metavar="FILE",
    help="Read this file (and conf.d/*.toml beside it).  [env: MXSEAL_CONFIG]",
)
"""For all commands that need the configuration."""


@click.group()
def config() -> None:
    """The configuration: check it, show what is in force."""


@config.command()
@config_option
def check(file: Path | None) -> int:
    """Whether the configuration can be used.

    Exit codes: 0 it can, 78 it cannot; the place and the cure are told.
    """
    from mxseal.config import files, load
    from mxseal.wiring import check_settings

    check_settings(load(file))
    read = files(file)
    click.echo(
        f"The configuration is in order: {', '.join(map(str, read)) if read else 'no file, only defaults'}."
    )
    return 0


@config.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path | None, as_json: bool) -> int:
    """All settings in force, as TOML; comments tell where those come from that are no defaults."""
    from mxseal.config import build, given
    from mxseal.config import show as lines

    values = given(file)
    settings = build(values)
    if as_json:
        sources = {f"{section}.{key}": str(source) for (section, key), (_, source) in values.items()}
        print_json(
            "configuration", {"settings": msgspec.to_builtins(settings, enc_hook=str), "sources": sources}
        )
    else:
        for line in lines(settings, values):
            click.echo(line)
    return 0
