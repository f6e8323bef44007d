"""The client side of SMTP up to the sealed session: greeting, EHLO, STARTTLS, EHLO again (RFC 3207, RFC 5321).

SMTP begins in the clear.  The server greets with 220; the client says EHLO and
gets the list of extensions; if STARTTLS is among them, the client sends it,
the server answers 220, and from the next octet on both sides speak TLS
(RFC 3207 §4).  Then everything learnt in the clear is forgotten, and the client
says EHLO again (RFC 3207 §4.2).

All of the first part is in the hands of whoever sits in the path.  He can cut
the keyword out of the EHLO reply, answer 454 himself, or put replies *behind*
the 220, hoping that the client keeps them in its buffer and takes them for
answers that came through TLS (the class of CVE-2011-0411).  So this package
never repairs anything: a missing keyword, a refusal and octets behind the 220
are three different events, and the last one ends the session.  There is no
fall-back to HELO, because HELO has no extensions and so no STARTTLS
(RFC 5321 §4.1.1.1): for a sender that needs TLS it is a dead end.

Replies come in lines ``250-text`` … ``250 text`` (RFC 5321 §4.2.1), cut by the
network anywhere, and from peers that may be hostile: `ReplyReader` puts them
together within bounds.  It knows nothing about sessions, so it serves after TLS
for MAIL, RCPT and DATA as well.

`Dialogue` is a pump, without sockets: octets in, events and octets out.

    dialogue = Dialogue(HostName("client.example.org"))
    dialogue.receive(octets from the socket)        # b"" when the peer has closed
    while event := dialogue.next_event():
        Greeted            nothing to do; EHLO is queued already
        Extended           call start_tls() or quit(); inside of TLS the session is ready for mail
        UpgradeNow         send what is queued, shake hands, then call tls_established()
        Refused            the peer said no at `event.stage`; call quit(), or go on in the clear
        Violated, Lost     over: close the connection
        Parted             over, politely
    send dialogue.data_to_send() after each step
"""

from mxseal.standards.starttls.dialogue import (
    TRANSITIONS,
    Dialogue,
    Event,
    Extended,
    Greeted,
    Lost,
    OutOfTurn,
    Parted,
    Refused,
    State,
    Step,
    UpgradeNow,
    Violated,
)
from mxseal.standards.starttls.extensions import Extension, Extensions, parse_extensions
from mxseal.standards.starttls.replies import (
    MAX_LINE,
    MAX_LINES,
    MAX_REPLY,
    BrokenReply,
    Reply,
    ReplyReader,
)

__all__ = [
    "MAX_LINE",
    "MAX_LINES",
    "MAX_REPLY",
    "TRANSITIONS",
    "BrokenReply",
    "Dialogue",
    "Event",
    "Extended",
    "Extension",
    "Extensions",
    "Greeted",
    "Lost",
    "OutOfTurn",
    "Parted",
    "Refused",
    "Reply",
    "ReplyReader",
    "State",
    "Step",
    "UpgradeNow",
    "Violated",
    "parse_extensions",
]
