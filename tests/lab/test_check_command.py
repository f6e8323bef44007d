"""``mxseal check`` as it is called, over the laboratory: what is printed, saved, replayed, and the exit code."""

import base64
import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mxseal.cli import run
from mxseal.cli.output import console
from mxseal.cli.render import lines
from mxseal.decisions.checkup import Judgement
from mxseal.decisions.checkup.catalogue import is_to_paste
from mxseal.lab import SCENARIOS, Fate
from mxseal.vocabulary.saved import from_json, to_json

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/check.schema.json").read_text())


@pytest.fixture
def options(lab):
    world = lab.world
    (address, port), *_ = world.resolvers
    return [
        *("--resolver", f"{address}:{port}"),
        *("--trust-anchor", str(world.trust_anchor)),
        *("--ca-file", str(world.ca_file)),
        *("--smtp-port", str(world.smtp_port)),
        *("--https-port", str(world.https_port)),
        *("--dns-port", str(world.dns_port)),
        "--allow-private",
    ]


def check(capsys, *arguments):
    code = run(["check", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


@pytest.mark.parametrize(
    ("names", "arguments", "code"),
    [
        (["good-both.test"], [], 0),
        (["good-dane.test"], ["--strict"], 0),  # notes only
        (["tlsa-no-next-key.test"], [], 0),
        (["tlsa-no-next-key.test"], ["--strict"], 1),
        (["plain.test"], [], 1),
        (["tlsa-mismatch.test"], [], 1),
        (["good-both.test", "tlsa-mismatch.test"], [], 1),
        (["null-mx.test"], [], 0),
    ],
)
@pytest.mark.parametrize("output", [[], ["--json"], ["--jsonl"]])
def test_exit_codes(capsys, options, names, arguments, code, output):  # noqa: PLR0917 - a table
    assert check(capsys, *names, *arguments, *output, *options)[0] == code


def fits(value, schema):
    """As much of JSON Schema as the file uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema or "oneOf" in schema:
        return any(fits(value, one) for one in schema.get("anyOf", schema.get("oneOf")))
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {
        "string": str,
        "integer": int,
        "null": type(None),
        "array": list,
        "object": dict,
        "number": float,
    }
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {"type": "string"})) for one in value)
    if isinstance(value, dict):
        # Stricter than the schema: what is printed is all in it.
        return set(schema["required"]) <= set(value) <= set(schema["properties"]) and all(
            fits(one, schema["properties"][key]) for key, one in value.items()
        )
    return True


def test_json_fits_its_schema_and_keeps_the_order(capsys, options):
    names = ["tlsa-mismatch.test", "good-both.test", "sts-404.test", "null-mx.test"]
    _, out = check(capsys, *names, "--json", *options)
    document = json.loads(out)
    assert fits(document, SCHEMA)
    assert [domain["domain"] for domain in document["domains"]] == names
    assert not fits({**document, "kind": "other"}, SCHEMA)


def test_jsonl_from_a_file_fits_its_schema(capsys, options, tmp_path):
    names = ["good-both.test", "plain.test", "bogus.test", "hosted.test"]
    (tmp_path / "domains").write_text("# ours\n" + "\n".join(names) + "\n\ngood-both.test  # again\n")
    code, out = check(capsys, "--from", str(tmp_path / "domains"), "--jsonl", *options)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert all(fits(line, SCHEMA) for line in found)
    assert sorted(line["domain"] for line in found) == sorted(names)


def test_saved_and_replayed_is_the_same_and_asks_nobody(capsys, options, tmp_path):
    file = str(tmp_path / "evidence.jsonl")
    names = [name for name, scenario in SCENARIOS.items() if not scenario.options][::3]
    code, first = check(capsys, *names, "--save", file, "--json", *options)
    again, second = check(capsys, "--replay", file, "--json")
    assert code == again
    by_domain = {domain["domain"]: domain for domain in json.loads(second)["domains"]}
    assert [by_domain[domain["domain"]] for domain in json.loads(first)["domains"]] == json.loads(first)[
        "domains"
    ]


def test_a_previous_check_is_compared_with(capsys, options, tmp_path):
    file = tmp_path / "evidence.jsonl"
    check(capsys, "good-sts.test", "--save", str(file), "--json", *options)
    evidence = json.loads(file.read_bytes())
    policy = base64.b64decode(evidence["policy_fetch"]["body"]).replace(b"1209600", b"2419200")
    evidence["policy_fetch"]["body"] = base64.b64encode(policy).decode()
    file.write_text(json.dumps(evidence))
    _, out = check(capsys, "good-sts.test", "--previous", str(file), "--json", *options)
    (domain,) = json.loads(out)["domains"]
    assert "STS023" in {finding["id"] for finding in domain["findings"]}
    assert {"id": "STS023", "subject": "good-sts.test"} in domain["changes"]["appeared"]
    assert fits(json.loads(out), SCHEMA)
    _, shown = check(capsys, "good-sts.test", "--previous", str(file), *options)
    assert "new: STS023 (good-sts.test)" in shown


def test_a_bad_line_is_named_and_costs_no_other(capsys, options, tmp_path):
    file = tmp_path / "domains"
    file.write_bytes(
        b"\xef\xbb\xbfgood-both.test\r\ntwo..dots\nnull-mx.test\ngood-both.test\nexa mple.test\n"
    )
    assert run(["check", "--from", str(file), "--jsonl", *options]) == 65
    out, err = capsys.readouterr()
    assert sorted(json.loads(line)["domain"] for line in out.splitlines()) == [
        "good-both.test",
        "null-mx.test",
    ]
    assert [line.partition(" is no domain")[0] for line in err.splitlines()] == [
        f"mxseal: {file}, line 2: 'two..dots'",
        f"mxseal: {file}, line 5: 'exa mple.test'",
    ]


def test_saved_observations_are_judged_for_another_time(capsys, options, tmp_path):
    file = str(tmp_path / "evidence.jsonl")
    assert check(capsys, "expires-soon.test", "--save", file, "--json", *options)[0] == 0
    assert check(capsys, "--replay", file, "--at", "now", "--json")[0] == 0
    code, out = check(capsys, "--replay", file, "--at", "2999-12-31", "--json")
    (domain,) = json.loads(out)["domains"]
    assert code == 1
    assert domain["judged_at"] == "2999-12-31T00:00:00Z"
    assert "STS017" in {finding["id"] for finding in domain["findings"]}


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("9999-12-31T23:59:59Z", "observed in the year 9999"),
        ("2026-11-23T12:00:00", "no saved evidence: Expected `datetime` with a timezone component"),
    ],
)
def test_evidence_of_no_possible_time_is_refused(capsys, options, tmp_path, at, words):
    file = tmp_path / "evidence.jsonl"
    check(capsys, "null-mx.test", "--save", str(file), "--json", *options)
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "at": at}))
    assert run(["check", "--replay", str(file)]) == 65
    assert words in capsys.readouterr().err


def test_people_see_the_state_and_each_finding_with_its_cure(capsys, options):
    _, out = check(capsys, "tlsa-mismatch.test", *options)
    assert out.splitlines()[0].startswith("tlsa-mismatch.test ")
    assert "BROKEN  (1 broken, 1 note)" in out.splitlines()[0]
    assert re.search(r"DANE008 broken +no TLSA record of mx1\.tlsa-mismatch\.test matches", out)
    assert re.search(r"→ _25\._tcp\.mx1\.tlsa-mismatch\.test\. IN TLSA 3 1 1 [0-9a-f]{64}\n", out)
    assert "(RFC 7672 §3.2)" in out
    assert "with DANE (Postfix)   ✗ waits:" in out
    assert "\x1b" not in out


def test_signs_that_the_terminal_lacks_have_others_and_no_question_mark(options):
    command = [sys.executable, "-m", "mxseal", "check", "tlsa-mismatch.test", *options]
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert done.stderr == b""
    assert b"?" not in done.stdout
    assert re.search(rb"mx1\.tlsa-mismatch\.test +10  \+ +\+ +X +- ", done.stdout)
    assert b"> _25._tcp.mx1.tlsa-mismatch.test. IN TLSA 3 1 1" in done.stdout


def test_a_domain_in_its_own_letters(capsys, options):
    code, out = check(capsys, "Bücher.test", *options)
    assert code == 1
    assert out.startswith("bücher.test (xn--bcher-kva.test)")


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit_but_for_what_is_to_be_pasted(capsys, options, width):
    names = [name for name, scenario in SCENARIOS.items() if scenario.fate is not Fate.RETURNED][::4]
    _, out = check(capsys, *names, "--jsonl", *options)
    for line in out.splitlines():
        document = json.loads(line)
        judgement = from_json(Judgement, to_json(document), source="output")
        for shown in lines(judgement, width):
            text = shown.plain
            bare = text.strip(" →")
            assert len(text) <= width or is_to_paste(bare) or " " not in bare, text


def test_consoles_have_no_colour_without_a_terminal():
    assert console().is_terminal is False


def test_no_progress_bar_beside_results_in_a_pipe_whose_reader_may_show_them(options):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mxseal", "check", "good-both.test", "null-mx.test", *options]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    with suppress(OSError):
        assert os.read(ours, 65536) == b""
    os.close(ours)
    assert done.stdout.startswith(b"good-both.test ")


def test_the_progress_bar_goes_to_the_terminal_and_the_results_do_not(options, tmp_path):
    ours, theirs = pty.openpty()
    names = ["good-both.test", "plain.test", "null-mx.test"]
    command = [sys.executable, "-m", "mxseal", "check", *names, "--jsonl", *options]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=theirs, env=environment, timeout=60, check=False)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux says so at the end of a terminal
        while octets := os.read(ours, 65536):
            shown += octets
    os.close(ours)
    assert done.returncode == 1
    assert b"checking" in shown
    assert b"3/3" in shown
    assert b"schema_version" not in shown
    lines = (tmp_path / "out").read_text().splitlines()
    assert sorted(json.loads(line)["domain"] for line in lines) == sorted(names)
