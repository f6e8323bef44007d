"""Answers in time, once for all who ask, and never weaker; in virtual time."""

import asyncio
import itertools
import logging
from datetime import timedelta

import pytest
from fault_world import Domain, Fault, ShakyStore, World, policy_text
from virtual_time import LoopSleeper, VirtualLoop, WallClock

from mxseal.adapters.memory import MemoryPolicyStore
from mxseal.decisions.delivery import Kind
from mxseal.journeys.answer_mta import Limits, PolicyService
from mxseal.journeys.refresh_policies import look_at_due, refresh_policies
from mxseal.vocabulary.faults import StorageFault, UnavailableFault
from mxseal.vocabulary.names import HostName, parse_next_hop
from mxseal.vocabulary.observations import PolicyFetched

NAME = HostName("one.example")
OTHER = HostName("two.example")
WEEK = 604800


class Scene:
    """A sender and a small world; `run` gives what a coroutine gives, and how many seconds it took."""

    def __init__(self, **options):
        self.loop = VirtualLoop()
        self.domain = Domain(NAME)
        self.world = World(self.loop, [self.domain, Domain(OTHER)])
        self.clock = WallClock(self.loop)
        self.store = ShakyStore(MemoryPolicyStore())
        self.forgotten = []
        self.service = PolicyService(
            **{
                "resolver": self.world,
                "policy_hosts": self.world,
                "store": self.store,
                "clock": self.clock,
                "jitter": lambda: 0.5,
                "changed": self.forgotten.append,
            }
            | options
        )

    def run(self, work):
        return self.loop.run_until_complete(work)

    def ask(self, text=NAME):
        return self.run(self.service.answer(parse_next_hop(str(text))))

    def kind(self, text=NAME):
        return self.ask(text).decision.answer.kind

    def wait(self, seconds):
        self.run(asyncio.sleep(seconds))

    def publish(self, mode="enforce", number=1, max_age=WEEK):
        self.domain.served, self.domain.record_id = policy_text(mode, number, max_age), f"id{number}"

    @property
    def fetches(self):
        return len(self.world.attempts)


@pytest.fixture
def scene():
    made = []

    def make(**options):
        made.append(Scene(**options))
        return made[-1]

    yield make
    for one in made:
        one.run(one.service.close())
        one.run(one.loop.shutdown_asyncgens())
        one.loop.close()


def test_however_many_ask_it_is_found_out_once(scene):
    s = scene()
    s.publish()

    async def ask():
        hops = [
            parse_next_hop(text)
            for text in ("one.example", "One.Example", "one.example:587", "[one.example]")
        ]
        return await asyncio.gather(*(s.service.answer(hop) for hop in hops * 25))

    served = s.run(ask())
    assert {one.decision.answer.kind for one in served} == {Kind.SECURE}
    assert s.fetches == 1
    asked = s.world.questions
    assert s.kind() is Kind.SECURE
    assert s.world.questions == asked


def test_what_nothing_can_be_said_about_costs_nothing(scene):
    s = scene()
    for text in (".one.example", "[192.0.2.1]", "[IPv6:2001:db8::1]:587"):
        assert s.kind(text) is Kind.NOT_FOUND
    assert s.world.questions == 0
    assert s.service.answers == 0


def test_a_policy_host_that_hangs_holds_no_first_mail_up_and_its_policy_holds_at_once(scene):
    s = scene()
    s.publish()
    s.domain.host_fault = Fault.SLOW
    assert s.kind() is Kind.NOT_FOUND
    assert s.loop.time() <= 5.0
    assert s.forgotten == []
    s.wait(8)
    # RFC 8461 §5.1: the first fetch went on meanwhile.
    assert s.forgotten == [NAME]
    assert s.kind() is Kind.SECURE
    assert s.fetches == 1


@pytest.mark.parametrize("trouble", [Fault.FAILS, Fault.HANGS, Fault.LIES, Fault.SLOW])
@pytest.mark.parametrize("where", ["txt", "host"])
def test_a_known_policy_survives(scene, where, trouble):
    s = scene()
    s.publish()
    assert s.kind() is Kind.SECURE
    s.publish(mode="none", number=2)
    if where == "txt":
        s.domain.faults["txt"] = trouble
    else:
        s.domain.host_fault = trouble
    for _ in range(10):
        s.wait(400)
        begun = s.loop.time()
        if where == "host" and trouble is Fault.SLOW and s.fetches == 2:
            # It came at last, and withdraws the policy.
            assert s.kind() is Kind.NOT_FOUND
        else:
            assert s.ask().decision.answer.patterns == ("mx1.mail.example", "*.1.example")
        assert s.loop.time() - begun <= 5.0


def test_an_expired_policy_demands_nothing(scene):
    s = scene()
    s.publish(max_age=3600)
    assert s.kind() is Kind.SECURE
    s.domain.record_id = None
    s.wait(3599)
    assert s.kind() is Kind.SECURE
    s.wait(60)
    assert s.kind() is Kind.NOT_FOUND


def test_a_broken_policy_host_gets_one_attempt_in_five_minutes(scene):
    s = scene()
    s.publish()
    s.domain.host_fault = Fault.FAILS
    times = []
    for _ in range(120):
        s.ask()
        s.wait(31)
    times = [begun for _, begun, _, _ in s.world.attempts]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert min(pauses) >= 300
    assert 2 <= len(times) <= 5
    state = s.store.inner.kept[NAME]
    assert (state.cached, state.failure) == (None, "expired")
    reasons = s.ask().decision.policy.reasons
    assert any("too soon for the next" in reason.text for reason in reasons)


def test_a_new_id_is_noticed_in_the_background(scene):
    s = scene()
    s.publish()
    assert s.kind() is Kind.SECURE
    s.publish(mode="testing", number=2)

    async def rounds():
        task = asyncio.create_task(refresh_policies(s.service.keeper, sleeper=LoopSleeper()))
        await asyncio.sleep(700)
        task.cancel()

    s.run(rounds())
    assert s.forgotten == [NAME, NAME]
    assert s.service.kept(parse_next_hop(NAME)) is None
    assert s.kind() is Kind.NOT_FOUND
    assert s.fetches == 2


def test_refreshed_before_it_expires_while_nobody_asks_and_the_record_is_hidden(scene):
    s = scene()
    s.publish()
    s.ask()
    s.domain.faults["txt"] = Fault.LIES

    async def rounds():
        task = asyncio.create_task(refresh_policies(s.service.keeper, sleeper=LoopSleeper(), pause=600))
        await asyncio.sleep(20 * 86400)
        task.cancel()

    s.run(rounds())
    assert s.kind() is Kind.SECURE
    assert 20 <= s.fetches <= 27


def test_failing_to_refresh_is_told_long_before_it_matters(scene, caplog):
    caplog.set_level(logging.WARNING)
    s = scene()
    s.publish()
    s.ask()
    s.domain.host_fault = Fault.FAILS
    for _ in range(60):
        s.wait(3600)
        s.run(look_at_due(s.service.keeper))
    told = [record.getMessage() for record in caplog.records if "cannot be refreshed" in record.getMessage()]
    assert len(told) == 4
    assert "failures=4" in told[0]
    assert "may be an attack" in told[0]
    assert s.kind() is Kind.SECURE


def test_dane_appears_and_vanishes_with_the_ttl(scene):
    s = scene()
    s.publish()
    assert s.kind() is Kind.SECURE
    s.domain.dane = True
    s.wait(301)
    assert s.kind() is Kind.DANE_ONLY
    s.domain.dane = False
    s.wait(301)
    assert s.kind() is Kind.SECURE


@pytest.mark.parametrize("kind", ["mx", "address", "tlsa"])
def test_dane_that_cannot_be_looked_up_makes_mail_wait_within_seconds(scene, kind):
    s = scene()
    s.domain.dane = True
    s.domain.faults[kind] = Fault.HANGS
    served = s.ask()
    assert served.decision.answer.kind is Kind.TEMP
    assert s.loop.time() <= 5.0
    assert served.until - s.loop.time() <= 60


@pytest.mark.parametrize("trouble", [Fault.FAILS, Fault.HANGS])
def test_a_store_that_cannot_be_read_is_not_an_empty_one(scene, trouble):
    s = scene()
    s.publish()
    s.ask()
    s.domain.host_fault = Fault.FAILS
    s.store.reading = trouble
    s.wait(700)
    assert s.kind() is Kind.TEMP
    # What is proved, or was fetched just now, needs no memory.
    s.domain.dane = True
    s.wait(31)
    assert s.kind() is Kind.DANE_ONLY
    with pytest.raises(StorageFault):
        s.run(s.service.keeper.look(NAME))
    s.wait(301)
    assert s.run(look_at_due(s.service.keeper)) == 1
    assert s.run(s.service.explain(parse_next_hop(NAME))).trouble
    s.store.reading = Fault.NONE
    s.domain.dane = False
    s.wait(301)
    assert s.kind() is Kind.SECURE


def test_trouble_of_this_machine_makes_mail_wait(scene):
    class NoNetwork:
        async def resolve(self, name, record_type):
            raise UnavailableFault("no resolver is configured")

    s = scene(resolver=NoNetwork())
    served = s.ask()
    assert served.decision.answer.kind is Kind.TEMP
    assert any("no resolver is configured" in reason.text for reason in served.decision.reasons)


def test_purge_refresh_dump_and_explain(scene):
    s = scene()
    s.publish()
    s.ask()

    async def dump():
        return [state.domain async for state in s.service.dump()]

    assert s.run(dump()) == [NAME]
    explanation = s.run(s.service.explain(parse_next_hop(NAME)))
    assert explanation.state.cached.policy_id == "id1"
    assert explanation.discovery.mx is not None
    assert explanation.served.decision.answer.kind is Kind.SECURE
    # By hand a fetch is made at once, pause or not, and the new policy holds at once.
    s.publish(mode="testing", number=2)
    assert isinstance(s.run(s.service.refresh(NAME)), PolicyFetched)
    assert s.kind() is Kind.NOT_FOUND
    assert s.run(s.service.refresh(OTHER)) is None
    assert s.run(s.service.purge(NAME))
    assert not s.run(s.service.purge(NAME))
    assert s.run(dump()) == []


def test_memory_is_bounded(scene):
    s = scene(limits=Limits(answers=3))
    for number in range(1, 50):
        s.ask(f"d{number}.one.example")
    assert s.service.answers == 3


def test_a_clock_that_is_set_back_makes_no_answer_older_than_its_ttl(scene):
    s = scene()
    s.ask()
    s.clock.offset = -timedelta(days=300)
    asked = s.world.questions
    s.wait(301)
    s.ask()
    assert s.world.questions > asked


def test_an_error_of_ours_in_one_domain_does_not_end_the_refreshing(scene, caplog):
    s = scene()
    s.publish()
    s.ask()
    s.wait(90000)
    s.world.fetch = None
    assert s.run(look_at_due(s.service.keeper)) == 1
    assert any(record.exc_info for record in caplog.records)
    assert s.kind() is Kind.SECURE
