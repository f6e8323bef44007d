"""`verify_dane` and `verify_pkix` against OpenSSL, over real handshakes.

Every chain of the workshop is shown to OpenSSL's DANE engine with every kind of
record, and to its PKIX engine with several sets of roots.  Where we differ on
purpose, the tables below say so and why; a difference that is not there, or one
there that is no more, fails.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from mxseal.decisions.authentication import verify_dane
from mxseal.standards.certificate import Distrust, Roots, Trusted, Untrusted, verify_pkix
from mxseal.standards.dane import Mismatch, Unusable, Verdict, Verified
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TlsaData

MX, NEXT_HOP = HostName("mx.example.com"), HostName("example.com")

EXPIRED_ANCHOR = (
    "the dates of a DANE-TA(2) anchor are not enforced, as in Postfix; RFC 7671 §5.2 leaves it open"
)
OTHER_WAYS = "OpenSSL follows the first issuer that looks right; we try the others, too (RFC 4158 §2.4)"

DANE_DIFFERENCES = {
    # (shape, record set) or (shape, None) for all record sets of usage 2: (ours, OpenSSL's, reason)
    ("root expired", "second"): ("verified", "mismatch", EXPIRED_ANCHOR),
    ("root expired", "last"): ("verified", "mismatch", EXPIRED_ANCHOR),
    ("intermediate expired, another is not", "second"): ("verified", "mismatch", EXPIRED_ANCHOR),
    ("cross-signed", "last"): ("verified", "mismatch", OTHER_WAYS),
    ("cross-signed", "root"): ("verified", "mismatch", OTHER_WAYS),
    ("broken intermediate beside a good one", "last"): ("verified", "mismatch", OTHER_WAYS),
    ("broken intermediate beside a good one", "root"): ("verified", "mismatch", OTHER_WAYS),
}
PKIX_DIFFERENCES = {
    ("cross-signed", "the root"): ("trusted", "untrusted", OTHER_WAYS),
    ("broken intermediate beside a good one", "the root"): ("trusted", "untrusted", OTHER_WAYS),
    ("broken intermediate beside a good one", "both roots"): ("trusted", "untrusted", OTHER_WAYS),
}

KINDS = {
    # What OpenSSL's error numbers (X509_V_ERR_…) are called here.
    7: {Distrust.BAD_SIGNATURE},
    9: {Distrust.NOT_YET_VALID},
    10: {Distrust.EXPIRED},
    18: {Distrust.SELF_SIGNED},
    19: {Distrust.UNKNOWN_ISSUER},
    20: {Distrust.UNKNOWN_ISSUER, Distrust.MISSING_INTERMEDIATE, Distrust.BAD_SIGNATURE},
    25: {Distrust.PATH_LENGTH},
    26: {Distrust.WRONG_PURPOSE},
    34: {Distrust.CRITICAL_EXTENSION},
    47: {Distrust.NAME_CONSTRAINTS},
    48: {Distrust.NAME_CONSTRAINTS},
    62: {Distrust.NAME_MISMATCH},
    67: {Distrust.WEAK},
    68: {Distrust.WEAK},
    79: {Distrust.NOT_A_CA},
}


ANSWERS: dict["Case", tuple[str, int, str]] = {}


class Case(NamedTuple):
    shape: str
    what: str
    chain: tuple[bytes, ...]
    records: tuple[TlsaData, ...]
    names: tuple[HostName, ...] = (MX, NEXT_HOP)
    after: timedelta = timedelta()


@pytest.fixture(scope="session")
def openssl(workshop: Any) -> Any:

    try:
        return workshop.openssl
    except (OSError, AttributeError) as error:
        # The same rule as `lacking` in tests/conftest.py.
        give_up = pytest.fail if os.environ.get("MXSEAL_REQUIRE_REAL") == "1" else pytest.skip
        give_up(f"libssl.so.3 is missing or too old: {error}")


def single_records(workshop: Any, shape: str, chain: tuple[bytes, ...]) -> Iterator[Case]:
    """Every usage, selector and matching type, about every certificate that matters."""
    second = chain[1] if len(chain) > 1 else chain[0]
    about = {
        "leaf": chain[0],
        "second": second,
        "last": chain[-1],
        "root": workshop.root,
        "other": workshop.other_root,
    }
    for usage in (2, 3):
        for selector in (0, 1):
            for matching_type in (0, 1, 2):
                for what, certificate in about.items():
                    if usage == 2 or what in ("leaf", "second"):
                        record = workshop.tlsa(usage, selector, matching_type, certificate)
                        yield Case(shape, f"{usage} {selector} {matching_type} {what}", chain, (record,))


def combined_records(workshop: Any) -> Iterator[Case]:
    """Several records: digest agility, records that are no use, names and times."""
    shapes = workshop.shapes()
    good, alone = shapes["good"], shapes["self-signed"]
    leaf, inter, root, other = good[0], good[1], good[2], workshop.other_root

    def record(text: str, certificate: bytes) -> TlsaData:
        usage, selector, matching_type = map(int, text)
        made: TlsaData = workshop.tlsa(usage, selector, matching_type, certificate)
        return made

    cut = TlsaData(3, 1, 1, record("311", leaf).data[:31])
    long = TlsaData(2, 0, 2, record("202", inter).data + b"\0")
    rubbish, no_key = TlsaData(2, 0, 0, b"0\x03abc"), TlsaData(2, 1, 0, b"no key")
    sets: dict[str, tuple[TlsaData, ...]] = {
        "agility: stale stronger digest beside a good one": (record("311", leaf), record("312", other)),
        "agility: good stronger digest beside a stale one": (record("311", other), record("312", leaf)),
        "agility: full always counts": (record("310", leaf), record("312", other)),
        "agility: by selector": (record("301", leaf), record("312", other)),
        "agility: by usage": (record("211", root), record("312", other)),
        "agility: for issuers": (record("211", inter), record("212", other)),
        "agility: a stronger one that is cut off does not count": (
            record("311", leaf),
            TlsaData(3, 1, 2, b"x" * 63),
        ),
        "agility: both right": (record("311", leaf), record("312", leaf)),
        "agility: for issuers, full": (record("210", root), record("212", other)),
        "roll-over: old and new key": (record("311", other), record("311", leaf)),
        "both usages, EE right": (record("311", leaf), record("211", other)),
        "both usages, TA right": (record("311", other), record("211", root)),
        "both usages, none right": (record("311", other), record("211", other)),
        "two anchors, second right": (record("211", other), record("211", inter)),
        "cut off": (cut,),
        "cut off, and a good one": (cut, record("311", leaf)),
        "too long": (long,),
        "rubbish certificate": (rubbish,),
        "rubbish key": (no_key,),
        "rubbish beside a wrong one": (rubbish, no_key, record("311", other)),
        "unknown selector": (TlsaData(3, 2, 1, record("311", leaf).data),),
        "unknown matching type": (TlsaData(3, 1, 3, record("311", leaf).data),),
        "unknown usage": (TlsaData(4, 1, 1, record("311", leaf).data),),
        "unknown usage, and a good one": (TlsaData(255, 1, 1, b"x" * 32), record("311", leaf)),
    }
    for what, records in sets.items():
        yield Case("good", what, good, records)
        yield Case("self-signed", what, alone, records)
    for days in (-400, -366, -364, 0, 364, 366, 4000):
        for text in ("311", "211"):
            about = leaf if text == "311" else root
            after = timedelta(days=days)
            if not (text == "211" and abs(days) > 365):
                yield Case("good", f"{text} after {days} days", good, (record(text, about),), after=after)
    short_lived = (workshop.leaf(begins=timedelta(days=-10), ends=timedelta(days=10)), inter, root)
    for days in (-11, -9, 9, 11):
        for text, about in (("301", short_lived[0]), ("201", inter), ("210", root)):
            after = timedelta(days=days)
            yield Case(
                "short-lived", f"{text} after {days} days", short_lived, (record(text, about),), after=after
            )
    yield from named(workshop)


def named(workshop: Any) -> Iterator[Case]:
    """Certificates with several names, for several reference identifiers."""
    shapes = workshop.shapes()
    for names in ((MX,), (NEXT_HOP,), (NEXT_HOP, MX), (HostName("other.example.org"),)):
        for shape in (
            "good",
            "wildcard",
            "next-hop's name",
            "CN only",
            "empty subject",
            "second of many names",
        ):
            chain = shapes[shape]
            for text, about in (
                ("311", chain[0]),
                ("211", chain[1]),
                ("200", workshop.root),
                ("210", workshop.root),
            ):
                yield Case(
                    shape, f"{text} for {names}", chain, (workshop.tlsa(*map(int, text), about),), names
                )


def ours(case: Case, workshop: Any) -> Verdict:
    return verify_dane(case.records, case.chain, names=case.names, at=workshop.NOW + case.after)


def told(verdict: Verdict) -> tuple[str, int]:
    """Verdict and depth as OpenSSL counts: a bare key is at the depth of what it signed."""
    match verdict:
        case Verified(depth=depth, certificate=certificate):
            return "verified", depth if certificate is not None else depth - 1
        case Mismatch():
            return "mismatch", -1
        case Unusable():
            return "unusable", -1


def asked(case: Case, workshop: Any, openssl: Any) -> tuple[str, int, str]:
    """OpenSSL's verdict; each question is put once a session."""
    known = ANSWERS.get(case)
    if known is not None:
        return known
    verdict: tuple[str, int, str] = openssl.verify(
        case.chain,
        workshop.key_of(case.chain),
        names=case.names,
        at=workshop.NOW + case.after,
        records=case.records,
    )
    ANSWERS[case] = verdict
    return verdict


def disagreements(
    cases: Iterator[Case], workshop: Any, openssl: Any, judge: Callable[[Case, Any], Verdict] = ours
) -> dict[tuple[str, str], tuple[tuple[str, int], tuple[str, int, str]]]:
    found = {}
    for case in cases:
        mine, theirs = told(judge(case, workshop)), asked(case, workshop, openssl)
        if mine != theirs[:2]:
            found[case.shape, case.what] = (mine, theirs)
    return found


def all_shapes(workshop: Any) -> Iterator[Case]:
    for shape, chain in workshop.shapes().items():
        yield from single_records(workshop, shape, chain)


def test_every_chain_with_every_record(workshop: Any, openssl: Any) -> None:
    unexpected, met = {}, set()
    for (shape, what), (mine, theirs) in disagreements(all_shapes(workshop), workshop, openssl).items():
        key = (shape, what.split(" ")[-1])
        expected = DANE_DIFFERENCES.get(key)
        if expected is None or (mine[0], theirs[0]) != expected[:2] or not what.startswith("2"):
            unexpected[shape, what] = (mine, theirs)
        met.add(key)
        if expected and expected[2] is OTHER_WAYS:
            assert "a single path" in noted(shape, what, workshop)
    assert unexpected == {}
    assert met == set(DANE_DIFFERENCES)


def noted(shape: str, what: str, workshop: Any) -> str:
    chain = workshop.shapes()[shape]
    case = next(case for case in single_records(workshop, shape, chain) if case.what == what)
    verdict = ours(case, workshop)
    assert isinstance(verdict, Verified)
    return " ".join(verdict.notes)


def test_nothing_is_noted_of_what_all_accept(workshop: Any) -> None:
    for shape in ("good", "unordered", "duplicates", "strangers", "impostor beside the right one"):
        for what in ("3 1 1 leaf", "2 0 1 root", "2 1 0 root", "2 1 2 root"):
            assert noted(shape, what, workshop) == "", (shape, what)


def test_several_records_names_and_times(workshop: Any, openssl: Any) -> None:
    assert disagreements(combined_records(workshop), workshop, openssl) == {}


def test_corpus_has_enough_of_each_verdict(workshop: Any) -> None:
    cases = [*all_shapes(workshop), *combined_records(workshop)]
    count = Counter(told(ours(case, workshop))[0] for case in cases)
    assert len({(case.shape, case.what) for case in cases}) == len(cases) > 1000
    assert count["verified"] > 300
    assert count["mismatch"] > 300
    assert count["unusable"] >= 10


def _weaker_names(case: Case, workshop: Any) -> Verdict:
    return ours(case._replace(names=(MX, NEXT_HOP, HostName("other.example.net"))), workshop)


def _no_dates(case: Case, workshop: Any) -> Verdict:
    return ours(case._replace(after=timedelta()), workshop)


def _no_agility(case: Case, workshop: Any) -> Verdict:
    verdicts = [ours(case._replace(records=(record,)), workshop) for record in case.records]
    return next((verdict for verdict in verdicts if isinstance(verdict, Verified)), verdicts[-1])


def _in_order_sent(case: Case, workshop: Any) -> Verdict:
    return ours(case._replace(chain=case.chain[:2]), workshop)


def _any_depth(case: Case, workshop: Any) -> Verdict:
    records = tuple(TlsaData(3, one.selector, one.matching_type, one.data) for one in case.records)
    for certificate in case.chain:
        verdict = ours(case._replace(records=records, chain=(certificate,)), workshop)
        if isinstance(verdict, Verified):
            return verdict
    return ours(case, workshop)


@pytest.mark.parametrize(
    "mutant",
    [_weaker_names, _no_dates, _no_agility, _in_order_sent, _any_depth],
    ids=lambda one: one.__name__,
)
def test_oracle_notices_a_wrong_verifier(mutant: Any, workshop: Any, openssl: Any) -> None:
    known = disagreements(_some(workshop), workshop, openssl)
    assert set(disagreements(_some(workshop), workshop, openssl, mutant)) - set(known)


def _some(workshop: Any) -> Iterator[Case]:
    shapes = workshop.shapes()
    for shape in ("unordered", "two intermediates", "other name, CN right", "intermediate is no CA"):
        yield from single_records(workshop, shape, shapes[shape])
    yield from combined_records(workshop)


@pytest.mark.parametrize(("usage", "what"), [(0, "root"), (0, "issuer"), (1, "leaf")])
def test_smtp_has_no_pkix_usages(usage: int, what: str, workshop: Any, openssl: Any) -> None:
    """A difference on purpose: OpenSSL's engine is for all protocols, RFC 7672 §3.1.3 for SMTP; Postfix
    does not give it such records either.
    """
    leaf, issuer, root = chain = workshop.shapes()["good"]
    about = {"root": root, "issuer": issuer, "leaf": leaf}[what]
    for selector, matching_type in ((0, 0), (0, 1), (1, 1), (1, 2)):
        records = (workshop.tlsa(usage, selector, matching_type, about),)
        theirs = openssl.verify(
            chain, workshop.key_of(chain), names=[MX], at=workshop.NOW, records=records, roots=[workshop.root]
        )
        assert theirs[0] == "verified"
        assert isinstance(verify_dane(records, chain, names=(MX,), at=workshop.NOW), Unusable)


# --- PKIX ------------------------------------------------------------------------------------------


def root_sets(workshop: Any) -> dict[str, tuple[bytes, ...]]:
    shapes = workshop.shapes()
    return {
        "the root": (workshop.root,),
        "another root": (workshop.other_root,),
        "both roots": (workshop.other_root, workshop.root),
        "odd roots": (shapes["root of version 1"][1], shapes["root expired"][1], shapes["self-signed CA"][0]),
        "none": (),
    }


@pytest.mark.parametrize("roots", ["the root", "another root", "both roots", "odd roots", "none"])
def test_pkix(roots: str, workshop: Any, openssl: Any) -> None:
    """Every chain with 5 sets of roots: the verdict, and what is wrong."""
    anchors = root_sets(workshop)[roots]
    index = Roots(anchors)
    unexpected, met, count = {}, set(), Counter[str]()
    for shape, chain in workshop.shapes().items():
        mine = verify_pkix(chain, index, MX, workshop.NOW)
        verdict, _, reason = openssl.verify(
            chain, workshop.key_of(chain), names=[MX], at=workshop.NOW, roots=anchors
        )
        word = "trusted" if isinstance(mine, Trusted) else "untrusted"
        count[word] += 1
        same = word == verdict
        # With the wrong roots many chains have two faults, and which one is told is a matter of taste.
        if same and isinstance(mine, Untrusted) and roots == "the root":
            same = mine.kind in KINDS[int(reason.split()[0])]
        if not same:
            expected = PKIX_DIFFERENCES.get((shape, roots))
            if expected is None or (word, verdict) != expected[:2]:
                unexpected[shape] = (mine, verdict, reason)
            met.add((shape, roots))
    assert unexpected == {}
    assert met == {key for key in PKIX_DIFFERENCES if key[1] == roots}
    assert sum(count.values()) > 60
    assert count["trusted"] >= (
        2 if roots == "odd roots" else 25 if "root" in roots and "another" not in roots else 0
    )
