"""An event loop whose time passes only when everybody waits: hours of it take milliseconds."""

import asyncio
import selectors
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):
    """Nothing ever becomes ready; waiting moves the time on instead."""

    passed = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.passed += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self):
        return self.selector.passed

    def _write_to_self(self):
        """There are no threads that would have to wake it."""


class WallClock:
    """A clock that shows the loop's time, and may be set."""

    def __init__(self, loop):
        self._loop = loop
        self.offset = timedelta(0)

    def now(self):
        return BEGIN + timedelta(seconds=self._loop.time()) + self.offset


class LoopSleeper:
    async def sleep(self, seconds):
        await asyncio.sleep(seconds)


class VirtualExecutor(Executor):
    """Work is done on the loop itself: at once, late, or never."""

    def __init__(self, loop):
        self._loop = loop
        self.delay = 0.0
        """Seconds that work takes; None: it hangs until `release`."""
        self._hanging = []
        self.dead = False

    def submit(self, work, /, *arguments, **keywords):
        future = Future()

        def run():
            if self.dead or not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(*arguments, **keywords))
            except BaseException as error:  # noqa: BLE001 - handed on, as executors do
                future.set_exception(error)

        if self.delay is None:
            self._hanging.append(run)
        elif self.delay:
            self._loop.call_later(self.delay, run)
        else:
            run()
        return future

    def release(self):
        self.delay = 0.0
        hanging, self._hanging = self._hanging, []
        for run in hanging:
            self._loop.call_soon(run)

    def kill(self):
        """What has not been done will never be."""
        self.dead = True
        self._hanging.clear()

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass
