"""A question, however it came, and what is said to it.

What can be said without looking anywhere is said at once: that parents of
domains, addresses, socket paths and texts that are no next-hop have no policy
(RFC 8461 §3.4), and what the administrator has set.  The rest is asked of
`journeys.answer_mta`, once for however many ask at the same time.
"""

import asyncio
import socket
from functools import lru_cache
from logging import getLogger
from typing import Final, Protocol

import msgspec

from mxseal.daemon.answers import ALWAYS, AnswerTable
from mxseal.daemon.counters import Counters
from mxseal.decisions.overrides import Overrides, override_in
from mxseal.decisions.postfix_answer import reply_in
from mxseal.journeys.answer_mta import Served
from mxseal.standards.postfix_tls import SERVICES, Dialect, NotFound, Ok, Reply, Temporary, parse_key
from mxseal.vocabulary.names import NextHop
from mxseal.vocabulary.rejection import Rejection, printable

log: Final = getLogger("mxseal.answers")

LONGEST: Final = 30.0
"""Seconds after which somebody who asks is told TEMP, whatever hangs; Postfix waits for 100."""
MOST_AT_ONCE: Final = 5_000
"""Answers being found out at a time; who asks for more is told TEMP, which bounds memory and not mail."""

_WAIT_FOR: Final = 5.0
"""Seconds for which an answer that comes of an error of ours is kept."""


@lru_cache(256)
def port_of(service: str) -> int | None:
    """What services(5) says of a name; Postfix asks with names where its configuration has them."""
    known = SERVICES.get(service)
    if known is not None:
        return known
    try:
        return socket.getservbyname(service, "tcp")
    except OSError:
        return None


class Service(Protocol):
    """The journey, as far as it is used here (`journeys.answer_mta.PolicyService`)."""

    async def answer(self, next_hop: NextHop) -> Served: ...

    def seconds_left(self, served: Served) -> float: ...


class Answer(msgspec.Struct, frozen=True):
    """What to say, and until when (`AnswerTable.now`) it may be said again."""

    reply: Reply
    until: float
    domain: str | None = None
    """The policy domain on which it rests."""
    epoch: int | None = None
    """Of the table when this was known to be current; None: it always is."""


class Found(msgspec.Struct, frozen=True):
    """A decision, when it ends, and the table's epoch when it was current."""

    served: Served
    until: float
    epoch: int


class Answerer:
    """Answers questions; one for the whole service."""

    def __init__(
        self,
        service: Service,
        *,
        table: AnswerTable,
        counters: Counters,
        overrides: Overrides | None = None,
        longest: float = LONGEST,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self.table: Final = table
        self.counters: Final = counters
        self.overrides = overrides or Overrides()
        self._service = service
        self._longest = longest
        self._most_at_once = most_at_once
        self._finding: Final[dict[NextHop, asyncio.Task[Found | None]]] = {}

    @property
    def finding(self) -> int:
        """How many answers are being found out."""
        return len(self._finding)

    def use(self, overrides: Overrides) -> None:
        """From now on; answers that are ready are forgotten."""
        self.overrides = overrides
        self.table.clear()

    def at_once(self, key: str, dialect: Dialect) -> Answer | None:
        """What can be said without looking anywhere; None: it has to be found out."""
        next_hop = parse_key(key, port_of)
        if next_hop is None:
            # A domain's parent; Postfix asks about those all the time.
            return self._said(NotFound())
        if isinstance(next_hop, Rejection):
            log.debug("no next-hop", extra={"key": printable(key, 200), "why": next_hop.message})
            return self._said(NotFound())
        override = self.overrides.reply(next_hop)
        if override is not None:
            return self._said(override_in(dialect, override))
        if next_hop.host is None:
            return self._said(NotFound())
        return None

    async def find_out(self, key: str, dialect: Dialect) -> Answer:
        """What has to be found out; never raises, never takes longer than `longest` seconds."""
        next_hop = parse_key(key, port_of)
        if next_hop is None or isinstance(next_hop, Rejection):
            return Answer(NotFound(), ALWAYS)
        found = await self.find(next_hop)
        if found is None:
            until = self.table.now() + _WAIT_FOR
            answer = Answer(Temporary("no answer now; the service's log tells why"), until)
        else:
            decision = found.served.decision
            answer = Answer(reply_in(dialect, decision), found.until, decision.domain, found.epoch)
        self.counters.found_out[kind_of(answer.reply)] += 1
        return answer

    def keep(self, request: bytes, framed: bytes, answer: Answer) -> None:
        """Have the reply to these octets ready from now on, if it is still current."""
        if answer.epoch is None or answer.epoch == self.table.epoch:
            self.table.put(request, (framed, answer.until), domain=answer.domain)

    async def find(self, next_hop: NextHop) -> Found | None:
        """The decision itself; None where there is none now, and why is in the log."""
        task = self._finding.get(next_hop)
        if task is None:
            if len(self._finding) >= self._most_at_once:
                log.error("too many answers to find out at a time", extra={"next_hop": str(next_hop)})
                return None
            task = asyncio.ensure_future(self._find(next_hop))
            self._finding[next_hop] = task
            task.add_done_callback(lambda _: self._finding.pop(next_hop, None))
        # Somebody who goes away does not take the answer from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop finding out; whoever still waits is told TEMP."""
        tasks = list(self._finding.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, next_hop: NextHop) -> Found | None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._longest):
                served = await self._service.answer(next_hop)
        except TimeoutError:
            late = {"next_hop": str(next_hop), "seconds": self._longest}
            log.error("no answer in time", extra=late)  # noqa: TRY400 - where it hung is not in the traceback
            return None
        except asyncio.CancelledError:
            return None
        except Exception:
            # The supervisor's place: whatever is wrong with us, mail waits and nothing is lost.
            log.exception("no answer, by a mistake of ours", extra={"next_hop": str(next_hop)})
            return None
        # Nothing is awaited since the service has vouched for it, so this is the epoch in which it is current.
        found = Found(served, self.table.now() + self._service.seconds_left(served), self.table.epoch)
        seconds = loop.time() - begun
        self.counters.took(seconds)
        log.info(
            "answer",
            extra={
                "next_hop": str(next_hop),
                "answer": str(reply_in(Dialect.PLAIN, served.decision)).strip(),
                "seconds": round(seconds, 4),
                "until": f"{served.valid_until:%Y-%m-%dT%H:%M:%SZ}",
            },
        )
        return found

    def _said(self, reply: Reply) -> Answer:
        self.counters.at_once[kind_of(reply)] += 1
        return Answer(reply, ALWAYS)


def kind_of(reply: Reply) -> str:
    """A word of a fixed set, for counting."""
    match reply:
        case Ok():
            return reply.policy.level.value
        case NotFound():
            return "notfound"
        case Temporary():
            return "temp"
