"""A signed hierarchy of more than forty zones, made with Debian's tools and served by NSD, and two real
validating resolvers over it: unbound and BIND.  Everything runs on loopback, on high ports, as any user."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mxseal.adapters.dns.anchors import TrustAnchors, load_trust_anchors
from mxseal.adapters.dns.transport import Server
from mxseal.vocabulary.names import Address

TOOLS = (
    "dnssec-keygen",
    "dnssec-signzone",
    "dnssec-dsfromkey",
    "dnssec-revoke",
    "ldns-signzone",
    "nsd",
    "unbound",
    "named",
)
Lines = list[str]
Change = Callable[[Lines], Lines]


# --- the zones -----------------------------------------------------------------------------------------


def _content(zone: str) -> str:
    """Every leaf zone holds the same kinds of names, so that every question makes sense in each."""
    return f"""\
$ORIGIN {zone}.
$TTL 300
@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ NS ns.test.
@ A 192.0.2.1
@ MX 10 Mail.{zone}.
@ MX 20 backup
@ TXT "v=spf1 -all"
mail A 192.0.2.2
mail AAAA 2001:db8::2
_25._tcp.mail TLSA 3 1 1 {"ab" * 32}
_mta-sts TXT "v=STSv1; id=1;"
*.wild TXT "from the wildcard"
*.wild MX 5 mail
exact.wild A 192.0.2.3
a.deep.ent A 192.0.2.4
alias CNAME mail
out CNAME mail.ecdsa256.test.
insecure CNAME mail.unsigned.test.
dangling CNAME nothing.ecdsa256.test.
*.walias CNAME mail
loop1 CNAME loop2
loop2 CNAME loop1
tree DNAME branch
leaf.branch TXT "below a DNAME"
kid NS ns.test.
"""


QUESTIONS: tuple[tuple[str, str], ...] = (
    ("@", "MX"),
    ("@", "A"),
    ("@", "TXT"),
    ("@", "AAAA"),  # no data at the apex
    ("mail", "A"),
    ("_25._tcp.mail", "TLSA"),
    ("_25._tcp.backup", "TLSA"),  # no such name
    ("_mta-sts", "TXT"),
    ("nothing", "A"),
    ("very.far.below.nothing", "MX"),
    ("x.wild", "TXT"),
    ("x.wild", "A"),  # the wildcard has no such type
    ("x.y.wild", "MX"),
    ("exact.wild", "TXT"),
    ("deep.ent", "A"),  # an empty non-terminal
    ("a.deep.ent", "A"),
    ("alias", "A"),
    ("alias", "CNAME"),
    ("out", "AAAA"),
    ("insecure", "A"),
    ("dangling", "A"),
    ("x.walias", "A"),
    ("leaf.tree", "TXT"),
    ("nothing.tree", "TXT"),
    ("kid", "MX"),
    ("mail.kid", "A"),
    ("kid", "DS"),
    ("@", "DS"),
    ("@", "DNSKEY"),
)
LOOPS: tuple[tuple[str, str], ...] = (("loop1", "A"),)


@dataclass
class Zone:
    name: str
    algorithm: str = "ECDSAP256SHA256"
    nsec3: str = ""  # options of dnssec-signzone
    ldns: str = ""  # options of ldns-signzone instead
    dates: str = ""
    signed: bool = True
    zsk: bool = False
    change: Change = field(default=lambda lines: lines)
    ds: Change = field(default=lambda lines: lines)
    digests: str = "-2"
    revoke: bool = False


def _owner_type(line: str) -> tuple[str, str]:
    words = line.split()
    return words[0].lower(), words[3]


def _edit(kind: str, old: str, new: str, owner: str = "") -> Change:
    """Replace text in records of one type (``RRSIG A``: signatures over A), after signing."""

    def change(lines: Lines) -> Lines:
        hits = 0
        result = []
        for line in lines:
            words = line.split()
            shown = " ".join(words[3 : 3 + len(kind.split())])
            if shown == kind and words[0].lower().startswith(owner):
                replaced = re.sub(old, new, line)
                hits += replaced != line
                result.append(replaced)
            else:
                result.append(line)
        assert hits, f"nothing to change: {kind} {old}"
        return result

    return change


def _drop(*kinds: str) -> Change:
    def change(lines: Lines) -> Lines:
        def kept(line: str) -> bool:
            words = line.split()
            return not any(" ".join(words[3 : 3 + len(kind.split())]) == kind for kind in kinds)

        result = [line for line in lines if kept(line)]
        assert len(result) < len(lines)
        return result

    return change


def _ds_field(position: int, value: str) -> Change:
    """Change one field of the DS records: 4 tag, 5 algorithm, 6 digest type, 7 digest."""

    def change(lines: Lines) -> Lines:
        return [" ".join((*line.split()[: position - 1], value, *line.split()[position:])) for line in lines]

    return change


def _flip_digest(digest_type: str) -> Change:
    def change(lines: Lines) -> Lines:
        result = []
        for line in lines:
            words = line.split()
            if words[5] == digest_type:
                words[6] = ("0" if words[6][0] != "0" else "1") + words[6][1:]
            result.append(" ".join(words))
        return result

    return change


def _add(position: int, value: str) -> Change:
    def change(lines: Lines) -> Lines:
        return lines + _ds_field(position, value)(lines[:1])

    return change


def _none(lines: Lines) -> Lines:
    del lines
    return []


_PAST = "-s 20240101000000 -e 20240201000000"
_FUTURE = "-s 20400101000000 -e 20400201000000"

LEAVES: tuple[Zone, ...] = (
    # good, in every way that a zone can be
    Zone("ecdsa256.test"),
    Zone("ecdsa384.test", "ECDSAP384SHA384"),
    Zone("rsa256.test", "RSASHA256 -b 1024"),
    Zone("rsa512.test", "RSASHA512 -b 1024"),
    Zone("rsasha1.test", "NSEC3RSASHA1 -b 1024"),
    Zone("ed25519.test", "ED25519"),
    Zone("ed448.test", "ED448"),
    Zone("nsec3.test", nsec3="-3 - -H 0"),
    Zone("salted.test", nsec3="-3 aabbccdd -H 10"),
    Zone("iterated.test", nsec3="-3 aabb -H 150"),
    Zone("optout.test", nsec3="-3 - -H 0 -A"),
    Zone("twokeys.test", zsk=True),
    Zone("digest1.test", digests="-1"),
    Zone("digest4.test", digests="-a SHA-384"),
    Zone("digests12.test", digests=""),
    Zone("wrongsha1.test", digests="-1 -2", ds=_flip_digest("1")),
    Zone("extrads.test", ds=_add(5, "200")),
    Zone("in.optouttld", nsec3="-3 - -H 0"),
    # insecure, by proof
    Zone("unsigned.test", signed=False),
    Zone("unsigned.optouttld", signed=False),
    Zone("island.test", ds=_none),
    Zone("island.optouttld", ds=_none),
    Zone("unknownalg.test", ds=_ds_field(5, "200")),
    Zone("unknowndigest.test", ds=_ds_field(6, "200")),
    Zone("toomany.test", ldns="-n -s aabb -t 500"),
    # broken
    Zone("expired.test", dates=_PAST),
    Zone("expired3.test", dates=_PAST, nsec3="-3 - -H 0"),
    Zone("future.test", dates=_FUTURE),
    Zone("changed.test", change=_edit("A", r"192\.0\.2\.", "198.51.100.")),
    Zone("nosignature.test", change=_drop("RRSIG MX")),
    Zone("nosignatures.test", change=_drop("RRSIG")),
    Zone("wrongds.test", ds=_flip_digest("2")),
    Zone("wrongtag.test", ds=_ds_field(4, "1")),
    Zone("wrongsha2.test", digests="-1 -2", ds=_flip_digest("2")),
    Zone("wrongalg.test", ds=_ds_field(5, "8")),
    Zone("dsgone.test"),  # its DS is taken out of the signed parent
    Zone("dsunsigned.test"),  # the signature over its DS is taken out of the signed parent
    Zone("nonsec.test", change=_drop("NSEC", "RRSIG NSEC")),
    Zone("nsecunsigned.test", change=_drop("RRSIG NSEC")),
    Zone("nsecchanged.test", change=_edit("NSEC", r"RRSIG NSEC", "TXT RRSIG NSEC", "a.deep.ent")),
    Zone("wrongsigner.test", change=_edit("RRSIG", r" wrongsigner\.test\. ", " test. ")),
    Zone("othersigner.test", change=_edit("RRSIG MX", r" othersigner\.test\. ", " ecdsa256.test. ")),
    Zone("othertype.test", change=_edit("RRSIG MX", "RRSIG(\\s+)MX", "RRSIG\\1TXT")),
    Zone("labels.test", change=_edit("RRSIG A", r"(RRSIG\s+A\s+13\s+)3", r"\g<1>2", "mail")),
    Zone("nsec3flags.test", nsec3="-3 - -H 0", change=_edit("NSEC3", r"NSEC3(\s+)1 0 0", r"NSEC3\1 1 2 0")),
    Zone("nsec3unsigned.test", nsec3="-3 - -H 0", change=_drop("RRSIG NSEC3")),
    Zone("keyunsigned.test", change=_drop("RRSIG DNSKEY")),
    Zone("nokey.test", change=_drop("DNSKEY", "RRSIG DNSKEY")),
    Zone("revoked.test", revoke=True),
    Zone("badsignature.test", change=_edit("RRSIG TXT", r"(\S{6})==$", "AAAAAA==")),
)


def leaf_names() -> tuple[str, ...]:
    return tuple(zone.name for zone in LEAVES)


def questions() -> list[tuple[str, str]]:
    """Every question, absolute."""
    found = [
        (zone.name if name == "@" else f"{name}.{zone.name}", kind)
        for zone in LEAVES
        for name, kind in QUESTIONS
    ]
    found += [(f"{name}.ecdsa256.test", kind) for name, kind in LOOPS]
    found += [
        ("nothing.test", "MX"),
        ("nothing.optouttld", "MX"),
        ("a.b.nothing.optouttld", "MX"),
        ("test", "DS"),
        ("test", "SOA"),
        ("nothing-at-all", "A"),
        ("optouttld", "MX"),
        (".", "DNSKEY"),
        (".", "NS"),
        (".", "MX"),
    ]
    return found


# --- making and serving them -------------------------------------------------------------------------------


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


class Builder:
    def __init__(self, place: Path) -> None:
        self.place = place

    def build(self, zone: Zone, text: str) -> Lines:
        """Sign the zone; its file is ``NAME.zone``, its DS records come back."""
        title = zone.name.strip(".") or "root"
        here = self.place / f"build-{title}"
        here.mkdir()
        origin = "." if title == "root" else f"{zone.name}."
        source = here / "source"
        source.write_text(text)
        target = self.place / f"{title}.zone"
        if not zone.signed:
            target.write_text(text)
            return []
        keys = [_run("dnssec-keygen", "-q", "-f", "KSK", "-a", *zone.algorithm.split(), origin, cwd=here)]
        if zone.revoke:
            keys = [_run("dnssec-revoke", keys[0], cwd=here).split("/")[-1]]
        if zone.zsk:
            keys.append(_run("dnssec-keygen", "-q", "-a", *zone.algorithm.split(), origin, cwd=here))
        output = here / "signed"
        if zone.ldns:
            _run(
                "ldns-signzone",
                *zone.ldns.split(),
                "-o",
                origin,
                "-f",
                str(output),
                str(source),
                *keys,
                cwd=here,
            )
        else:
            public = "".join((here / f"{key}.key").read_text() for key in keys)
            source.write_text(text + public)
            alone = () if zone.zsk else ("-z",)
            options = (*alone, "-P", "-O", "full", *zone.nsec3.split(), *zone.dates.split())
            _run(
                "dnssec-signzone",
                "-q",
                *options,
                "-o",
                origin,
                "-f",
                str(output),
                str(source),
                *keys,
                cwd=here,
            )
        lines = [
            " ".join(line.split())
            for line in output.read_text().splitlines()
            if line.strip() and not line.lstrip().startswith(";")
        ]
        target.write_text("\n".join(zone.change(lines)) + "\n")
        if origin == ".":
            digests = _run("dnssec-dsfromkey", "-2", keys[0], cwd=here)
        else:
            digests = _run("dnssec-dsfromkey", *zone.digests.split(), keys[0], cwd=here)
        return zone.ds(digests.splitlines())

    def build_all(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda zone: self.build(zone, _content(zone.name)), LEAVES))
        for zone in LEAVES:
            kid = f"kid.{zone.name}"
            text = f"$TTL 300\n{kid}. SOA ns.test. h.test. 1 1 1 1 60\n{kid}. NS ns.test.\nmail.{kid}. A 192.0.2.9\n{kid}. MX 10 mail.{kid}.\n"
            (self.place / f"{kid}.zone").write_text(text)
        tops: Lines = []
        for top, options, change in (("test", "", _break_parent), ("optouttld", "-3 - -H 0 -A", None)):
            text = f"$TTL 300\n{top}. SOA ns.test. h.test. 1 1 1 1 60\n{top}. NS ns.test.\n"
            text += "ns.test. A 127.0.0.1\n" if top == "test" else ""
            for zone, ds in zip(LEAVES, made, strict=True):
                if zone.name.endswith(f".{top}"):
                    text += f"{zone.name}. NS ns.test.\n" + "".join(f"{line}\n" for line in ds)
            spec = Zone(top, nsec3=options)
            if change:
                spec.change = change
            tops += self.build(spec, text)
        text = "$TTL 300\n. SOA ns.test. h.test. 1 1 1 1 60\n. NS ns.test.\n"
        text += "test. NS ns.test.\noptouttld. NS ns.test.\nns.test. A 127.0.0.1\n" + "".join(
            f"{line}\n" for line in tops
        )
        anchor = self.build(Zone("."), text)
        (self.place / "anchor.ds").write_text("\n".join(anchor) + "\n")


def _break_parent(lines: Lines) -> Lines:
    """Takes a DS, and a signature over another DS, out of the signed parent."""
    gone = [line for line in lines if line.startswith("dsgone.test.") and _owner_type(line)[1] == "DS"]
    gone += [line for line in lines if line.startswith("dsgone.test.") and " RRSIG DS " in line]
    gone += [line for line in lines if line.startswith("dsunsigned.test.") and " RRSIG DS " in line]
    assert len(gone) == 3
    return [line for line in lines if line not in gone]


def _nsd(place: Path, port: int) -> list[str]:
    zones = "".join(
        f'zone:\n  name: "{path.stem if path.stem != "root" else "."}"\n  zonefile: "{path}"\n'
        for path in sorted(place.glob("*.zone"))
    )
    config = place / "nsd.conf"
    config.write_text(
        f"""server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{place}"
  pidfile: "{place}/nsd.pid"
  xfrdfile: "{place}/xfrd.state"
  xfrdir: "{place}"
  zonelistfile: "{place}/zone.list"
  database: ""
  server-count: 1
  rrl-ratelimit: 0
  logfile: "{place}/nsd.log"
remote-control:
  control-enable: no
{zones}"""
    )
    return ["nsd", "-d", "-c", str(config)]


def _unbound(place: Path, port: int, upstream: int) -> list[str]:
    config = place / "unbound.conf"
    config.write_text(
        f"""server:
  interface: 127.0.0.1@{port}
  username: ""
  chroot: ""
  directory: "{place}"
  pidfile: ""
  use-syslog: no
  logfile: "{place}/unbound.log"
  verbosity: 1
  trust-anchor-file: "{place}/anchor.ds"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  val-bogus-ttl: 1
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  ede: yes
  qname-minimisation: no
  aggressive-nsec: no
  val-log-level: 2
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
"""
    )
    return ["unbound", "-d", "-c", str(config)]


def _named(place: Path, port: int, upstream: int) -> list[str]:
    tag, algorithm, digest_type, digest = (place / "anchor.ds").read_text().split()[3:7]
    config = place / "named.conf"
    config.write_text(
        f"""options {{
  directory "{place}"; pid-file none; session-keyfile "{place}/session.key";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion yes; allow-query {{ any; }}; forward only; forwarders {{ 127.0.0.1 port {upstream}; }};
  dnssec-validation yes; empty-zones-enable no; servfail-ttl 0; lame-ttl 0; resolver-query-timeout 1500; synth-from-dnssec no; qname-minimization off;
  notify no;
}};
trust-anchors {{ . static-ds {tag} {algorithm} {digest_type} "{digest}"; }};
controls {{ }};
logging {{ channel file {{ file "{place}/named.log"; severity info; }}; category default {{ file; }}; category dnssec {{ file; }}; }};
"""
    )
    return ["named", "-f", "-n", "1", "-c", str(config)]


@dataclass(frozen=True)
class Hierarchy:
    place: Path
    authoritative: Server
    unbound: Server
    bind: Server
    anchors: TrustAnchors


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers a question; a server that ends instead shows its log."""
    query = bytes.fromhex("abcd01000001000000000000") + b"\0\0\6\0\1"
    end = time.monotonic() + 30
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.1)
        udp.connect((str(server[0]), server[1]))
        while time.monotonic() < end:
            assert process.poll() is None, log.read_text() if log.exists() else "ended at once"
            try:
                udp.send(query)
                if udp.recv(4096)[:2] == query[:2]:
                    return
            except (TimeoutError, ConnectionRefusedError):
                continue
    pytest.fail(f"{log.name}: the server does not answer")


@pytest.fixture(scope="session")
def hierarchy(tmp_path_factory: pytest.TempPathFactory, free_ports: Iterator[int]) -> Iterator[Hierarchy]:
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (sudo make system)"
        if os.environ.get("MXSEAL_REQUIRE_REAL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    place = tmp_path_factory.mktemp("dns")
    Builder(place).build_all()
    nsd, unbound, named = ((Address("127.0.0.1"), next(free_ports)) for _ in range(3))
    commands = (
        (nsd, _nsd(place, nsd[1]), "nsd.log"),
        (unbound, _unbound(place, unbound[1], nsd[1]), "unbound.log"),
        (named, _named(place, named[1], nsd[1]), "named.log"),
    )
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for server, command, log in commands:
            with (place / f"{log}.stderr").open("wb") as errors:
                process = subprocess.Popen(command, stdout=errors, stderr=errors, cwd=place)
            processes.append(process)
            _wait_for(server, process, place / f"{log}.stderr")
        yield Hierarchy(place, nsd, unbound, named, load_trust_anchors(place / "anchor.ds"))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=10)


@pytest.fixture(scope="session")
def corpus() -> list[tuple[str, str]]:
    return questions()
