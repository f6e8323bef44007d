"""Laws of the checkup, over combinations of everything that can be wrong."""

import json

import msgspec
from checkup_cases import CASES
from checkup_scene import CA, NOW, Scene
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mxseal.cli.render import lines
from mxseal.decisions.checkup import CATALOGUE, Fate, Sender, State, judge
from mxseal.decisions.checkup.cross import sealed_by_dane
from mxseal.decisions.checkup.facts import gather_facts
from mxseal.standards.certificate import Roots
from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.findings import Severity
from mxseal.vocabulary.observations import Evidence, PolicyFetched, TextData
from mxseal.vocabulary.saved import from_json, to_json

ROOTS = Roots([CA.root])
OCTETS = st.binary(max_size=80)


@st.composite
def combinations(draw):
    """Evidence of a domain with up to five things wrong."""
    scene = Scene()
    for name in draw(st.lists(st.sampled_from(sorted(CASES)), max_size=5, unique=True)):
        try:
            CASES[name][0](scene)
        except (KeyError, ValueError, AttributeError):
            assume(False)  # two spoilers that do not go together
    return scene.evidence()


@given(combinations())
@settings(max_examples=150)
def test_any_combination_is_judged_whole_and_alike_after_saving(evidence):
    judgement = judge(evidence, NOW, roots=ROOTS)
    for finding in judgement.findings:
        assert finding.id in CATALOGUE
        assert finding.cure
        assert "{" not in finding.cure
        assert all(text.isprintable() for text in (finding.sentence, *finding.evidence))
    assert [view.sender for view in judgement.senders] == list(Sender)
    saved = from_json(Evidence, to_json(evidence), source="memory")
    assert judge(saved, NOW, roots=ROOTS) == judgement


@given(combinations())
@settings(max_examples=150)
def test_what_senders_would_do_agrees_with_the_state(evidence):
    judgement = judge(evidence, NOW, roots=ROOTS)
    facts = gather_facts(evidence, NOW, ROOTS)
    views = {view.sender: view for view in judgement.senders}
    broken = {finding.id for finding in judgement.findings if finding.severity is Severity.BROKEN}
    deferred = [view for view in views.values() if view.fate in (Fate.DEFERRED, Fate.PARTLY)]
    if deferred:
        # Nobody waits without a finding that says that something is broken.
        assert judgement.state is State.BROKEN, [view.sentence for view in deferred]
    if not broken and judgement.state is State.SEALED and facts.reachable_hosts:
        assert judgement.sealed_by
        assert facts.enforced_policy is not None or sealed_by_dane(facts)
    dane = views[Sender.DANE]
    if dane.fate is Fate.DELIVERED and sealed_by_dane(facts):
        assert dane.protection == "authenticated"


@given(
    st.lists(st.lists(OCTETS, max_size=3), max_size=3),
    st.lists(st.lists(OCTETS, max_size=3), max_size=3),
    OCTETS,
)
@settings(max_examples=200)
def test_no_text_of_the_other_side_brings_it_down_or_reaches_the_terminal(sts, reports, policy):
    base = Scene().evidence()
    fetched = base.policy_fetch
    assert isinstance(fetched, PolicyFetched)

    def answer(old, texts):
        records = tuple(TextData((b"v=STSv1;", *strings)) for strings in texts)
        return msgspec.structs.replace(old, records=records)

    evidence = msgspec.structs.replace(
        base,
        sts_record=answer(base.sts_record, sts),
        tlsrpt_record=answer(base.tlsrpt_record, reports),
        policy_fetch=msgspec.structs.replace(
            fetched, body=b"version: STSv1\n" + policy, chain=(policy, *fetched.chain)
        ),
    )
    for finding in judge(evidence, NOW, roots=ROOTS).findings:
        assert all(
            text.isprintable() for text in (finding.sentence, *finding.cure.split("\n"), *finding.evidence)
        )


ODD = (
    *("", "\x1b[31m", None, 0, -1, 10**12, 10**30, True, [], {}, 1.5, ".", "😀" * 50),
    *("found", "nodata", "nxdomain", "failed", "secure", "insecure", "bogus", "indeterminate"),
    *("not-asked", "absent", "no-address", "http", "connect", "any", "rsa", "AAAA"),
    *(
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-11-23T17:00:00",
        "example.com",
        "127.0.0.1",
        "::1",
    ),
)


def spoilt(name):
    scene = Scene()
    CASES[name][0](scene)
    return scene.evidence()


SPOILT = [
    spoilt(name) for name in ("well_kept", "nothing_at_all", "implicit_mx", "servers_differ", "mismatch")
]


def places(value, path=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


@given(st.sampled_from(SPOILT), st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_saved_evidence_that_somebody_changed_is_refused_or_judged(evidence, random):
    document = json.loads(to_json(evidence))
    for _ in range(random.randint(1, 3)):
        *above, last = random.choice(list(places(document)))
        inner = document
        for key in above:
            inner = inner[key]
        if random.random() < 0.8:
            inner[last] = random.choice(ODD)
        else:
            del inner[last]
    try:
        changed = from_json(Evidence, json.dumps(document).encode(), source="file")
    except DataFault:
        return
    assume(2000 <= changed.at.year < 3000)  # the command line refuses others
    judgement = judge(changed, changed.at, roots=ROOTS)
    assert all(line.plain.isprintable() for line in lines(judgement, 80))
