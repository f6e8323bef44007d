"""Replies that are ready: request octets → reply octets, for as long as they hold."""

import time
from collections.abc import Iterable
from typing import Final

Entry = tuple[bytes, float]
"""Reply, and until when it may be given, by the clock of `AnswerTable.now`."""

ALWAYS: Final = float("inf")
"""For replies that follow from the question alone."""


class AnswerTable:
    """A bounded dictionary of replies.

    Who is in a hurry reads `entries` directly; an entry counts while ``now() < until``.
    `epoch` changes whenever answers were forgotten: who has had to wait with an
    answer in hand keeps it only if none were meanwhile.
    """

    now: Final = staticmethod(time.monotonic)
    """Seconds from any beginning: clocks get set, and no answer lives longer or shorter by that."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.epoch = 0
        self.entries: Final[dict[bytes, Entry]] = {}
        self._domains: Final[dict[str, set[bytes]]] = {}
        self._domain_of: Final[dict[bytes, str]] = {}

    def put(self, request: bytes, entry: Entry, *, domain: str | None = None) -> None:
        """Keep a reply; the oldest entries make room."""
        if len(self.entries) >= self.limit and request not in self.entries:
            # A tenth at a time, so that a full table does not cost each new answer a search.
            oldest = [key for key, _ in zip(self.entries, range(max(1, self.limit // 10)), strict=False)]
            self._drop(oldest)
        self._drop((request,))
        self.entries[request] = entry
        if domain is not None:
            self._domain_of[request] = domain
            self._domains.setdefault(domain, set()).add(request)

    def forget(self, domain: str) -> None:
        """Drop what rests on the policy of this domain."""
        self.epoch += 1
        self._drop(tuple(self._domains.get(domain, ())))

    def clear(self) -> None:
        self.epoch += 1
        self.entries.clear()
        self._domains.clear()
        self._domain_of.clear()

    def __len__(self) -> int:
        return len(self.entries)

    def _drop(self, requests: Iterable[bytes]) -> None:
        for request in requests:
            self.entries.pop(request, None)
            domain = self._domain_of.pop(request, None)
            if domain is not None:
                others = self._domains[domain]
                others.discard(request)
                if not others:
                    del self._domains[domain]
