"""What systemd gives and wants to know: sd_listen_fds(3) and sd_notify(3)."""

import os
import socket
import stat
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Final

_FIRST_FD: Final = 3


class Notifier:
    """Tells the service manager what becomes of us; does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            # An abstract socket (unix(7)).
            self._address = "\0" + self._address[1:]
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds: Final = (
            int(microseconds) / 1e6 if ours and microseconds.isdigit() and int(microseconds) else None
        )
        """The time within which the manager wants to hear from us; None: it does not."""

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload wants to know when it began, to match it with the signal.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A manager that is away is no reason to stop answering mail.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """Listening sockets that the manager has opened, by FileDescriptorName; taken out of the environment."""
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    if pid != str(os.getpid()) or not count.isdigit():
        return found
    for number in range(int(count)):
        fd = _FIRST_FD + number
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            continue
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        name = names[number] if number < len(names) else ""
        found.setdefault(name, []).append(sock)
    return found
