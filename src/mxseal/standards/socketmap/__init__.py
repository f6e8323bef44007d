"""The socketmap protocol, as Postfix and Sendmail ask a policy service.

socketmap_table(5) of Postfix, which took it from Sendmail's libsmdb::

    connection = *( request reply )      ; over TCP or a unix socket
    request    = netstring( map-name SP key )
    reply      = netstring( status SP [data] )
    netstring  = length ":" octets ","   ; length: decimal count of octets
    status     = "OK"                    ; data is the result, never empty
               / "NOTFOUND"              ; not in this table
               / "TEMP" / "TIMEOUT"      ; data is the reason; mail waits
               / "PERM"                  ; the same for Postfix, logged as a mistake of the set-up

What the specification leaves open, and what is done here:

* Postfix' own reader accepts leading zeros in a length, so this one does too,
  up to the number of digits that a length can have.
* The key comes as the recipient's address was written: in any case, in UTF-8.
  It is not changed here.
* Postfix and Sendmail wait for the reply before they ask again.  Requests that
  come all at once are answered in their order.
* What is no netstring cannot be skipped, since nobody knows where the next
  request begins: the caller says so (`PERM`) and closes.
* Postfix reads replies of at most `MAX_REPLY_OCTETS`; `reply` never makes a
  longer one, and says `TEMP` instead.

    pump = Pump()
    for event in pump.receive(octets):       # Request | Rejection
        ...
    transport.write(reply("OK dane-only"))   # b"12:OK dane-only,"

After a `Rejection` for which `pump.broken` is true the connection is of no use.
"""

from mxseal.standards.socketmap.pump import (
    MAX_REPLY_OCTETS,
    MAX_REQUEST_OCTETS,
    Pump,
    Request,
    netstring,
    parse_request,
    reply,
)

__all__ = [
    "MAX_REPLY_OCTETS",
    "MAX_REQUEST_OCTETS",
    "Pump",
    "Request",
    "netstring",
    "parse_request",
    "reply",
]
