"""``mxseal tlsrpt``."""

import json

import pytest

from mxseal.cli import run


def test_a_valid_record(capsys):
    assert (
        run(["tlsrpt", "record", "v=TLSRPTv1; rua=mailto:a@b.example, https://c.example/, xmpp:d@e.example"])
        == 0
    )
    out, err = capsys.readouterr()
    assert err == ""
    assert "report to    mailto:a@b.example" in out
    assert "report to    https://c.example/" in out
    assert "passed over  xmpp:d@e.example" in out


@pytest.mark.parametrize(
    ("uris", "why"),
    [
        ("mailto:a@b.example,xmpp:d@e.example", "xmpp:d@e.example (neither mailto: nor https:)"),
        ("mailto:a@b.example,https://u@c.example/", "https://u@c.example/ (a URI without user name)"),
        (",".join(f"mailto:a{n}@b.example" for n in range(11)), "mailto:a10@b.example (beyond the first 10)"),
    ],
)
def test_why_a_destination_is_passed_over(capsys, uris, why):
    assert run(["tlsrpt", "record", f"v=TLSRPTv1; rua={uris}"]) == 0
    assert f"passed over  {why}\n" in capsys.readouterr().out


def test_a_valid_record_as_json(capsys):
    text = "v=TLSRPTv1; rua=mailto:a@b.example; x=y"
    assert run(["tlsrpt", "record", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1, "kind": "tlsrpt-record", "valid": True,
        "rua": ["mailto:a@b.example"], "extensions": [["x", "y"]], "text": text, "passed_over": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "caret", "words"),
    [
        (
            "v=TLSRPTv1; rua=mailto:a@b.example?cc=c",
            "                                  ^^^^^",
            "without header fields",
        ),
        ("v=TLSRPTv1; rua=mailto:a!b@c.example", "                        ^", "%21"),
        ("v=TLSRPTv1", "          ^", "must follow"),
        ("", "^", "begins with"),
    ],
)
def test_an_invalid_record(capsys, text, caret, words):
    assert run(["tlsrpt", "record", text]) == 65
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.endswith(f"    {text}\n    {caret}\n")
    assert run(["tlsrpt", "record", "--json", text]) == 65
    body = json.loads(capsys.readouterr().out)
    assert (body["kind"], body["valid"], body["rejection"]["text"]) == ("tlsrpt-record", False, text)


def test_hostile_text_does_not_reach_the_terminal(capsys):
    assert run(["tlsrpt", "record", "v=TLSRPTv1; rua=\x1b]0;owned\x07"]) == 65
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\x1b" in err


def test_a_wrong_call(capsys):
    assert run(["tlsrpt", "record"]) == 64
    assert capsys.readouterr().err.startswith("mxseal: ")


def test_an_argument_that_is_not_utf_8(capsys):
    # Python hands octets that are not UTF-8 on as lone surrogates (PEP 383).
    assert run(["tlsrpt", "record", "--json", "v=TLSRPTv1; rua=\udcff"]) == 65
    rejection = json.loads(capsys.readouterr().out)["rejection"]
    assert rejection["text"] == "v=TLSRPTv1; rua=\xff"
