"""Everything outside fails, hangs, lies and is slow, in every phase of a policy's life: three laws hold.

* Never weaker: while a policy that was delivered is within its max_age, or secure DNSSEC data
  demands DANE, no answer demands less.
* No invented failure: TEMP only where a lookup that matters failed a moment ago, or the store
  could not be read; and never a demand that nobody made.
* Nothing lost: what the store called written is there after `kill -9`.

A model that is far simpler than the service says what is allowed.  Time is virtual.
MXSEAL_FAULT_STEPS=5000 makes a long run.
"""

import asyncio
import itertools
import os
import random
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from fault_world import Domain, Fault, ShakyStore, World, policy_text
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from virtual_time import LoopSleeper, VirtualExecutor, VirtualLoop, WallClock

from mxseal.adapters.clock import SteadyClock
from mxseal.adapters.sqlite import SqlitePolicyStore
from mxseal.adapters.sqlite.journal import Journal
from mxseal.decisions.delivery import Kind
from mxseal.journeys.answer_mta import PolicyService
from mxseal.journeys.refresh_policies import refresh_policies
from mxseal.standards.mta_sts import Mode, parse_policy
from mxseal.vocabulary.names import HostName, parse_next_hop

NAMES = tuple(map(HostName, ("one.example", "two.example")))
ANSWER_WITHIN = 5.0
WINDOW = 310.0
"""Seconds for which an answer may rest on what was true: the records' TTL and the time to gather."""
DAY = 86400.0

names = st.sampled_from([NAMES[0], NAMES[0], NAMES[0], NAMES[1]])
forms = st.sampled_from(["{}", "[{}]", "{}:587"])
max_ages = st.sampled_from([3600, 86400, 604800])
modes = st.sampled_from(["enforce", "enforce", "testing", "none"])
kinds = st.sampled_from(["txt", "mx", "address", "tlsa"])
# Short waits lead to races, long ones to expiry.
short_waits = st.sampled_from([0.06, 1.0, 2.0, 31.0, 61.0])
long_waits = st.sampled_from([301.0, 301.0, 1800.0, 7200.0, DAY / 2, 3 * DAY, 8 * DAY])
jumps = st.sampled_from([0.0, -300 * DAY, -3600.0, 7200.0, 30 * DAY, 300 * DAY])


@dataclass(frozen=True)
class Delivered:
    """A policy that a policy host handed over, and the bounds of the time with which it is stamped."""

    text: str
    time: float
    stamps: tuple[float, float]

    @property
    def policy(self):
        return parse_policy(self.text)

    def is_kept_as(self, cached):
        """The same text may have been delivered twice, and only the first one written."""
        stamp = cached.fetched_at.timestamp()
        earliest, latest = self.stamps
        same = "\n".join(cached.policy.lines) == self.text.rstrip("\n")
        return same and earliest - 0.01 <= stamp <= latest + 0.01


class FaultCampaign(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        memory = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.wall = WallClock(self.loop)
        self.world = World(self.loop, [Domain(name) for name in NAMES])
        self.numbers = itertools.count(1)
        self.write_fault = None
        self.patches = [
            patch.object(Journal, "write", self._faulty(Journal.write, ("full", "locked"))),
            patch.object(Journal, "load", self._faulty(Journal.load, ("locked",))),
        ]
        for one in self.patches:
            one.start()
        # --- the model
        self.held = dict.fromkeys(NAMES)
        """The last policy delivered, as far as the sender must know it."""
        self.durable = dict.fromkeys(NAMES)
        self.since = defaultdict(list)
        """Deliveries after the durable one: after a kill each of them may be there."""
        self.counted = 0
        self.history = defaultdict(list)
        """Domain → (time, DANE, trouble with lookups): what was true from when on."""
        self.store_trouble = -1e9
        self.jumped_at = None
        self.paths = itertools.count(1)
        self.start(self.directory / "0.db")

    def teardown(self):
        self.kill_tasks()
        for one in self.patches:
            one.stop()
        self.loop.close()
        asyncio.set_event_loop(None)
        shutil.rmtree(self.directory)

    def _faulty(self, original, faults):
        def wrapped(journal, *arguments):
            if self.write_fault in faults:
                raise sqlite3.OperationalError(f"the database is {self.write_fault}")
            return original(journal, *arguments)

        return wrapped

    # --- the process -----------------------------------------------------------------------------

    def start(self, path):
        self.path = path
        self.executor = VirtualExecutor(self.loop)
        self.started = (self.loop.time(), self.wall_seconds())
        self.wrongly_started = self.wall.offset != timedelta(0)
        self.run(self._start())

    async def _start(self):
        store = await SqlitePolicyStore.open(self.path, now=self.wall.now, retry=5.0, executor=self.executor)
        self.store = ShakyStore(store)
        self.service = PolicyService(
            resolver=self.world,
            policy_hosts=self.world,
            store=self.store,
            clock=self.wall,
            steady=SteadyClock(self.wall, self.loop.time),
            jitter=random.Random(1).random,
        )
        self.refresher = asyncio.create_task(
            refresh_policies(self.service.keeper, sleeper=LoopSleeper(), pause=1800.0)
        )

    def kill_tasks(self):
        """The process ends between two instructions: nothing that was begun is finished."""
        self.executor.kill()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def run(self, work):
        result = self.loop.run_until_complete(work)
        self.take_note()
        return result

    def wall_seconds(self):
        return self.wall.now().timestamp()

    def wait(self, seconds):
        if self.jumped_at is not None and self.loop.time() + seconds > self.jumped_at + 0.8 * DAY:
            # Longer than a day no clock is wrong: somebody sees it.
            self.mend_clock()
        self.run(asyncio.sleep(seconds))

    def mend_clock(self):
        self.wall.offset = timedelta(0)
        self.jumped_at = None

    # --- the model ---------------------------------------------------------------------------------

    def note_truth(self):
        for name, domain in self.world.domains.items():
            harmful = {
                kind: fault
                for kind, fault in domain.faults.items()
                if kind != "txt"
                and fault not in (Fault.NONE, Fault.SLOWISH)
                # A lie about an unsigned zone is not told here, and one about a signed zone is found out.
                and (fault is not Fault.LIES or domain.dane)
            }
            self.history[name].append((self.loop.time(), domain.dane, bool(harmful)))
        if self.store.reading in (Fault.FAILS, Fault.HANGS, Fault.SLOW) or not self.store.inner._loaded:
            self.store_trouble = self.loop.time()

    def take_note(self):
        """What was delivered while the loop ran."""
        if not self.store.inner._loaded:
            self.store_trouble = self.loop.time()
        for name, text, time in self.world.delivered[self.counted :]:
            self.counted += 1
            passed = self.started[1] + time - self.started[0]
            # Between two rules the clock is not set, so this is what it showed.
            said = self.wall_seconds() - (self.loop.time() - time)
            stamps = (min(said, passed) if self.wrongly_started else max(said, passed), max(said, passed))
            before = self.held[name]
            if before is not None:
                stamps = tuple(map(max, stamps, before.stamps))
            self.held[name] = Delivered(text, time, stamps)
            self.since[name].append(self.held[name])

    def truths(self, name):
        """What DANE demanded at any time that an answer of now may rest on, and whether lookups had trouble."""
        states = self.history[name]
        begin = self.loop.time() - WINDOW
        first = max((i for i, s in enumerate(states) if s[0] <= begin), default=0)
        return {s[1] for s in states[first:]}, any(s[2] for s in states[first:])

    def life(self, held):
        """Whether a policy surely holds now, and whether it may."""
        said = self.wall_seconds()
        passed = self.started[1] + self.loop.time() - self.started[0]
        latest = max(said, passed) if self.wrongly_started else min(said, passed)
        age = held.policy.max_age
        # A clock that is set back revives a policy, and an answer given before that holds for its TTL.
        truly = self.loop.time() - held.time < age - 1
        # An answer may be kept half a minute longer than its policy.
        return truly and latest < held.stamps[0] + age - 1, min(said, passed) < held.stamps[1] + age + 31

    def allowed(self, name, at_once=()):
        """Every (kind, patterns) that is neither too weak nor invented."""
        danes, lookups = self.truths(name)
        answers = set()
        if lookups or self.loop.time() - self.store_trouble < 40:
            answers.add((Kind.TEMP, ()))
        if True in danes:
            answers.add((Kind.DANE_ONLY, ()))
        if False in danes:
            held = [self.held[name], *at_once]
            for one in held:
                surely, maybe = (False, False) if one is None else self.life(one)
                if maybe and one.policy.mode is Mode.ENFORCE:
                    answers.add((Kind.SECURE, one.policy.mx))
                if not surely or one.policy.mode is not Mode.ENFORCE:
                    answers.add((Kind.NOT_FOUND, ()))
        return answers

    # --- what happens to the world -------------------------------------------------------------------

    @initialize(max_age=max_ages)
    def begin(self, max_age):
        """The sender knows a policy that is worth an attack."""
        self.note_truth()
        self.publish(NAMES[0], "enforce", max_age)
        self.check_answers(NAMES[0], str(NAMES[0]), 1)

    @rule(
        name=names, host=st.sampled_from([Fault.FAILS, Fault.HANGS, Fault.LIES]), txt=st.sampled_from(Fault)
    )
    def besiege(self, name, host, txt):
        """Somebody in the path wants the policy to be forgotten."""
        self.world.domains[name].host_fault = host
        self.world.domains[name].faults["txt"] = txt

    @rule(name=names, mode=modes, max_age=max_ages)
    def publish(self, name, mode, max_age):
        number = next(self.numbers)
        domain = self.world.domains[name]
        domain.served, domain.record_id = policy_text(mode, number, max_age), f"id{number}"

    @rule(name=names, mode=modes, max_age=max_ages, what=st.sampled_from(["text", "record", "policy"]))
    def publish_badly(self, name, mode, max_age, what):
        """Change the policy without a new id, or remove the record, or the policy."""
        domain = self.world.domains[name]
        if what == "text":
            domain.served = policy_text(mode, next(self.numbers), max_age)
        elif what == "record":
            domain.record_id = None
        else:
            domain.served = None

    @rule(name=names, dane=st.booleans())
    def sign(self, name, dane):
        self.note_truth()
        self.world.domains[name].dane = dane
        self.note_truth()

    @rule(name=names, kind=kinds, fault=st.sampled_from(Fault))
    def dns(self, name, kind, fault):
        self.note_truth()
        self.world.domains[name].faults[kind] = fault
        self.note_truth()

    @rule(name=names, fault=st.sampled_from(Fault))
    def policy_host(self, name, fault):
        self.world.domains[name].host_fault = fault

    @rule(fault=st.sampled_from([None, "full", "locked", "slow", "hangs"]))
    def disk(self, fault):
        self.write_fault = fault
        self.executor.release()
        self.executor.delay = {"slow": 0.4, "hangs": None}.get(fault, 0.0)
        self.run(asyncio.sleep(0))

    @rule(fault=st.sampled_from([Fault.NONE, Fault.FAILS, Fault.HANGS, Fault.SLOWISH]))
    def reading(self, fault):
        self.note_truth()
        self.store.reading = fault
        self.note_truth()

    @rule(seconds=jumps)
    def set_the_clock(self, seconds):
        if not seconds:
            self.mend_clock()
            return
        self.wall.offset = timedelta(seconds=seconds)
        self.jumped_at = self.loop.time() if self.jumped_at is None else self.jumped_at

    @rule(name=names)
    def heal(self, name):
        self.note_truth()
        domain = self.world.domains[name]
        domain.faults = dict.fromkeys(domain.faults, Fault.NONE)
        domain.host_fault = Fault.NONE
        self.note_truth()

    @rule(seconds=short_waits)
    def a_moment_passes(self, seconds):
        self.wait(seconds)

    @rule(seconds=long_waits, name=names)
    def time_passes(self, seconds, name):
        self.wait(seconds)
        self.check_answers(name, str(name), 1)

    # --- what the sender does --------------------------------------------------------------------------

    @rule(name=names, form=forms, count=st.integers(1, 3))
    def ask(self, name, form, count):
        self.check_answers(name, form.format(name), count)

    @rule(name=names)
    def ask_twice(self, name):
        """The first answer begins something that the second one meets."""
        self.check_answers(name, str(name), 1)
        self.check_answers(name, f"[{name}]", 1)

    def check_answers(self, name, text, count):
        next_hop = parse_next_hop(text)
        begun = self.loop.time()
        before = self.held[name]
        known = self.counted

        async def ask():
            return await asyncio.gather(*(self.service.answer(next_hop) for _ in range(count)))

        self.note_truth()
        served = self.run(ask())
        self.note_truth()
        took = self.loop.time() - begun
        assert took <= ANSWER_WITHIN + 0.001, f"{took} s for an answer"
        # What came in this very instant may not have been taken in.
        now = [d for d in self.since[name] if d.time == self.loop.time()]
        at_once = [before] if now and self.counted > known else []
        allowed = self.allowed(name, at_once)
        for one in served:
            answer = one.decision.answer
            given = (answer.kind, answer.patterns)
            assert given in allowed, f"{given} for {text}, allowed: {allowed}; {one.decision.reasons}"
        return served

    @rule(name=names, what=st.sampled_from(["refresh", "purge", "calm"]))
    def administer(self, name, what):
        if what == "refresh":
            task = self.loop.create_task(self.service.refresh(name))
            self.run(asyncio.wait({task}, timeout=3))
            self.world.attempts = [a for a in self.world.attempts if a[0] != name]
        elif what == "calm":
            self.calm()
        elif self.write_fault is None and self.store.reading is Fault.NONE and self.store.inner._loaded:
            self.purge(name)

    def purge(self, name):
        if name not in self.service.keeper._fetching:
            self.run(self.service.purge(name))
            self.held[name] = self.durable[name] = None
            self.since[name].clear()
            self.world.attempts = [a for a in self.world.attempts if a[0] != name]

    # --- what happens to the process ---------------------------------------------------------------------

    @rule(asked=st.none() | names, seconds=st.sampled_from([0.0, 0.005, 0.055, 0.5, 2.0]))
    def kill(self, asked, seconds):
        if asked is not None:
            task = self.loop.create_task(self.service.answer(parse_next_hop(str(asked))))
            self.run(asyncio.sleep(seconds))
            del task
        self.kill_tasks()
        self.take_note()
        self.reopen()

    @rule(name=names)
    def kill_and_damage_a_row(self, name):
        self.kill_tasks()
        path = self.copy()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE policies SET policy = 'mode: enforce' WHERE domain = ?", (name,))
            connection.commit()
        self.begin_again(path, damaged=name)

    @precondition(lambda self: self.write_fault is None)
    @rule()
    def stop_and_start(self):
        async def stop():
            self.refresher.cancel()
            await self.service.close()
            await self.store.inner.close()

        self.run(stop())
        self.kill_tasks()
        self.begin_again(self.path)

    def copy(self):
        """The file as it would be found if the process were gone now."""
        path = self.directory / f"{next(self.paths)}.db"
        for suffix in ("", "-wal"):
            source = Path(f"{self.path}{suffix}")
            if source.exists():
                shutil.copyfile(source, f"{path}{suffix}")
        return path

    def reopen(self):
        self.begin_again(self.copy())

    def begin_again(self, path, damaged=None):
        if self.write_fault != "locked":
            self.write_fault = None
        self.world.attempts.clear()
        self.world.at_once.clear()
        self.start(path)
        if not self.store.inner._loaded:
            self.write_fault = None
            self.note_truth()
            self.wait(6.0)
        assert self.store.inner._loaded
        for name in NAMES:
            self.check_found(name, damaged=name == damaged)
        self.note_truth()

    def check_found(self, name, *, damaged):
        state = self.run(self.store.inner.get(name))
        found = state.cached if state else None
        candidates = [d for d in (self.durable[name], *self.since[name]) if d is not None]
        match = next((d for d in reversed(candidates) if found and d.is_kept_as(found)), None)
        may_lack = self.durable[name] is None or damaged
        assert match is not None or (found is None and may_lack), (
            f"{name}: found {found}, durable {self.durable[name]}"
        )
        self.held[name] = match
        self.durable[name] = match
        self.since[name].clear()

    # --- many at once ----------------------------------------------------------------------------------

    @rule(seed=st.integers(0, 2**32 - 1))
    def a_bad_day(self, seed):
        """Two dozen steps drawn with weights: those that hurt in combination are rare among equals."""
        draw = random.Random(seed)
        name = draw.choice(NAMES)
        for _ in range(25):
            step = draw.choices(_STEPS, _WEIGHTS)[0]
            step(self, draw, name if draw.random() < 0.9 else draw.choice(NAMES))
            self.what_is_called_written_is_durable()
            self.a_broken_policy_host_is_not_pestered()

    # --- always --------------------------------------------------------------------------------------------

    def calm(self):
        """When all is well for a day, everybody gets what the domains really say."""
        for name in NAMES:
            self.heal(name)
        self.reading(Fault.NONE)
        self.disk(None)
        self.mend_clock()
        if self.wrongly_started:
            self.stop_and_start()
        self.wait(1.1 * DAY)
        for name, domain in self.world.domains.items():
            (served,) = self.check_answers(name, str(name), 1)
            answer = served.decision.answer
            policy = parse_policy(domain.served) if domain.served else None
            if domain.dane:
                assert answer.kind is Kind.DANE_ONLY
            elif domain.record_id and policy:
                expected = Kind.SECURE if policy.mode is Mode.ENFORCE else Kind.NOT_FOUND
                assert answer.kind is expected, (
                    f"{answer} though {domain.served!r} is served; {served.decision.reasons}"
                )
                assert answer.patterns == (policy.mx if expected is Kind.SECURE else ())
        assert self.store.trouble == ""
        assert self.store.unwritten == 0

    @invariant()
    def what_is_called_written_is_durable(self):
        if self.store.inner._loaded and self.store.unwritten == 0 and not self.busy():
            for name in NAMES:
                if self.since[name]:
                    self.durable[name] = self.since[name][-1]
                    self.since[name].clear()

    def busy(self):
        """A fetch that was delivered in this instant may not have reached the store."""
        return any(d.time == self.loop.time() for found in self.since.values() for d in found)

    @invariant()
    def a_broken_policy_host_is_not_pestered(self):
        last = {}
        for name, begun, _, good in sorted(self.world.attempts, key=lambda attempt: attempt[1]):
            before = last.get(name)
            assert before is None or begun - before >= 300, f"{name} was asked again after {begun - before} s"
            last[name] = None if good else begun

    @invariant()
    def memory_is_bounded(self):
        assert self.service.answers <= 3 * len(NAMES)
        assert len(self.service._gathering) <= len(NAMES) * 3


_FAULTS = list(Fault)
_BAD = {
    lambda m, d, n: m.check_answers(n, d.choice(["{}", "[{}]"]).format(n), 1): 6,
    lambda m, d, n: m.time_passes(d.choice([301.0, 301.0, 1800.0, 7200.0, DAY / 2, 3 * DAY, 8 * DAY]), n): 5,
    lambda m, d, _: m.wait(d.choice([0.06, 1.0, 2.0, 31.0, 61.0])): 3,
    lambda m, d, n: m.besiege(n, d.choice([Fault.FAILS, Fault.HANGS, Fault.LIES]), d.choice(_FAULTS)): 2,
    lambda m, d, n: m.publish(
        n, d.choice(["enforce", "enforce", "testing", "none"]), d.choice([3600, 86400, 604800])
    ): 3,
    lambda m, d, n: m.publish_badly(n, "enforce", 604800, d.choice(["text", "record", "policy"])): 1,
    lambda m, d, n: m.policy_host(n, d.choice(_FAULTS)): 2,
    lambda m, d, n: m.dns(n, d.choice(["txt", "mx", "address", "tlsa"]), d.choice(_FAULTS)): 2,
    lambda m, d, n: m.sign(n, d.random() < 0.5): 2,
    lambda m, d, n: m.heal(n): 2,
    lambda m, d, _: m.disk(d.choice([None, None, "full", "locked", "slow", "hangs"])): 2,
    lambda m, d, _: m.reading(d.choice([Fault.NONE, Fault.NONE, Fault.FAILS, Fault.HANGS, Fault.SLOWISH])): 1,
    lambda m, d, _: m.set_the_clock(d.choice([0.0, -300 * DAY, -3600.0, 7200.0, 30 * DAY, 300 * DAY])): 2,
    lambda m, d, n: m.kill(n, d.choice([0.0, 0.005, 0.055, 0.5, 2.0])): 2,
    lambda m, d, n: m.kill_and_damage_a_row(n): 0.3,
    lambda m, d, n: m.administer(n, d.choice(["refresh", "purge", "calm", "calm"])): 1.2,
}
_STEPS, _WEIGHTS = list(_BAD), list(_BAD.values())

STEPS = int(os.environ.get("MXSEAL_FAULT_STEPS", "0"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fault_campaign(caplog):
    caplog.set_level("CRITICAL")
    run_state_machine_as_test(
        FaultCampaign,
        settings=settings(
            # Each example has up to 30 steps, and a bad day counts for two dozen.
            max_examples=max(35, STEPS // 100),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not STEPS,
            print_blob=True,
        ),
    )
