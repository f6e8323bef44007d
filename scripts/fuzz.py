"""Throw mutated texts at the project's parsers, and see that none does what it must not.

    python scripts/fuzz.py                                  # all targets, 100 000 executions each
    python scripts/fuzz.py sts-policy --executions 1000000 --seed 7
    python scripts/fuzz.py --list

Each execution mutates a text of the target's corpus: flips, cuts, copies, joins
two, inserts words that the grammar knows and octets that it does not.  A target
must give one of its documented results, raise nothing, keep its laws, and take
less than its time limit.  The same seed makes the same run.  Exit code 0: no
failure; 1: failures, each shown with the input as a Python literal.

To add a target, write a function from octets to whether they were accepted,
raising `Broken` for a result that must not be, and enter it in `TARGETS`.
"""

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mxseal.standards import mta_sts, tlsrpt
from mxseal.vocabulary.names import HostName, parse_host_name, parse_next_hop
from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection

LONGEST = 4096
"""Octets of a mutated text."""
FAILURES_SHOWN = 10


class Broken(Exception):
    """A parser gave a result that it must not give."""


class Target(NamedTuple):
    """A parser, what to begin with, and how long one execution may take."""

    run: Callable[[bytes], bool]
    corpus: Sequence[bytes]
    words: Sequence[bytes]
    seconds: float = 0.25


def require(condition: bool, law: str) -> None:
    if not condition:
        raise Broken(law)


def rejected(result: object) -> bool:
    """Whether it is a rejection; if so, its place must be in its text, and showing it must be safe."""
    if not isinstance(result, Rejection):
        return False
    require(0 <= result.start <= result.end <= len(result.text), "the place is within the text")
    require(bool(result.message), "a rejection has a message")
    shown = result.with_caret()
    require(shown.count("\n") == 3, "with_caret is four lines")
    require(shown.replace("\n", "").isprintable(), "with_caret is printable")
    require(str(result).isprintable(), "str is printable")
    return True


def text_of(octets: bytes) -> str:
    return octets.decode(errors="surrogateescape")


# --- targets -------------------------------------------------------------------------------------


def sts_record(octets: bytes) -> bool:
    result = mta_sts.select_record([TextData((octets,)), TextData((b"v=spf1 -all",))])
    if isinstance(result, mta_sts.NoRecord):
        require(all(rejected(near) for near in result.near), "what is near is rejected")
        return False
    if rejected(result):
        return False
    again = mta_sts.parse_record(str(result))
    require(isinstance(again, mta_sts.Record), "the canonical text is valid")
    require((again.id, again.extensions) == (result.id, result.extensions), "parse(str(x)) == x")
    require(result.id.isascii() and result.id.isalnum() and len(result.id) <= 32, "an id is an sts-id")
    return True


def sts_policy(octets: bytes) -> bool:
    policy = mta_sts.parse_policy(octets)
    if rejected(policy):
        return False
    require(bool(policy.mx) or policy.mode is mta_sts.Mode.NONE, "no empty match list")
    for pattern in policy.mx:
        require(is_safe_pattern(pattern), "no injected match list")
    require(0 <= policy.max_age <= mta_sts.MAX_AGE_CAP, "max_age is capped")
    again = mta_sts.parse_policy(str(policy))
    require(isinstance(again, mta_sts.Policy), "the canonical text is valid")
    same = ("mode", "mx", "max_age", "published_max_age", "extensions")
    require(all(getattr(again, name) == getattr(policy, name) for name in same), "parse(str(x)) == x")
    return True


def is_safe_pattern(pattern: str) -> bool:
    """Written apart from the parser's own expressions, so that they cannot be wrong together."""
    labels = pattern.removeprefix("*.").split(".")
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    return all(label and set(label) <= allowed and label.strip("-") == label for label in labels)


def mx_pattern(octets: bytes) -> bool:
    pattern = mta_sts.parse_mx_pattern(text_of(octets))
    if rejected(pattern):
        return False
    require(is_safe_pattern(pattern), "no injected match list")
    require(mta_sts.MxPattern(str(pattern)) == pattern, "canonical")
    host = parse_host_name(pattern.replace("*", "any", 1))
    require(isinstance(host, Rejection) or pattern.matches(host), "a pattern matches what it means")
    if isinstance(host, HostName) and len(host) < 200:
        require(not pattern.matches(HostName(f"a.b.{host}")), "two labels more never fit")
        require(not pattern.matches(HostName(f"{host}.attacker.test")), "anchored")
    return True


def tlsrpt_record(octets: bytes) -> bool:
    result = tlsrpt.select_record([TextData((octets,)), TextData((b"v=spf1 -all",))])
    if isinstance(result, tlsrpt.NoRecord):
        require(all(rejected(near) for near in result.near), "what is near is rejected")
        return False
    if rejected(result):
        return False
    require(0 < len(result.rua) <= tlsrpt.MAX_DESTINATIONS, "a bounded number of destinations")
    for uri in result.rua:
        destination = tlsrpt.parse_destination(uri)
        require(not rejected(destination), "each destination is valid")
        if isinstance(destination, tlsrpt.MailDestination):
            require(destination.address.isprintable(), "an address is one line")
            require(" " not in destination.address.replace('"', " ", 1).partition(" ")[0], "one address")
    again = tlsrpt.parse_record(str(result))
    require(isinstance(again, tlsrpt.Record), "the canonical text is valid")
    require((again.rua, again.extensions) == (result.rua, result.extensions), "parse(str(x)) == x")
    return True


def tlsrpt_report(octets: bytes) -> bool:
    report = tlsrpt.decode_report(octets)
    if rejected(report):
        return False
    require(tlsrpt.decode_report(tlsrpt.encode_report(report)) == report, "decode(encode(x)) == x")
    for policy in report.policies:
        require(0 <= policy.summary.total_failure_session_count <= 10**12, "counts are bounded")
    return True


def host_name(octets: bytes) -> bool:
    host = parse_host_name(text_of(octets))
    if rejected(host):
        return False
    require(HostName(str(host)) == host, "canonical")
    require(is_host(host), "a host name is safe anywhere")
    require(bool(host.unicode) and "\n" not in host.unicode, "it can be shown")
    return True


def is_host(host: str) -> bool:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    labels = host.split(".")
    return len(host) <= 253 and all(0 < len(label) <= 63 and set(label) <= allowed for label in labels)


def next_hop(octets: bytes) -> bool:
    result = parse_next_hop(text_of(octets))
    if rejected(result):
        return False
    require(parse_next_hop(str(result)) == result, "parse(str(x)) == x")
    require(result.port is None or 0 < result.port < 65536, "a port is a port")
    return True


_POLICY = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
)
_REPORT = (
    b'{"organization-name":"Company-X","date-range":{"start-datetime":"2016-04-01T00:00:00Z",'
    b'"end-datetime":"2016-04-01T23:59:59Z"},"contact-info":"s@company-x.example","report-id":"5065427c",'
    b'"policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing"],'
    b'"policy-domain":"company-y.example","mx-host":["*.mail.company-y.example"]},'
    b'"summary":{"total-successful-session-count":5326,"total-failure-session-count":303},'
    b'"failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:12::1",'
    b'"receiving-mx-hostname":"mx1.mail.company-y.example","failed-session-count":100,'
    b'"receiving-ip":"203.0.113.56","failure-reason-code":"X509","additional-information":"https://x/"}]}]}'
)
_NAMES = ("example.com", "MX.Example.COM.", "bücher.example", "xn--bcher-kva.example", "xn--ls8h.la", "a_b.c",
          "192.0.2.1", "例え。テスト", "x" * 63 + ".example", "localhost", "⒈a.b", "faß.de")  # fmt: skip
_NAME_WORDS = (
    "xn--",
    "xn--a-",
    ".",
    "..",
    "。",
    "-",
    "_",
    "*",
    "ü",
    "ß",
    "\u00ad",
    "\u202e",
    "1",
    "[",
    "]",
    ":",
)

TARGETS: dict[str, Target] = {
    "sts-record": Target(
        sts_record,
        (b"v=STSv1; id=20160831085700Z;", b"v=STSv1;id=1", b"v=STSv1 ; x=y; id=a; id=b ;\t", b"v=STSv10; id=1"),
        (b"v=STSv1", b";", b"id=", b"=", b" ", b"\t", b"x=y", b"V=stsv1", b"a" * 33),
    ),
    "sts-policy": Target(
        sts_policy,
        (
            _POLICY,
            _POLICY.replace(b"\r", b""),
            b"version: STSv1\nmode: none\nmax_age: 0",
            _POLICY + "x.y: ünï cödé\n".encode(),
        ),
        (b"version: STSv1\n", b"mode: ", b"enforce", b"testing", b"none", b"mx: ", b"*.", b"max_age: ", b"9999999999",
         b"\r\n", b"\n", b"\r", b": ", b":", b" ", b"\t", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b".", b"_"),
    ),
    "mx-pattern": Target(
        mx_pattern,
        tuple(name.encode() for name in (*_NAMES, "*.example.com", "*.com", "*")),
        tuple(word.encode() for word in (*_NAME_WORDS, "*.", " ", "hostname")),
    ),
    "tlsrpt-record": Target(
        tlsrpt_record,
        (
            b"v=TLSRPTv1; rua=mailto:reports@example.com",
            b"v=TLSRPTv1;rua=https://reporting.example.com:8443/v1/tlsrpt?a=b#c;",
            b"v=TLSRPTv1; x=y; rua=mailto:a%21b@c.example , https://[2001:db8::1]/x ; rua=xmpp:d@e",
        ),
        (b"v=TLSRPTv1", b"rua=", b"mailto:", b"https://", b",", b";", b"%0d%0a", b"%22", b"%2C", b"?cc=", b"@", b"!",
         b"[", b"]", b"%", b":", b"//", b"%C3%BC", b" ", b"=", b"%e2%80%ae"),
    ),
    "tlsrpt-report": Target(
        tlsrpt_report,
        (_REPORT, _REPORT.replace(b",", b", "), b'{"a":[]}'),
        (b"null", b"true", b"-1", b"1e9", b"NaN", b"1000000000001", b'"', b"\\", b"\\ud800", b"\\u0000", b"[", b"]",
         b"{", b"}", b"[" * 40, b'{"a":' * 40, b",", b'"x":1,', b'"policies":[]', b"Z", b"+02:00", b"\xff", b"\xef\xbb\xbf"),
        seconds=1.0,
    ),
    "host-name": Target(
        host_name,
        tuple(name.encode() for name in _NAMES),
        tuple(word.encode() for word in _NAME_WORDS),
    ),
    "next-hop": Target(
        next_hop,
        tuple(
            name.encode()
            for name in (*_NAMES, "example.com:587", "[mx.example.com]:25", "[192.0.2.1]", "[IPv6:2001:db8::1]:25", ".a.b")
        ),
        tuple(word.encode() for word in (*_NAME_WORDS, ":25", ":0", ":65536", "IPv6:", "::", "%eth0", "[[", "٢")),
    ),
}  # fmt: skip


# --- the fuzzer ----------------------------------------------------------------------------------


def mutated(octets: bytes, target: Target, rng: random.Random) -> bytes:
    """A few small changes, of which most keep most of the text."""
    body = bytearray(octets)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(8):
            case 0 if body:  # flip a bit
                body[at % len(body)] ^= 1 << rng.randrange(8)
            case 1 if body:  # another octet
                body[at % len(body)] = rng.randrange(256)
            case 2:  # an octet more
                body[at:at] = bytes((rng.randrange(256),))
            case 3:  # some octets less
                del body[at : at + rng.choice((1, 1, 2, 4, 16, 64))]
            case 4:  # a part again, elsewhere, perhaps many times
                part = bytes(body[at : at + rng.randrange(1, 24)])
                to = rng.randrange(len(body) + 1)
                body[to:to] = part * rng.choice((1, 1, 1, 2, 50))
            case 5:  # the end of another text
                other = rng.choice(target.corpus)
                body[at:] = other[rng.randrange(len(other) + 1) :]
            case _:  # a word of the grammar
                body[at : at + rng.choice((0, 0, 1, 4))] = rng.choice(target.words)
    return bytes(body[:LONGEST])


def fuzz(name: str, target: Target, executions: int, seed: int) -> list[str]:
    """Run one target; prints a summary and gives a description of each failure."""
    rng = random.Random(f"{seed}:{name}")
    pool = list(target.corpus)
    failures: list[str] = []
    failed = accepted = 0
    slowest = 0.0
    begin = time.perf_counter()
    for number in range(executions):
        octets = mutated(rng.choice(pool), target, rng) if number >= len(target.corpus) else pool[number]
        start = time.perf_counter()
        try:
            ok = target.run(octets)
        except Exception:  # noqa: BLE001 - that nothing escapes is what is tested
            trouble = traceback.format_exc(limit=-3)
            ok = False
        else:
            took = time.perf_counter() - start
            slowest = max(slowest, took)
            trouble = f"took {took:.3f} s\n" if took > target.seconds else ""
        if trouble:
            failed += 1
            if len(failures) < FAILURES_SHOWN:
                failures.append(f"{name}: {octets!r}\n{trouble}")
        if ok:
            accepted += 1
            # Mutants of mutants go further; a bounded pool keeps the run the same for the same seed.
            if len(pool) < 1000:
                pool.append(octets)
            else:
                pool[rng.randrange(len(target.corpus), 1000)] = octets
    took = time.perf_counter() - begin
    print(
        f"{name}: {executions} executions, {accepted} accepted, {failed} failures, {took:.1f} s"
        f" (slowest {slowest * 1000:.1f} ms)",
        flush=True,
    )
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="the names of all targets")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(TARGETS))
        return 0
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; --list names them")
    failures = [
        failure
        for name in arguments.targets or TARGETS
        for failure in fuzz(name, TARGETS[name], arguments.executions, arguments.seed)
    ]
    for failure in failures:
        sys.stderr.write(f"\n{failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
