"""Genuine replies, changed as an attacker could change them, many times over.

The law: whatever comes, a secure answer is the genuine one, and what is genuinely secure never turns into
insecure.  (It may become bogus or fail; then mail waits.)  The zone with too many NSEC3 iterations is left
out: RFC 9276 §3.2 gives up its protection knowingly.
"""

import asyncio
import random
from collections.abc import Callable

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mxseal.adapters.dns import ValidatingResolver
from mxseal.adapters.dns.transport import MALFORMED, VALIDATING, NoReply, Reply, Transport
from mxseal.adapters.dns.wire import read
from mxseal.vocabulary.names import Address
from mxseal.vocabulary.observations import Answer, RecordType, Security

pytestmark = pytest.mark.real

ZONES = (
    "ecdsa256.test",
    "nsec3.test",
    "salted.test",
    "optout.test",
    "twokeys.test",
    "digests12.test",
    "in.optouttld",
    "unsigned.test",
    "unsigned.optouttld",
    "island.test",
)
RUNS = 1000
Key = tuple[dns.name.Name, int]

ATTACKER = ec.generate_private_key(ec.SECP256R1())
ATTACKERS_KEY = dns.dnssec.make_dnskey(ATTACKER.public_key(), "ECDSAP256SHA256", flags=257)
NOW = 1_795_000_000


class Recorded:
    """Stands in for the transport: replies from a table, one of them changed."""

    def __init__(self, replies: dict[Key, bytes], upstream: Transport | None = None) -> None:
        self.replies = replies
        self.upstream = upstream
        self.changed: dict[Key, bytes] = {}
        self.asked: list[Key] = []

    async def ask(self, name, rdtype, flags=VALIDATING, *, avoid=frozenset()):
        key = (name.canonicalize(), int(rdtype))
        self.asked.append(key)
        if key not in self.replies and self.upstream is not None:
            reply = await self.upstream.ask(name, rdtype, flags)
            assert isinstance(reply, Reply)
            self.replies[key] = _whole(name, rdtype, reply.message)
        wire = self.changed.get(key, self.replies.get(key))
        if wire is None:
            return NoReply("nothing recorded")
        try:
            return Reply(read(wire), (Address("127.0.0.1"), 53), over_tcp=False)
        except MALFORMED:
            return NoReply("malformed")


def _whole(name: dns.name.Name, rdtype: int, message: dns.message.Message) -> bytes:
    """What the server sent, as far as it was read."""
    query = dns.message.make_query(name, rdtype, want_dnssec=True)
    whole = dns.message.make_response(query)
    whole.flags = message.flags
    whole.set_rcode(message.rcode())
    for ours, read_one in ((whole.answer, message.answer), (whole.authority, message.authority)):
        ours += [dns.rrset.from_rdata(rrset.name, rrset.ttl, *rrset) for rrset in read_one]
    return whole.to_wire(max_size=65535)


# --- what an attacker does to a reply -----------------------------------------------------------------------

Change = Callable[[dns.message.Message, random.Random, list[bytes]], None]


def _sections(message: dns.message.Message) -> list[list[dns.rrset.RRset]]:
    return [message.answer, message.authority]


def _pick(message: dns.message.Message, rng: random.Random):
    section = rng.choice([section for section in _sections(message) if section] or [message.answer])
    return section, (rng.choice(section) if section else None)


def drop_rrset(message, rng, others):
    section, rrset = _pick(message, rng)
    if rrset is not None:
        section.remove(rrset)


def drop_signatures(message, rng, others):
    for section in _sections(message):
        section[:] = [rrset for rrset in section if rrset.rdtype != dns.rdatatype.RRSIG]


def drop_denials(message, rng, others):
    kinds = (dns.rdatatype.NSEC, dns.rdatatype.NSEC3)
    message.authority[:] = [
        rrset for rrset in message.authority if rrset.rdtype not in kinds and rrset.covers not in kinds
    ]


def drop_answer(message, rng, others):
    message.answer.clear()


def drop_all(message, rng, others):
    message.answer.clear()
    message.authority.clear()


def flip_rcode(message, rng, others):
    message.set_rcode(
        rng.choice((dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.YXDOMAIN))
    )


def flip_flags(message, rng, others):
    message.flags ^= rng.choice((dns.flags.AD, dns.flags.AA, dns.flags.RA, dns.flags.CD))


def raise_ttl(message, rng, others):
    for section in _sections(message):
        for rrset in section:
            rrset.ttl = 86400 * 30


def _forged(name: dns.name.Name, rdtype: int, rng: random.Random) -> dns.rrset.RRset | None:
    texts = {
        dns.rdatatype.A: "203.0.113.66",
        dns.rdatatype.AAAA: "2001:db8::666",
        dns.rdatatype.MX: "1 mx.attacker.test.",
        dns.rdatatype.TXT: '"forged"',
        dns.rdatatype.TLSA: "3 1 1 " + "66" * 32,
        dns.rdatatype.CNAME: "mail.unsigned.test.",
        dns.rdatatype.DNAME: "unsigned.test.",
        dns.rdatatype.DS: f"{rng.randrange(65536)} 13 2 " + "66" * 32,
        dns.rdatatype.DNSKEY: ATTACKERS_KEY.to_text(),
    }
    text = texts.get(rdtype)
    return dns.rrset.from_text(name, 300, "IN", rdtype, text) if text else None


def forge_answer(message, rng, others):
    question = message.question[0]
    kind = rng.choice((question.rdtype, question.rdtype, dns.rdatatype.CNAME))
    forged = _forged(question.name, kind, rng)
    if forged is not None:
        message.answer[:] = [forged]
        message.set_rcode(dns.rcode.NOERROR)
        if rng.random() < 0.5:
            message.authority.clear()


def forge_dname(message, rng, others):
    name = message.question[0].name
    if len(name.labels) > 2:
        message.answer[:] = [
            _forged(name.split(rng.randrange(2, len(name.labels)))[1], dns.rdatatype.DNAME, rng)
        ]


def _sign(rrset: dns.rrset.RRset, signer: dns.name.Name) -> dns.rrset.RRset:
    rrsig = dns.dnssec.sign(
        rrset, ATTACKER, signer, ATTACKERS_KEY, inception=NOW - 86400, expiration=NOW + 864000
    )
    return dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)


def self_sign(message, rng, others):
    name = message.question[0].name
    forged = _forged(name, message.question[0].rdtype, rng)
    if forged is not None:
        signer = name.split(rng.randrange(1, len(name.labels) + 1))[1]
        message.answer[:] = [forged, _sign(forged, signer)]
        message.set_rcode(dns.rcode.NOERROR)


def resign_keys(message, rng, others):
    """The genuine keys and one more, signed by that one; the genuine signatures beside it."""
    for rrset in list(message.answer):
        if rrset.rdtype == dns.rdatatype.DNSKEY:
            rrset.add(ATTACKERS_KEY)
            message.answer.append(_sign(rrset, rrset.name))


def add_junk(message, rng, others):
    other = dns.message.from_wire(rng.choice(others))
    for section, from_other in zip(_sections(message), _sections(other), strict=True):
        section.extend(from_other)


def replay_authority(message, rng, others):
    other = dns.message.from_wire(rng.choice(others))
    message.authority[:] = other.authority
    if rng.random() < 0.5:
        message.answer.clear()
        message.set_rcode(other.rcode())


def replay_all(message, rng, others):
    other = dns.message.from_wire(rng.choice(others))
    message.answer[:], message.authority[:] = other.answer, other.authority
    message.set_rcode(other.rcode())


def replay_renamed(message, rng, others):
    """Another name's RRset with its signature, under the name that was asked for."""
    other = dns.message.from_wire(rng.choice(others))
    name = message.question[0].name
    message.answer[:] = [dns.rrset.from_rdata(name, rrset.ttl, *rrset) for rrset in other.answer]


def rename_owner(message, rng, others):
    section, rrset = _pick(message, rng)
    if rrset is not None:
        new = dns.message.from_wire(rng.choice(others)).question[0].name
        section.remove(rrset)
        section.append(dns.rrset.from_rdata(new, rrset.ttl, *rrset))


def change_signature(message, rng, others):
    """One field of one RRSIG: type covered, labels, signer, tag, times."""
    for section in _sections(message):
        for rrset in [rrset for rrset in section if rrset.rdtype == dns.rdatatype.RRSIG]:
            rdata = rng.choice(list(rrset))
            field, value = rng.choice(
                (
                    ("type_covered", rng.choice((1, 2, 15, 16, 43, 47, 48, 52))),
                    ("labels", rng.randrange(0, 6)),
                    ("signer", rdata.signer.parent() if len(rdata.signer) > 1 else rdata.signer),
                    ("key_tag", rng.randrange(65536)),
                    ("expiration", NOW - 1),
                    ("inception", NOW + 10),
                    ("algorithm", rng.choice((5, 8, 15, 200))),
                )
            )
            changed = rdata.replace(**{field: value})
            section.remove(rrset)
            section.append(dns.rrset.from_rdata(rrset.name, rrset.ttl, changed))


def change_types(message, rng, others):
    """A type bit of an NSEC or NSEC3 record, or its next name."""
    for section in _sections(message):
        for rrset in list(section):
            if rrset.rdtype in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3) and rng.random() < 0.7:
                rdata = rrset[0]
                if rrset.rdtype == dns.rdatatype.NSEC3 and rng.random() < 0.3:
                    changed = rdata.replace(flags=rdata.flags ^ 1)
                else:
                    changed = rdata.replace(windows=((0, bytes([rng.randrange(1, 256)])),))
                section.remove(rrset)
                section.append(dns.rrset.from_rdata(rrset.name, rrset.ttl, changed))


CHANGES: tuple[Change, ...] = (
    drop_rrset,
    drop_signatures,
    drop_denials,
    drop_answer,
    drop_all,
    flip_rcode,
    flip_flags,
    raise_ttl,
    forge_answer,
    forge_dname,
    self_sign,
    resign_keys,
    add_junk,
    replay_authority,
    replay_all,
    replay_renamed,
    rename_owner,
    change_signature,
    change_types,
)


def mutate(wire: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    if rng.random() < 0.25:  # octets, behind header and question
        octets = bytearray(wire)
        for _ in range(rng.choice((1, 1, 1, 4))):
            octets[rng.randrange(12, len(octets))] ^= 1 << rng.randrange(8)
        return bytes(octets)
    message = dns.message.from_wire(wire)
    for change in rng.sample(CHANGES, rng.choice((1, 1, 2, 3))):
        change(message, rng, others)
    return message.to_wire(max_size=65535)


# --- the law ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genuine(hierarchy, corpus):
    """Every reply that the questions need, and the answers to them."""
    from datetime import UTC, datetime

    recorded = Recorded({}, Transport([hierarchy.authoritative], timeout=10))
    wanted = [question for question in corpus if question[0].endswith(ZONES)]
    found: dict[tuple[str, str], tuple[Answer, list[Key]]] = {}

    async def record() -> None:
        for name, kind in wanted:
            recorded.asked = []
            resolver = ValidatingResolver([], anchors=hierarchy.anchors, keep=0, transport=recorded, now=now)
            found[name, kind] = (await resolver.resolve(name, RecordType(kind)), list(recorded.asked))

    moment = datetime.now(tz=UTC)  # noqa: TID251 - the zones were signed a moment ago
    global NOW  # noqa: PLW0603 - the attacker signs for the same time
    NOW = int(moment.timestamp())

    def now():
        return moment

    asyncio.run(record())
    assert sum(answer.is_secure for answer, _ in found.values()) > 100
    recorded.upstream = None
    return recorded, found, now


@pytest.mark.parametrize("seed", range(8))
def test_no_change_to_a_reply_makes_it_weaker_or_lets_a_forgery_through(hierarchy, genuine, seed):
    recorded, found, now = genuine
    rng = random.Random(seed)
    others = list(recorded.replies.values())
    outcomes: dict[Security, int] = {}

    async def one(question: tuple[str, str]) -> None:
        answer, asked = found[question]
        recorded.changed = {
            key: mutate(recorded.replies[key], rng, others)
            for key in rng.sample(asked, min(len(asked), rng.choice((1, 1, 1, 2, 3))))
        }
        resolver = ValidatingResolver([], anchors=hierarchy.anchors, keep=0, transport=recorded, now=now)
        got = await resolver.resolve(question[0], RecordType(question[1]))
        outcomes[got.security] = outcomes.get(got.security, 0) + 1
        if got.is_secure:
            assert (got.outcome, got.records, got.aliases) == (answer.outcome, answer.records, answer.aliases)
            assert answer.is_secure
            assert got.ttl <= answer.ttl
        for step, genuine_step in zip(got.aliases, answer.aliases, strict=False):
            if step.security is Security.SECURE:
                assert step == genuine_step
        if got.security is Security.INSECURE:
            assert answer.security is Security.INSECURE, (question, got, answer)

    async def run() -> None:
        questions = list(found)
        for _ in range(RUNS):
            await one(rng.choice(questions))

    asyncio.run(run())
    # The changes reach the verdict: a good part of them breaks the answer, and some leave it whole.
    assert outcomes[Security.BOGUS] > RUNS // 5
    assert outcomes[Security.SECURE] > RUNS // 20
