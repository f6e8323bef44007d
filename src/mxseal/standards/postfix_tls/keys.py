"""The keys with which MTAs ask: a next-hop, in one of several ways to write it.

smtp(8) asks with the next-hop as its configuration or the recipient's address
has it, in any case; for a domain that is not found it goes on with the domain's
parents, ``.example.com`` for ``mail.example.com``.  Ports may be names of
services (``[mx.example.com]:submission``), and lmtp(8) asks with paths of unix
sockets, about which neither DANE nor MTA-STS say anything.
"""

import re
from collections.abc import Callable
from typing import Final

from mxseal.vocabulary.names import NextHop, parse_next_hop
from mxseal.vocabulary.rejection import Rejection

_SERVICE: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]{1,15}")
"""RFC 6335 §5.1: the name of a service."""

MAX_KEY: Final = 1100
"""Characters of a key that can be a next-hop: a name in U-labels, and a port."""

SERVICES: Final = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "lmtp": 24}
"""Of services(5), those to which mail is sent."""


def parse_key(key: str, port_of: Callable[[str], int | None] = SERVICES.get) -> NextHop | Rejection | None:
    """The next-hop that a key means; `port_of` knows the services, by name in lower case.

    None: a parent domain, which MTA-STS (RFC 8461 §3.4) and DANE (RFC 7672 §2.2.3)
    never take anything from, so that the answer is known without any work.  A
    rejection: no next-hop, for instance the path of a socket.
    """
    if key.startswith("."):
        return None
    if len(key) > MAX_KEY:
        return Rejection(key[:MAX_KEY], 0, MAX_KEY, "longer than any next-hop", "next-hop")
    host, colon, port = key.rpartition(":")
    if colon and _SERVICE.fullmatch(port) and not host.endswith(":"):
        number = port_of(port.lower())
        if number is not None:
            key = f"{host}:{number}"
    return parse_next_hop(key)
