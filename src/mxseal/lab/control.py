"""Talking to a laboratory that is up: a UNIX socket in its directory, one line in, one line of JSON out.

===========================  ======================================================
``attack DOMAIN ATTACK``     let the attacker act on a domain, see `mxseal.lab.attacks`
``calm DOMAIN``              end that
``mail``                     the letters that arrived, or that the attacker took
===========================  ======================================================

An answer is ``{"ok": …}`` or ``{"error": "…"}``.  Whoever may use the directory
may talk; it is made for its owner alone.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any, Final

import msgspec

from mxseal.lab.attacks import Attack
from mxseal.lab.internet import Lab
from mxseal.lab.mx_hosts import ReceivedMail
from mxseal.vocabulary.faults import UnavailableFault, UsageFault

SOCKET: Final = "control"
_MAX_LINE: Final = 1024
_MAX_ANSWER: Final = 64 * 1024 * 1024
_WAIT: Final = 10.0


async def serve(lab: Lab, directory: Path) -> asyncio.Server:
    """Listen in `directory`; the caller closes the server."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _WAIT)
        except (OSError, ValueError):  # the other side has gone, or sent a line without end
            line = b""
        try:
            writer.write(msgspec.json.encode(_obey(lab, line[:_MAX_LINE].decode("utf-8", "replace"))) + b"\n")
        finally:
            writer.close()

    path = directory / SOCKET
    path.unlink(missing_ok=True)
    try:
        return await asyncio.start_unix_server(converse, path)
    except OSError as error:
        raise UnavailableFault(
            f"cannot listen at {path}: {error}", cure="choose a shorter path with --dir"
        ) from None


def ask(directory: Path, *words: str) -> Any:
    """Say one line to the laboratory of a directory and return what it answers.

    Raises `UnavailableFault` if nobody listens, `UsageFault` if it says no.
    """
    path = directory / SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_WAIT)
            peer.connect(str(path))
            peer.sendall(" ".join(words).encode() + b"\n")
            with peer.makefile("rb") as answers:
                answer = msgspec.json.decode(answers.readline(_MAX_ANSWER))
    except (OSError, msgspec.DecodeError) as error:
        raise UnavailableFault(
            f"no laboratory answers at {path}: {error}", cure="start one:  mxseal lab up"
        ) from None
    if "error" in answer:
        raise UsageFault(answer["error"], cure="'mxseal lab list' tells the domains")
    return answer["ok"]


def _obey(lab: Lab, line: str) -> dict[str, Any]:
    match line.split():
        case ["attack", domain, name] if name in list(Attack):
            return _touch(lab, domain, Attack(name))
        case ["calm", domain]:
            return _touch(lab, domain, None)
        case ["mail"]:
            return {"ok": [_letter(mail) for mail in lab.mail]}
        case _:
            return {"error": "not understood"}


def _touch(lab: Lab, domain: str, attack: Attack | None) -> dict[str, Any]:
    try:
        if attack is None:
            lab.calm(domain)
        else:
            lab.attack(domain, attack)
    except KeyError:
        return {"error": f"the laboratory has no domain {domain!r}"}
    return {"ok": domain}


def _letter(mail: ReceivedMail) -> dict[str, Any]:
    return {
        "host": mail.host,
        "sender": mail.sender,
        "recipients": mail.recipients,
        "tls": mail.tls,
        "attacker_read": mail.attacker_read,
        "content": mail.content.decode("utf-8", "replace"),
    }
