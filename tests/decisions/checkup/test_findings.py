"""Each finding of the catalogue, by the one thing that is wrong: exactly these ids, no others."""

import pytest
from checkup_cases import CASES
from checkup_scene import Scene

from mxseal.decisions.checkup import CATALOGUE, State, needs_action
from mxseal.vocabulary.findings import Severity


@pytest.mark.parametrize("name", CASES)
def test_exactly_these_findings(name):
    spoil, wanted = CASES[name]
    scene = Scene()
    spoil(scene)
    judgement = scene.judge()
    assert {finding.id for finding in judgement.findings} == wanted, [f.sentence for f in judgement.findings]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("_smtp._tls.example.com", State.SEALED),
        ("mta-sts.example.com", State.SEALED),
        ("_25._tcp.mx1.example.com", State.BROKEN),
        ("example.com", State.BROKEN),
    ],
)
def test_bogus_answers_break_mail_only_where_mail_needs_them(name, state):
    scene = Scene()
    scene.bogus.append(name)
    judgement = scene.judge()
    assert "DNS002" in {finding.id for finding in judgement.findings}
    assert judgement.state is state


def test_every_finding_of_the_catalogue_has_a_case():
    assert {id_ for _, wanted in CASES.values() for id_ in wanted} == CATALOGUE.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_state_is_the_worst_severity_and_each_finding_is_whole(name):
    spoil, _ = CASES[name]
    scene = Scene()
    spoil(scene)
    judgement = scene.judge()
    severities = {finding.severity for finding in judgement.findings}
    state = (
        State.BROKEN
        if Severity.BROKEN in severities
        else State.OPEN
        if Severity.OPEN in severities
        else State.SEALED
    )
    assert judgement.state is state
    assert needs_action(judgement) == (state is not State.SEALED)
    assert needs_action(judgement, strict=True) == bool(severities - {Severity.NOTE})
    for finding in judgement.findings:
        assert finding.sentence
        assert finding.cure
        assert "{" not in finding.cure
        assert finding.section == CATALOGUE[finding.id].section
        assert finding.sentence.isprintable()
    order = [list(Severity).index(finding.severity) for finding in judgement.findings]
    assert order == sorted(order)
    assert len(judgement.senders) == 3
    assert all(view.sentence and view.sentence.isprintable() for view in judgement.senders)
