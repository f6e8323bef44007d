"""``mxseal send explain``, against the laboratory and against worlds in memory."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mxseal.adapters.memory import FixedClock, MemoryPolicyHosts, MemoryResolver
from mxseal.cli import run
from mxseal.cli.explanation import lines
from mxseal.decisions.delivery import CachedPolicy
from mxseal.journeys.discover_delivery import discover_delivery
from mxseal.lab import Lab, LabThread
from mxseal.standards.mta_sts import parse_policy
from mxseal.vocabulary.names import HostName, parse_next_hop

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

ANSWERS = {
    # domain: exit code, answer in Postfix' words
    "good-dane.test": (0, "OK dane-only"),
    "good-sts.test": (0, "OK secure match=mx1.good-sts.test servername=hostname"),
    "good-both.test": (0, "OK dane-only"),
    "tlsa-partial.test": (0, "OK dane"),
    "tlsa-unusable.test": (0, "OK dane"),
    "unsigned-tlsa.test": (0, "NOTFOUND"),
    "sts-testing.test": (0, "NOTFOUND"),
    "sts-policy-host-down.test": (0, "NOTFOUND"),
    "null-mx.test": (0, "NOTFOUND"),
    "sts-mx-missing.test": (75, "OK secure match=mail.sts-mx-missing.test servername=hostname"),
    "bogus.test": (75, "TEMP MX lookup for bogus.test is bogus"),
    "tlsa-servfail.test": (75, "TEMP TLSA lookup for mx1.tlsa-servfail.test failed"),
}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """The options that point a command at a laboratory."""
    home = tmp_path_factory.mktemp("lab")
    with LabThread(Lab(scenarios=ANSWERS)) as lab:
        (home / "ca.pem").write_bytes(lab.ca_pem)
        (home / "root.key").write_text(lab.trust_anchor)
        address, port = lab.resolver
        yield [
            f"--resolver={address}:{port}",
            f"--trust-anchor={home / 'root.key'}",
            f"--ca-file={home / 'ca.pem'}",
            f"--https-port={lab.https_port}",
            f"--smtp-port={lab.smtp_port}",
            "--allow-private",
        ]


@pytest.fixture(autouse=True)
def no_lab_in_the_environment(monkeypatch):
    monkeypatch.delenv("MXSEAL_LAB", raising=False)


@pytest.mark.parametrize("domain", ANSWERS)
def test_the_laboratory(domain, options, capsys):
    code, postfix = ANSWERS[domain]
    assert run(["send", "explain", domain, "--json", *options]) == code
    document = json.loads(capsys.readouterr().out)
    assert list(document)[:2] == ["schema_version", "kind"]
    assert document["kind"] == "delivery-explanation"
    assert document["next_hop"] == domain
    assert document["postfix"] == postfix
    assert document["decision"]["reasons"]

    assert run(["send", "explain", domain, *options]) == code
    out = capsys.readouterr().out
    assert f"Answer to Postfix: {postfix.removeprefix('OK ')}\n" in out
    assert max(map(len, out.splitlines())) <= 98


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a..b"], "a label is empty"),
        (["[mx.example.com"], "a closing bracket is missing"),
        (["example.com:99999"], "a port is a number"),
        (["\x1b[31m.example"], "\\x1b"),
        (["example.com", "--resolver", "dns.example"], "no address of a DNS server"),
        (["example.com", "--trust-ad"], "whose word"),
        (["example.com", "--mixed", "both"], "both"),
        (["example.com", "--timeout", "never"], "never"),
        ([], "DOMAIN"),
    ],
)
def test_a_wrong_call_is_one_clear_complaint(arguments, complaint, capsys):
    assert run(["send", "explain", *arguments]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert "Traceback" not in err
    assert "\x1b" not in err


@pytest.mark.parametrize("content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_ca_file_without_certificates(content, tmp_path, capsys, options):
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    assert run(["send", "explain", "good-sts.test", *options, "--ca-file", str(path)]) == 65
    assert str(path) in capsys.readouterr().err


def test_a_laboratory_that_is_not_up(tmp_path, capsys):
    assert run(["send", "explain", "good-sts.test", "--lab", str(tmp_path)]) == 69
    assert "lab up" in capsys.readouterr().err


# --- the sentences ------------------------------------------------------------------------------


def explain(next_hop, records, *, policies=None, cached=None, **statuses):
    discovery = asyncio.run(
        discover_delivery(
            parse_next_hop(next_hop),
            resolver=MemoryResolver.from_texts(records, **statuses),
            policy_hosts=MemoryPolicyHosts({HostName(k): v for k, v in (policies or {}).items()}),
            clock=FixedClock(NOW),
            cached=cached,
        )
    )
    return "\n".join(lines(discovery))


TLSA = "3 1 1 " + "ab" * 32
POLICY = "version: STSv1\nmode: enforce\nmx: *.example.com\nmax_age: 604800\n"


def test_the_whole_text_is_the_example_of_the_documentation():
    """As docs/send-explain.md shows it."""
    text = explain(
        "example.com",
        {
            "example.com MX": ["10 mx1.example.com.", "20 mx2.example.net."],
            "mx1.example.com A": ["192.0.2.1"],
            "_25._tcp.mx1.example.com TLSA": [TLSA],
            "mx2.example.net A": ["192.0.2.2"],
        },
        secure=["example.com"],
        cached=CachedPolicy("1", parse_policy(POLICY), NOW - timedelta(days=2)),
    )
    page = (Path(__file__).parents[2] / "docs/send-explain.md").read_text(encoding="utf-8")
    example = "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
    assert example in page


def test_a_one_answer_mta_may_have_to_wait_where_we_need_not():
    text = explain(
        "example.com",
        {
            "example.com MX": ["10 mx1.example.com.", "20 mx2.example.com."],
            "mx1.example.com A": ["192.0.2.1"],
            "_25._tcp.mx1.example.com TLSA": [TLSA],
            "mx2.example.com A": ["192.0.2.2"],
        },
        secure=["example.com"],
        failing=["_25._tcp.mx2.example.com TLSA"],
    )
    assert text.startswith("Mail to example.com may be delivered to some of its hosts, but waits at an MTA")
    assert "Answer to Postfix: TEMP TLSA lookup for mx2.example.com failed" in text


@pytest.mark.parametrize("next_hop", ["[192.0.2.1]:25", ".example.com", "[IPv6:2001:db8::1]"])
def test_next_hops_about_which_nothing_can_be_said(next_hop):
    text = explain(next_hop, {})
    assert "Answer to Postfix: NOTFOUND" in text
    assert "[RFC 8461 §3.4]" in text


def test_hostile_texts_stay_on_their_line():
    nasty = '"v=STSv1; id=\x1b[31m\\; x=\x07\u202e"'
    text = explain(
        "example.com",
        {
            "example.com MX": ["10 mx.example.com."],
            "mx.example.com A": ["192.0.2.1"],
            "_mta-sts.example.com TXT": [nasty],
        },
    )
    assert all(line.isprintable() for line in text.split("\n"))
    assert "its MTA-STS record is invalid" in text.replace("Its", "its")
