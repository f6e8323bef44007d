"""Replies that are ready: request octets → reply octets, for as long as they hold."""

import time
from collections.abc import Iterable
from typing import Final

Entry = tuple[bytes, float]
"""Reply, and until when it may be given, by the clock of `AnswerTable.now`."""

ALWAYS: Final = float("inf")
"""For replies that follow from the question alone."""


LONGEST_REQUEST: Final = 1_400
"""Octets; what is longer is no next-hop, and not worth to be kept."""
_USUAL: Final = 1_000
"""Octets of a request and its reply, on average, for which there is room; usual are 200."""


class AnswerTable:
    """A dictionary of replies, bounded in number and octets.

    Who is in a hurry reads `entries` directly; an entry counts while ``now() < until``.
    `epoch` changes whenever answers were forgotten: who has had to wait with an
    answer in hand keeps it only if none were meanwhile.
    """

    now: Final = staticmethod(time.monotonic)
    """Seconds from any beginning: clocks get set, and no answer lives longer or shorter by that."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.max_octets: Final = limit * _USUAL
        self.octets = 0
        self.epoch = 0
        self.entries: Final[dict[bytes, Entry]] = {}
        self._domains: Final[dict[str, set[bytes]]] = {}
        self._domain_of: Final[dict[bytes, str]] = {}

    def put(self, request: bytes, entry: Entry, *, domain: str | None = None) -> None:
        """Keep a reply; the oldest entries make room."""
        size = len(request) + len(entry[0])
        if len(request) > LONGEST_REQUEST or size > self.max_octets:
            return
        self._drop((request,))
        while len(self.entries) >= self.limit or self.octets + size > self.max_octets:
            # A tenth at a time, so that a full table does not cost each new answer a search.
            oldest = [key for key, _ in zip(self.entries, range(max(1, self.limit // 10)), strict=False)]
            self._drop(oldest)
        self.entries[request] = entry
        self.octets += size
        if domain is not None:
            self._domain_of[request] = domain
            self._domains.setdefault(domain, set()).add(request)

    def forget(self, domain: str) -> None:
        """Drop what rests on the policy of this domain."""
        self.epoch += 1
        self._drop(tuple(self._domains.get(domain, ())))

    def clear(self) -> None:
        self.epoch += 1
        self.octets = 0
        self.entries.clear()
        self._domains.clear()
        self._domain_of.clear()

    def __len__(self) -> int:
        return len(self.entries)

    def _drop(self, requests: Iterable[bytes]) -> None:
        for request in requests:
            entry = self.entries.pop(request, None)
            if entry is None:
                continue
            self.octets -= len(request) + len(entry[0])
            domain = self._domain_of.pop(request, None)
            if domain is not None:
                others = self._domains[domain]
                others.discard(request)
                if not others:
                    del self._domains[domain]
