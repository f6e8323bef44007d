"""Sockets to listen at: TCP, and unix sockets with their permissions."""

import errno
import grp
import os
import pwd
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mxseal.config import Listen
from mxseal.vocabulary.faults import ConfigurationFault, UnavailableFault

BACKLOG: Final = 4096
"""Postfix may start hundreds of smtp(8) at once; the kernel has a limit of its own (net.core.somaxconn)."""


class Permissions(msgspec.Struct, frozen=True):
    """Of unix sockets."""

    mode: int = 0o666
    owner: str = ""
    group: str = ""


def open_listener(place: Listen, permissions: Permissions) -> list[socket.socket]:
    """Listening sockets for a place; several where a host name has several addresses.

    Raises `UnavailableFault` if it cannot be had, `ConfigurationFault` for an owner that does not exist.
    """
    return [_open_unix(place.path, permissions)] if place.path is not None else _open_tcp(place)


def _open_tcp(place: Listen) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
    except socket.gaierror as error:
        raise UnavailableFault(
            f"{place}: {error.strerror}", cure="name an address of this machine to listen at"
        ) from None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        opened.append(sock)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            for each in opened:
                each.close()
            raise _cannot_listen(place, error) from None
    return opened


def _cannot_listen(place: str, error: OSError) -> UnavailableFault:
    cures = {
        errno.EADDRINUSE: f"something listens there already (ss -lntxp shows what: {place}); stop it, or change"
        " the address in the section [serve]",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "the user of this service may not; change the address, or the directory's permissions",
        errno.ENOENT: "make the directory first; under systemd RuntimeDirectory= does so",
    }
    return UnavailableFault(
        f"cannot listen at {place}: {error.strerror}",
        cure=cures.get(error.errno or 0, "see the section [serve]"),
    )


def _open_unix(path: Path, permissions: Permissions) -> socket.socket:
    """A unix socket, made under another name and moved to its place: nobody finds it before it is ready."""
    uid, gid = _ids(permissions)
    _refuse_if_in_use(path)
    # sun_path has room for 107 octets, and the name beside it must fit as well.
    beside = path.with_name(f".{os.getpid():x}~")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        before = os.umask(0o777)
        try:
            sock.bind(str(beside))
        finally:
            os.umask(before)
        if (uid, gid) != (-1, -1):
            os.chown(beside, uid, gid)
        beside.chmod(permissions.mode)
        sock.listen(BACKLOG)
        beside.rename(path)
    except OSError as error:
        sock.close()
        with suppress(OSError):
            beside.unlink()
        raise _cannot_listen(str(path), error) from None
    return sock


def _refuse_if_in_use(path: Path) -> None:
    """A socket that nobody listens at any more is in the way; anything else is somebody's."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(str(path), error) from None
    if not stat.S_ISSOCK(mode):
        raise UnavailableFault(
            f"cannot listen at {path}: there is something that is no socket",
            cure="remove it, or choose another path",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return  # stale: the new one is moved over it
    raise _cannot_listen(str(path), OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))


def _ids(permissions: Permissions) -> tuple[int, int]:

    uid = gid = -1
    try:
        if permissions.owner:
            uid = pwd.getpwnam(permissions.owner).pw_uid
    except KeyError:
        raise ConfigurationFault(
            f"serve.socket_owner: there is no user {permissions.owner!r}", cure="see 'getent passwd'"
        ) from None
    try:
        if permissions.group:
            gid = grp.getgrnam(permissions.group).gr_gid
    except KeyError:
        raise ConfigurationFault(
            f"serve.socket_group: there is no group {permissions.group!r}", cure="see 'getent group'"
        ) from None
    return uid, gid
