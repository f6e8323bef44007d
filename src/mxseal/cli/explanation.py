"""A delivery decision as numbered plain sentences, for an administrator at three in the morning."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from textwrap import wrap

from mxseal.decisions.delivery import Course, Decision, HostRequirement, Kind, Level, OneAnswer, Reason
from mxseal.decisions.postfix_answer import postfix_reply
from mxseal.journeys.discover_delivery import Discovery
from mxseal.vocabulary.rejection import printable

_WIDTH = 98
_SHOWN_RECORDS = 6

_COURSES = {
    Course.DELIVER: "may be delivered",
    Course.DEFER: "waits",
    Course.BOUNCE: "is returned to its sender",
}
_LEVELS = {
    Level.DANE: "only if its certificate matches its TLSA records (DANE)",
    Level.PKIX: "only with a certificate that is valid for its name (MTA-STS)",
    Level.ENCRYPT: "only over TLS; its certificate is not checked",
    Level.OPPORTUNISTIC: "TLS if offered, which an attacker can prevent",
    Level.SKIP: "not used",
}
_MEANINGS = {
    Kind.DANE_ONLY: "every host must be authenticated by TLSA records; a host without them is not used",
    Kind.DANE: "a host with TLSA records must match them; with the others TLS is used if they offer it",
    Kind.SECURE: "every host must show a valid certificate for one of these names",
    Kind.NOT_FOUND: "this table demands nothing; the next table or smtp_tls_security_level decides",
    Kind.TEMP: "the mail is deferred and tried again",
}


def lines(discovery: Discovery) -> Iterator[str]:
    """The explanation, line by line; whatever came from outside is escaped."""
    decision = discovery.decision
    number = count(1)
    yield f"Mail to {discovery.next_hop} {_COURSES[decision.course]}{_waits_at_mta(decision)}."
    yield ""
    yield "What is known"
    facts, conclusion = decision.reasons[:-1], decision.reasons[-1]
    for reason in (*facts, *(decision.policy.reasons if decision.policy else ())):
        yield from _sentence(next(number), reason)
    if decision.hosts:
        yield ""
        yield "The MX hosts, most preferred first"
        for host in decision.hosts:
            yield f"  {host.preference:>5} {host.host}: {_LEVELS[host.level]}"
            for reason in host.reasons:
                yield from _sentence(next(number), reason, indent=8)
            yield from _details(host)
    yield ""
    yield "What follows"
    yield from _sentence(next(number), conclusion)
    yield ""
    yield from _answer(decision.answer)
    yield f"  holds until {_moment(decision.valid_until)}, {_span(decision.valid_until - discovery.at)} from now"
    if decision.policy is not None and decision.policy.expires is not None:
        yield f"  the MTA-STS policy holds until {_moment(decision.policy.expires)} if no newer one is fetched"


def _waits_at_mta(decision: Decision) -> str:
    """A host may be free to try for us while an MTA that takes one answer has to wait."""
    if decision.course is Course.DELIVER and decision.answer.kind is Kind.TEMP:
        return " to some of its hosts, but waits at an MTA that takes one answer for all of them"
    return ""


def _sentence(number: int, reason: Reason, indent: int = 2) -> Iterator[str]:
    text = printable(reason.text, 1000) + "."
    if "." not in text.split()[0]:  # a domain's name begins no sentence with a capital letter
        text = text[0].upper() + text[1:]
    if reason.section:
        # Kept on one line: wrapping does not break at these blanks.
        text += f"  [{reason.section}]".replace("C ", "C\N{NO-BREAK SPACE}").replace(
            " §", "\N{NO-BREAK SPACE}§"
        )
    lead = f"{number:>{indent + 1}}. "
    first = True
    for part in wrap(text, _WIDTH - len(lead), break_on_hyphens=False):
        yield (lead if first else " " * len(lead)) + part.replace("\N{NO-BREAK SPACE}", " ")
        first = False


def _details(host: HostRequirement) -> Iterator[str]:
    margin = " " * 11
    for record in host.records[:_SHOWN_RECORDS]:
        text = str(record)
        yield f"{margin}TLSA {text if len(text) <= 80 else text[:79] + '…'}"
    if len(host.records) > _SHOWN_RECORDS:
        yield f"{margin}and {len(host.records) - _SHOWN_RECORDS} more"
    if host.level is Level.DANE and any(record.usage == 2 for record in host.records):
        yield f"{margin}with DANE-TA(2) the certificate is for one of: {', '.join(host.names)}"


def _answer(answer: OneAnswer) -> Iterator[str]:
    reply = str(postfix_reply(answer)).strip()
    status, _, words = reply.partition(" ")
    yield f"Answer to Postfix: {words if status == 'OK' else reply}"
    yield f"  {_MEANINGS[answer.kind]}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    return f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes"
