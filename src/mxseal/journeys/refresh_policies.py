"""Keep the policies fresh before they expire, and notice new ones, while nobody waits for it.

    asyncio.create_task(refresh_policies(service.keeper, sleeper=…))

Each kept policy domain is looked at when its TXT record's TTL is over
(`decisions.schedule`); its policy is fetched again if the id is another one, once a
day, or if the last attempt failed and its pause is over.  No question of an MTA
ever waits for this.
"""

import asyncio
import logging
from typing import Final

from mxseal.journeys.follow_policies import PolicyKeeper
from mxseal.journeys.ports import Sleeper
from mxseal.vocabulary.faults import Fault
from mxseal.vocabulary.names import HostName

_LOG: Final = logging.getLogger(__name__)
AT_ONCE: Final = 32
"""Domains that are looked at side by side."""
BATCH: Final = 1000
PAUSE: Final = 15.0
"""Seconds between two rounds; TTLs and pauses are minutes and more."""


async def refresh_policies(
    keeper: PolicyKeeper, *, sleeper: Sleeper, at_once: int = AT_ONCE, pause: float = PAUSE
) -> None:
    """Look at what is due, for ever; ends by being cancelled."""
    while True:
        await look_at_due(keeper, at_once=at_once)
        await sleeper.sleep(pause)


async def look_at_due(keeper: PolicyKeeper, *, at_once: int = AT_ONCE) -> int:
    """One round; how many domains were looked at."""
    try:
        due = list(await keeper.due(BATCH))
    except Fault as fault:
        _LOG.warning("cannot look for policies to refresh: %s", fault)
        return 0
    waiting = iter(due)

    async def work() -> None:
        for domain in waiting:
            await _look(keeper, domain)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(due))):
            group.create_task(work())
    return len(due)


async def _look(keeper: PolicyKeeper, domain: HostName) -> None:
    try:
        await keeper.look(domain)
    except Fault as fault:
        _LOG.warning("policy domain=%s cannot be looked at: %s", domain, fault)
    except Exception:  # noqa: BLE001 - a supervisor: one domain must not end the refreshing of all others
        _LOG.exception("policy domain=%s cannot be looked at", domain)
