"""Which DNS servers to ask: texts such as ``192.0.2.1:5353`` and ``/etc/resolv.conf``."""

import re
from pathlib import Path
from typing import Final

from mxseal.adapters.dns.transport import Server
from mxseal.vocabulary.faults import ConfigurationFault, UnavailableFault, UsageFault
from mxseal.vocabulary.names import Address, InvalidName
from mxseal.vocabulary.rejection import printable

RESOLV_CONF: Final = Path("/etc/resolv.conf")
DNS_PORT: Final = 53
_MAX_SERVERS: Final = 8
_MAX_FILE_SIZE: Final = 1 << 16

# 192.0.2.1, 192.0.2.1:53, 192.0.2.1#53 (dnsmasq), 192.0.2.1@53 (unbound), [2001:db8::1]:53, 2001:db8::1#53
_SERVER: Final = re.compile(
    r"""(?: \[ (?P<bracketed>[^\]]*) \] (?: [:#@] (?P<port1>.*) )?
          | (?P<v4>[0-9]+\.[0-9.]*)     (?: [:#@] (?P<port2>.*) )?
          | (?P<v6>[0-9A-Fa-f:.]+)      (?:  [#@] (?P<port3>.*) )? ) \Z""",
    re.VERBOSE,
)


def parse_server(text: str) -> Server:
    """A server and its port (53 where none is given); raises `UsageFault`."""
    cure = "write it as IP, IP:PORT or [IPv6]:PORT, for instance 127.0.0.1:5353"
    match = _SERVER.match(text.strip())
    if match is None:
        raise UsageFault(f"{printable(text, 80)!r} is no address of a DNS server", cure=cure)
    address = match["bracketed"] or match["v4"] or match["v6"] or ""
    port = next((match[group] for group in ("port1", "port2", "port3") if match[group] is not None), None)
    if port is not None and not (
        port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    ):
        raise UsageFault(f"{printable(text, 80)!r}: a port is a number from 1 to 65535", cure=cure)
    try:
        return Address(address), int(port) if port else DNS_PORT
    except InvalidName:
        raise UsageFault(f"{printable(text, 80)!r} is no address of a DNS server", cure=cure) from None


def parse_resolv_conf(text: str) -> tuple[Server, ...]:
    """The ``nameserver`` lines of resolv.conf(5); lines that cannot be used (link-local addresses too) are left out."""
    servers: list[Server] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            server = (Address(words[1]), DNS_PORT)
        except InvalidName:
            continue
        if server not in servers:
            servers.append(server)
    return tuple(servers[:_MAX_SERVERS])


def system_servers(path: Path = RESOLV_CONF) -> tuple[Server, ...]:
    """The servers of this machine's resolv.conf; 127.0.0.1 where it names none, as libc has it."""
    cure = "name a resolver: --resolver IP[:PORT]"
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_SIZE + 1)
    except FileNotFoundError:
        raise UnavailableFault(f"there is no {path}, so no DNS server is known", cure=cure) from None
    except OSError as error:
        raise UnavailableFault(f"{path}: {error.strerror}", cure=cure) from None
    if len(raw) > _MAX_FILE_SIZE:
        raise ConfigurationFault(f"{path} has more than {_MAX_FILE_SIZE} octets", cure=cure)
    text = raw.decode("utf-8", "replace")
    servers = parse_resolv_conf(text)
    if not servers and any(line.split()[:1] == ["nameserver"] for line in text.splitlines()):
        raise UnavailableFault(f"{path} names no DNS server that can be used here", cure=cure)
    return servers or ((Address("127.0.0.1"), DNS_PORT),)
