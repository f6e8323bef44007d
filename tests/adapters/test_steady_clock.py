"""No step of the machine's clock makes policies expire early."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.clock import SteadyClock, SystemClock

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)


class Machine:
    """A clock that can be set, and the time that really passes."""

    def __init__(self):
        self.passed, self.offset = 0.0, timedelta(0)
        self.steady = SteadyClock(self, lambda: self.passed)

    def now(self):
        return NOW + timedelta(seconds=self.passed) + self.offset

    def true(self):
        return NOW + timedelta(seconds=self.passed)

    def wait(self, time):
        self.passed += time.total_seconds()


def test_a_step_ahead_is_not_believed_for_a_day():
    machine = Machine()
    machine.offset = YEAR
    assert machine.steady.now() == NOW
    assert machine.steady.latest() == NOW + YEAR
    machine.wait(23 * HOUR)
    assert machine.steady.now() == machine.true()
    machine.wait(HOUR)
    assert machine.steady.now() == machine.steady.latest() == machine.now()


def test_a_step_back_is_followed_by_judging_and_not_by_stamping():
    machine = Machine()
    machine.offset = -YEAR
    assert machine.steady.now() == NOW - YEAR
    assert machine.steady.latest() == NOW
    machine.offset = timedelta(0)
    assert machine.steady.now() == machine.steady.latest() == NOW


def test_small_corrections_are_followed():
    machine = Machine()
    machine.offset = timedelta(milliseconds=-300)
    machine.wait(2 * DAY)
    assert machine.steady.now() == machine.now()


steps = st.lists(
    st.tuples(st.timedeltas(-YEAR, YEAR), st.timedeltas(timedelta(0), 2 * HOUR)), max_size=5
)  # less than a day


@given(steps, steps)
def test_what_is_stamped_never_looks_older_than_it_is(before, after):
    machine = Machine()
    for offset, time in before:
        machine.offset = offset
        machine.wait(time)
        machine.steady.now()
    stamp, passed = machine.steady.latest(), machine.passed
    for offset, time in after:
        machine.offset = offset
        machine.wait(time)
        assert machine.steady.now() - stamp <= timedelta(seconds=machine.passed - passed)


def test_the_machines_own():
    assert abs(SteadyClock().now() - SystemClock().now()) < timedelta(seconds=5)
