"""The keys with which MTAs ask: a next-hop, in one of several ways to write it.

smtp(8) asks with the next-hop as its configuration or the recipient's address
has it, in any case; for a domain that is not found it goes on with the domain's
parents, ``.example.com`` for ``mail.example.com``.  Ports may be names of
services (``[mx.example.com]:submission``), and lmtp(8) asks with paths of unix
sockets, about which neither DANE nor MTA-STS say anything.
"""

from typing import Final

from mxseal.vocabulary.names import NextHop, parse_next_hop
from mxseal.vocabulary.rejection import Rejection

MAX_KEY: Final = 1100
"""Characters of a key that can be a next-hop: a name in U-labels, and a port."""

_SERVICES: Final = {"smtp": "25", "submission": "587", "submissions": "465", "smtps": "465", "lmtp": "24"}
"""Of services(5), those to which mail is sent."""


def parse_key(key: str) -> NextHop | Rejection | None:
    """The next-hop that a key means.

    None: a parent domain, which MTA-STS (RFC 8461 §3.4) and DANE (RFC 7672 §2.2.3)
    never take anything from, so that the answer is known without any work.  A
    rejection: no next-hop, for instance the path of a socket.
    """
    if key.startswith("."):
        return None
    if len(key) > MAX_KEY:
        return Rejection(key[:MAX_KEY], 0, MAX_KEY, "longer than any next-hop", "next-hop")
    host, colon, port = key.rpartition(":")
    if colon and port.lower() in _SERVICES and not host.endswith(":"):
        key = f"{host}:{_SERVICES[port.lower()]}"
    return parse_next_hop(key)
