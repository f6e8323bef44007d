"""``mxseal sts``."""

import io
import json

import pytest

from mxseal.cli import run

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: *.example.com\r\nmx: mx.example.net\r\nmax_age: 604800\r\n"


@pytest.fixture
def policy_file(tmp_path):
    def write(body):
        path = tmp_path / "mta-sts.txt"
        path.write_bytes(body)
        return str(path)

    return write


def test_a_valid_record(capsys):
    assert run(["sts", "record", "v=STSv1; id=20160831085700Z; x=y"]) == 0
    out, err = capsys.readouterr()
    assert "20160831085700Z" in out
    assert err == ""


def test_a_valid_record_as_json(capsys):
    assert run(["sts", "record", "--json", "v=STSv1; id=1; x=y"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1, "kind": "sts-record", "valid": True,
        "id": "1", "extensions": [["x", "y"]], "text": "v=STSv1; id=1; x=y",
    }  # fmt: skip


def test_an_invalid_record_is_shown_with_a_caret(capsys):
    assert run(["sts", "record", "v=STSv1; id=a-b"]) == 65
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("    v=STSv1; id=a-b\n                 ^\n")
    assert "RFC 8461 §3.1" in err


def test_an_invalid_record_as_json(capsys):
    assert run(["sts", "record", "--json", "v=STSv1; id=a-b"]) == 65
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert (body["valid"], err) == (False, "")
    assert {name: body["rejection"][name] for name in ("start", "end", "line", "column", "rule", "section")} == {
        "start": 13, "end": 14, "line": 1, "column": 14, "rule": "sts-id", "section": "RFC 8461 §3.1",
    }  # fmt: skip


def test_a_valid_policy_and_what_it_means(capsys, policy_file):
    assert run(["sts", "policy", policy_file(POLICY)]) == 0
    out, err = capsys.readouterr()
    for word in (
        "enforce: mail goes only to hosts",
        "any one label before .example.com",
        "mx.example.net",
        "7 days",
    ):
        assert word in out
    assert "warning" not in out
    assert err == ""


@pytest.mark.parametrize(
    ("max_age", "words"),
    [
        (b"0", "less than a minute"),
        (b"60", "1 minute\n"),
        (b"5400", "1.5 hours"),
        (b"86400", "1 day\n"),
        (b"99999999", "365.2 days"),
    ],
)
def test_max_age_in_words(capsys, policy_file, max_age, words):
    assert run(["sts", "policy", policy_file(POLICY.replace(b"604800", max_age))]) == 0
    assert words in capsys.readouterr().out


def test_warnings(capsys, policy_file):
    body = POLICY.replace(b"604800", b"99999999") + b"Mode: none\r\n"
    assert run(["sts", "policy", policy_file(body)]) == 0
    out = capsys.readouterr().out
    assert "counts as 31557600" in out
    assert "'Mode' is not a key" in out
    assert run(["sts", "policy", "--json", policy_file(body)]) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert (parsed["max_age"], parsed["published_max_age"], len(parsed["warnings"])) == (
        31557600,
        99999999,
        2,
    )


def test_a_policy_from_stdin(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POLICY)))
    assert run(["sts", "policy", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["mx"] == ["*.example.com", "mx.example.net"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "line 1, column 1"),
        (POLICY.replace(b"*.example.com", b"*.*.example.com"), "line 3, column 7"),
        (POLICY + b"x: \x1b[2J", "\\x1b"),
        (POLICY + b"\xff", "not UTF-8"),
        (b"\xc3\xbc" * 50_000, "at most 65536 octets"),
        (b"x: " + b"y" * 70_000, "at most 65536 octets"),
    ],
)
def test_invalid_policies(capsys, policy_file, body, words):
    assert run(["sts", "policy", policy_file(body)]) == 65
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "\x1b" not in err
    assert all(len(line) < 200 for line in err.splitlines())
    assert run(["sts", "policy", "--json", policy_file(body)]) == 65
    assert json.loads(capsys.readouterr().out)["valid"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["policy", "/nowhere/to/be/found"], 69, "no such file: /nowhere/to/be/found"),
        (["policy", "/nowhere/\x1b[2J"], 69, "\\x1b"),
        (["policy", "/"], 65, "is a directory"),
        (["policy", "a\x00b"], 69, "cannot read a\\x00b"),
        (["policy", "/dev/null/x"], 69, "/dev/null/x"),
        (["policy"], 64, "FILE"),
        (["record"], 64, "TEXT"),
        (["record", "a", "b"], 64, "unexpected extra argument"),
        (["record", "--yaml", "a"], 64, "--yaml"),
        (["rekord"], 64, "rekord"),
    ],
)
def test_wrong_calls_are_told_in_a_line(capsys, arguments, code, words):
    assert run(["sts", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mxseal: ")
    assert words in err
    assert err.count("\n") <= 2


def test_json_does_not_act_on_the_terminal_either(capsys, policy_file):
    hostile = "a\x9b2J\u202eb\u2028c\u2066d\x7f"
    assert run(["sts", "policy", "--json", policy_file(POLICY + f"x: {hostile[:-1]}\r\n".encode())]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["extensions"] == [["x", hostile[:-1]]]
    assert run(["sts", "policy", "--json", policy_file(POLICY + f"x: {hostile}\r\n".encode())]) == 65
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert hostile in json.loads(out)["rejection"]["text"]


def test_no_message_acts_on_the_terminal(capsys, monkeypatch):
    def broken(*_args):
        raise ValueError("\x1b[2Jall is well")

    monkeypatch.setattr("mxseal.cli.sts.read_file", broken)
    assert run(["sts", "policy", "file"]) == 70
    assert "internal error: ValueError: \\x1b[2Jall is well" in capsys.readouterr().err
    assert run(["sts", "policy", "--\x1b[2J"]) == 64
    assert "\x1b" not in capsys.readouterr().err


def test_a_file_that_may_not_be_read(capsys, monkeypatch, policy_file):
    path = policy_file(POLICY)

    def forbidden(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)  # root may read everything, so chmod proves nothing
    assert run(["sts", "policy", path]) == 69
    assert f"cannot read {path}: Permission denied" in capsys.readouterr().err


def test_an_argument_that_is_not_utf_8(capsys):
    # Python hands octets that are not UTF-8 on as lone surrogates (PEP 383).
    assert run(["sts", "record", "--json", "v=STSv1; id=\udcff"]) == 65
    rejection = json.loads(capsys.readouterr().out)["rejection"]
    assert rejection["text"] == "v=STSv1; id=\xff"
