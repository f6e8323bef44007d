"""When to look, to refresh and to try again; whatever clock wrote the times."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.decisions.policy_lifecycle import CachedPolicy
from mxseal.decisions.schedule import (
    AFTER_FAILURE,
    AFTER_FAILURES,
    AFTER_SUCCESS,
    IDLE,
    LATEST_LOOK,
    LINGER,
    REFRESH,
    SOONEST_LOOK,
    PolicyState,
    after_failure,
    after_look,
    after_success,
    after_use,
    is_due,
    is_idle,
    is_over,
    may_attempt,
    next_attempt,
    refresh_at,
    retry_after,
    wants_refresh,
    worth_keeping,
)
from mxseal.standards.mta_sts import parse_policy
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import FetchStage

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DOMAIN = HostName("example.com")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def policy(mode="enforce", max_age=604800):
    return parse_policy(f"version: STSv1\nmode: {mode}\nmx: mx.example.com\nmax_age: {max_age}\n")


def known(mode="enforce", max_age=604800, age=timedelta(0), **more):
    state = PolicyState(domain=DOMAIN, look_at=NOW - age, used_at=NOW - age)
    state = after_success(state, "1", policy(mode, max_age), NOW - age, jitter=0.5)
    return msgspec.structs.replace(state, **more)


EMPTY = PolicyState(domain=DOMAIN, look_at=NOW, used_at=NOW)

ages = st.timedeltas(timedelta(days=-500), timedelta(days=500))
jitters = st.floats(0, 1, exclude_max=True)
states = st.builds(
    known,
    st.sampled_from(["enforce", "testing", "none"]),
    st.sampled_from([0, 300, 86400, 604800, 31557600]),
    ages,
    failures=st.integers(0, 50),
)


@pytest.mark.parametrize(
    ("failures", "pause"),
    [
        (0, MINUTE),
        (1, 5 * MINUTE),
        (2, 10 * MINUTE),
        (3, 20 * MINUTE),
        (4, 40 * MINUTE),
        (5, HOUR),
        (10**9, HOUR),
    ],
)
def test_the_pause_after_failures(failures, pause):
    assert retry_after(failures) == pause


def test_a_broken_policy_host_is_asked_at_most_every_five_minutes():
    state = after_failure(EMPTY, "1", "refused", FetchStage.CONNECT, NOW)
    assert not may_attempt(state, "1", NOW + 5 * MINUTE - timedelta(seconds=1))
    assert may_attempt(state, "1", NOW + 5 * MINUTE)
    state = after_failure(state, "1", "refused", FetchStage.CONNECT, NOW + 5 * MINUTE)
    assert not may_attempt(state, "1", NOW + 10 * MINUTE)
    # A new id says that somebody works on it: five minutes are enough again, never less.
    assert may_attempt(state, "2", NOW + 10 * MINUTE)
    assert not may_attempt(state, "2", NOW + 9 * MINUTE)
    assert (state.failures, state.failure, state.failure_stage) == (2, "refused", FetchStage.CONNECT)


@given(states, st.sampled_from(["", "1", "2"]), ages)
def test_an_attempt_is_never_further_away_than_the_longest_pause(state, record_id, age):
    assert (
        may_attempt(state, record_id, NOW - age)
        or next_attempt(state, record_id) <= NOW - age + AFTER_FAILURES
    )


@given(states, st.text("12", max_size=1), ages)
def test_a_failure_takes_nothing_away(state, record_id, age):
    after = after_failure(state, record_id, "x", None, NOW - age)
    assert after.cached == state.cached
    assert after.failures == state.failures + 1
    assert after.look_at - (NOW - age) >= AFTER_FAILURE


@given(states, ages, jitters)
def test_a_success_never_shortens_the_life_of_the_same_policy(state, age, jitter):
    now = NOW - age
    after = after_success(state, "1", state.cached.policy, now, jitter=jitter)
    assert after.cached.expires >= state.cached.expires
    assert after.cached.fetched_at >= now
    assert (after.failures, after.failure) == (0, "")


def test_a_newer_policy_replaces_be_it_weaker():
    for mode in ("testing", "none"):
        after = after_success(known(age=DAY), "2", policy(mode), NOW, jitter=0)
        assert after.cached == CachedPolicy("2", policy(mode), NOW)
    # Refreshed while the record cannot be seen: the id stays.
    assert after_success(known(age=DAY), "", policy(), NOW, jitter=0).cached.policy_id == "1"


def test_a_fetch_is_stamped_with_the_time_that_passed():
    after = after_success(EMPTY, "1", policy(), NOW - 400 * DAY, stamp=NOW, jitter=0)
    assert after.cached.fetched_at == NOW
    assert after.attempted_at == NOW - 400 * DAY


@given(states, st.sampled_from(["", "1", "2"]), st.none() | st.integers(-5, 10**9), ages, jitters)
def test_looks_are_neither_too_soon_nor_too_late_and_never_lost(state, record_id, ttl, age, jitter):
    now = NOW - age
    after = after_look(state, record_id, ttl, now, jitter=jitter)
    assert now + AFTER_SUCCESS <= after.look_at <= now + LATEST_LOOK
    assert not is_due(after.look_at, now)
    assert is_due(after.look_at, after.look_at)
    # A clock that was set back by more than a day after this does not put the look off.
    assert is_due(after.look_at, now - LATEST_LOOK - HOUR)
    assert after.cached == state.cached


@pytest.mark.parametrize(
    ("ttl", "pause"), [(None, SOONEST_LOOK), (0, SOONEST_LOOK), (3600, HOUR), (86400, DAY), (10**9, DAY)]
)
def test_the_record_is_looked_at_when_its_ttl_is_over(ttl, pause):
    state = known(mode="none")
    assert after_look(
        state, "", ttl, NOW + 2 * MINUTE, jitter=0.999999
    ).look_at - NOW - 2 * MINUTE == pytest.approx(pause, abs=timedelta(seconds=1))
    assert after_look(state, "", ttl, NOW + 2 * MINUTE, jitter=0).look_at == NOW + 2 * MINUTE + pause * 0.9


@pytest.mark.parametrize(
    ("max_age", "interval"), [(604800, REFRESH), (86400, DAY / 2), (3600, HOUR / 2), (31557600, REFRESH)]
)
def test_refreshed_daily_or_at_half_of_max_age(max_age, interval):
    state = known(max_age=max_age)
    assert refresh_at(state, "1", 0) == NOW + interval * 0.8
    assert refresh_at(state, "1", 0.999) < NOW + interval
    for record_id in ("", "1"):
        assert not wants_refresh(state, record_id, NOW + interval * 0.79, 0)
        assert wants_refresh(state, record_id, NOW + interval, 0.999)
    # Well before it expires, whatever the jitter.
    assert refresh_at(state, "1", 0.999) <= NOW + timedelta(seconds=max_age / 2)


def test_who_withdrew_is_left_alone_once_the_record_is_gone():
    assert wants_refresh(known(mode="none", age=2 * DAY), "1", NOW, 0.5)
    assert not wants_refresh(known(mode="none", age=2 * DAY), "", NOW, 0.5)
    assert not wants_refresh(EMPTY, "1", NOW, 0.5)


def test_what_was_fetched_in_the_future_is_refreshed_now_and_not_again_at_once():
    state = known(age=-365 * DAY)
    assert wants_refresh(state, "1", NOW, 0.5)
    again = after_success(state, "1", policy(), NOW, jitter=0.5)
    assert not wants_refresh(again, "1", NOW + HOUR, 0.5)
    assert again.cached.expires == state.cached.expires


def test_use_is_noted_once_a_day():
    state = known()
    assert after_use(state, NOW + HOUR) is state
    assert after_use(state, NOW + 25 * HOUR).used_at == NOW + 25 * HOUR
    assert after_use(state, NOW - HOUR).used_at == NOW - HOUR
    assert not is_idle(state, NOW + IDLE)
    assert is_idle(state, NOW + IDLE + HOUR)


def test_what_may_be_forgotten():
    assert not is_over(known(), NOW + 7 * DAY + LINGER - HOUR)
    assert is_over(known(), NOW + 7 * DAY + LINGER)
    broken = after_failure(EMPTY, "1", "x", None, NOW)
    assert not is_over(broken, NOW + HOUR)
    assert is_over(broken, NOW + DAY)


def test_what_is_given_up_first():
    order = [EMPTY, known(age=8 * DAY), known("none"), known("testing"), known()]
    assert [worth_keeping(state, NOW) for state in order] == [0, 1, 2, 3, 4]
