"""``mxseal check`` without a network: bad input, the catalogue, and documents that follow the code."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mxseal.cli import run
from mxseal.cli.check import affordable, check
from mxseal.decisions.checkup import CATALOGUE

ROOT = Path(__file__).parents[2]
NOBODY = ("--resolver", "127.0.0.1:1", "--timeout", "2")
LONG = "a" * 10_000


@pytest.fixture(autouse=True)
def no_lab(monkeypatch):
    monkeypatch.delenv("MXSEAL_LAB", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 64, "no domain is given"),
        (("exa mple.com",), 64, "'exa mple.com' is no domain"),
        (("192.0.2.1",), 64, "an IP address is no host name"),
        ((LONG,), 64, "at most 253 characters"),
        (("\x1b[31mred",), 64, "'\\x1b[31mred' is no domain"),
        (("--from", "{dir}/absent"), 65, "absent: No such file"),
        (("--from", "{dir}/bad.txt"), 65, "bad.txt, line 2: 'two..dots' is no domain: a label is empty"),
        (("--from", "/bin/ls"), 65, "/bin/ls, line 1: "),
        (("--from", "{dir}/long.txt"), 65, "long.txt, line 1: "),
        (("--replay", "{dir}/bad.json", "--save", "{dir}/new"), 64, "nothing to save"),
        (("--replay", "{dir}/bad.json", "--at", "yesterday"), 65, "not a time: 'yesterday'"),
        (("example.com", "--at", "now"), 64, "--at needs saved observations"),
        (("--from", "{dir}/empty"), 64, "no domain is given"),
        (("--from", "{dir}"), 64, "is a directory"),
        (("--replay", "{dir}/absent"), 65, "absent: No such file"),
        (("--replay", "{dir}/empty"), 65, "nothing is in it"),
        (("--replay", "{dir}/bad.json"), 65, "bad.json, line 1 is no saved evidence"),
        (("--replay", "{dir}/deep.json"), 65, "deep.json, line 1 is no saved evidence"),
        (("--replay", "{dir}/bad.json", "example.com"), 64, "--replay takes its domains from the file"),
        (("example.com", "--previous", "{dir}/bad.json"), 65, "bad.json, line 1 is no saved evidence"),
        (("example.com", *NOBODY), 69, "no DNS resolver answers"),
        (("example.com", "--resolver", "nonsense"), 64, "'nonsense' is no address"),
        (("example.com", "--jobs", "0"), 64, "--jobs"),
        (("--explain", "DANE999"), 64, "no such finding: 'DANE999'"),
        (("--explain", ""), 64, "no such finding"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_clear_line(tmp_path, capsys, arguments, code, words):
    (tmp_path / "bad.txt").write_text("# a comment\ntwo..dots\n")
    (tmp_path / "long.txt").write_text("a." * 100_000)
    (tmp_path / "bad.json").write_text('{"domain": 5}\n')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "empty").touch()
    assert run(["check", *(text.replace("{dir}", str(tmp_path)) for text in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert err.startswith("mxseal: ")
    assert len(err.splitlines()) <= 2
    assert max(map(len, err.splitlines())) < 500


def test_a_full_disk_behind_the_output_is_no_bug_of_ours():
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "mxseal", "check", "--explain", "all"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 74
    assert done.stderr == b"mxseal: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("id_", ["DANE007", "dane007"])
def test_a_finding_is_explained(capsys, id_):
    assert run(["check", "--explain", id_]) == 0
    out, _ = capsys.readouterr()
    entry = CATALOGUE["DANE007"]
    assert entry.title in out
    assert entry.section in out
    assert entry.cure.splitlines() == [line[2:] for line in out.splitlines()[-4:-1]]
    assert " ".join(entry.explanation.split()) in " ".join(out.split())


def test_all_findings_are_listed(capsys):
    assert run(["check", "--explain", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)


def test_a_slip_is_guessed(capsys):
    assert run(["check", "--explain", "DANE07"]) == 64
    assert "DANE007" in capsys.readouterr().err


def test_the_catalogue_as_json(capsys):
    assert run(["check", "--explain", "all", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert [entry["id"] for entry in document["findings"]] == list(CATALOGUE)


@pytest.mark.parametrize(
    ("jobs", "files", "most"),
    [(24, 1024, 24), (1000, 1024, 37), (1000, 65536, 1000), (24, 64, 1), (1, 256, 1)],
)
def test_no_more_domains_at_once_than_there_are_sockets_for(jobs, files, most):
    assert affordable(jobs, files) == most


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_the_findings_are_those_of_the_catalogue():
    assert script("build_findings").drift() == [], "run: python scripts/build_findings.py"


def test_the_schema_is_that_of_the_types():
    module = script("build_check_schema")
    assert module.TARGET.read_text() == module.text(), "run: python scripts/build_check_schema.py"


def test_ids_sections_and_words_of_the_catalogue():
    for id_, entry in CATALOGUE.items():
        assert id_ == entry.id
        assert re.fullmatch(r"(MX|DNS|DANE|STS|RPT|TLS)\d{3}", id_)
        assert re.fullmatch(r"RFC \d{4} §\d+(\.\d+)*", entry.section)
        assert entry.title[0].isupper() or entry.title.startswith("max_age")
        assert not entry.title.endswith(".")
        assert entry.explanation.endswith(".")
        assert "  " not in entry.explanation


def test_ids_are_consecutive_so_that_none_is_given_twice():
    for prefix in ("MX", "DNS", "DANE", "STS", "RPT", "TLS"):
        numbers = [int(id_[-3:]) for id_ in CATALOGUE if id_.rstrip("0123456789") == prefix]
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_guide_names_options_and_findings_that_exist():
    text = (ROOT / "docs/check.md").read_text()
    text = re.sub(r".*mxseal dane .*", "", text)  # another command's options
    options = {option for parameter in check.params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= options
    assert set(re.findall(r"\b(?:MX|DNS|DANE|STS|RPT|TLS)\d{3}\b", text)) <= CATALOGUE.keys()
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / name).exists(), name
