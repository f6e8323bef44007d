"""What became of a mail, for people and for scripts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mxseal.vocabulary.rejection import printable

if TYPE_CHECKING:
    from mxseal.decisions.mailing import Delivered, Fate
    from mxseal.decisions.policy_lifecycle import Reason
    from mxseal.journeys.deliver import Delivery

# sysexits.h
_NO_USER, _NO_HOST, _UNAVAILABLE, _TEMPORARY = 67, 68, 69, 75

_NO_HOST_STATUS: Final = frozenset({"5.1.2", "5.1.10", "5.4.4"})
_NO_USER_STATUS: Final = frozenset({"5.1.1", "5.1.3", "5.1.6"})


def lines(delivery: "Delivery") -> Iterator[str]:
    """Some lines for each recipient."""
    for fate in delivery.fates:
        yield from _about(fate)


def _about(fate: "Fate") -> Iterator[str]:
    from mxseal.decisions.mailing import Bounced, Deferred, Delivered

    recipient = printable(fate.recipient)
    match fate:
        case Delivered():
            yield f"{recipient}: delivered to {fate.host or f'[{fate.address}]'}, {_how(fate)}"
            yield f"    {_reason(fate.proof)}"
            yield f"    it says: {printable(str(fate.said), 200)}"
        case Deferred(reasons=reasons, maybe_delivered=maybe):
            what = "deferred, and may have been delivered" if maybe else "deferred"
            yield f"{recipient}: {what}; try again later"
            yield from (f"    {_reason(reason)}" for reason in reasons)
        case Bounced(reasons=reasons, status=status):
            yield f"{recipient}: returned ({status})"
            yield from (f"    {_reason(reason)}" for reason in reasons)


def _how(fate: "Delivered") -> str:
    if not fate.tls:
        return "in clear"
    sealed = "sealed" if fate.sealed else "encrypted"
    return f"{sealed}: {printable(fate.tls)}, {printable(fate.cipher)}"


def _reason(reason: "Reason") -> str:
    return printable(reason.text, 1000) + (f"  ({reason.section})" if reason.section else "")


def exit_code(delivery: "Delivery") -> int:
    """Of sysexits.h: 0, or what has to be done first."""
    if delivery.ok:
        return 0
    if delivery.deferred:
        return _TEMPORARY
    statuses = {fate.status for fate in delivery.bounced}
    if statuses <= _NO_HOST_STATUS:
        return _NO_HOST
    return _NO_USER if statuses <= _NO_USER_STATUS else _UNAVAILABLE
