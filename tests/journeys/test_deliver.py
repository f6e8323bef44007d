"""Delivering through ports that live in memory: order, fail-over, fates, and that nothing ever gets weaker."""

import asyncio
import hashlib
import itertools
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.memory import FixedClock, MemoryPolicyHosts, MemoryPolicyStore, MemoryResolver
from mxseal.decisions.delivery import Level
from mxseal.decisions.mailing import (
    Admitted,
    Bounced,
    Deferred,
    Delivered,
    Denied,
    Mail,
    TlsUse,
    Visit,
)
from mxseal.journeys.deliver import MAX_SESSIONS, Deliverer, DeliverySettings, discovering
from mxseal.journeys.follow_policies import PolicyKeeper
from mxseal.lab.ca import CertificateAuthority
from mxseal.standards.certificate import Roots
from mxseal.standards.smtp import (
    Declined,
    NotAsked,
    Said,
    Taken,
    Unfit,
    Unsure,
    Verb,
    parse_mailbox,
    read_message,
)
from mxseal.vocabulary.faults import StorageFault, UnavailableFault
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import (
    Handshake,
    HandshakeFailed,
    ProtocolViolation,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)

NOW = SystemClock().now() + timedelta(hours=1)
AUTHORITY = CertificateAuthority(NOW)
HOSTS = ("a.x.example", "b.x.example", "c.x.example")
CHAINS = {host: AUTHORITY.issue(HostName(host)).chain for host in HOSTS}
EVIL = CertificateAuthority(NOW).issue(HostName("evil.example")).chain


def digest(host):
    key = x509.load_der_x509_certificate(CHAINS[host][0]).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


TLSA = {host: f"3 1 1 {digest(host)}" for host in HOSTS}
OTTO, EMIL = (parse_mailbox(f"{name}@x.example") for name in ("otto", "emil"))
LETTER = read_message(b"From: a@b.example\n\nhi\n")
TAKEN = Taken(Said(250, "2.0.0", "ok"))


def refused(code, verb=Verb.RCPT):
    return Declined(verb, Said(code, "", "no"))


class Courier:
    """Plays every address as the table says: how it treats TLS, and what it says to each recipient.

    Keeps to what the port promises: no mail without TLS where TLS is required, none for who is denied.
    """

    def __init__(self, manners=None, answers=None):
        self.manners = {address: list(each) for address, each in (manners or {}).items()}
        self.answers = {address: list(each) for address, each in (answers or {}).items()}
        self.errands = []
        self.taken = []

    async def visit(self, errand, admit):
        self.errands.append(errand)
        manners = self.manners.get(str(errand.address), ["good"])
        manner = manners.pop(0) if len(manners) > 1 else manners[0]
        session, admission = self.session(manner, errand), None
        ready = (
            isinstance(session, StarttlsNotOffered | StarttlsRefused) and errand.tls is not TlsUse.REQUIRED
        )
        if errand.tls is TlsUse.NONE and not isinstance(session, Unreachable):
            session, ready = None, True
        if isinstance(session, Handshake):
            admission = admit(session)
            ready = isinstance(admission, Admitted) and session.ehlo_again
        unfit = Unfit.NEEDS_SMTPUTF8 if manner == "unfit" and ready else None
        answers = () if unfit or not ready else self.answer(errand)
        self.taken += [
            (errand, mailbox, session, admission)
            for mailbox, answer in zip(errand.mail.recipients, answers, strict=False)
            if isinstance(answer, Taken | Unsure)
        ]
        return Visit(
            host=errand.host,
            address=errand.address,
            session=session,
            admission=admission,
            answers=answers,
            unfit=unfit,
            trouble="" if ready or not isinstance(session, Handshake) else "it hung up",
        )

    def session(self, manner, errand):
        chain = CHAINS.get(errand.host, EVIL)
        return {
            "down": Unreachable(Stage.CONNECT, "Connection refused", refused=True),
            "busy": Unreachable(Stage.GREETING, "it says 421 later"),
            "lost": Unreachable(Stage.STARTTLS, "it closed"),
            "strip": StarttlsNotOffered(),
            "refuse": StarttlsRefused(454, "no"),
            "inject": ProtocolViolation(Stage.STARTTLS, "octets behind the 220"),
            "broken": HandshakeFailed("alert"),
            "evil": Handshake("TLSv1.3", "X", EVIL),
            "mute": Handshake("TLSv1.3", "X", chain, ehlo_again=False),
        }.get(manner, Handshake("TLSv1.3", "X", chain))

    def answer(self, errand):
        script = self.answers.get(str(errand.address), [])
        return tuple(script.pop(0) if script else TAKEN for _ in errand.mail.recipients)


class Broken:
    """A store that cannot be read."""

    async def get(self, domain):
        raise StorageFault("no")


def deliver(records, courier, *, secure=(), policy=None, to=(OTTO,), shuffle=lambda _: None, **settings):
    resolver = settings.pop("resolver", None) or MemoryResolver.from_texts(records, secure=secure)
    clock = FixedClock(NOW)
    hosts = MemoryPolicyHosts({HostName("x.example"): policy} if policy else {})

    async def run():
        store = settings.pop("store", None) or MemoryPolicyStore()
        keeper = PolicyKeeper(resolver=resolver, policy_hosts=hosts, store=store, clock=clock)
        deliverer = Deliverer(
            discover=discovering(resolver=resolver, keeper=keeper, clock=clock),
            courier=courier,
            clock=clock,
            settings=DeliverySettings(
                **{"roots": lambda: Roots([AUTHORITY.root]), "shuffle": shuffle} | settings
            ),
        )
        try:
            return await deliverer.deliver(Mail(sender=None, recipients=to, message=LETTER))
        finally:
            await keeper.close()

    return asyncio.run(run())


PLAIN = {
    "x.example MX": ["10 a.x.example.", "10 b.x.example.", "20 c.x.example."],
    "a.x.example A": ["192.0.2.1"],
    "a.x.example AAAA": ["2001:db8::1"],
    "b.x.example A": ["192.0.2.2"],
    "c.x.example A": ["192.0.2.3"],
}
STS = PLAIN | {"_mta-sts.x.example TXT": ['"v=STSv1; id=1;"']}
DANE = PLAIN | {f"_25._tcp.{host} TLSA": [TLSA[host]] for host in HOSTS}
ENFORCE = "version: STSv1\nmode: enforce\nmx: *.x.example\nmax_age: 86400\n"
TESTING = ENFORCE.replace("enforce", "testing")
V6, V4, B, C = "2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"


def visited(courier):
    return [str(errand.address) for errand in courier.errands]


# --- where to, in which order -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manners", "addresses", "fate"),
    [
        ({}, [V6], Delivered),
        ({V6: ["down"]}, [V6, V4], Delivered),
        ({V6: ["down"], V4: ["busy"]}, [V6, V4, B], Delivered),
        ({V6: ["down"], V4: ["down"], B: ["down"]}, [V6, V4, B, C], Delivered),
        ({V6: ["down"], V4: ["down"], B: ["down"], C: ["down"]}, [V6, V4, B, C], Deferred),
        # TLS that does not work is no reason to keep mail that would go in the clear without it (RFC 7435 §3).
        ({V6: ["broken"]}, [V6, V6], Delivered),
        ({V6: ["lost"]}, [V6, V6, V4], Delivered),
        ({V6: ["mute"]}, [V6, V6], Delivered),
        # Who puts octets behind the 220 is somebody in the path.
        ({V6: ["inject"]}, [V6, V4], Delivered),
    ],
)
def test_hosts_and_addresses_in_order(manners, addresses, fate):
    courier = Courier(manners)
    delivery = deliver(PLAIN, courier)
    assert visited(courier) == addresses
    assert isinstance(delivery.fates[0], fate)


def test_equals_are_shuffled_and_preferences_are_not():
    courier = Courier({address: ["down"] for address in (V6, V4, B, C)})
    deliver(PLAIN, courier, shuffle=lambda hosts: hosts.reverse())
    assert visited(courier) == [B, V6, V4, C]


def test_an_implicit_mx():
    courier = Courier()
    (fate,) = deliver({"x.example A": ["192.0.2.9"]}, courier).fates
    assert isinstance(fate, Delivered)
    assert fate.host == "x.example"


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ({"x.example MX": ["0 ."]}, "5.1.10"),
        ({}, "5.1.2"),
        ({"x.example MX": ["10 a.x.example."]}, "5.4.4"),
    ],
)
def test_no_destination(records, status):
    courier = Courier()
    (fate,) = deliver(records, courier).fates
    assert isinstance(fate, Bounced)
    assert fate.status == status
    assert courier.errands == []


# --- what servers say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "addresses", "kinds"),
    [
        ({V6: [refused(550), TAKEN]}, [V6], [Bounced, Delivered]),
        ({V6: [refused(450), TAKEN]}, [V6, V4], [Delivered, Delivered]),
        ({V6: [refused(552), TAKEN]}, [V6, V4], [Delivered, Delivered]),
        ({V6: [refused(552, Verb.END)] * 2}, [V6], [Bounced, Bounced]),
        ({V6: [refused(451, Verb.END)] * 2}, [V6, V4], [Delivered, Delivered]),
        ({V6: [refused(421, Verb.MAIL)] * 2}, [V6, V4], [Delivered, Delivered]),
        ({V6: [NotAsked("gone")] * 2}, [V6, V4], [Delivered, Delivered]),
        # Nobody else may be tried while this one may have it (RFC 1047).
        ({V6: [Unsure("gone")] * 2}, [V6], [Deferred, Deferred]),
        ({V6: [refused(450), Unsure("gone")]}, [V6, V4], [Delivered, Deferred]),
        ({each: [refused(450)] * 2 for each in (V6, V4, B, C)}, [V6, V4, B, C], [Deferred, Deferred]),
    ],
)
def test_fates(answers, addresses, kinds):
    courier = Courier(answers=answers)
    delivery = deliver(PLAIN, courier, to=(OTTO, EMIL))
    assert visited(courier) == addresses
    assert list(map(type, delivery.fates)) == kinds
    for fate in delivery.deferred:
        unsure = any(isinstance(each, Unsure) for each in answers[V6])
        assert fate.maybe_delivered is unsure
        assert ("may have been delivered" in fate.reasons[0].text) is unsure


def test_the_servers_own_words_and_status():
    answers = {V6: [Declined(Verb.RCPT, Said(550, "5.1.1", "no such user"))]}
    (fate,) = deliver(PLAIN, Courier(answers=answers)).fates
    assert (fate.status, fate.said.text) == ("5.1.1", "no such user")
    assert fate.reasons[0].text == "a.x.example answers RCPT with 550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("manners", "kind"),
    [
        ({key: ["unfit"] for key in (V6, V4, B, C)}, Bounced),
        ({V6: ["unfit"], V4: ["unfit"], B: ["unfit"]}, Delivered),
        # One that could not be asked may be able to take it.
        ({key: ["unfit"] for key in (V6, V4, B)} | {C: ["down"]}, Deferred),
    ],
)
def test_mail_that_a_server_cannot_take(manners, kind):
    (fate,) = deliver(PLAIN, Courier(manners)).fates
    assert isinstance(fate, kind)
    if kind is Bounced:
        assert fate.status == "5.6.7"


# --- what is demanded ---------------------------------------------------------------------------------

MANNERS = ["strip", "refuse", "inject", "broken", "lost", "evil", "mute"]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize(
    ("records", "world"),
    [(DANE, {"secure": ["x.example"]}), (DANE, {"secure": HOSTS}), (STS, {"policy": ENFORCE})],
    ids=["dane", "dane-half", "sts"],
)
def test_nothing_is_mailed_to_who_does_not_keep_his_promise(records, world, manner):
    courier = Courier({key: [manner] for key in (V6, V4, B, C)})
    (fate,) = deliver(records, courier, **world).fates
    assert isinstance(fate, Deferred)
    assert courier.taken == []
    assert visited(courier) == [V6, V4, B, C]
    assert {errand.tls for errand in courier.errands} == {TlsUse.REQUIRED}
    assert [str(errand.sni) for errand in courier.errands] == ["a.x.example", "a.x.example", *HOSTS[1:]]


@pytest.mark.parametrize("manner", MANNERS)
def test_the_next_host_that_keeps_his_promise_gets_it(manner):
    courier = Courier({V6: [manner], V4: ["down"]})
    delivery = deliver(DANE, courier, secure=["x.example"])
    (fate,) = delivery.fates
    assert (fate.host, fate.level, fate.sealed) == ("b.x.example", Level.DANE, True)


def test_sni_is_the_tlsa_base_domain():
    # RFC 7672 §2.2.3: the end of a secure alias, if TLSA records are there.
    records = {
        "x.example MX": ["10 mx.x.example."],
        "mx.x.example CNAME": ["a.x.example."],
        "a.x.example A": [V4],
        "_25._tcp.a.x.example TLSA": [TLSA["a.x.example"]],
    }
    courier = Courier()
    deliver(records, courier, secure=["x.example"])
    assert [(errand.host, errand.sni) for errand in courier.errands] == [("mx.x.example", "a.x.example")]


def test_unusable_records_demand_tls_and_nobody_in_particular():
    records = DANE | {f"_25._tcp.{host} TLSA": ["3 1 1 abcd"] for host in HOSTS}
    courier = Courier({V6: ["strip"], V4: ["broken"], B: ["evil"]})
    (fate,) = deliver(records, courier, secure=["x.example"]).fates
    assert visited(courier) == [V6, V4, B]
    assert (fate.level, fate.sealed, fate.tls) == (Level.ENCRYPT, False, "TLSv1.3")


def test_a_policy_in_mode_testing_only_reports():
    delivery = deliver(STS, Courier({V6: ["evil"]}), policy=TESTING)
    assert delivery.ok
    assert not delivery.fates[0].sealed
    (result,) = delivery.sessions
    assert (result.policy.policy_type, result.succeeded) == ("sts", False)


def test_a_host_that_the_policy_does_not_name_is_passed_over():
    policy = ENFORCE.replace("*.x.example", "c.x.example")
    courier = Courier()
    delivery = deliver(STS, courier, policy=policy)
    assert visited(courier) == [C]
    assert delivery.fates[0].sealed
    assert [result.mx_host for result in delivery.sessions] == list(HOSTS)


# --- bounds, and trouble of ours ------------------------------------------------------------------------


def test_enough_is_enough():
    records = {"x.example MX": ["10 a.x.example."], "a.x.example A": [f"192.0.2.{n}" for n in range(1, 100)]}
    courier = Courier({f"192.0.2.{n}": ["down"] for n in range(1, 100)})
    (fate,) = deliver(records, courier).fates
    assert len(courier.errands) == MAX_SESSIONS
    assert fate.reasons[-1].text == "12 sessions are enough for one attempt"


def test_when_time_is_up_no_session_begins():
    courier = Courier()
    (fate,) = deliver(PLAIN, courier, seconds=0).fates
    assert isinstance(fate, Deferred)
    assert courier.errands == []


@pytest.mark.parametrize(("allow_local", "addresses"), [(False, [V4]), (True, ["::1", "127.0.0.1", V4])])
def test_names_that_lead_back_here_are_not_followed(allow_local, addresses):
    records = {
        "x.example MX": ["10 a.x.example."],
        "a.x.example A": ["127.0.0.1", V4],
        "a.x.example AAAA": ["::1"],
    }
    courier = Courier({"::1": ["down"], "127.0.0.1": ["down"]})
    assert deliver(records, courier, allow_local=allow_local).ok
    assert visited(courier) == addresses


def test_who_has_no_ca_to_trust_defers():
    def no_roots():
        raise UnavailableFault("no CA store")

    courier = Courier()
    (fate,) = deliver(STS, courier, policy=ENFORCE, roots=no_roots).fates
    assert isinstance(fate, Deferred)
    assert "cannot judge a.x.example: no CA store" in fate.reasons[0].text
    assert courier.taken == []


class Unable:
    async def resolve(self, name, record_type):
        raise UnavailableFault("no resolver")


@pytest.mark.parametrize("settings", [{"store": Broken()}, {"resolver": Unable()}])
def test_who_cannot_know_what_is_demanded_delivers_nothing(settings):
    courier = Courier()
    (fate,) = deliver(PLAIN, courier, **settings).fates
    assert isinstance(fate, Deferred)
    assert courier.errands == []


# --- laws -----------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["none", "dane", "unusable", "bogus-digest", "servfail", "no-address"])
SCRIPT = st.lists(st.sampled_from(["good", "down", "busy", *MANNERS, "unfit"]), min_size=1, max_size=3)
ANSWERS = st.lists(
    st.sampled_from([TAKEN, refused(450), refused(550), refused(451, Verb.END), NotAsked("x"), Unsure("x")]),
    max_size=4,
)
ADDRESSES = (V6, V4, B, C)


@st.composite
def worlds(draw):
    records, failing = dict(STS), []
    for host in HOSTS:
        kind = draw(KINDS)
        if kind == "no-address":
            records = {key: value for key, value in records.items() if not key.startswith(host)}
        if kind == "servfail":
            failing.append(f"_25._tcp.{host} TLSA")
        texts = {"dane": TLSA[host], "unusable": "3 1 1 abcd", "bogus-digest": "3 1 1 " + "00" * 32}
        if kind in texts:
            records[f"_25._tcp.{host} TLSA"] = [texts[kind]]
    secure = draw(st.sampled_from([(), ("x.example",), HOSTS]))
    return MemoryResolver.from_texts(records, secure=secure, failing=failing)


@given(
    resolver=worlds(),
    policy=st.sampled_from([None, ENFORCE, TESTING, ENFORCE.replace("*.x.example", "b.x.example")]),
    manners=st.fixed_dictionaries(dict.fromkeys(ADDRESSES, SCRIPT)),
    answers=st.fixed_dictionaries(dict.fromkeys(ADDRESSES, ANSWERS)),
)
def test_never_weaker_never_twice_and_every_recipient_one_fate(resolver, policy, manners, answers):
    courier = Courier(manners, answers)
    delivery = deliver({}, courier, resolver=resolver, policy=policy, to=(OTTO, EMIL))
    (discovery,) = delivery.discoveries
    owed = {each.host: each for each in discovery.decision.hosts}
    # Each errand asks for what is owed, and in the clear it is only tried where TLS failed just before.
    for before, errand in itertools.pairwise([None, *courier.errands]):
        level = owed[errand.host].level
        assert level is not Level.SKIP
        assert (errand.tls is TlsUse.REQUIRED) is (level is not Level.OPPORTUNISTIC)
        if errand.tls is TlsUse.NONE:
            assert (before.address, before.tls) == (errand.address, TlsUse.IF_OFFERED)
    preferences = [owed[errand.host].preference for errand in courier.errands]
    assert preferences == sorted(preferences)
    # Whoever got the mail is who he should be.
    for errand, _, session, admission in courier.taken:
        level = owed[errand.host].level
        if level is not Level.OPPORTUNISTIC:
            assert isinstance(session, Handshake)
            assert not isinstance(admission, Denied)
        if level in (Level.DANE, Level.PKIX):
            assert session.chain == CHAINS[errand.host]
    # One fate each, which tells the truth; and nobody is sent a mail that somebody may have taken already.
    got = [mailbox for _, mailbox, _, _ in courier.taken]
    assert len(got) == len(set(got))
    assert [fate.recipient for fate in delivery.fates] == [str(OTTO), str(EMIL)]
    for mailbox, fate in zip((OTTO, EMIL), delivery.fates, strict=True):
        handed = isinstance(fate, Delivered) or (isinstance(fate, Deferred) and fate.maybe_delivered)
        assert (mailbox in got) is handed
        if isinstance(fate, Delivered):
            assert fate.level is owed[fate.host].level
            assert fate.sealed is (
                fate.level is Level.PKIX
                or (fate.level is Level.DANE and discovery.mx is not None and discovery.mx.is_secure)
            )
