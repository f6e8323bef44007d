"""Attackers in the path and in the tree: what they must not get, and what they may cost."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import dns.dnssec
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from mxseal.adapters.dns import TrustAnchors, ValidatingResolver
from mxseal.adapters.dns.chain import MAX_FRESH_STEPS, Chain
from mxseal.adapters.dns.kept import Kept
from mxseal.adapters.dns.signatures import (
    MAX_FAILURES,
    Budget,
    DnsKey,
    Unverified,
    Verified,
    verify_rrset,
)
from mxseal.vocabulary.observations import Outcome, RecordType, Security

A = RecordType.A
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
LEAF = dns.name.from_text("leaf.test.")


@pytest.fixture
def tree(world):
    """Makes trees of its own: zones by name, and which of them are signed."""

    def tree(leaf: str = "", /, unsigned: tuple[str, ...] = (), **more: str):
        content = {
            ".": "",
            "test.": "",
            "leaf.test.": leaf,
            **more,
            **dict.fromkeys(unsigned, "mail A 192.0.2.9\n"),
        }
        return type(world)(content, tuple(name for name in content if name not in unsigned))

    return tree


def ask(world, *names: str, at: list[datetime] | None = None, **options):
    moment = at or [NOW]
    resolver = ValidatingResolver(
        [], **{"anchors": world.anchors, "transport": world, "now": lambda: moment[0], **options}
    )

    async def run():
        return [await resolver.resolve(name, A) for name in names]

    return asyncio.run(run())


# --- delegations --------------------------------------------------------------------------------------------


def test_the_cname_of_a_wildcard_does_not_hide_a_delegation(tree):
    world = tree("* CNAME mail\nmail A 192.0.2.1\n", ("kid.leaf.test.",))
    kid = dns.name.from_text("kid.leaf.test.")
    wild = dns.name.from_text("*.leaf.test.")

    def zone_of(name: str):
        chain = Chain(world, world.anchors, lambda: NOW)
        return asyncio.run(chain.zone_of(dns.name.from_text(name)))

    assert zone_of("kid.leaf.test.").security is Security.INSECURE

    def expand(message) -> None:
        name = message.question[0].name
        if message.question[0].rdtype == dns.rdatatype.DS and name.parent() == LEAF:
            zone = world.zones[LEAF]
            for rrset in (
                zone.get_rrset(wild, dns.rdatatype.CNAME),
                zone.get_rrset(wild, dns.rdatatype.RRSIG, dns.rdatatype.CNAME),
            ):
                message.answer.append(dns.rrset.from_rdata(name, rrset.ttl, *rrset))
            if name == kid:
                message.authority.clear()

    world.change = expand
    hidden = zone_of("kid.leaf.test.")
    assert hidden.security is Security.BOGUS
    assert "nothing proves that kid.leaf.test has no DS" in hidden.reason
    # Where the wildcard does stand in, the proof of it comes along, and the zone goes on.
    rightly = zone_of("zzz.leaf.test.")
    assert (rightly.name, rightly.security) == (LEAF, Security.SECURE)


def test_a_dname_from_above_the_trust_anchor_is_not_followed(tree):
    world = tree("", ("unsigned.test.",), **{"island.unsigned.test.": "mail A 192.0.2.1\n"})
    island = dns.name.from_text("island.unsigned.test.")
    key = world.dnskey("island.unsigned.test.")
    anchors = TrustAnchors({**world.anchors.zones, island: (dns.dnssec.make_ds(island, key, "SHA256"),)})
    (genuine,) = ask(world, "mail.island.unsigned.test", anchors=anchors)
    assert genuine.is_secure

    def forge(message) -> None:
        if message.question[0].rdtype == dns.rdatatype.A:
            message.answer[:] = [
                dns.rrset.from_text("unsigned.test.", 60, "IN", "DNAME", "attacker.unsigned.test."),
                dns.rrset.from_text(message.question[0].name, 60, "IN", "CNAME", "mail.unsigned.test."),
            ]

    world.change = forge
    (answer,) = ask(world, "mail.island.unsigned.test", anchors=anchors)
    assert answer.security is Security.BOGUS
    assert answer.failed


# --- signatures -----------------------------------------------------------------------------------------------

PRIVATE = ed25519.Ed25519PrivateKey.generate()
KEY = dns.dnssec.make_dnskey(PRIVATE.public_key(), "ED25519", flags=257)


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        ("other.test.", "other.test."),  # of another zone
        ("test.", "test."),  # of the zone above
        ("*.test.", "mail.leaf.test."),  # a wildcard that would reach into the zone from above
    ],
)
def test_a_zone_signs_nothing_outside_of_itself(owner, shown):
    rrset = dns.rrset.from_text(owner, 300, "IN", "A", "192.0.2.1")
    rrsig = dns.dnssec.sign(rrset, PRIVATE, LEAF, KEY, inception=SECONDS - 9, expiration=SECONDS + 9)
    expanded = dns.rrset.from_rdata(shown, 300, *rrset)
    result = verify_rrset(expanded, [rrsig], LEAF, [KEY], now=SECONDS, budget=Budget())
    assert isinstance(result, Unverified)
    assert "which it is not in" in result.reason


@pytest.mark.parametrize(
    ("exponent", "accepted"), [(65537, True), ((1 << 32) + 1, True), (1 << 40 | 1, False)]
)
def test_rsa_keys_with_long_exponents_are_not_worked_with(exponent, accepted):
    from mxseal.adapters.dns.signatures import _public_key

    modulus = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
    length = (exponent.bit_length() + 7) // 8
    for head in (bytes([length]), b"\0" + length.to_bytes(2)):
        octets = head + exponent.to_bytes(length) + modulus.to_bytes(128)
        key = DnsKey(1, dns.rdatatype.DNSKEY, 257, 3, 8, octets)
        assert (_public_key(int(key.flags), int(key.algorithm), key.key) is not None) is accepted


def test_checks_that_fail_are_the_dearest():
    rrset = dns.rrset.from_text("mail.leaf.test.", 300, "IN", "A", "192.0.2.1")
    rrsig = dns.dnssec.sign(rrset, PRIVATE, LEAF, KEY, inception=SECONDS - 9, expiration=SECONDS + 9)
    budget = Budget()
    wrong = [rrsig.replace(signature=bytes([i]) * 64) for i in range(4)]
    for _ in range(MAX_FAILURES // len(wrong)):
        assert isinstance(verify_rrset(rrset, [rrsig], LEAF, [KEY], now=SECONDS, budget=budget), Verified)
        verify_rrset(rrset, wrong, LEAF, [KEY], now=SECONDS, budget=budget)
    result = verify_rrset(rrset, [rrsig], LEAF, [KEY], now=SECONDS, budget=budget)
    assert isinstance(result, Unverified)
    assert "failing signature checks" in result.reason


# --- effort, time and memory --------------------------------------------------------------------------------------


def test_names_with_very_many_labels_do_not_cost_a_lookup_for_each(tree):
    deep = "a." * 100
    world = tree(f"{deep}x A 192.0.2.1\n")

    def strip(message) -> None:
        if message.question[0].rdtype == dns.rdatatype.A:
            message.answer[:] = message.answer[:1]

    assert ask(world, f"{deep}x.leaf.test")[0].is_secure
    world.change = strip
    world.asked.clear()
    (answer,) = ask(world, f"{deep}x.leaf.test")
    assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert f"more than {MAX_FRESH_STEPS} steps" in answer.reason
    assert len(world.asked) < MAX_FRESH_STEPS + 8


def test_an_answer_has_an_end_however_slowly_its_parts_come(world):
    class Slow:
        servers = world.servers

        async def ask(self, *args, **options):
            await asyncio.Event().wait()

    (answer,) = ask(world, "mail.leaf.test", transport=Slow(), timeout=0.01)
    assert (answer.outcome, answer.security) == (Outcome.FAILED, Security.INDETERMINATE)
    assert "not finished within" in answer.reason


def test_what_is_remembered_is_bounded_by_its_size():
    kept: Kept[int, str] = Kept(100)
    for i in range(50):
        kept.put(i, str(i), 10)
    assert len(kept) == 10
    assert kept.get(39) is None
    assert kept.get(40) == "40"
    kept.put(50, "50", 10)  # pushes out 41, for 40 was used
    assert (kept.get(41), kept.get(40)) == (None, "40")
    kept.put(51, "large", 95)
    assert (len(kept), kept.octets) == (1, 95)
    kept.put(52, "too large", 101)
    assert kept.get(52) is None
    assert kept.get(51) == "large"
    kept.put(51, "small", 1)
    kept.drop(53)
    assert (kept.get(51), kept.octets) == ("small", 1)
    kept.drop(51)
    assert (len(kept), kept.octets) == (0, 0)


def test_large_answers_push_out_others_and_not_the_memory(tree):
    text = "".join(f"big{i} TXT {'x' * 250} {'y' * 250}\n" for i in range(8))
    world = tree(text)
    resolver = ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: NOW, keep=10_000)

    async def run():
        for i in range(8):
            await resolver.resolve(f"big{i}.leaf.test", RecordType.TXT)

    asyncio.run(run())
    assert 1 < len(resolver._kept) < 5


# --- lifetimes and clocks --------------------------------------------------------------------------------------------


def test_an_insecure_answer_lives_no_longer_than_the_proof_that_it_is(world):
    (answer,) = ask(world, "host.unsigned.test")
    assert answer.security is Security.INSECURE
    assert answer.ttl == 60  # of the NSEC; the address itself has 300


def test_a_clock_set_back_makes_nothing_live_longer(world):
    moment = [NOW]
    resolver = ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: moment[0])

    def resolve():
        world.asked.clear()
        answer = asyncio.run(resolver.resolve("mail.leaf.test", A))
        return answer, len(world.asked)

    assert resolve()[1] == 6
    assert resolve()[1] == 0
    moment[0] -= timedelta(hours=20)
    answer, questions = resolve()
    assert answer.ttl == 120
    assert questions >= 1
    moment[0] -= timedelta(days=3)
    answer, _ = resolve()
    assert answer.security is Security.BOGUS
    assert answer.reason.startswith(". DNSKEY: the signature is valid only from")


def test_a_chain_is_walked_anew_when_its_first_signature_ends(tree):
    world = tree("mail A 192.0.2.1\nother A 192.0.2.2\n")
    for name in ("leaf.test.", "test."):
        world.zones[dns.name.from_text(name)] = world.make(name, SECONDS + 5 * 86400)
    moment = [NOW + timedelta(days=10, seconds=-30)]
    resolver = ValidatingResolver([], anchors=world.anchors, transport=world, now=lambda: moment[0])
    assert asyncio.run(resolver.resolve("mail.leaf.test", A)).ttl == 30
    moment[0] += timedelta(seconds=60)
    world.sign(SECONDS + 9 * 86400)
    answer = asyncio.run(resolver.resolve("other.leaf.test", A))
    assert answer.is_secure
    assert answer.ttl == 300
    assert answer.signatures_expire > moment[0]


def test_a_denial_whose_soa_forbids_keeping_it_is_not_kept(world):
    def zero(message) -> None:
        for rrset in message.authority:
            if rrset.rdtype == dns.rdatatype.SOA:
                rrset.ttl = 0

    world.change = zero
    (answer,) = ask(world, "nothing.leaf.test")
    assert (answer.is_secure, answer.ttl) == (True, 0)


# --- one server of several is of no use ---------------------------------------------------------------------------------


def strip(message) -> None:
    for section in (message.answer, message.authority):
        section[:] = [rrset for rrset in section if rrset.rdtype not in (46, 47, 50)]


def strip_answers(message) -> None:
    if message.question[0].rdtype == dns.rdatatype.A:
        strip(message)


def deny(message) -> None:
    if message.question[0].rdtype == dns.rdatatype.A:
        message.answer.clear()


def hide_delegations(message) -> None:
    if message.question[0].rdtype == dns.rdatatype.DS:
        message.answer.clear()


@pytest.fixture
def resolve_over(world, loopback):
    """Asks for a name, twice, over servers that change their replies so (or keep silent, for None)."""

    def resolve_over(*changes, name="mail.leaf.test"):
        counts = [0] * len(changes)

        def behave(index):
            def reply(data: bytes) -> list[bytes]:
                counts[index] += 1
                if changes[index] is None:
                    return []
                message = world.reply(dns.message.from_wire(data))
                changes[index](message)
                return [message.to_wire()]

            return reply

        async def run():
            async with AsyncExitStack() as stack:
                servers = [await stack.enter_async_context(loopback(behave(i))) for i in range(len(changes))]
                resolver = ValidatingResolver(
                    servers, anchors=world.anchors, now=lambda: NOW, keep=0, timeout=1.0
                )
                first = await resolver.resolve(name, A)
                counts[:] = [0] * len(changes)
                return first, await resolver.resolve(name, A), servers

        first, second, servers = asyncio.run(run())
        assert (second.outcome, second.security) == (first.outcome, first.security)
        return first, counts, [f"{address}:{port}" for address, port in servers]

    return resolve_over


def honest(message) -> None:
    del message


@pytest.mark.parametrize("bad", [strip, strip_answers, deny, hide_delegations])
def test_another_server_is_asked_where_one_has_no_proof(resolve_over, bad):
    answer, counts, _ = resolve_over(bad, honest)
    assert answer.is_secure
    assert answer.found
    assert counts == [0, 1]  # and the better one comes first from then on
    answer, counts, _ = resolve_over(honest, bad)
    assert answer.is_secure
    assert counts == [1, 0]


def test_the_resolver_that_passes_nothing_on_is_named(resolve_over):
    answer, _, (server,) = resolve_over(strip)
    assert answer.security is Security.BOGUS
    assert answer.reason == f"the resolver {server} passes no DNSSEC records on: . DNSKEY has no signature"
    answer, _, (server, _) = resolve_over(strip, strip)
    assert answer.reason.startswith(f"the resolver {server} passes no DNSSEC records on")
    answer, _, (server,) = resolve_over(strip_answers)
    assert answer.reason == f"mail.leaf.test A has no signature (no DNSSEC records came from {server})"
    assert answer.security is Security.BOGUS


def test_silence_of_the_others_does_not_turn_bogus_into_anything_else(resolve_over):
    answer, _, _ = resolve_over(deny, None)
    assert answer.security is Security.BOGUS
    assert answer.failed
