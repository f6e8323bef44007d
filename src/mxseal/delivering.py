"""The front door of delivering: ``await mxseal.deliver(message, to=…)``.

    import asyncio, mxseal
    delivery = asyncio.run(mxseal.deliver(message, to="otto@example.org"))
    print(delivery.fates)

Takes a message as Python's `email` package or a file has it, makes it fit to
travel (Date, Message-ID and From where they are missing; Bcc out), and gives it
to `journeys.deliver`.
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from email import policy
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime, getaddresses, make_msgid
from io import BytesIO
from pathlib import Path
from typing import Final

from mxseal.adapters.memory import MemoryPolicyStore
from mxseal.adapters.smtp.own_name import own_name
from mxseal.decisions.mailing import Mail
from mxseal.journeys.deliver import Delivery
from mxseal.journeys.ports import Clock, PolicyStore
from mxseal.standards import smtp
from mxseal.standards.smtp import Mailbox, parse_mailbox, read_message
from mxseal.vocabulary.faults import DataFault, StorageFault, UsageFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.rejection import Rejection, printable
from mxseal.wiring import World, WorldSettings

_REMEMBERED: Final[dict[object, MemoryPolicyStore]] = {}
"""MTA-STS policies for as long as this process lives, by what was trusted when they were fetched.

Trust on first use begins anew with the next process.
"""


async def deliver(
    message: EmailMessage | Message | bytes,
    *,
    to: str | Iterable[str] | None = None,
    sender: str | None = None,
    settings: WorldSettings | None = None,
    policies: Path | PolicyStore | None = None,
    ehlo_name: HostName | None = None,
    seconds: float = 900.0,
) -> Delivery:
    """Deliver a message, authenticated by DANE or MTA-STS wherever a domain has them.

    Nothing is queued: keep what is ``deferred`` and try again later, for those recipients.

    Args:
        message: as `email.message` or octets; the former is sent as 7-bit text, which every server takes.
        to: the recipients' addresses.  None: those in To, Cc and Bcc.
        sender: for bounces; "" for none.  None: the address in Sender or From.
        settings: where the world is: resolver, trust anchors, CAs, ports.
        policies: where MTA-STS policies are remembered: a file, or a store.  None: in this process.
            A policy that is remembered cannot be taken away by who sits in the path, so a
            program that is started for each mail should name a file.
        ehlo_name: what we call ourselves; by default this machine's name, if it has a full one.
        seconds: time for all of it.

    Raises:
        UsageFault: an address is none, or there is no recipient.
        DataFault: the message cannot be mailed.
        UnavailableFault: this machine has no resolver that can be used.
        StorageFault: the file of policies is not ours.
    """
    settings = settings or WorldSettings()
    world = World(settings)
    if policies is None:
        trusted = (settings.ca_file, settings.trust_anchor, settings.resolvers, settings.https_port)
        policies = _REMEMBERED.setdefault(trusted, MemoryPolicyStore())
    mail = compose(message, to=to, sender=sender, clock=world.clock)
    async with (
        _opened(policies) as store,
        world.deliverer(store, ehlo_name=ehlo_name, seconds=seconds) as deliverer,
    ):
        return await deliverer.deliver(mail)


@asynccontextmanager
async def _opened(policies: Path | PolicyStore) -> AsyncIterator[PolicyStore]:
    """The memory of policies; raises `StorageFault` if a file is not ours."""
    if isinstance(policies, Path):
        from mxseal.adapters.sqlite import SqlitePolicyStore  # noqa: PLC0415 - few need it

        store = await SqlitePolicyStore.open(policies)
        try:
            yield store
        finally:
            await store.close()
    else:
        yield policies


def compose(
    message: EmailMessage | Message | bytes,
    *,
    to: str | Iterable[str] | None,
    sender: str | None,
    clock: Clock,
) -> Mail:
    """Make a mail of it; see `deliver`."""
    octets = message if isinstance(message, bytes) else _octets(message)
    header = _header(octets)
    if to is None:
        to = recipients_of(octets)
    elif isinstance(to, str):
        to = [to]
    if sender is None:
        sender = next(iter(_addresses(header, "Sender") or _addresses(header, "From")), None)
        if sender is None:
            raise UsageFault(
                "nobody is named as sender",
                cure='give the message a From field, or say who sends it; "" is nobody',
            )
    recipients = tuple(dict.fromkeys(map(_mailbox, to)))
    if not recipients:
        raise UsageFault("there is no recipient", cure="name one, or give the message a To field")
    author = _mailbox(sender) if sender else None
    return Mail(sender=author, recipients=recipients, message=_finished(octets, author, clock))


def recipients_of(octets: bytes) -> list[str]:
    """The addresses in To, Cc and Bcc."""
    return _addresses(_header(octets), "To", "Cc", "Bcc")


def _header(octets: bytes) -> Message:
    return BytesHeaderParser(policy=policy.compat32).parsebytes(octets)


def _finished(octets: bytes, author: Mailbox | None, clock: Clock) -> smtp.Message:
    made_fit = _fit(read_message(octets))
    domain = author.domain if author is not None and isinstance(author.domain, HostName) else own_name()
    missing = {
        "Date": format_datetime(clock.now()),
        "Message-ID": make_msgid(domain=domain or "localhost.invalid"),
    }
    if author is not None and author.is_ascii:
        missing["From"] = str(author)
    return _fit(read_message(smtp.finish(made_fit.octets, missing)))


def _fit(message: smtp.Message | Rejection) -> smtp.Message:
    if isinstance(message, Rejection):
        raise DataFault(message.message, cure="encode it, for instance as base64 (RFC 2045 §6)")
    return message


def _octets(message: Message) -> bytes:
    """The message as 7-bit text, but for internationalized addresses, which only UTF-8 can carry (RFC 6532 §3)."""
    names = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc")
    international = not all(address.isascii() for address in _addresses(message, *names))
    if isinstance(message, EmailMessage):
        rules: policy.Policy = policy.SMTP.clone(cte_type="7bit", utf8=international)
    else:
        rules = message.policy.clone(linesep="\r\n", cte_type="7bit")
    written = BytesIO()
    BytesGenerator(written, policy=rules, mangle_from_=False).flatten(message)
    return written.getvalue()


def _addresses(header: Message, *names: str) -> list[str]:
    """The addresses in these fields; RFC 2047 words stand in display names only, so they need no decoding."""
    fields = [_text(value) for name in names for value in header.get_all(name, ())]
    return [address for _, address in getaddresses(fields) if address]


def _text(field: object) -> str:
    """A field of whatever kind as text; octets above 127 are UTF-8 (RFC 6532 §3) or nothing."""
    return str(field).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _mailbox(text: str) -> Mailbox:
    parsed = parse_mailbox(text.strip())
    if isinstance(parsed, Rejection):
        raise UsageFault(f"no mail address: {parsed.with_caret()}", cure="an address is local-part@domain")
    return parsed


def own_policies() -> Path:
    """The file for programs that are started for each mail, this user's or root's; its folder is made."""
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111 - no OSError
    folder = Path("/var/lib/mxseal") if os.geteuid() == 0 else Path(home) / "mxseal"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFault(
            f"{printable(str(folder))}: {error.strerror}", cure="name a file with --policies"
        ) from None
    return folder / "mail-policies.sqlite"
