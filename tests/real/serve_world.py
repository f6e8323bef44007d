"""Mail from real MTAs that ask `mxseal serve`, to real MX hosts, under attack.

The world of `postfix_world.py`, whose Postfix here also takes mail in, and beside it a sender:
Debian's Postfix or Exim, which asks `mxseal serve` how each mail must travel.
`test_serve_mtas.py` runs this file as a program within namespaces, once for each sender:

    serve_world.py DIRECTORY postfix | postfix ROOT | exim PROGRAM

What happens, to all domains at once:

1. *calm*: a mail to each domain.
2. *dead*: `mxseal serve` is killed with SIGKILL; a mail to two domains has to wait.
3. *attack*: the policy hosts are dead as well, `mxseal serve` is started again, somebody sits
   between the sender and some of the MX hosts; a mail to each of those.
4. *over*: the attackers leave, and what waits is tried again.

It prints one JSON object: what was answered, the fate of each mail, and the logs.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from postfix_world import Domain, World, enforce, issue, run, spawn, sts, until

DEAD_POLICY_HOST, FALSE_POLICY_HOST, SILENT_POLICY_HOST = "192.0.2.81", "192.0.2.82", "192.0.2.83"
SENDER = "192.0.2.8"
SUBMISSION = "127.0.0.1", 25
DANE, DANE_SOME, NOTHING, WAIT = "dane-only", "dane", "NOTFOUND", "TEMP"


class Words(NamedTuple):
    """What a sender's log says of a mail: patterns."""

    postfix: str
    exim: str


VERIFIED = Words(r"Verified TLS connection established", r" => .* CV=(dane|yes) ")
UNVERIFIED = Words(r"(Untrusted|Anonymous|Trusted) TLS connection established", r" => .* CV=no ")
IN_THE_CLEAR = Words(r"status=sent", r" => (?!.* CV=)")
NOT_VERIFIED = Words(r"Server certificate not (verified|trusted)", r"certificate verification failed")
NOT_LISTED = Words(
    # Since 3.10, Postfix looks at the host's name before it connects.
    rf"{NOT_VERIFIED.postfix}|does not match STS MX pattern",
    r"Event requests alternate response",
)
NOT_OFFERED = Words(r"TLS is required, but was not offered", r"TLS session is required, but .* did not offer")
WAITS = Words(r"(?i)(policy|lookup|name service).{0,80}(error|fail)", r"is not known now")


def secure(*names: str) -> str:
    return f"secure match={':'.join(names)} servername=hostname"


@dataclass
class Case:
    """What has to come of a mail to one domain, from the RFCs."""

    domain: Domain
    answer: str
    """What Postfix 3.7 is told; `NOTHING`, or `WAIT`."""
    delivered: bool
    log: Words
    attack: str = ""
    """``strip`` STARTTLS, or have a ``stranger``'s certificate, when the first mail has gone."""
    resists: bool = True
    """Under attack mail waits, and goes out afterwards."""


def dane(name: str, delivered: bool, log: Words, tlsa: str = "3 1 1", answer: str = DANE, **more) -> Case:
    fate = {key: more.pop(key) for key in ("attack",) if key in more}
    return Case(Domain(f"{name}.test", "", tlsa=tlsa, **more), answer, delivered, log, **fate)


def enforced(
    name: str, delivered: bool, log: Words, certificate: str = "good", answer: str = "", **more
) -> Case:
    fate = {key: more.pop(key) for key in ("attack",) if key in more}
    return Case(
        sts(name, "", certificate, **more), answer or secure(f"mx.{name}.test"), delivered, log, **fate
    )


def unfetched(name: str, policy_host: str, delivered: bool, log: Words, certificate: str) -> Case:
    """A record, and no policy to be had: RFC 8461 §5.1 treats it as if there were none."""
    extra = f'_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A {policy_host}\n'
    return Case(
        Domain(f"{name}.test", "", signed=False, certificate=certificate, extra=extra),
        NOTHING,
        delivered,
        log,
    )


def with_second_host(name: str, **more) -> Domain:
    """Another MX host beside ``mx``, without TLSA records, which nobody needs."""
    extra = f"@ MX 20 mx2.{name}.test.\nmx2 A 192.0.2.99\n"
    return Domain(f"{name}.test", "", extra=extra, tlsa="3 1 1", **more)


CASES = [
    # DANE-EE(3): RFC 7671 §5.1; DANE-TA(2): §5.2.
    dane("dane-ee", True, VERIFIED),
    dane("dane-ee-expired", True, VERIFIED, certificate="expired"),
    dane("dane-ee-stranger", True, VERIFIED, certificate="self-signed-wrong-name"),
    dane("dane-rollover", True, VERIFIED, "3 1 1, other 3 1 1"),
    dane("dane-mismatch", False, NOT_VERIFIED, "other 3 1 1"),
    dane("dane-ta", True, VERIFIED, "2 1 1", certificate="with-root"),
    dane("dane-ta-wrong-name", False, NOT_VERIFIED, "2 1 1", certificate="wrong-name"),
    dane("dane-ta-expired", False, NOT_VERIFIED, "2 1 1", certificate="expired"),
    # RFC 7672 §2.2: STARTTLS is a must where usable TLSA records are.
    dane("dane-stripped", False, NOT_OFFERED, certificate="no-starttls"),
    # RFC 7672 §3.1.3: unusable records want TLS, without authentication.
    dane("dane-unusable", True, UNVERIFIED, "1 1 1", answer=DANE_SOME),
    # RFC 7672 §2.1.1
    dane("dane-bogus", False, WAITS, answer=WAIT, bogus=True),
    # RFC 7672 §2.2.3: TLSA where the alias leads to.
    dane("dane-alias", True, VERIFIED, mx="alias.dane-alias.test", extra="alias CNAME mx\n"),
    Case(with_second_host("dane-some"), DANE_SOME, True, VERIFIED),
    # MTA-STS: RFC 8461 §4 and §5.
    enforced("sts-good", True, VERIFIED),
    enforced(
        "sts-wildcard",
        True,
        VERIFIED,
        policy=enforce("*.sts-wildcard.test"),
        answer=secure(".sts-wildcard.test"),
    ),
    enforced("sts-expired", False, NOT_VERIFIED, "expired"),
    enforced("sts-wrong-name", False, NOT_VERIFIED, "wrong-name"),
    enforced("sts-self-signed", False, NOT_VERIFIED, "self-signed"),
    enforced("sts-no-intermediate", False, NOT_VERIFIED, "no-intermediate"),
    enforced(
        "sts-not-listed",
        False,
        NOT_LISTED,
        policy=enforce("mx.elsewhere.example"),
        answer=secure("mx.elsewhere.example"),
    ),
    enforced("sts-stripped", False, NOT_OFFERED, "no-starttls"),
    enforced(
        "sts-testing",
        True,
        UNVERIFIED,
        "expired",
        policy=enforce("mx.sts-testing.test", mode="testing"),
        answer=NOTHING,
    ),
    enforced(
        "sts-none",
        True,
        UNVERIFIED,
        "self-signed",
        policy=enforce("mx.sts-none.test", mode="none"),
        answer=NOTHING,
    ),
    # RFC 8461 §3.3 and §5.1: a policy that never could be fetched stops no mail.
    unfetched("sts-dead-host", DEAD_POLICY_HOST, True, UNVERIFIED, "self-signed"),
    unfetched("sts-false-host", FALSE_POLICY_HOST, True, UNVERIFIED, "self-signed"),
    unfetched("sts-silent-host", SILENT_POLICY_HOST, True, UNVERIFIED, "self-signed"),
    # RFC 8461 §3.1: of two records none counts.
    enforced(
        "sts-two-records",
        True,
        UNVERIFIED,
        "self-signed",
        extra='_mta-sts TXT "v=STSv1; id=2;"\n',
        answer=NOTHING,
    ),
    # RFC 8461 §2: DANE goes first.
    enforced("both-sts-bad", True, VERIFIED, "self-signed-wrong-name", DANE, signed=True, tlsa="3 1 1"),
    enforced("both-dane-bad", False, NOT_VERIFIED, answer=DANE, signed=True, tlsa="other 3 1 1"),
    Case(
        with_second_host("both-some", policy=enforce("mx.both-some.test", "mx2.both-some.test")),
        secure("mx.both-some.test", "mx2.both-some.test"),
        True,
        VERIFIED,
    ),
    # Neither of both: RFC 3207, as it comes.
    Case(Domain("plain.test", "", signed=False, certificate="self-signed"), NOTHING, True, UNVERIFIED),
    Case(Domain("plain-signed.test", "", certificate="expired"), NOTHING, True, UNVERIFIED),
    Case(Domain("plain-bare.test", "", signed=False, certificate="no-starttls"), NOTHING, True, IN_THE_CLEAR),
    # Somebody comes between, later.  The policy host is dead by then: RFC 8461 §5.1, a cached policy holds.
    dane("attacked-dane-strip", True, VERIFIED, attack="strip", attacked=True),
    dane("attacked-dane-stranger", True, VERIFIED, attack="stranger", attacked=True),
    enforced("attacked-sts-strip", True, VERIFIED, attack="strip", attacked=True),
    enforced("attacked-sts-stranger", True, VERIFIED, attack="stranger", attacked=True),
    Case(
        Domain("attacked-plain-strip.test", "", signed=False, attacked=True),
        NOTHING,
        True,
        UNVERIFIED,
        attack="strip",
        resists=False,
    ),
]
UNASKED = ("sts-good.test", "plain.test")
"""Who gets mail while `mxseal serve` is dead."""


class Between(threading.Thread):
    """Who has the addresses of attacked MX hosts; passes on until told otherwise."""

    def __init__(self, cases: list[Case], stranger: str) -> None:
        super().__init__(daemon=True)
        self.cases = cases
        self.stranger = stranger
        self.at_work = False

    def run(self) -> None:
        asyncio.run(self.listen())

    async def listen(self) -> None:
        for case in self.cases:
            await asyncio.start_server(
                lambda reader, writer, case=case: self.serve(case, reader, writer), case.domain.address, 25
            )
        await asyncio.Event().wait()

    async def serve(self, case: Case, reader, writer) -> None:
        attack = case.attack if self.at_work else ""
        upstream = await asyncio.open_connection(
            self.stranger if attack == "stranger" else case.domain.smtpd, 25
        )
        lines = re.compile(rb"250[- ]STARTTLS\r\n") if attack == "strip" else None
        await asyncio.gather(self.copy(reader, upstream[1]), self.copy(upstream[0], writer, lines))
        for each in (writer, upstream[1]):
            each.close()

    @staticmethod
    async def copy(reader, writer, lines: re.Pattern[bytes] | None = None) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(lines.sub(b"", octets) if lines else octets)
                await writer.drain()
            # Exim says that it has no more to say, and listens on.
            writer.write_eof()


class ServeWorld(World):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory, [case.domain for case in CASES])
        nobody = re.search(r"(?m)^nobody:[^:]*:(\d+):(\d+)", Path("/etc/passwd").read_text())
        owner = tuple(map(int, nobody.groups()))
        self.main_cf = (
            "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = reject_unauth_destination\n"
            f"virtual_mailbox_domains = static:ALL\nvirtual_mailbox_base = {directory}/mail\n"
            f"virtual_mailbox_maps = static:inbox/\nvirtual_uid_maps = static:{owner[0]}\n"
            f"virtual_gid_maps = static:{owner[1]}\nvirtual_minimum_uid = 1\nsmtpd_tls_received_header = yes\n"
        )
        self.master_cf = (
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            *(f"{name} unix - - n - 0 bounce" for name in ("bounce", "defer", "trace")),
            "virtual unix - n n - - virtual",
            *(f"{name} unix - - n - - error" for name in ("error", "retry")),
        )
        (directory / "mail").mkdir()
        shutil.chown(directory / "mail", *owner)
        self.serving: subprocess.Popen | None = None

    def inbox(self) -> list[str]:
        return [path.read_text() for path in (self.dir / "mail/inbox/new").glob("*")]

    # --- the policy service --------------------------------------------------------------------

    def serve(self) -> None:
        configuration = self.dir / "mxseal.toml"
        configuration.write_text(
            f'[dns]\nresolvers = ["127.0.0.1"]\ntrust_anchor = "{self.trust_anchor}"\n'
            f'[policies]\nstore = "{self.dir}/policies.sqlite"\nca_file = "{self.ca_file}"\nallow_private = true\n'
            f'[serve]\nlines = ["127.0.0.1:8464"]\ncontrol = "{self.dir}/control.sock"\n'
        )
        self.serving = spawn(
            self.dir / f"serve-{'again' if self.serving else 'first'}.log",
            sys.executable, "-m", "mxseal", "serve", "--config", str(configuration),
        )  # fmt: skip
        until("mxseal serve listens", lambda: self.connects(("127.0.0.1", 8464)))

    def kill_serve(self) -> None:
        self.serving.send_signal(signal.SIGKILL)
        self.serving.wait()

    @staticmethod
    def connects(address: tuple[str, int]) -> bool:
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError:
            return False
        return True

    # --- who lies --------------------------------------------------------------------------------

    def bad_policy_hosts(self) -> None:
        """A policy that forbids every MX host, by somebody whom no CA knows: RFC 8461 §3.3."""
        stranger = issue("stranger", names=("mta-sts.sts-false-host.test",))
        (self.dir / "false.pem").write_bytes(stranger.key_pem + stranger.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir / "false.pem")
        body = enforce("mx.elsewhere.example").encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )

        async def tell(reader, writer) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        async def listen() -> None:
            await asyncio.start_server(tell, FALSE_POLICY_HOST, 443, ssl=context)
            # And one who takes the connection, and has nothing to say.
            await asyncio.start_server(lambda *_: None, SILENT_POLICY_HOST, 443)
            await asyncio.Event().wait()

        threading.Thread(target=lambda: asyncio.run(listen()), daemon=True).start()


# --- the senders ----------------------------------------------------------------------------------------


class Postfix:
    """smtp(8) as docs/serve.md sets it up: of the Postfix that is installed, or of the one below `root`."""

    def __init__(self, world: ServeWorld, root: str = "") -> None:
        self.world = world
        self.root = root
        # Word by word what postfix-tlspol and postfix-mta-sts-resolver have their users write.
        at = "8642:QUERYwithTLSRPT" if root else "8461:postfix"
        self.map = f"socketmap:inet:127.0.0.1:{at}"
        self.home = world.dir / "sender"
        self.conf = self.home / "conf"
        self.log_file = self.home / "log"

    def start(self) -> None:
        for path in (self.home, self.conf, self.home / "queue", self.home / "data"):
            path.mkdir()
        shutil.chown(self.home / "data", "postfix")
        (self.conf / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.home}/queue\ndata_directory = {self.home}/data\n"
            f"maillog_file = {self.log_file}\nmaillog_file_prefixes = {self.home}\nmyhostname = sender.test\n"
            "mydestination =\nlocal_recipient_maps =\nalias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\n"
            f"inet_protocols = ipv4\nsmtp_bind_address = {SENDER}\nmynetworks = 127.0.0.0/8\n"
            "smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_peername_lookup = no\n"
            # What counts.
            "smtp_dns_support_level = dnssec\nsmtp_tls_security_level = dane\n"
            f"smtp_tls_policy_maps = {self.map}\nsmtp_tls_CAfile = {self.world.ca_file}\nsmtp_tls_loglevel = 1\n"
            # The tests try again when they like, and every mail on a connection of its own.
            "default_destination_concurrency_failed_cohort_limit = 0\nsmtp_connection_cache_on_demand = no\n"
        )
        names = ("bounce", "defer", "trace")
        (self.conf / "master.cf").write_text(
            "\n".join(
                (
                    "127.0.0.1:25 inet n - n - - smtpd",
                    "smtp unix - - n - - smtp",
                    "pickup unix n - n 3600 1 pickup",
                    "postlog unix-dgram n - n - 1 postlogd",
                    "anvil unix - - n - 1 anvil",
                    "tlsmgr unix - - n 1000? 1 tlsmgr",
                    "rewrite unix - - n - - trivial-rewrite",
                    "proxymap unix - - n - - proxymap",
                    "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 3600 1 qmgr",
                    *(f"{name} unix - - n - 0 bounce" for name in names),
                    *(f"{name} unix - - n - - error" for name in ("error", "retry")),
                )
            )
            + "\n"
        )
        for file in self.conf.iterdir():
            os.utime(file, (1, 1))
        self.launch()

    def launch(self) -> None:
        # Makes the queue's directories, of which 3.7 and 3.10 have the same.
        run("postfix", "-c", str(self.conf), "check")
        if self.root:
            self.furnish()
        daemons = run(*self.command("postconf", "-h", "daemon_directory")).strip()
        spawn(self.home / "master.out", *self.command(f"{daemons}/master", "-d"))

    def furnish(self) -> None:
        """Give the other Debian what it needs of this one."""
        for name in ("resolv.conf", "hosts", "services", "passwd", "group"):
            target = Path(self.root, "etc", name)
            target.unlink(missing_ok=True)
            target.touch()
            run("mount", "--bind", f"/etc/{name}", str(target))
        for path in ("/dev", "/proc", str(self.world.dir)):
            Path(f"{self.root}{path}").mkdir(parents=True, exist_ok=True)
            run("mount", "--rbind" if path == "/dev" else "--bind", path, f"{self.root}{path}")

    def command(self, *words: str) -> list[str]:
        return [*(["chroot", self.root] if self.root else []), words[0], "-c", str(self.conf), *words[1:]]

    def ask(self, domain: str) -> str:
        """What postmap(1) is told, as `Case.answer` has it."""
        done = subprocess.run(
            self.command("postmap", "-q", domain, self.map),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.strip()
        return NOTHING if not done.stderr else f"{WAIT} {done.stderr.strip()}"

    def version(self) -> str:
        return run(*self.command("postconf", "-h", "mail_version")).strip()

    def try_again(self) -> None:
        run(*self.command("postqueue", "-f"))

    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    @staticmethod
    def fates(log: Words, recipient: str) -> list[str]:
        return re.findall(rf"to=<{re.escape(recipient)}>.* status=(\w+)", log)


class Exim:
    """Exim with the router and the transports of docs/exim.md."""

    def __init__(self, world: ServeWorld, program: str) -> None:
        self.world = world
        self.program = program
        self.map = ""
        self.home = world.dir / "sender"
        self.conf = self.home / "exim.conf"

    def start(self) -> None:
        self.home.mkdir()
        page = (Path(__file__).parents[2] / "docs/exim.md").read_text()
        blocks = re.findall(r"(?m)^    (\w+:\n(?:    .*\n|\n(?=    ))+)", page)
        drivers = {}
        for block in blocks:
            for part in re.split(r"\n\n(?=    \w+:\n)", block):
                drivers[part.strip().partition(":")[0]] = re.sub(r"(?m)^    ", "", part)
        routers = "\n".join(drivers.pop(name) + "\n" for name in ("wait_for_mxseal", "dnslookup"))
        transports = "\n".join(drivers.values())
        for text in (routers, transports):
            if "readsocket" not in text and "tls_verify" not in text:
                raise SystemExit("docs/exim.md has other blocks than expected")
        transports = transports.replace("= system", f"= {self.world.ca_file}")
        self.conf.write_text(
            f"exim_path = {self.program}\nexim_user = Debian-exim\ndeliver_drop_privilege\nspool_directory = {self.home}/spool\nlog_file_path = {self.home}/%slog\n"
            "primary_hostname = sender.test\ndomainlist local_domains = sender.test\nkeep_environment =\n"
            "daemon_smtp_ports = 25\nlocal_interfaces = 127.0.0.1\nacl_smtp_rcpt = accept\nhost_lookup =\n"
            "rfc1413_query_timeout = 0s\nsmtp_accept_queue_per_connection = 0\nqueue_run_max = 20\n"
            "smtp_accept_max = 0\ndisable_ipv6\nlog_selector = +all\nnever_users =\n"
            "tls_advertise_hosts =\n"
            f"begin routers\n{routers}\nbegin transports\n{transports}\nbegin retry\n* * F,1d,1s\n"
        )
        for path in (self.home, self.home / "spool"):
            path.mkdir(exist_ok=True)
            shutil.chown(path, "Debian-exim", "Debian-exim")
        self.conf.chmod(0o644)
        spawn(self.home / "daemon.out", self.program, "-C", str(self.conf), "-bdf")

    @staticmethod
    def ask(domain: str) -> str:
        with socket.create_connection(("127.0.0.1", 8464), timeout=30) as connection:
            connection.sendall(f"{domain}\n".encode())
            answer = connection.makefile().readline().strip()
        return answer.removeprefix("OK ")

    def version(self) -> str:
        return run(self.program, "-C", str(self.conf), "-bV")

    def try_again(self) -> None:
        spawn(self.home / "again.out", self.program, "-C", str(self.conf), "-qff")

    def log(self) -> str:
        file = self.home / "mainlog"
        return file.read_text(errors="replace") if file.exists() else ""

    @staticmethod
    def fates(log: Words, recipient: str) -> list[str]:
        words = {"=>": "sent", "->": "sent", "==": "deferred", "**": "bounced"}
        found = re.findall(rf"(?m) (=>|->|==|\*\*) {re.escape(recipient)} .*$", log)
        return [words[sign] for sign in found]


# --- the story --------------------------------------------------------------------------------------------


class Story:
    def __init__(self, world: ServeWorld, sender: Postfix | Exim) -> None:
        self.world = world
        self.sender = sender
        self.fates: dict[str, dict[str, str]] = {}

    def mail(self, phase: str, domains: list[str]) -> None:
        """One mail to each, and what became of it."""
        with smtplib.SMTP(*SUBMISSION, timeout=30) as connection:
            for domain in domains:
                text = f"From: anna@sender.test\r\nTo: {phase}@{domain}\r\nSubject: {phase} {domain}\r\n\r\nHello\r\n"
                connection.sendmail("anna@sender.test", [f"{phase}@{domain}"], text)
        self.wait(phase, phase, domains, 1)

    def wait(self, phase: str, user: str, domains: list[str], times: int) -> None:
        def fates(domain: str) -> list[str]:
            return self.sender.fates(self.sender.log(), f"{user}@{domain}")

        def settled() -> bool:
            log = self.sender.log()
            return all(len(self.sender.fates(log, f"{user}@{domain}")) >= times for domain in domains)

        try:
            until(phase, settled, 45)
        except SystemExit:
            lost = [domain for domain in domains if len(fates(domain)) < times]
            raise SystemExit(f"{phase}: no fate of {lost}\n{self.sender.log()[-6000:]}") from None
        self.fates[phase] = {domain: fates(domain)[times - 1] for domain in domains}


def tell(world: ServeWorld, sender: Postfix | Exim) -> dict:
    policy_hosts = world.policy_hosts()
    world.bad_policy_hosts()
    attacked = [case for case in CASES if case.attack]
    stranger = next(case.domain.smtpd for case in CASES if case.domain.name == "plain.test")
    between = Between(attacked, stranger)
    between.start()
    for case in attacked:
        until("they sit between", lambda case=case: world.greets(case.domain.address))
    world.serve()
    sender.start()
    until("the sender greets", lambda: world.greets("127.0.0.1"))
    story = Story(world, sender)

    story.mail("calm", [case.domain.name for case in CASES])
    with ThreadPoolExecutor(4) as pool:
        names = [case.domain.name for case in CASES]
        answers = dict(zip(names, pool.map(sender.ask, names), strict=True))

    world.kill_serve()
    story.mail("dead", list(UNASKED))

    policy_hosts.shutdown()
    policy_hosts.server_close()
    world.serve()
    between.at_work = True
    names = [case.domain.name for case in attacked]
    story.mail("attack", names)
    with ThreadPoolExecutor(4) as pool:
        under_attack = dict(zip(names, pool.map(sender.ask, names), strict=True))

    between.at_work = False
    waiting = [name for name in names if story.fates["attack"][name] == "deferred"]
    mark = {name: len(sender.fates(sender.log(), f"attack@{name}")) for name in waiting}
    sender.try_again()
    if waiting:
        story.wait("over", "attack", waiting, max(mark.values()) + 1)
    story.wait("alive", "dead", list(UNASKED), 2)
    delivered = sum(fate == "sent" for phase in story.fates.values() for fate in phase.values())
    until("what is sent arrives", lambda: len(world.inbox()) >= delivered)
    return {
        "version": sender.version(),
        "in full": "QUERYwithTLSRPT" in sender.map,
        "answers": answers,
        "under attack": under_attack,
        "fates": story.fates,
        "inbox": world.inbox(),
        "log": sender.log(),
        "serve": [path.read_text() for path in sorted(world.dir.glob("serve-*.log"), reverse=True)],
    }


def main(directory: Path, kind: str, program: str = "") -> None:
    world = ServeWorld(directory)
    world.network()
    if kind == "exim":
        add_user(directory, "Debian-exim")
    world.zones()
    world.postfix()
    os.environ.pop("MAIL_CONFIG")
    sender = Exim(world, program) if kind == "exim" else Postfix(world, program)
    document = None
    try:
        document = tell(world, sender)
    finally:
        if document is None:
            for path in (*directory.glob("serve-*.log"), *directory.glob("sender/*out")):
                sys.stderr.write(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}\n")
    json.dump(document, sys.stdout)
    sys.stdout.flush()
    # Init of its own process namespace: with it all servers end.
    os._exit(0)


def add_user(directory: Path, name: str) -> None:
    """Exim's user, for those within these namespaces only."""
    for file, line in {"passwd": f"{name}:x:64999:64999::/:/bin/false", "group": f"{name}:x:64999:"}.items():
        text = Path("/etc", file).read_text()
        if f"\n{name}:" not in text:
            own = directory / file
            own.write_text(f"{text.rstrip()}\n{line}\n")
            own.chmod(0o644)
            run("mount", "--bind", str(own), f"/etc/{file}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
