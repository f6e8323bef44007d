"""MXSeal: transport security for e-mail, both ends of it.

This is the front door; it re-exports and does nothing else::

    judgement = asyncio.run(mxseal.check("example.org"))
    judgement.state, judgement.sealed_by, judgement.findings

    delivery = asyncio.run(mxseal.deliver(message, to="otto@example.org"))
    delivery.ok, delivery.fates

What it re-exports is imported when it is first used, so that `import mxseal`
stays cheap: neither asyncio nor ssl is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mxseal._version import __version__

if TYPE_CHECKING:
    from mxseal.decisions.checkup import Judgement as Judgement
    from mxseal.delivering import deliver as deliver
    from mxseal.journeys.deliver import Delivery as Delivery
    from mxseal.vocabulary.findings import Finding as Finding
    from mxseal.wiring import WorldSettings as WorldSettings
    from mxseal.wiring import check as check

__all__ = ["Delivery", "Finding", "Judgement", "WorldSettings", "__version__", "check", "deliver"]

_HOMES = {
    "Delivery": "mxseal.journeys.deliver",
    "Finding": "mxseal.vocabulary.findings",
    "Judgement": "mxseal.decisions.checkup",
    "WorldSettings": "mxseal.wiring",
    "check": "mxseal.wiring",
    "deliver": "mxseal.delivering",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
