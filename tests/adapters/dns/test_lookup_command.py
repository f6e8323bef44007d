"""``mxseal dns lookup``, against a small signed tree behind a UDP port."""

import json
import os

import dns.rdatatype
import msgspec
import pytest

from mxseal.cli import run


@pytest.fixture(autouse=True)
def _no_lab(monkeypatch):
    monkeypatch.delenv("MXSEAL_LAB", raising=False)


@pytest.fixture
def lookup(served, tmp_path, capsys):
    world, (address, port) = served
    anchor = tmp_path / "anchor.ds"
    (ds,) = next(iter(world.anchors.zones.values()))
    anchor.write_text(f". IN DS {ds.to_text()}\n")

    def lookup(*words: str):
        code = run(
            ["dns", "lookup", *words, "--resolver", f"{address}:{port}", "--trust-anchor", str(anchor)]
        )
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return lookup


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (
            ("mail.leaf.test", "A"),
            0,
            ("secure", "192.0.2.1", "signed by leaf.test", "zone       leaf.test", "TTL"),
        ),
        (("leaf.test", "mx"), 0, ("10 mail.leaf.test", "20 .", "bad\\")),
        (("alias.leaf.test", "A"), 0, ("alias.leaf.test → mail.leaf.test", "secure")),
        (("away.leaf.test", "A"), 0, ("insecure", "no DS (NSEC of unsigned.test proves it)")),
        (("nothing.leaf.test", "A"), 0, ("there is no such name", "secure")),
        (("mail.leaf.test", "TLSA"), 0, ("there is no TLSA record",)),
        (("txt.leaf.test", "TXT"), 0, ('"one" "two"',)),
        (("loop.leaf.test", "A"), 75, ("indeterminate", "in a circle")),
    ],
)
def test_what_is_shown(lookup, words, code, shown):
    got, out, err = lookup(*words)
    assert (got, err) == (code, "")
    for text in shown:
        assert text in out, out


def test_bogus_is_1(lookup, served):
    def forge(message) -> None:
        if message.question[0].rdtype == dns.rdatatype.A:
            message.answer[:] = [rrset for rrset in message.answer if rrset.rdtype != dns.rdatatype.RRSIG]

    served[0].change = forge
    code, out, _ = lookup("mail.leaf.test", "A")
    assert code == 1
    assert "bogus" in out
    assert "mail.leaf.test A has no signature" in out


def test_json(lookup):
    code, out, _ = lookup("away.leaf.test", "A", "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["schema_version"], answer["kind"]) == (1, "dns-answer")
    assert answer["security"] == "insecure"
    assert [zone["zone"] for zone in answer["zones"]] == [".", "test", "unsigned.test"]
    assert answer["aliases"][0]["security"] == "secure"


def test_the_ad_bit_has_to_be_proved_first(lookup):
    code, out, _ = lookup("mail.leaf.test", "A", "--trust-ad")
    assert code == 75
    assert "does not validate" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("leaf.test", "MXX"), 64, "did you mean MX?"),
        (("leaf.test", "\x1b[31m"), 64, "no such record type"),
        (("a..b", "MX"), 65, "a label is empty"),
        (("", "MX"), 65, "it is empty"),
        (("x" * 64 + ".test", "MX"), 65, "63 octets"),
        (("bü..cher", "MX"), 65, "empty"),
        (("leaf.test", "MX", "--resolver", "dns.example"), 64, "no address of a DNS server"),
        (("leaf.test", "MX", "--timeout", "0"), 64, "timeout"),
        (("leaf.test",), 64, "TYPE"),
        (("leaf.test", "MX", "--trust-ad"), 64, "whose word to take"),
        (("leaf.test", "MX", "--smtp-port", "25"), 64, "--smtp-port"),
    ],
)
def test_bad_input_is_said_in_a_line_with_its_cure(capsys, words, code, message):
    assert run(["dns", "lookup", *words]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert "\x1b" not in shown.err
    assert shown.out == ""


def test_a_bad_anchor_file(tmp_path, capsys):
    path = tmp_path / "anchors"
    path.write_text(". IN DS 1 2 3\n")
    assert (
        run(["dns", "lookup", "leaf.test", "MX", "--resolver", "127.0.0.1", "--trust-anchor", str(path)])
        == 65
    )
    assert f"{path}:1:" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["option", "environment", "option over environment"])
def test_the_laboratory_is_asked(served, tmp_path, capsys, monkeypatch, by):
    from mxseal.cli.lab import DESCRIPTION, LabDescription

    world, (address, port) = served
    (ds,) = next(iter(world.anchors.zones.values()))
    (tmp_path / "anchor.ds").write_text(f". IN DS {ds.to_text()}\n")
    description = LabDescription(
        pid=os.getpid(),
        resolver=f"{address}:{port}",
        forging_resolver="127.0.0.1:9",
        smtp_port=25,
        https_port=443,
        dns_port=53,
        ca_file=str(tmp_path / "ca.pem"),
        trust_anchor=str(tmp_path / "anchor.ds"),
        domains=("leaf.test",),
    )
    (tmp_path / DESCRIPTION).write_bytes(msgspec.json.encode(description))
    words = ["dns", "lookup", "mail.leaf.test", "A"]
    if by != "option":
        monkeypatch.setenv("MXSEAL_LAB", str(tmp_path if by == "environment" else tmp_path / "nowhere"))
    if by != "environment":
        words += ["--lab", str(tmp_path)]
    assert run(words) == 0
    assert "signed by leaf.test" in capsys.readouterr().out
