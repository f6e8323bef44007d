"""``mxseal serve``: the long-lived part."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mxseal.cli.config import config_option

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from socket import socket

    from mxseal.config import Settings
    from mxseal.decisions.overrides import Overrides


@click.command()
@config_option
@click.option(
    "--lab",
    metavar="DIR|auto",
    envvar="MXSEAL_LAB",
    help="Answer about the laboratory that 'mxseal lab up' runs; policies are kept in memory, unless the"
    " configuration names a place.  [env: MXSEAL_LAB]",
)
def serve(file: Path | None, lab: str | None) -> int:
    """Answer Postfix, Exim, Sendmail and others how mail must travel.

    Stays in the foreground and writes what happens to stderr.  SIGTERM ends it,
    SIGHUP has it read overrides and the log's settings again; what listens where
    changes with a restart only.  docs/serve.md tells how MTAs are set up.
    """
    import asyncio

    from mxseal.config import load
    from mxseal.daemon import logs

    settings = load(file)
    logs.set_up(settings.log.level, settings.log.format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, file, lab))
    return 0


def _loop_factory() -> "Callable[[], AbstractEventLoop] | None":
    """That of uvloop, where it is installed (the extra ``mxseal[serve]``): twice as many answers a second."""
    from importlib import import_module

    try:
        factory: Callable[[], AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory


async def _serve(settings: "Settings", file: Path | None, lab: str | None) -> None:
    import gc

    from mxseal.cli.explanation import lines
    from mxseal.daemon.answers import AnswerTable
    from mxseal.daemon.service import Daemon
    from mxseal.daemon.systemd import Notifier, inherited_sockets
    from mxseal.wiring import (
        control_socket,
        made,
        open_policy_answers,
        open_world,
        read_overrides,
        world_settings,
    )

    inherited = inherited_sockets()
    world = world_settings(settings)
    if lab:
        from mxseal.cli.options import settings_of_lab

        world = settings_of_lab(lab)
        settings = _without_own_store(settings)
    table = AnswerTable(settings.serve.answers)
    overrides = read_overrides(settings)
    control = control_socket(settings)
    if not settings.serve.control and "control" not in inherited:
        made(control.parent, "serve.control", mode=0o755)
    async with (
        open_world(world) as opened,
        open_policy_answers(settings, opened, changed=table.forget) as answers,
    ):
        daemon = Daemon(
            answers.service,
            settings=settings,
            overrides=overrides,
            table=table,
            read_again=lambda: _read_again(file),
            control=control,
            explain=lines,
            background=[answers.refresh],
            store_trouble=lambda: answers.store.trouble,
            # What has no name, or its unit's, is for Postfix: most units have one socket only.
            inherited=_by_listener(inherited),
            notifier=Notifier(),
        )
        with daemon.signals():
            await daemon.start()
            # What is there now stays; the collector need not look through it while somebody waits.
            gc.freeze()
            try:
                await daemon.until_stopped()
            finally:
                await daemon.stop()


def _without_own_store(settings: "Settings") -> "Settings":
    """What a laboratory says must not get among the policies that are kept for real mail."""
    from msgspec.structs import replace

    if settings.policies.store:
        return settings
    return replace(settings, policies=replace(settings.policies, store="memory"))


def _by_listener(inherited: "dict[str, list[socket]]") -> "dict[str, list[socket]]":
    listeners = ("lines", "http", "metrics", "control")
    found: dict[str, list[socket]] = {}
    for name, sockets in inherited.items():
        found.setdefault(name if name in listeners else "socketmap", []).extend(sockets)
    return found


def _read_again(file: Path | None) -> "Overrides":
    """What a reload takes over; raises a `Fault` if the configuration cannot be used."""
    from mxseal.config import load
    from mxseal.daemon import logs
    from mxseal.wiring import check_settings, read_overrides

    settings = load(file)
    check_settings(settings)
    overrides = read_overrides(settings)
    logs.set_up(settings.log.level, settings.log.format)
    return overrides
