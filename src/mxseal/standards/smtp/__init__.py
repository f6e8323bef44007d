"""Handing mail over: the transaction of SMTP, from MAIL to the final dot (RFC 5321).

When a session stands, in the clear or inside of TLS, mail goes in three steps
(RFC 5321 §3.3).  MAIL names the sender and opens a transaction.  Each RCPT names
a recipient and gets an answer of its own.  DATA asks for leave to send; after
354 the message follows, line by line, and a line with nothing but a dot ends it;
therefore a line that begins with a dot gets another one before it (§4.5.2).  The
answer to that dot is the only one that counts: with 250 the server has taken
responsibility (§6.1).

The first digit of an answer decides (§4.2.1): 2 done, 3 go on, 4 not now, 5
never.  421 ends the session at any point (§3.8).  Where the session breaks
off after the dot and before its answer, nobody can know whether the server has
the mail (RFC 1047): it has to be tried again, and may come twice; so that wait
is the longest of all (RFC 5321 §4.5.3.2.6).

Extensions in the EHLO reply widen what may be sent: SIZE (RFC 1870), 8BITMIME
(RFC 6152), SMTPUTF8 (RFC 6531), PIPELINING (RFC 2920).  Enhanced status codes
(RFC 3463) stand at the beginning of a reply's text (RFC 2034).

`standards.starttls` makes the session and reads replies; `Transaction` is a
pump that knows of no sockets:

    message = read_message(octets)                   # or a Rejection
    envelope = Envelope(sender, recipients, message)
    offers = read_offers({keyword: parameters, …})
    envelope.unfit(offers)                           # not None: this server cannot be given it
    transaction = Transaction(envelope, offers)
    while not transaction.is_over:
        if data := transaction.data_to_send():
            send it
        else:
            transaction.take(the next reply)         # or transaction.lost("why") if there is none
    transaction.answers                              # one for each recipient
    transaction.must_close                           # or another Transaction may follow
"""

from mxseal.standards.smtp.mailbox import MAX_PATH, Mailbox, parse_mailbox
from mxseal.standards.smtp.message import MAX_HOPS, Message, read_message
from mxseal.standards.smtp.offers import Offers, Unfit, read_offers
from mxseal.standards.smtp.status import Said, ServerReply, read_reply
from mxseal.standards.smtp.submission import field_names, finish
from mxseal.standards.smtp.transaction import (
    MAX_RECIPIENTS,
    Answered,
    Declined,
    Envelope,
    NotAsked,
    Taken,
    Transaction,
    Unsure,
    Verb,
)

__all__ = [
    "MAX_HOPS",
    "MAX_PATH",
    "MAX_RECIPIENTS",
    "Answered",
    "Declined",
    "Envelope",
    "Mailbox",
    "Message",
    "NotAsked",
    "Offers",
    "Said",
    "ServerReply",
    "Taken",
    "Transaction",
    "Unfit",
    "Unsure",
    "Verb",
    "field_names",
    "finish",
    "parse_mailbox",
    "read_message",
    "read_offers",
    "read_reply",
]
