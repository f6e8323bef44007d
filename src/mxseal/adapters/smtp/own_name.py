"""What this machine calls itself in EHLO (RFC 5321 §4.1.4)."""

import socket

from mxseal.vocabulary.names import HostName, parse_host_name
from mxseal.vocabulary.rejection import Rejection


def own_name() -> HostName | None:
    """This machine's name, if that is fully qualified; no DNS is asked for it."""
    name = parse_host_name(socket.gethostname())
    return None if isinstance(name, Rejection) or "." not in name else name
