"""A small internet of real servers: NSD, unbound, Postfix; asked by posttls-finger and by mxseal.

`test_postfix_agrees.py` runs this file as a program within namespaces of its own (network,
mount, process), so ports 25, 53 and 443 are free, /etc/resolv.conf can be ours, nothing can
leave, and one SIGKILL ends it all.  It prints one JSON object: per domain, what posttls-finger
said and what mxseal said; and what `mxseal doctor` said about such a machine.

- 192.0.2.0/24 is ours by AnyIP (RFC 5737 TEST-NET-1); IPv6 is left out.
- NSD serves the root and ``test.`` on 192.0.2.1 and the domains on 192.0.2.2, signed by ldns-signzone.
- unbound validates on 127.0.0.1.
- Postfix' smtpd is every MX host: an address a certificate.
- Policy hosts are the standard library's HTTP server on 192.0.2.80.
"""

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mxseal.adapters.clock import SystemClock

ROOT_SERVER, LEAF_SERVER, POLICY_HOST = "192.0.2.1", "192.0.2.2", "192.0.2.80"
DAY = timedelta(days=1)


# --- the certificates ------------------------------------------------------------------------------


@dataclass
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def issue(
    common_name: str,
    *,
    issuer: Issued | None = None,
    names: tuple[str, ...] = (),
    ca: bool = False,
    begins: timedelta = -DAY,
    ends: timedelta = 60 * DAY,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    now = SystemClock().now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return Issued(builder.sign(signer, hashes.SHA256()), key)


# --- the domains -------------------------------------------------------------------------------------


@dataclass
class Domain:
    """One scenario; the MX host is ``mx.`` + name."""

    name: str
    verdict: str
    """What a strict sender's session comes to, from the RFCs: ``verified``, ``refused``, ``encrypted`` (TLS without
    authentication is enough), ``lookup-failed``."""
    signed: bool = True
    certificate: str = "good"
    """See `chain`."""
    tlsa: str = ""
    """See `tlsa_records`."""
    policy: str = ""
    """Body of the MTA-STS policy; empty: no policy."""
    bogus: bool = False
    extra: str = ""
    """More lines for the zone."""
    mx: str = ""
    """Another MX host than ``mx.`` + name."""
    attacked: bool = False
    """Somebody else has the address, and sends on to smtpd what he likes."""
    address: str = field(default="", init=False)
    smtpd: str = field(default="", init=False)
    """Where smtpd listens."""

    @property
    def host(self) -> str:
        return self.mx or f"mx.{self.name}"


def enforce(*patterns: str, mode: str = "enforce") -> str:
    lines = [
        "version: STSv1",
        f"mode: {mode}",
        *(f"mx: {pattern}" for pattern in patterns),
        "max_age: 604800",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def sts(name: str, verdict: str, certificate: str = "good", **more) -> Domain:
    domain = f"{name}.test"
    policy = more.pop("policy", enforce(f"mx.{domain}"))
    return Domain(
        domain, verdict, signed=more.pop("signed", False), certificate=certificate, policy=policy, **more
    )


DOMAINS = [
    # DANE-EE(3): RFC 7671 §5.1, names and dates do not count.
    Domain("dane-ee.test", "verified", tlsa="3 1 1"),
    Domain("dane-ee-full.test", "verified", tlsa="3 0 1"),
    Domain("dane-ee-sha512.test", "verified", tlsa="3 1 2"),
    Domain("dane-ee-exact.test", "verified", tlsa="3 1 0"),
    Domain("dane-ee-expired.test", "verified", tlsa="3 1 1", certificate="expired"),
    Domain("dane-ee-stranger.test", "verified", tlsa="3 1 1", certificate="self-signed-wrong-name"),
    Domain("dane-rollover.test", "verified", tlsa="3 1 1, other 3 1 1"),
    Domain("dane-mismatch.test", "refused", tlsa="other 3 1 1"),
    # DANE-TA(2): RFC 7671 §5.2, names and dates do count.
    Domain("dane-ta.test", "verified", tlsa="2 1 1", certificate="with-root"),
    Domain("dane-ta-full.test", "verified", tlsa="2 0 1", certificate="with-root"),
    Domain("dane-ta-wrong-name.test", "refused", tlsa="2 1 1", certificate="wrong-name"),
    Domain("dane-ta-expired.test", "refused", tlsa="2 1 1", certificate="expired"),
    Domain("dane-ta-not-sent.test", "refused", tlsa="2 1 1", certificate="good"),
    # RFC 7672 §2.2: STARTTLS is a must where usable TLSA records are.
    Domain("dane-stripped.test", "refused", tlsa="3 1 1", certificate="no-starttls"),
    # RFC 7672 §3.1.3: usages 0 and 1 are unusable; TLS without authentication.
    Domain("dane-unusable.test", "encrypted", tlsa="1 1 1"),
    # RFC 7672 §2.1.1: an MX host in a bogus zone is not used.
    Domain("dane-bogus.test", "lookup-failed", tlsa="3 1 1", bogus=True),
    # RFC 7672 §2.2.3: the MX host is an alias; TLSA at the expanded name.
    Domain(
        "dane-alias.test",
        "verified",
        tlsa="3 1 1",
        mx="alias.dane-alias.test",
        extra="alias CNAME mx\n",
    ),
    # MTA-STS: RFC 8461 §4.
    sts("sts-good", "verified"),
    sts("sts-wildcard", "verified", policy=enforce("*.sts-wildcard.test")),
    sts("sts-several", "verified", policy=enforce("a.example", "mx.sts-several.test", "*.b.example")),
    sts("sts-wildcard-certificate", "verified", "wildcard"),
    sts("sts-expired", "refused", "expired"),
    sts("sts-wrong-name", "refused", "wrong-name"),
    sts("sts-self-signed", "refused", "self-signed"),
    sts("sts-no-intermediate", "refused", "no-intermediate"),
    sts("sts-not-listed", "refused", policy=enforce("mx.elsewhere.example")),
    sts("sts-stripped", "refused", "no-starttls"),
    sts("sts-testing", "encrypted", "expired", policy=enforce("mx.sts-testing.test", mode="testing")),
    # RFC 8461 §2: DANE goes first, in both directions.
    sts("both-sts-bad", "verified", "self-signed-wrong-name", signed=True, tlsa="3 1 1"),
    sts("both-dane-bad", "refused", signed=True, tlsa="other 3 1 1"),
    # Neither of both.
    Domain("plain.test", "encrypted", signed=False, certificate="self-signed"),
]


class Authorities:
    def __init__(self) -> None:
        self.root = issue("World Root CA", ca=True, ends=3650 * DAY)
        self.intermediate = issue("World Intermediate CA", issuer=self.root, ca=True, ends=365 * DAY)

    def chain(self, kind: str, host: str) -> list[Issued]:
        """The certificates that an MX host sends, leaf first."""
        parent = host.partition(".")[2]
        sub = {"issuer": self.intermediate}
        match kind:
            case "good":
                return [issue(host, names=(host,), **sub), self.intermediate]
            case "with-root":
                return [issue(host, names=(host,), **sub), self.intermediate, self.root]
            case "wildcard":
                return [issue(parent, names=(f"*.{parent}",), **sub), self.intermediate]
            case "expired":
                leaf = issue(host, names=(host,), begins=-90 * DAY, ends=-DAY, **sub)
                return [leaf, self.intermediate, self.root]
            case "wrong-name":
                leaf = issue("elsewhere.example", names=("elsewhere.example",), **sub)
                return [leaf, self.intermediate, self.root]
            case "self-signed":
                return [issue(host, names=(host,))]
            case "self-signed-wrong-name":
                return [issue("elsewhere.example", names=("elsewhere.example",))]
            case "no-intermediate":
                return [issue(host, names=(host,), **sub)]
            case "no-starttls":
                return [issue(host, names=(host,), **sub), self.intermediate]
        raise ValueError(kind)

    def tlsa_records(self, text: str, leaf: Issued) -> Iterator[str]:
        """``3 1 1`` is made from the leaf, ``2 1 1`` from the root, ``other …`` from a stranger."""
        for part in filter(None, text.split(", ")):
            usage, selector, matching = map(int, part.removeprefix("other ").split())
            subject = self.root if usage in (0, 2) else leaf
            if part.startswith("other "):
                subject = issue("stranger")
            data = subject.spki if selector else subject.der
            digest = {
                0: bytes,
                1: lambda d: hashlib.sha256(d).digest(),
                2: lambda d: hashlib.sha512(d).digest(),
            }
            yield f"{usage} {selector} {matching} {digest[matching](data).hex()}"


# --- the servers ---------------------------------------------------------------------------------------


def run(*command: str, **options) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, **options
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def spawn(log: Path, *command: str) -> subprocess.Popen:
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)


def until(what: str, ready, seconds: float = 30) -> None:
    """Wait for another process: there is no event that one could wait for instead."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"timed out: {what}")
        threading.Event().wait(0.02)


class World:
    main_cf = "smtpd_relay_restrictions = reject\n"
    """What this world's MX hosts do with mail."""
    master_cf: tuple[str, ...] = ()

    def __init__(self, directory: Path, domains: list[Domain] = DOMAINS) -> None:
        self.dir = directory
        self.domains = domains
        self.authorities = Authorities()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self.authorities.root.pem)
        self.trust_anchor = directory / "root.ds"
        self.policy_bodies: dict[str, str] = {}

    # --- network -----------------------------------------------------------------------------

    def network(self) -> None:
        run("mount", "--make-rprivate", "/")
        run("ip", "link", "set", "lo", "up")
        run("ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo")
        run("ip", "route", "add", "unreachable", "default")
        for name, text in {
            "resolv.conf": "nameserver 127.0.0.1\noptions trust-ad edns0\n",
            "hosts": "127.0.0.1 localhost\n",
        }.items():
            own = self.dir / name
            own.write_text(text)
            target = Path("/etc", name).resolve()
            if not target.exists():
                target.touch()
            run("mount", "--bind", str(own), str(target))

    # --- DNS -----------------------------------------------------------------------------------

    def sign(self, zone: str, text: str) -> tuple[Path, str]:
        """Sign a zone with one key; gives the signed file and its DS record."""
        name = zone.rstrip(".") or "root"
        file = self.dir / f"{name}.zone"
        file.write_text(text)
        keys = self.dir / "keys"
        keys.mkdir(exist_ok=True)
        base = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone, cwd=keys).strip()
        ds = run("ldns-key2ds", "-n", "-2", f"{base}.key", cwd=keys).strip()
        run("ldns-signzone", "-o", zone, "-f", f"{file}.signed", str(file), str(keys / base))
        return Path(f"{file}.signed"), ds

    def head(self, server: str) -> str:
        # Signatures are absolute; ldns-signzone dates them by the machine's clock.
        return (
            "$TTL 300\n"
            f"@ SOA ns.test. hostmaster.test. 1 3600 900 86400 60\n@ NS {'root-ns.test.' if server == ROOT_SERVER else 'ns.test.'}\n"
        )

    def zones(self) -> None:
        leaves: dict[str, Path] = {}
        parent = f"$ORIGIN test.\n{self.head(ROOT_SERVER)}root-ns A {ROOT_SERVER}\nns A {LEAF_SERVER}\n"
        for number, domain in enumerate(self.domains, start=100):
            domain.address = domain.smtpd = f"192.0.2.{number}"
            if domain.attacked:
                domain.smtpd = f"192.0.2.{number - 80}"
            chain = self.authorities.chain(domain.certificate, f"mx.{domain.name}")
            (self.dir / f"{domain.name}.pem").write_bytes(
                chain[0].key_pem + b"".join(issued.pem for issued in chain)
            )
            text = f"$ORIGIN {domain.name}.\n{self.head(LEAF_SERVER)}@ MX 10 {domain.host}.\nmx A {domain.address}\n"
            text += domain.extra
            for record in self.authorities.tlsa_records(domain.tlsa, chain[0]):
                text += f"_25._tcp.mx TLSA {record}\n"
            if domain.policy:
                self.policy_bodies[f"mta-sts.{domain.name}"] = domain.policy
                text += f'_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A {POLICY_HOST}\n'
            parent += f"{domain.name}. NS ns.test.\n"
            if domain.signed:
                leaves[domain.name], ds = self.sign(f"{domain.name}.", text)
                parent += f"{ds}\n"
                if domain.bogus:
                    self.spoil(leaves[domain.name], domain)
            else:
                leaves[domain.name] = self.dir / f"{domain.name}.zone"
                leaves[domain.name].write_text(text)
        signed_parent, parent_ds = self.sign("test.", parent)
        root = f"$ORIGIN .\n{self.head(ROOT_SERVER)}test. NS root-ns.test.\nroot-ns.test. A {ROOT_SERVER}\n{parent_ds}\n"
        signed_root, root_ds = self.sign(".", root)
        self.trust_anchor.write_text(f"{root_ds}\n")
        self.nsd("upper", ROOT_SERVER, {".": signed_root, "test": signed_parent})
        self.nsd("leaves", LEAF_SERVER, leaves)
        self.unbound()

    def spoil(self, file: Path, domain: Domain) -> None:
        """The MX RRset is another than the one that was signed."""
        text = file.read_text()
        changed, count = re.subn(rf"MX\t10 {re.escape(domain.host)}\.", f"MX\t5 {domain.host}.", text)
        if count != 1:
            raise SystemExit(f"{file}: {count} MX records to spoil")
        file.write_text(changed)

    def nsd(self, name: str, address: str, zones: dict[str, Path]) -> None:
        config = self.dir / f"nsd-{name}.conf"
        text = (
            f'server:\n  ip-address: {address}\n  username: ""\n  chroot: ""\n  zonesdir: "{self.dir}"\n'
            f'  database: ""\n  pidfile: ""\n  xfrdfile: "{self.dir}/nsd-{name}.xfrd"\n'
            f'  zonelistfile: "{self.dir}/nsd-{name}.list"\n  logfile: "{self.dir}/nsd-{name}.log"\n'
            "  server-count: 1\n  hide-version: yes\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
        )
        for zone, file in zones.items():
            text += f'zone:\n  name: "{zone}"\n  zonefile: "{file}"\n'
        config.write_text(text)
        spawn(self.dir / f"nsd-{name}.out", "nsd", "-d", "-c", str(config))
        # Ask before unbound does: it would remember a failure.
        for zone in zones:
            until(f"NSD serves {zone}", lambda zone=zone: self.serves(address, zone))

    @staticmethod
    def serves(address: str, zone: str) -> bool:
        import dns.exception
        import dns.message
        import dns.query

        try:
            answer = dns.query.udp(dns.message.make_query(zone, "SOA"), address, timeout=1)
        except (OSError, dns.exception.DNSException):
            return False
        return bool(answer.answer)

    def unbound(self) -> None:
        hints = self.dir / "root.hints"
        hints.write_text(f". 3600 NS root-ns.test.\nroot-ns.test. 3600 A {ROOT_SERVER}\n")
        config = self.dir / "unbound.conf"
        config.write_text(
            f'server:\n  interface: 127.0.0.1\n  access-control: 127.0.0.0/8 allow\n  username: ""\n  chroot: ""\n'
            f'  directory: "{self.dir}"\n  pidfile: ""\n  do-daemonize: no\n  use-syslog: no\n  num-threads: 1\n'
            f'  root-hints: "{hints}"\n  trust-anchor-file: "{self.trust_anchor}"\n  do-ip6: no\n  ede: yes\n'
            '  local-zone: "test." nodefault\n  do-not-query-localhost: no\n  val-bogus-ttl: 1\n'
            "  outgoing-interface: 192.0.2.9\nremote-control:\n  control-enable: no\n"
        )
        spawn(self.dir / "unbound.out", "unbound", "-d", "-c", str(config))
        until("unbound answers", lambda: self.serves("127.0.0.1", "test"))

    # --- mail ------------------------------------------------------------------------------------

    def postfix(self) -> None:
        conf, queue, data = (self.dir / name for name in ("conf", "queue", "data"))
        for path in (conf, queue, data):
            path.mkdir()
        shutil.chown(data, "postfix")
        (conf / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n"
            f"maillog_file = {self.dir}/mail.log\nmaillog_file_prefixes = {self.dir}\n"
            "myhostname = all-mx.test\nmydestination =\nlocal_recipient_maps =\nrelay_domains =\nalias_maps =\nalias_database =\n"
            "inet_protocols = ipv4\nsmtpd_peername_lookup = no\n"
            "smtpd_tls_security_level = may\nsmtpd_client_connection_count_limit = 0\n"
            f"smtp_tls_CAfile = {self.ca_file}\nsmtp_dns_support_level = dnssec\n"
            f"smtp_tls_security_level = dane\n{self.main_cf}"
        )
        lines = ["postlog unix-dgram n - n - 1 postlogd", "anvil unix - - n - 1 anvil"]
        lines += [
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "proxymap unix - - n - - proxymap",
            *self.master_cf,
        ]
        for domain in self.domains:
            lines.append(f"{domain.smtpd}:25 inet n - n - - smtpd")
            lines.append(f"  -o myhostname=mx.{domain.name}")
            lines.append(f"  -o smtpd_tls_chain_files={self.dir}/{domain.name}.pem")
            if domain.certificate == "no-starttls":
                lines.append("  -o smtpd_tls_security_level=none")
        (conf / "master.cf").write_text("\n".join(lines) + "\n")
        # Young files make Postfix read them again and again for two seconds.
        for file in conf.iterdir():
            os.utime(file, (1, 1))
        run("postfix", "-c", str(conf), "check")
        daemons = run("postconf", "-c", str(conf), "-h", "daemon_directory").strip()
        spawn(self.dir / "master.out", f"{daemons}/master", "-c", str(conf), "-d")
        for domain in self.domains:
            until(f"{domain.name} greets", lambda domain=domain: self.greets(domain.smtpd))
        os.environ["MAIL_CONFIG"] = str(conf)

    @staticmethod
    def greets(address: str) -> bool:
        try:
            with socket.create_connection((address, 25), timeout=5) as connection:
                return connection.recv(100).startswith(b"220 ")
        except OSError:
            return False

    # --- policy hosts --------------------------------------------------------------------------------

    def policy_hosts(self) -> http.server.ThreadingHTTPServer:
        bodies = self.policy_bodies
        leaf = issue("policy hosts", issuer=self.authorities.intermediate, names=tuple(bodies))
        chain = self.dir / "policy-hosts.pem"
        chain.write_bytes(leaf.key_pem + leaf.pem + self.authorities.intermediate.pem)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = self.headers.get("Host", "").partition(":")[0]
                body = bodies.get(host, "") if self.path == "/.well-known/mta-sts.txt" else ""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer((POLICY_HOST, 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    # --- the two witnesses -------------------------------------------------------------------------------

    def mxseal(self, *arguments: str) -> tuple[int, dict, str]:
        """One call of the command line, on this world; gives exit code, JSON and stderr."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "mxseal",
                *arguments,
                "--json",
                "--resolver=127.0.0.1",
                f"--trust-anchor={self.trust_anchor}",
                f"--ca-file={self.ca_file}",
                "--allow-private",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        document = {}
        with contextlib.suppress(json.JSONDecodeError):
            document = json.loads(done.stdout)
        return done.returncode, document, done.stderr

    def finger(self, level: str, domain: Domain, match: list[str]) -> dict[str, str]:
        """posttls-finger(1): one session at `level`, as smtp(8) would have it."""
        done = subprocess.run(
            [
                "posttls-finger",
                "-c",
                "-l",
                level,
                "-F",
                str(self.ca_file),
                "-L",
                "summary",
                *(["-s", domain.host] if level == "secure" else []),
                domain.name,
                *match,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = done.stdout + done.stderr
        established = re.search(r"(Verified|Trusted|Untrusted|Anonymous) TLS connection established", output)
        if established and level in {"may", "encrypt"}:
            verdict = "encrypted"
        elif established:
            verdict = "verified" if established[1] == "Verified" else "refused"
        elif re.search(r"(?i)name service error|lookup error|DNSSEC", output):
            verdict = "lookup-failed"
        else:
            verdict = "refused"
        return {"level": level, "verdict": verdict, "output": output}


def main(directory: Path) -> None:
    world = World(directory)
    world.network()
    world.zones()
    world.postfix()
    world.policy_hosts()
    _, checks, check_errors = world.mxseal("check", *(domain.name for domain in DOMAINS))
    judgements = {judgement["domain"]: judgement for judgement in checks.get("domains", [])}
    results = {}
    for domain in DOMAINS:
        _, explanation, explain_errors = world.mxseal("send", "explain", domain.name)
        results[domain.name] = {
            "explain": explanation,
            "check": judgements.get(domain.name, {}),
            "finger": ask_finger(world, domain, explanation),
            "errors": explain_errors + check_errors,
        }
    _, doctor, doctor_errors = world.mxseal("doctor")
    json.dump({"domains": results, "doctor": {**doctor, "errors": doctor_errors}}, sys.stdout)
    sys.stdout.flush()
    # Init of its own process namespace: with it all servers end.
    os._exit(0)


def ask_finger(world: World, domain: Domain, explanation: dict) -> dict[str, str]:
    """posttls-finger at the level, and with the names, that our answer would make smtp(8) use."""
    status, _, policy = explanation.get("postfix", "").partition(" ")
    level, *attributes = policy.split() or [""]
    match status, level:
        case "OK", "dane-only" | "dane":
            authenticates = any(host["level"] == "dane" for host in explanation["decision"]["hosts"])
            return world.finger("dane-only" if authenticates else "encrypt", domain, [])
        case "OK", "secure":
            names = [item.removeprefix("match=") for item in attributes if item.startswith("match=")]
            return world.finger("secure", domain, [name for item in names for name in item.split(":")])
        case "NOTFOUND", _:
            return world.finger("may", domain, [])
        case "TEMP", _:
            return world.finger("dane", domain, [])
    return {"level": "", "verdict": f"mxseal gave no answer: {status} {policy}", "output": ""}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
