"""The fuzzer itself: a short run over every target, and proof that it sees what is broken."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/fuzz.py"


@pytest.fixture(scope="module")
def fuzzer():
    spec = importlib.util.spec_from_file_location("fuzz_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_target_survives_a_short_run(fuzzer, capsys):
    for name, target in fuzzer.TARGETS.items():
        assert fuzzer.fuzz(name, target, executions=1500, seed=3) == []
        line = capsys.readouterr().out
        assert f"{name}: 1500 executions" in line
        assert " 0 accepted" not in line, "a target that accepts nothing tests little"


def test_each_text_of_a_corpus_gives_a_result(fuzzer):
    for target in fuzzer.TARGETS.values():
        assert any(target.run(octets) for octets in target.corpus)


def test_an_exception_and_a_broken_law_are_failures(fuzzer):
    def fragile(octets):
        if b"\xff" in octets:
            raise IndexError("string index out of range")
        fuzzer.require(b"\x00" not in octets, "no zero octets")
        return True

    target = fuzzer.Target(fragile, (b"abc",), (b"\xff", b"\x00"))
    failures = fuzzer.fuzz("fragile", target, executions=500, seed=1)
    assert any("IndexError" in failure for failure in failures)
    assert any("no zero octets" in failure for failure in failures)


def test_a_slow_parser_is_a_failure(fuzzer):
    target = fuzzer.Target(lambda _octets: True, (b"abc",), (b"d",), seconds=-1.0)
    assert "took" in fuzzer.fuzz("slow", target, executions=3, seed=1)[0]


def test_the_same_seed_makes_the_same_run(fuzzer):
    seen = [[], []]
    for run in seen:
        target = fuzzer.Target(lambda octets, run=run: bool(run.append(octets)), (b"abc", b"defg"), (b"h",))
        fuzzer.fuzz("same", target, executions=200, seed=42)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 50


def test_a_parser_that_leaves_a_bad_pattern_out_is_caught(fuzzer, monkeypatch):
    """The mistake that matters most: a policy whose unreadable mx lines just vanish."""
    honest = fuzzer.mta_sts.parse_policy

    class Lax:
        mode = fuzzer.mta_sts.Mode.ENFORCE
        mx = ()

    monkeypatch.setattr(
        fuzzer.mta_sts,
        "parse_policy",
        lambda octets: result if "mx" not in getattr(result := honest(octets), "rule", "") else Lax(),
    )
    failures = fuzzer.fuzz("lax", fuzzer.TARGETS["sts-policy"], executions=500, seed=1)
    assert any("no empty match list" in failure for failure in failures)
