"""Our own delivery to a server that is not ours: Debian's Postfix takes the mail, and it arrives as it was sent."""

import asyncio
import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from mxseal.adapters.clock import SystemClock
from mxseal.adapters.memory import MemoryPolicyHosts, MemoryPolicyStore, MemoryResolver
from mxseal.adapters.smtp import SmtpCourier
from mxseal.decisions.delivery import Level
from mxseal.decisions.mailing import Bounced, Deferred, Delivered
from mxseal.delivering import compose
from mxseal.journeys.deliver import Deliverer, DeliverySettings, discovering
from mxseal.journeys.follow_policies import PolicyKeeper
from mxseal.lab.ca import CertificateAuthority, spki_of
from mxseal.standards.certificate import Roots
from mxseal.vocabulary.names import HostName

pytestmark = pytest.mark.real

MX = HostName("mx.example.com")
CLOCK = SystemClock()
AUTHORITY = CertificateAuthority(CLOCK.now())
CERTIFICATE = AUTHORITY.issue(MX)
DIGEST = hashlib.sha256(spki_of(CERTIFICATE.leaf)).hexdigest()

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination =
alias_maps =
local_recipient_maps =
smtputf8_enable = yes
virtual_mailbox_domains = example.com
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ nobody@example.com = 550 5.1.1 no such user }}, {{ later@example.com = 450 4.2.0 grey }} }}, reject_unauth_destination
smtpd_relay_restrictions =
smtpd_tls_security_level = may
smtpd_tls_chain_files = {home}/chain.pem
smtpd_tls_received_header = yes
message_size_limit = 10000000
maillog_file = {home}/log
maillog_file_prefixes = {home}
"""

MASTER_CF = """\
127.0.0.1:{good} inet n - n - - smtpd
127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:{bare} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=8bitmime,smtputf8,pipelining,size
127.0.0.1:{few} inet n - n - - smtpd -o smtpd_recipient_limit=3
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
"""


class Postfix:
    def __init__(self, home: Path, ports: dict[str, int]) -> None:
        self.home = home
        self.ports = ports

    def inbox(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.home / "mail/inbox/new").glob("*"))]

    def wait_for(self, mark: bytes, count: int = 1) -> list[bytes]:
        """The mails with `mark`, when as many are there."""
        deadline = time.monotonic() + 30
        while True:
            found = [mail for mail in self.inbox() if mark in mail]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, (self.home / "log").read_text()
            time.sleep(0.05)  # of somebody else's queue there is no event to wait for


@pytest.fixture(scope="module")
def postfix(require_tools, require_root, free_ports) -> Iterator[Postfix]:
    require_root()
    program = require_tools("postfix")["postfix"]
    ports = dict(zip(("good", "plain", "bare", "few"), free_ports, strict=False))
    # Not below pytest's directory: Postfix' own user must be able to go there.
    with tempfile.TemporaryDirectory(prefix="mxseal-postfix-") as name:
        home = Path(name)
        home.chmod(0o755)
        for directory in ("etc", "spool", "data", "mail"):
            (home / directory).mkdir()
        shutil.chown(home / "data", "postfix")
        owner = Path("/etc/passwd").read_text().split("\nnobody:x:")[1].split(":")[:2]
        shutil.chown(home / "mail", *map(int, owner))
        (home / "chain.pem").write_bytes(CERTIFICATE.pem())
        (home / "etc/main.cf").write_text(MAIN_CF.format(home=home, uid=owner[0], gid=owner[1]))
        (home / "etc/master.cf").write_text(MASTER_CF.format(**ports))
        (home / "etc/dynamicmaps.cf").touch()
        # `start` returns when master listens.
        subprocess.run([program, "-c", home / "etc", "start"], check=True, capture_output=True, timeout=60)
        try:
            yield Postfix(home, ports)
        finally:
            subprocess.run(
                [program, "-c", home / "etc", "stop"], check=False, capture_output=True, timeout=60
            )


RECORDS = {"example.com MX": [f"10 {MX}."], f"{MX} A": ["127.0.0.1"]}
DANE = RECORDS | {f"_25._tcp.{MX} TLSA": [f"3 1 1 {DIGEST}"]}
WRONG = RECORDS | {f"_25._tcp.{MX} TLSA": ["3 1 1 " + "00" * 32]}
STS = RECORDS | {"_mta-sts.example.com TXT": ['"v=STSv1; id=1;"']}
POLICY = f"version: STSv1\nmode: enforce\nmx: {MX}\nmax_age: 86400\n"


def deliver(port, message, *to, records=DANE, secure=("example.com",), sender="anna@sender.example"):
    resolver = MemoryResolver.from_texts(records, secure=secure)
    hosts = MemoryPolicyHosts({HostName("example.com"): POLICY} if records is STS else {})

    async def run():
        keeper = PolicyKeeper(resolver=resolver, policy_hosts=hosts, store=MemoryPolicyStore(), clock=CLOCK)
        deliverer = Deliverer(
            discover=discovering(resolver=resolver, keeper=keeper, clock=CLOCK),
            courier=SmtpCourier(port=port, ehlo_name=HostName("client.sender.example")),
            clock=CLOCK,
            settings=DeliverySettings(roots=lambda: Roots([AUTHORITY.root]), allow_local=True),
        )
        try:
            return await deliverer.deliver(
                compose(message, to=to or ("otto@example.com",), sender=sender, clock=CLOCK)
            )
        finally:
            await keeper.close()

    return asyncio.run(run())


HEADER = b"From: anna@sender.example\nDate: Mon, 23 Nov 2026 12:00:00 +0000\nMessage-ID: <%s@x>\n"

INTACT = {
    "dots": b"Subject: dots\n\n.\n..\n.a\n...\n\n.\n",
    "eight-bit": b"Subject: 8\nContent-Type: text/plain; charset=utf-8\n\n" + "Grüße, 日本\n".encode() * 50,
    "latin-1": b"Subject: Gr\xfc\xdfe\n\nGr\xfc\xdfe\n",
    "long-lines": b"Subject: long\n\n" + b"x" * 998 + b"\n" + b"." * 998 + b"\n" + b"y" * 5000 + b"\n",
    "no-end": b"Subject: no end\n\nlast line",
    "empty": b"Subject: empty\n\n",
    "large": b"Subject: large\n\n" + b".line of a large message, which takes many pieces\n" * 60_000,
}


@pytest.mark.parametrize("port", ["good", "plain"])
@pytest.mark.parametrize(("name", "text"), INTACT.items(), ids=INTACT)
def test_a_message_arrives_as_it_was_sent(postfix, name, text, port):
    mark = f"{name}-{port}".encode()
    sent = HEADER % mark + text
    records = DANE if port == "good" else RECORDS
    delivery = deliver(postfix.ports[port], sent, records=records)
    assert delivery.ok, delivery.fates
    (fate,) = delivery.fates
    assert (fate.level, fate.tls) == (
        (Level.DANE, "TLSv1.3") if port == "good" else (Level.OPPORTUNISTIC, "")
    )
    (arrived,) = postfix.wait_for(b"<" + mark + b"@x>")
    assert arrived.endswith(sent if sent.endswith(b"\n") else sent + b"\n")
    assert b"Return-Path: <anna@sender.example>" in arrived
    assert (b"using TLSv1.3" in arrived) is (port == "good")


def test_internationalized_addresses(postfix):
    message = EmailMessage()
    message["From"] = "änne@bücher.example"
    message["To"] = "öttö@example.com"
    message["Subject"] = "Grüße"
    message["Message-ID"] = "<utf8@x>"
    message.set_content("Grüße\n")
    delivery = deliver(postfix.ports["good"], message, "öttö@example.com", sender="änne@bücher.example")
    assert delivery.ok, delivery.fates
    (arrived,) = postfix.wait_for(b"<utf8@x>")
    assert "öttö@example.com" in arrived.decode()
    assert b"UTF8SMTPS" in arrived


def test_each_recipient_by_itself(postfix):
    addresses = ("otto@example.com", "nobody@example.com", "later@example.com", "relay@elsewhere.example")
    message = HEADER % b"each" + b"Subject: each\n\nx\n"
    records = DANE | {"elsewhere.example MX": [f"10 {MX}."]}
    delivery = deliver(postfix.ports["good"], message, *addresses, records=records)
    assert list(map(type, delivery.fates)) == [Delivered, Bounced, Deferred, Bounced]
    assert [fate.status for fate in delivery.bounced] == ["5.1.1", "5.7.1"]
    assert len(postfix.wait_for(b"<each@x>")) == 1


def test_more_recipients_than_a_transaction_takes(postfix):
    addresses = [f"r{number}@example.com" for number in range(8)]
    delivery = deliver(postfix.ports["few"], HEADER % b"few" + b"Subject: few\n\nx\n", *addresses)
    assert delivery.ok, delivery.fates
    arrived = postfix.wait_for(b"<few@x>", 8)
    assert len(arrived) == 8


@pytest.mark.parametrize(
    ("text", "to", "status"),
    [
        (b"Subject: 8\n\n\xc3\xbc\n", "otto@example.com", "5.6.3"),
        (b"Subject: x\n\nx\n", "öttö@example.com", "5.6.7"),
    ],
)
def test_a_server_of_old(postfix, text, to, status):
    (fate,) = deliver(postfix.ports["bare"], HEADER % b"old" + text, to).fates
    assert isinstance(fate, Bounced)
    assert fate.status == status


def test_a_message_that_is_too_large_is_not_even_sent(postfix):
    text = HEADER % b"huge" + b"Subject: huge\n\n" + b"x" * 99 * 100 * 1100
    (fate,) = deliver(postfix.ports["good"], text).fates
    assert isinstance(fate, Bounced)
    assert fate.status == "5.3.4"


def test_plain_text_that_a_server_of_old_takes(postfix):
    assert deliver(postfix.ports["bare"], HEADER % b"bare" + b"Subject: x\n\n.x\n").ok
    (arrived,) = postfix.wait_for(b"<bare@x>")
    assert arrived.endswith(b"\n\n.x\n")


@pytest.mark.parametrize(
    ("records", "secure", "port", "kind"),
    [
        (STS, (), "good", Delivered),
        (STS, (), "plain", Deferred),
        (DANE, ("example.com",), "plain", Deferred),
        (WRONG, ("example.com",), "good", Deferred),
    ],
)
def test_what_is_demanded_is_demanded_of_postfix_too(postfix, records, secure, port, kind):
    before = len(postfix.inbox())
    message = HEADER % b"demand" + b"Subject: demanded\n\nx\n"
    (fate,) = deliver(postfix.ports[port], message, records=records, secure=secure).fates
    assert isinstance(fate, kind)
    if kind is Delivered:
        assert fate.sealed
        postfix.wait_for(b"<demand@x>")
    else:
        assert len(postfix.inbox()) == before
