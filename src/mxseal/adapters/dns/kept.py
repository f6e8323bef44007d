"""What is remembered, bounded by its size in memory: who floods it pushes out the oldest, and no more."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The values used last, as many as fit into `octets` by the sizes that `put` is told."""

    def __init__(self, octets: int) -> None:
        self._limit = octets
        self._items: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.octets = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Key) -> Value | None:
        """The value, which thereby counts as used."""
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Remember `value`, of `size` octets; what is larger than the whole is not."""
        self.drop(key)
        if size > self._limit:
            return
        self._items[key] = value, size
        self.octets += size
        while self.octets > self._limit:
            _, (_, gone) = self._items.popitem(last=False)
            self.octets -= gone

    def drop(self, key: Key) -> None:
        """Forget it, if it is there."""
        found = self._items.pop(key, None)
        if found is not None:
            self.octets -= found[1]
