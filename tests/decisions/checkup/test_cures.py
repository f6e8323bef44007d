"""The cures, pasted as they are: what they say is mended must be mended."""

import re

import pytest
from checkup_cases import CASES
from checkup_scene import CERT1, NEXT, Scene, tlsa

from mxseal.cli.render import lines
from mxseal.decisions.checkup.catalogue import CATALOGUE, is_to_paste

TLSA1 = "_25._tcp.mx1.example.com TLSA"
LITERAL = re.compile(r"\. IN [A-Z]+ |\b(?:openssl|postconf|mxseal (?:dns|dane)) ")


def paste(scene, cure):
    """Do to the records and the policy what the cure says; tells whether there was anything to do."""
    done = removing = False
    for line in cure.split("\n"):
        if line.startswith("or"):
            break  # another way to mend the same
        record = re.fullmatch(r"(\S+)\. IN (\S+) (.*)", line)
        field = re.fullmatch(r"(version|mode|mx|max_age): (.*)", line)
        if record:
            done |= paste_record(scene.records, f"{record[1]} {record[2]}", record[3], removing=removing)
        elif field and isinstance(scene.policy, str):
            scene.policy = paste_field(scene.policy, field[1], line, removing=removing)
            done = True
        elif not is_to_paste(line):
            removing = bool(re.search(r"\b(?:remove|in the place of)\b", line))
    return done


def paste_record(records, question, data, *, removing):
    if "…" in data:
        return False
    there = records.setdefault(question, [])
    if removing:
        records[question] = [old for old in there if old.lower() != data.lower()]
        assert len(records[question]) < len(there), f"nothing to remove: {data}"
    elif question.endswith(" TXT"):
        records[question] = [data]
    elif data not in there:
        records[question] = [*there, data]
    return True


def paste_field(policy, name, line, *, removing):
    lines = policy.splitlines()
    if removing:
        return "\n".join(old for old in lines if old != line) + "\n"
    kept = [old for old in lines if name == "mx" or not old.startswith(f"{name}:")]
    return "\n".join([line, *kept] if name == "version" else [*kept, line]) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_pasting_the_cure_cures(name):
    spoil, wanted = CASES[name]
    for id_ in sorted(wanted):
        scene = Scene()
        spoil(scene)
        cures = [finding.cure for finding in scene.judge().findings if finding.id == id_]
        if any([paste(scene, cure) for cure in cures]):  # noqa: C419 - all of them are pasted
            findings = {finding.id: finding for finding in scene.judge().findings}
            assert id_ not in findings, (cures, findings[id_])


def test_beside_a_stronger_digest_the_cure_has_that_digest():
    # RFC 7671 §9: a SHA2-256 record, though right, would not count.
    scene = Scene()
    scene.records[TLSA1] = [tlsa(CERT1), tlsa(NEXT, matching_type=2)]
    (finding,) = [finding for finding in scene.judge().findings if finding.id == "DANE008"]
    assert finding.cure.split("\n")[0] == f"_25._tcp.mx1.example.com. IN TLSA {tlsa(CERT1, matching_type=2)}"


@pytest.mark.parametrize("id_", CATALOGUE)
def test_what_can_be_pasted_has_a_line_to_itself(id_):
    for line in CATALOGUE[id_].cure.split("\n"):
        assert is_to_paste(line) or not LITERAL.search(line), line


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("name", CASES)
def test_no_name_url_or_line_to_paste_is_broken(name, width):
    scene = Scene()
    CASES[name][0](scene)
    judgement = scene.judge()
    shown = [line.plain for line in lines(judgement, width)]
    for finding in judgement.findings:
        for line in finding.cure.split("\n"):
            words = [line] if is_to_paste(line) else line.split()
            assert all(any(word in text for text in shown) for word in words), line
