"""What senders would do, in the words that people read; and the lines to paste."""

from datetime import timedelta

import pytest
from checkup_scene import (
    CA,
    CERT1,
    CERT2,
    IPV4,
    IPV6,
    MX1,
    NEXT,
    NOW,
    POLICY,
    RSA1,
    Scene,
    handshake,
    tlsa,
)

from mxseal.cli.render import lines
from mxseal.decisions.checkup import Fate, Named, Protection, Sender
from mxseal.lab.ca import Flaw
from mxseal.vocabulary.observations import (
    FetchStage,
    PolicyFetchFailed,
    Stage,
    StarttlsNotOffered,
    Unreachable,
)

SEALED, TLS, CLEAR, WAITS = "authenticated", "encrypted", "clear", "deferred"
TLSA1, TLSA2 = "_25._tcp.mx1.example.com TLSA", "_25._tcp.mx2.example.com TLSA"


def well_kept(scene):
    pass


def stripped(scene):
    scene.everywhere(StarttlsNotOffered())


def stripped_and_no_policy(scene):
    scene.without_policies()
    stripped(scene)


def mismatch_at_all(scene):
    scene.records[TLSA1] = scene.records[TLSA2] = [tlsa(NEXT)]


def mismatch_at_first(scene):
    scene.records[TLSA1] = [tlsa(NEXT)]


def not_in_policy(scene):
    scene.policy = POLICY.replace("mx: mx1.example.com\nmx: mx2.example.com\n", "mx: old.example.com\n")


def not_in_policy_but_testing(scene):
    not_in_policy(scene)
    scene.policy = scene.policy.replace("enforce", "testing")


def expired(scene):
    for host, address in ((MX1, IPV4), (MX1, IPV6)):
        scene.show(host, address, CA.issue(MX1, flaw=Flaw.EXPIRED))


def only_unusable(scene):
    scene.records[TLSA1] = [tlsa(CERT1, 1)]


def rsa_not_covered(scene):
    scene.show(MX1, IPV4, CERT1, rsa=RSA1)
    scene.show(MX1, IPV6, CERT1, rsa=RSA1)


def stale_at_ipv6(scene):
    scene.show(MX1, IPV6, CA.issue(MX1))


def tlsa_fails_everywhere(scene):
    scene.failing += [TLSA1, TLSA2]


def policy_gone(scene):
    scene.policy = PolicyFetchFailed("example.com", "https://…", FetchStage.CONNECT, "refused")


def refused(scene):
    scene.everywhere(Unreachable(Stage.CONNECT, "Connection refused", refused=True))


def silent(scene):
    scene.everywhere(Unreachable(Stage.CONNECT, "no connection within 10 seconds"))


def policy_for_no_time(scene):
    scene.policy = POLICY.replace("1209600", "0")


def only_policy_for_no_time(scene):
    scene.without_tlsa()
    policy_for_no_time(scene)


def null_mx(scene):
    scene.records["example.com MX"] = ["0 ."]


def gone(scene):
    scene.records.clear()


def bogus(scene):
    scene.bogus.append("example.com")


def unsigned_domain_with_signed_hosts(scene):
    scene.secure[:] = ["mx1.example.com", "mx2.example.com", "_tcp.mx1.example.com", "_tcp.mx2.example.com"]


def mute_inside_tls(scene):
    scene.everywhere(handshake(CERT1, ehlo_again=False))


def mx_fails(scene):
    scene.failing.append("example.com MX")


def no_address(scene):
    scene.drop("mx1.example.com", "mx2.example.com")


def addresses_fail(scene):
    scene.failing += [
        f"{host} {kind}" for host in ("mx1.example.com", "mx2.example.com") for kind in ("A", "AAAA")
    ]


@pytest.mark.parametrize(
    ("spoil", "dane", "sts", "old"),
    [
        (well_kept, SEALED, SEALED, TLS),
        (stripped, WAITS, WAITS, CLEAR),
        (stripped_and_no_policy, CLEAR, CLEAR, CLEAR),
        (mismatch_at_all, WAITS, SEALED, TLS),
        (mismatch_at_first, SEALED, SEALED, TLS),  # at the second host
        (not_in_policy, SEALED, WAITS, TLS),
        (not_in_policy_but_testing, SEALED, TLS, TLS),
        (expired, SEALED, SEALED, TLS),  # by mx2: other keys at mx1
        (only_unusable, TLS, SEALED, TLS),
        (rsa_not_covered, "partly", SEALED, TLS),
        (stale_at_ipv6, SEALED, SEALED, TLS),
        (tlsa_fails_everywhere, WAITS, SEALED, TLS),
        (policy_gone, SEALED, TLS, TLS),
        (refused, WAITS, WAITS, WAITS),
        (silent, "unknown", "unknown", "unknown"),
        (null_mx, "returned", "returned", "returned"),
        (gone, "returned", "returned", "returned"),
        (bogus, WAITS, "unknown", "unknown"),
        (unsigned_domain_with_signed_hosts, TLS, SEALED, TLS),
        (mute_inside_tls, WAITS, WAITS, CLEAR),
        (mx_fails, WAITS, WAITS, WAITS),
        (no_address, "returned", "returned", "returned"),
        (addresses_fail, WAITS, WAITS, WAITS),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_fate_of_mail(spoil, dane, sts, old):
    scene = Scene()
    spoil(scene)
    views = {view.sender: view for view in scene.judge().senders}
    for sender, wanted in ((Sender.DANE, dane), (Sender.MTA_STS, sts), (Sender.OLD, old)):
        view = views[sender]
        delivered = view.fate is Fate.DELIVERED
        assert (view.protection.value if delivered else view.fate.value) == wanted, view.sentence
        if not delivered and view.fate is not Fate.PARTLY:
            assert view.protection is Protection.NONE


def test_the_sentence_names_the_host_that_failed_before():
    scene = Scene()
    mismatch_at_first(scene)
    view = scene.judge().senders[0]
    assert "to mx2.example.com, after mx1.example.com failed" in view.sentence
    assert [host.fate for host in view.hosts] == [Fate.DEFERRED, Fate.DELIVERED]


@pytest.mark.parametrize(
    ("spoil", "seals", "title"),
    [
        (well_kept, ["dane", "mta-sts"], "SEALED by DANE and MTA-STS"),
        (Scene.without_tlsa, ["mta-sts"], "SEALED by MTA-STS  (1 note)"),
        (not_in_policy_but_testing, ["dane"], "SEALED by DANE  ("),
        (silent, ["dane", "mta-sts"], "SEALED by DANE and MTA-STS, MX hosts unseen  ("),
        (policy_for_no_time, ["dane"], "SEALED by DANE  ("),
        (only_policy_for_no_time, [], "OPEN  ("),
        (null_mx, [], "NO MAIL  (1 note)"),
        (mismatch_at_all, [], "BROKEN  ("),
        (Scene.without_policies, [], "OPEN  ("),
    ],
)
def test_the_title_says_by_what_a_domain_is_sealed(spoil, seals, title):
    scene = Scene()
    spoil(scene)
    judgement = scene.judge()
    assert list(judgement.sealed_by) == seals
    assert title in next(lines(judgement, 80)).plain


def cure_of(scene, id_):
    (finding,) = [finding for finding in scene.judge().findings if finding.id == id_]
    return finding.cure


def test_the_cure_of_a_mismatch_is_the_record_of_the_key_in_use():
    scene = Scene()
    scene.records[TLSA2] = [tlsa(NEXT)]
    record, condition, command = cure_of(scene, "DANE008").split("\n")
    assert record == f"_25._tcp.mx2.example.com. IN TLSA {tlsa(CERT2)}"
    assert "only if that is the host's own key" in condition
    assert command == "mxseal dane tlsa cert.pem --mtype 1 --name mx2.example.com"


def test_the_cure_has_a_record_for_each_kind_of_key():
    scene = Scene()
    rsa_not_covered(scene)
    assert cure_of(scene, "DANE010").splitlines()[:2] == [
        f"_25._tcp.mx1.example.com. IN TLSA {tlsa(CERT1)}",
        f"_25._tcp.mx1.example.com. IN TLSA {tlsa(RSA1)}",
    ]


def test_following_the_cure_cures():
    scene = Scene()
    rsa_not_covered(scene)
    lines = cure_of(scene, "DANE010").splitlines()[:2]
    scene.records[TLSA1] = [line.partition(" IN TLSA ")[2] for line in lines] + [tlsa(NEXT)]
    assert scene.judge().findings == ()


def test_nobody_is_told_to_enforce_what_would_stop_mail():
    scene = Scene()
    scene.policy = POLICY.replace("enforce", "testing").replace("mx: mx2.example.com\n", "")
    scene.records["_mta-sts.example.com TXT"] = ["v=STSv1; id=20260101;"]
    assert cure_of(scene, "STS020").startswith("as soon as STS016 is mended, say in https://")
    for host, address in ((MX1, IPV4), (MX1, IPV6)):
        scene.show(host, address, CA.issue(MX1, flaw=Flaw.EXPIRED))
    assert cure_of(scene, "STS020").startswith("as soon as STS016 and STS018 are mended, say in")
    well = Scene()
    well.policy = POLICY.replace("enforce", "testing")
    well.records["_mta-sts.example.com TXT"] = ["v=STSv1; id=20260101;"]
    assert cure_of(well, "STS020").startswith("now say in https://")


def test_the_cure_of_a_broken_policy_is_a_policy():
    scene = Scene()
    scene.policy = "nonsense"
    _, _, scene.policy = cure_of(scene, "STS014").partition("\n")
    assert [finding.id for finding in scene.judge().findings] == ["STS019"]


def test_the_cure_of_a_missing_record_is_a_record():
    scene = Scene()
    del scene.records["_smtp._tls.example.com TXT"]
    line = cure_of(scene, "RPT001")
    scene.records["_smtp._tls.example.com TXT"] = [line.partition(" IN TXT ")[2]]
    assert scene.judge().findings == ()


def test_hostile_text_is_made_harmless():
    scene = Scene()
    scene.records["_mta-sts.example.com TXT"] = ["v=STSv1; id=\x1b[31mred\x07;"]
    scene.policy = "version: STSv1\n"
    judgement = scene.judge()
    shown = [text for f in judgement.findings for text in (f.sentence, *f.cure.split("\n"), *f.evidence)]
    assert any("STS" in text for text in shown)
    assert all(text.isprintable() for text in shown)


def test_what_breaks_ahead_is_sorted():
    scene = Scene()
    certificate = CA.issue(MX1, days_left=5)
    scene.show(MX1, IPV4, certificate)
    scene.show(MX1, IPV6, certificate)
    scene.records[TLSA1] = [tlsa(certificate), tlsa(NEXT)]
    scene.policy_certificate = CA.issue("mta-sts.example.com", days_left=3)
    assert [item.on for item in scene.judge().breaks] == ["2026-11-26", "2026-11-28"]


def test_an_earlier_check_shows_what_came_and_went():
    before = Scene()
    before.policy = POLICY.replace("enforce", "testing")
    before.patch(at=NOW - timedelta(days=30))
    scene = Scene()
    mismatch_at_first(scene)
    scene.records["_mta-sts.example.com TXT"] = ["v=STSv1; id=20261122;"]
    assert scene.judge().changes is None
    scene.previous = before.evidence()
    changes = scene.judge().changes
    assert changes.since == NOW - timedelta(days=30)
    assert changes.appeared == (Named("DANE008", "mx1.example.com"),)
    assert changes.gone == (Named("STS019", "example.com"),)
