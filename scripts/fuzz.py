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
import base64
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import dns.flags
import dns.message

from mxseal.adapters.dns import transport
from mxseal.decisions import checkup
from mxseal.decisions.overrides import parse_overrides
from mxseal.standards import certificate, dane, mta_sts, postfix_tls, smtp, socketmap, starttls, tlsrpt
from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.names import Address, HostName, parse_host_name, parse_next_hop
from mxseal.vocabulary.observations import (
    AddressData,
    Answer,
    Evidence,
    Handshake,
    MxData,
    MxHostEvidence,
    Outcome,
    PolicyFetched,
    RecordType,
    Security,
    SmtpSession,
    Stage,
    TextData,
    TlsaData,
    TlsaLookup,
    TlsaState,
    Unreachable,
)
from mxseal.vocabulary.rejection import Rejection
from mxseal.vocabulary.saved import from_json, to_json

LONGEST = 4096
"""Octets of a mutated text."""
SWOLLEN = 200_000
"""Octets of a text of which a part was repeated until it met the parsers' own bounds, and showed what is quadratic."""
SWOLLEN_EVERY = 50
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
    if result.text:  # binary data is not carried along; the place then counts its octets
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


def tlsa_text(octets: bytes) -> bool:
    record = dane.parse_tlsa(text_of(octets))
    if rejected(record):
        return False
    require(dane.parse_tlsa(str(record)) == record, "parse(str(x)) == x")
    usability = dane.classify([record])
    require(len(usability.usable) + len(usability.unusable) == 1, "a record is usable or not")
    return True


def postfix_policy(octets: bytes) -> bool:
    policy = postfix_tls.parse_policy(text_of(octets))
    if rejected(policy):
        return False
    require(postfix_tls.parse_policy(str(policy)) == policy, "parse(str(x)) == x")
    require("\n" not in str(policy), "one line")
    return True


def socketmap_requests(octets: bytes) -> bool:
    pump, cut = socketmap.Pump(), socketmap.Pump()
    events = pump.receive(octets)
    half = len(octets) // 2
    again = [*cut.receive(octets[:half]), *cut.receive(octets[half:])]
    require(pump.broken == cut.broken and len(events) == len(again), "pieces do not matter")
    for event in events:
        if isinstance(event, socketmap.Request):
            require(socketmap.Pump().receive(event.frame) == [event], "a request's frame is the request")
            next_hop = postfix_tls.parse_key(event.key)
            require(next_hop is None or rejected(next_hop) or str(next_hop).isprintable(), "a key is read")
    return any(isinstance(event, socketmap.Request) for event in events)


def overrides(octets: bytes) -> bool:
    read = parse_overrides(text_of(octets))
    if rejected(read):
        return False
    for key, reply in read.replies.items():
        next_hop = parse_next_hop(key)
        require(not rejected(next_hop) and read.reply(next_hop) == reply, "a line is found by its own key")
        require("\n" not in str(reply), "one line")
    return bool(read.replies)


_AT = datetime(2026, 11, 23, tzinfo=UTC)
_MX = HostName("mx.example.com")


def certificate_octets(octets: bytes) -> bool:
    parsed = certificate.parse_certificate(octets)
    if rejected(parsed):
        return False
    for name in dir(certificate.Certificate):
        value = "" if name.startswith("_") else getattr(parsed, name)
        require(not isinstance(value, str) or len(value) < 100_000, "texts are bounded")
    verdict = certificate.verify_pkix([octets], _ROOTS, _MX, _AT)
    trusted = isinstance(verdict, certificate.Trusted)
    require(not trusted or octets.startswith(_CERTIFICATE), "a changed certificate is not trusted")
    return True


def smtp_server(octets: bytes) -> bool:
    """What a server may say, in pieces, to a client that wants STARTTLS; accepted: it came to TLS."""
    dialogue = starttls.Dialogue(HostName("client.example"))
    sealed = False
    size = 40 if len(octets) <= LONGEST else 16 * 1024
    for piece in [*(octets[at : at + size] for at in range(0, len(octets), size)), b""]:
        dialogue.receive(piece)
        while (event := dialogue.next_event()) is not None:
            match event:
                case starttls.Extended(inside_tls=inside):
                    require(inside is sealed, "what came in the clear does not count inside")
                    if dialogue.state is starttls.State.CLEAR:
                        dialogue.start_tls()
                    elif dialogue.state is starttls.State.SEALED:
                        dialogue.quit()
                case starttls.UpgradeNow() if dialogue.state is starttls.State.UPGRADING:
                    dialogue.tls_established()
                    sealed = True
                    require(
                        dialogue.extensions == starttls.Extensions(), "what came in the clear is forgotten"
                    )
        require(not sealed or dialogue.state is not starttls.State.CLEAR, "never back into the clear")
        require(dialogue.data_to_send().count(b"\r\n") <= 3, "few commands")
    require(dialogue.state is starttls.State.CLOSED, "a closed connection ends the dialogue")
    return sealed


def mailbox(octets: bytes) -> bool:
    address = smtp.parse_mailbox(text_of(octets))
    if rejected(address):
        return False
    text = str(address)
    require(smtp.parse_mailbox(text) == address, "parse(str(x)) == x")
    require(
        not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text), "no control gets into a command"
    )
    require(len(text.encode()) <= 254, "a path is bounded")
    require(text.startswith('"') or not set("<> ") & set(text), "it ends where it ends")
    return True


def message(octets: bytes) -> bool:
    read = smtp.read_message(octets)
    if rejected(read):
        return False
    sent = b"".join(read.pieces())
    require(not re.search(rb"\r(?!\n)|(?<!\r)\n", sent), "a line ends with CRLF and nothing else")
    require(b"\r\n.\r\n" not in b"\r\n" + sent, "nothing looks like the end")
    require(re.sub(rb"(?m)^\.", b"", sent) == read.octets, "the receiver gets it back")
    finished = smtp.finish(read.octets, {"Date": "today"})
    require("bcc" not in smtp.field_names(finished), "blind recipients stay so")
    require(smtp.finish(finished, {"Date": "today"}) == finished, "finishing is done once")
    return True


_ENVELOPE = smtp.Envelope(
    None,
    tuple(smtp.Mailbox(name, HostName("example.com")) for name in ("a", "b", "c")),
    smtp.read_message(b"Subject: x\n\n.\n"),
)


def transaction(octets: bytes) -> bool:
    """What a server may say to MAIL, RCPT, DATA and the dot; accepted: somebody's mail was taken."""
    reader = starttls.ReplyReader()
    reader.receive(octets)
    pump = smtp.Transaction(_ENVELOPE, smtp.Offers(pipelining=octets[:1] == b"2"))
    said, dots = 0, 0
    while not pump.is_over:
        if data := pump.data_to_send():
            dots += data == b".\r\n"
            continue
        reply = reader.next_reply()
        if isinstance(reply, starttls.Reply):
            said += reply.is_positive
            pump.take(reply)
        else:
            pump.lost("gone")
    taken = [answer for answer in pump.answers if isinstance(answer, smtp.Taken)]
    require(len(pump.answers) == 3, "one answer for each recipient")
    require(dots <= 1, "one end of data")
    require(not taken or (dots == 1 and said >= 3), "taken only after MAIL, RCPT and the dot were accepted")
    require(
        dots == 1 or not any(isinstance(answer, smtp.Unsure) for answer in pump.answers),
        "sure before the dot",
    )
    return bool(taken)


def saved_evidence(octets: bytes) -> bool:
    try:
        evidence = from_json(Evidence, octets, source="e.json")
    except DataFault:
        return False
    require(from_json(Evidence, to_json(evidence), source="e.json") == evidence, "what is saved is read back")
    judgement = checkup.judge(evidence, _AT, roots=_ROOTS)
    require(
        to_json(judgement) == to_json(checkup.judge(evidence, _AT, roots=_ROOTS)), "a judgement is a function"
    )
    return True


_QUESTION = b"\x07example\3com\0\0\x0f\0\1"
_QUERY = transport.Query(b"\x12\x34\1\x10\0\1\0\0\0\0\0\0" + _QUESTION, _QUESTION)


def dns_message(octets: bytes) -> bool:
    reply = transport._matching(octets, _QUERY)  # noqa: SLF001 - the reader of what comes over UDP
    if isinstance(reply, str):
        require(reply.isprintable(), "a reason is printable")
        return False
    return reply is not None and not reply.flags & dns.flags.TC


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

_CERTIFICATE = base64.b64decode(
    "MIIB0DCCAXWgAwIBAgICEJIwCgYIKoZIzj0EAwIwGTEXMBUGA1UEAwwObXguZXhhbXBsZS5jb20wIBcNMjYwMTAxMDAwMDAw"
    "WhgPMjA1NjAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDm14LmV4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
    "tuMEsrWUYEWR4D0xIPezGJaa7ft9GES8Hugu+oPYfhnz6eVxcMndz4TQWyin9x52cLuIegcNsFowTgnUWJS2d6OBqjCBpzAu"
    "BgNVHREEJzAlgg5teC5leGFtcGxlLmNvbYINKi5leGFtcGxlLm5ldIcEwAACATASBgNVHRMBAf8ECDAGAQH/AgEAMA4GA1Ud"
    "DwEB/wQEAwIChDATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNVHR4BAf8EEzARoA8wDYILZXhhbXBsZS5jb20wHQYDVR0OBBYE"
    "FNQgHK28EbgmOzbbbT32Eoo8VC3GMAoGCCqGSM49BAMCA0kAMEYCIQDtnzbnBrPOMI4Yu42OIb5VGgX6qbeFB1ykuR4+9hWA"
    "xwIhAOz+eVA0Ja5F4mBT2SA9gP1Ldl1xV0p6dD4qF8/DXbW0"
)
"""For mx.example.com, self-signed, made for this file; its key is gone."""
_ROOTS = certificate.Roots([_CERTIFICATE])


def _evidence() -> bytes:
    def answer(name: str, kind: RecordType, *records: object) -> Answer:
        return Answer(name, kind, Outcome.FOUND, Security.SECURE, records, ttl=300, reason="DS 1 → DNSKEY")

    address = Address("2001:db8::1")
    tlsa = TlsaData(3, 1, 1, bytes(range(32)))
    lookup = TlsaLookup(
        _MX, TlsaState.FOUND, Answer(_MX, RecordType.A, Outcome.NO_DATA, Security.SECURE),
        answer(_MX, RecordType.AAAA, AddressData(address)), _MX, (tlsa,),
        (answer("_25._tcp.mx.example.com", RecordType.TLSA, tlsa),),
    )  # fmt: skip
    sessions = (
        SmtpSession(_MX, address, 25, Handshake("TLSv1.3", "TLS_AES_128_GCM_SHA256", (b"0\x00",)), sni=_MX),
        SmtpSession(_MX, address, 25, Unreachable(Stage.CONNECT, "refused")),
    )
    domain = HostName("example.com")
    return to_json(
        Evidence(
            domain=domain,
            at=_AT,
            mx=answer(domain, RecordType.MX, MxData(10, _MX), MxData(0, None)),
            hosts=(MxHostEvidence(_MX, 10, lookup, sessions),),
            sts_record=answer("_mta-sts.example.com", RecordType.TXT, TextData((b"v=STSv1; id=1",))),
            policy_fetch=PolicyFetched(
                domain, "https://mta-sts.example.com/", _POLICY, address, "text/plain"
            ),
            tlsrpt_record=answer("_smtp._tls.example.com", RecordType.TXT),
        )
    )


def _replies() -> tuple[bytes, ...]:
    texts = (
        (
            "id 4660\nopcode QUERY\nrcode NOERROR\nflags QR RD RA AD\nedns 0\neflags DO\npayload 1232\n;QUESTION\n"
            "Example.com. IN MX\n;ANSWER\nExample.com. 300 IN MX 10 mx.example.com.\n"
            "Example.com. 300 IN RRSIG MX 13 2 300 20300101000000 20200101000000 12345 example.com. AAAA\n"
        ),
        (
            "id 4660\nopcode QUERY\nrcode NXDOMAIN\nflags QR RD\n;QUESTION\nExample.com. IN MX\n;AUTHORITY\n"
            "example.com. 300 IN SOA ns.example.com. h.example.com. 1 2 3 4 5\n"
            "a.example.com. 300 IN NSEC z.example.com. A NS SOA MX RRSIG NSEC\n"
        ),
    )
    return tuple(dns.message.from_text(text).to_wire() for text in texts)


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
         b"{", b"}", b"[" * 40, b'{"a":' * 40, b",", b'"x":1,', b'\\"', b'"policies":[]', b"Z", b"+02:00", b"\xff", b"\xef\xbb\xbf"),
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
    "tlsa-text": Target(
        tlsa_text,
        (
            b"3 1 1 " + b"2d" * 32,
            b"_25._tcp.mx.example.com. 3600 IN TLSA 2 0 2 ( " + b"AB " * 64 + b")",
            b"DANE-EE SPKI SHA2-256 " + b"00" * 32,
            b"3 0 0 " + _CERTIFICATE.hex().encode(),
        ),
        (b"TLSA ", b"256", b"-1", b"(", b")", b"g", b"DANE-TA", b"FULL", b" ", b"\n", "٣".encode()),
    ),
    "socketmap": Target(
        socketmap_requests,
        (b"27:QUERYwithTLSRPT Example.COM,", b"12:QUERY a.test,7:sts .eu,", b"0012:QUERY a.test,", b"18:QUERY b\xc3\xbccher.test,"),
        (b",", b":", b"12", b"0", b"99999", b"QUERY ", b" ", b"[", b"]", b":25", b"\xff", b"sts "),
    ),
    "overrides": Target(
        overrides,
        (b"# x\na.example dane-only\n.b.example  may\n", b"[mx.a.example]:587\tsecure match=a.example servername=hostname\n",
         b"c.example temp until then\nd.example notfound"),
        (b"\n", b" ", b"\t", b"#", b".", b"[", b"]", b":25", b"dane", b"may", b"secure match=", b"temp ", b"notfound", b"\x85"),
    ),
    "postfix-policy": Target(
        postfix_policy,
        (
            b"secure match=mail.example.com:.example.net servername=hostname",
            b"dane-only",
            b"verify match=nexthop:hostname protocols=>=TLSv1.2",
            b"encrypt ciphers=high",
        ),
        (b"match=", b":", b" ", b"{", b"}", b"=", b"secure", b"servername=", b".", b"\n", b",", b"nexthop", b"hostname"),
    ),
    "certificate": Target(
        certificate_octets,
        (_CERTIFICATE,),
        (b"\x30\x80", b"\x30\x82\xff\xff", b"\x30\x00", b"\x06\x03\x55\x1d\x11", b"\x02\x01\xff", b"\x0c\x01\xff",
         b"\x17\x0d999999999999Z", b"\x30\x84\x7f\xff\xff\xff", b"\xa0\x03\x02\x01\x05", b"\x82\x01*"),
        seconds=1.0,
    ),
    "smtp-server": Target(
        smtp_server,
        (
            b"220 mx.example.com ESMTP\r\n250-mx.example.com\r\n250-SIZE 1\r\n250 STARTTLS\r\n220 go\r\n",
            (b"220-mx.example.com\r\n220 ESMTP      \r\n250-mx\r\n250 STARTTLS      \r\n220 go ahead now, with TLS please\r\n"
            b"250-mx.example.com    \r\n250 SIZE 99999\r\n221 bye\r\n"),
            b"554 no\r\n221 bye\r\n",
        ),
        (b"220 ", b"250-", b"250 ", b"STARTTLS", b"\r\n", b"\n", b"\r", b"454 no\r\n", b"\x00", b"\xff", b"221 bye\r\n",
         b"250-x\r\n" * 30, b"250-" + b"x" * 1500 + b"\r\n"),
    ),
    "mailbox": Target(
        mailbox,
        (b"otto@example.com", b'"a b"@example.com', "ötto@bücher.example".encode(), b"o@[192.0.2.1]", b"o@[IPv6:::1]"),
        (*(word.encode() for word in _NAME_WORDS), b"@", b'"', b"\\", b"<", b">", b" ", b"\r\n", b"..", b"IPv6:", b"\x85"),
    ),
    "message": Target(
        message,
        (
            b"From: a@b\nBcc: c@d\nSubject: x\n\n.\n..\nbody\n",
            b"Received: x\r\n y\r\n\r\n\xc3\xbc\r\n",
            b"no header\n.\n",
        ),
        (b"\r", b"\n", b"\r\n", b".", b"\n.\n", b"\r.\r", b"Bcc: x\n", b" folded\n", b"Date: y\n", b"\x00", b"\xff", b":", b"\n\n"),
        seconds=1.0,
    ),
    "transaction": Target(
        transaction,
        (
            b"250 ok\r\n" * 4 + b"354 go\r\n250 2.0.0 taken\r\n",
            b"250 ok\r\n550 5.1.1 who\r\n250 ok\r\n450 4.2.0 later\r\n354 go\r\n250-2.0.0 a\r\n250 2.0.0 b\r\n",
            b"421 bye\r\n",
        ),
        (b"250 ok\r\n", b"354 go\r\n", b"421 no\r\n", b"450 4.0.0 x\r\n", b"550 5.0.0 x\r\n", b"250-", b"\r\n", b"\xff", b"1", b"3"),
    ),
    "dns-message": Target(
        dns_message,
        _replies(),
        (b"\xc0\x0c", b"\xc0\xff", b"\x00", b"\xff\xff", b"\x00\x34", b"\x3f" + b"a" * 63, b"\x00\x2e\x00\x01", b"\x00\x29"),
    ),
    "evidence": Target(
        saved_evidence,
        (_evidence(),),
        (b"null", b"true", b"-1", b"1e400", b'""', b'"\\ud800"', b"[" * 50, b"{}", b"[]", b"Z", b"+25:00", b"found", b"handshake",
         b"\xff", b"=", b"3.5", b'"type":"mx"'),
        seconds=1.0,
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
    del body[LONGEST:]
    if body and rng.randrange(SWOLLEN_EVERY) == 0:
        at = rng.randrange(len(body))
        part = rng.choice((bytes(body[at : at + rng.choice((1, 2, 3, 8, 64))]), rng.choice(target.words)))
        body[at:at] = part * (SWOLLEN // len(part))
    return bytes(body)


def _literal(octets: bytes) -> str:
    """The input as Python writes it, with the part that was repeated written once."""
    if len(octets) <= 2 * LONGEST:
        return repr(octets)
    found = re.search(rb"(.{1,2048}?)\1{50,}", octets, re.DOTALL)
    if found is None:
        return repr(octets)
    count = len(found[0]) // len(found[1])
    return f"{octets[: found.start()]!r} + {found[1]!r} * {count} + {octets[found.end() :]!r}"


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
        # Processor time: a machine that is busy with other things makes no failure.
        start = time.thread_time()
        try:
            ok = target.run(octets)
        except Exception:  # noqa: BLE001 - that nothing escapes is what is tested
            trouble = traceback.format_exc(limit=-3)
            ok = False
        else:
            took = time.thread_time() - start
            slowest = max(slowest, took)
            most = target.seconds if len(octets) <= LONGEST else max(2.0, target.seconds)
            trouble = f"took {took:.3f} s\n" if took > most else ""
        if trouble:
            failed += 1
            if len(failures) < FAILURES_SHOWN:
                failures.append(f"{name}: {_literal(octets)}\n{trouble}")
        if ok and len(octets) <= LONGEST:
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
