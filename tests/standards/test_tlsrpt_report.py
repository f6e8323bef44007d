"""RFC 8460 §4: the report and its strict codec."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.tlsrpt import (
    MAX_FAILURE_DETAILS,
    DateRange,
    FailureDetails,
    PolicyDescription,
    PolicyReport,
    PolicyType,
    Report,
    ResultType,
    Summary,
    decode_report,
    encode_report,
)
from mxseal.vocabulary.names import Address, HostName
from mxseal.vocabulary.rejection import Rejection

RFC_EXAMPLE = """\
{
  "organization-name": "Company-X",
  "date-range": {
    "start-datetime": "2016-04-01T00:00:00Z",
    "end-datetime": "2016-04-01T23:59:59Z"
  },
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1","mode: testing",
            "mx: *.mail.company-y.example","max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": "*.mail.company-y.example"
    },
    "summary": {
      "total-successful-session-count": 5326,
      "total-failure-session-count": 303
    },
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:0012::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "starttls-not-supported",
      "sending-mta-ip": "2001:db8:abcd:0013::1",
      "receiving-mx-hostname": "mx2.mail.company-y.example",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 200,
      "additional-information": "https://reports.company-x.example/report_info ? id = 5065427 c - 23 d3# StarttlsNotSupported"
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-ip": "203.0.113.58",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}
"""
"""RFC 8460 appendix B, in which ``mx-host`` is a string."""

ERRATUM = RFC_EXAMPLE.replace(
    '"mx-host": "*.mail.company-y.example"', '"mx-host": ["*.mail.company-y.example"]'
)
"""With erratum 6241."""


def test_the_rfc_s_example_with_the_erratum():
    report = decode_report(ERRATUM.encode())
    assert report == Report(
        organization_name="Company-X",
        date_range=DateRange(datetime(2016, 4, 1, tzinfo=UTC), datetime(2016, 4, 1, 23, 59, 59, tzinfo=UTC)),
        contact_info="sts-reporting@company-x.example",
        report_id="5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        policies=(
            PolicyReport(
                PolicyDescription(
                    PolicyType.STS,
                    HostName("company-y.example"),
                    ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"),
                    ("*.mail.company-y.example",),
                ),
                Summary(5326, 303),
                (
                    FailureDetails(
                        "certificate-expired",
                        100,
                        sending_mta_ip=Address("2001:db8:abcd:12::1"),
                        receiving_mx_hostname="mx1.mail.company-y.example",
                    ),
                    FailureDetails(
                        "starttls-not-supported",
                        200,
                        sending_mta_ip=Address("2001:db8:abcd:13::1"),
                        receiving_mx_hostname="mx2.mail.company-y.example",
                        receiving_ip=Address("203.0.113.56"),
                        additional_information=(
                            "https://reports.company-x.example/report_info"
                            " ? id = 5065427 c - 23 d3# StarttlsNotSupported"
                        ),
                    ),
                    FailureDetails(
                        "validation-failure",
                        3,
                        sending_mta_ip=Address("198.51.100.62"),
                        receiving_mx_hostname="mx-backup.mail.company-y.example",
                        receiving_ip=Address("203.0.113.58"),
                        failure_reason_code="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    ),
                ),
            ),
        ),
    )
    kinds = [details.known_result_type for details in report.policies[0].failure_details]
    assert kinds == [
        ResultType.CERTIFICATE_EXPIRED, ResultType.STARTTLS_NOT_SUPPORTED, ResultType.VALIDATION_FAILURE
    ]  # fmt: skip


def test_the_keys_on_the_wire_are_those_of_the_rfc():
    """Literally, because a reader that agrees with our writer alone proves nothing."""
    decoded = json.loads(encode_report(decode_report(ERRATUM.encode())))
    expected = json.loads(ERRATUM)
    for details in expected["policies"][0]["failure-details"]:
        if "sending-mta-ip" in details:
            details["sending-mta-ip"] = details["sending-mta-ip"].replace(":00", ":")  # RFC 5952
    assert decoded == expected
    helo = FailureDetails("tlsa-invalid", 1, receiving_mx_helo="mx.example")
    policy = PolicyReport(PolicyDescription(PolicyType.TLSA, HostName("mx.example")), Summary(0, 1), (helo,))
    report = Report("o", decode_report(ERRATUM.encode()).date_range, "c", "i", (policy,))
    assert json.loads(encode_report(report))["policies"] == [
        {
            "policy": {"policy-type": "tlsa", "policy-domain": "mx.example"},
            "summary": {"total-successful-session-count": 0, "total-failure-session-count": 1},
            "failure-details": [
                {"result-type": "tlsa-invalid", "failed-session-count": 1, "receiving-mx-helo": "mx.example"}
            ],
        }
    ]


def test_the_result_types_are_those_of_the_rfc():
    assert {kind.value for kind in ResultType} == {
        "starttls-not-supported", "certificate-host-mismatch", "certificate-expired",
        "certificate-not-trusted", "validation-failure",  # §4.3.1
        "tlsa-invalid", "dnssec-invalid", "dane-required",  # §4.3.2.1
        "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid",  # §4.3.2.2
    }  # fmt: skip
    assert {kind.value for kind in PolicyType} == {"tlsa", "sts", "no-policy-found"}


START, END = '"2016-04-01T00:00:00Z"', '"2016-04-01T23:59:59Z"'

GOOD = [
    # what is replaced, by what
    ("certificate-expired", "some-result-type-of-2031"),  # IANA registers more
    ('"report-id"', '"x-new": {"a": [1, NULL]}, "report-id"'.replace("NULL", "null")),  # RFC 7493 §4.2
    ("5326", "0"),
    ("5326", str(10**12)),
    (START, '"2016-04-01T00:00:00.5+00:00"'),
    ('"sending-mta-ip": "198.51.100.62",', ""),
    ('"sending-mta-ip": "198.51.100.62"', '"sending-mta-ip": null'),
    ('["*.mail.company-y.example"]', "[]"),
    ("Company-X", "\\u00fc \\ud83d\\udce7 \\u0000"),
    ("Company-X", "x" * 4096),
    ("company-y.example", "Company-Y.Example."),
    ('"report-id"', '"x": ' + "[" * 31 + "]" * 31 + ', "report-id"'),
]


@pytest.mark.parametrize(("old", "new"), GOOD)
def test_good(old, new):
    text = ERRATUM.replace(old, new, 1)
    assert text != ERRATUM
    report = decode_report(text.encode())
    assert isinstance(report, Report), report
    assert decode_report(encode_report(report)) == report


P = "$.policies[0]"
SUCCESSES = f"{P}.summary.total-successful-session-count"

BAD = [
    # what is replaced, by what, JSON path, the text that is marked
    ('["*.mail.company-y.example"]', '"*.a"', f"{P}.policy.mx-host", '"*.a"'),  # the RFC's example as printed
    ("5326", "true", SUCCESSES, "true"),
    ("5326", "-1", SUCCESSES, "-1"),
    ("5326", '"5326"', SUCCESSES, '"5326"'),
    ("5326", "5326.0", SUCCESSES, "5326.0"),
    ("5326", "1e3", SUCCESSES, "1e3"),
    ("5326", "null", SUCCESSES, "null"),
    ("5326", str(10**12 + 1), SUCCESSES, str(10**12 + 1)),
    ("5326", "1" * 5000, SUCCESSES, "1" * 5000),
    ("5326", "NaN", "$", "N"),
    ("5326", "Infinity", "$", "I"),
    ("5326", "05326", "$", "5"),
    ('"failed-session-count": 3', '"failed-session-count": -3', f"{P}.failure-details[2].failed-session-count", "-3"),
    ('"sts"', '"STS"', f"{P}.policy.policy-type", '"STS"'),
    ('"sts"', "2", f"{P}.policy.policy-type", "2"),
    ('"company-y.example"', '""', f"{P}.policy.policy-domain", '""'),
    ('"company-y.example"', '"a\\nb"', f"{P}.policy.policy-domain", '"a\\nb"'),
    ('"company-y.example"', "7", f"{P}.policy.policy-domain", "7"),
    ('"203.0.113.56"', '"mx.example"', f"{P}.failure-details[1].receiving-ip", '"mx.example"'),
    ('"203.0.113.56"', '"fe80::1%\\u001b[2J"', f"{P}.failure-details[1].receiving-ip", '"fe80::1%\\u001b[2J"'),
    ('"certificate-expired"', '""', f"{P}.failure-details[0].result-type", '""'),
    ('"mode: testing"', "{}", f"{P}.policy.policy-string[1]", "{"),
    (START, '"2016-04-01T00:00:00"', "$.date-range.start-datetime", '"2016-04-01T00:00:00"'),  # no zone
    (START, '"2016-04-01"', "$.date-range.start-datetime", '"2016-04-01"'),
    (START, "1459468800", "$.date-range.start-datetime", "1459468800"),
    (END, '"2016-03-31T23:59:59Z"', "$.date-range", "{"),
    (END, '"2016-05-02T00:00:01Z"', "$.date-range", "{"),
    ("Company-X", "x" * 4097, "$.organization-name", '"' + "x" * 4097 + '"'),
    ('"Company-X"', "null", "$.organization-name", "null"),
    ('"organization-name": "Company-X",', "", "$", "{"),
    ('"report-id"', '"report-id": "x", "report-id"', "$", '"report-id"'),  # RFC 7493 §2.3
    ('"report-id"', '"x": {"a": 1, "\\u0061": 2}, "report-id"', "$", '"a"'),
    ('"report-id"', '"x": ' + "[" * 32 + "]" * 32 + ', "report-id"', "$", "["),
    ("Company-X", "\\ud800", "$", '"'),  # a lone surrogate
    ("Company-X", "a\tb", "$", "\t"),
    ("}]", "},]", "$", "]"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "marked"), BAD)
def test_bad(old, new, path, marked):
    text = ERRATUM.replace(old, new, 1)
    assert text != ERRATUM
    rejection = decode_report(text.encode())
    assert isinstance(rejection, Rejection), rejection
    assert (rejection.rule, rejection.text[rejection.start : rejection.end]) == (path, marked)
    assert (path == "$") or path in rejection.message
    assert rejection.section.startswith("RFC ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends too early"),
        (ERRATUM.encode()[:700], "ends too early"),
        (b"[]", "expected `object`, got `array`"),
        (b"null", "expected `object`, got `null`"),
        (b"[" * 1_000_000, "levels deep"),
        (b'{"x":' * 100_000, "levels deep"),
        (b'{"' + b"\\" * 99_999, "ends too early"),
        (b"\xff", "not UTF-8"),
        (b"\xef\xbb\xbf" + ERRATUM.encode(), "malformed"),  # RFC 8259 §8.1: no byte order mark
        (ERRATUM.encode("utf-16"), "not UTF-8"),
        (ERRATUM.encode() + b"{}", "malformed"),
        (b" " * (32 * 1024 * 1024 + 1), "at most"),
    ],
)
def test_not_even_json(body, message):
    rejection = decode_report(body)
    assert isinstance(rejection, Rejection)
    assert message in rejection.message
    assert 0 <= rejection.start <= rejection.end <= len(rejection.text) < 100_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # Brackets beyond the bound, so that nesting is looked at, and a string without end.
        (b"[" * 40 + b'"' + b'\\"' * 500_000, "levels deep"),
        (b'{"x":[' + b"[]," * 40 + b'"' + b'\\"' * 500_000 + b"\\", "ends too early"),
        (b"{%b}" % b",".join([*(b'"%d":0' % n for n in range(200_000)), b'"a":0,"a":0']), None),
    ],
)
def test_no_text_takes_more_than_a_moment(body, message):
    """Each of them took minutes, for quadratic time: this test fails by not ending."""
    if message is None:
        body = ERRATUM.replace('"report-id"', f'"x": {body.decode()}, "report-id"', 1).encode()
        message = "a name is there twice"
    rejection = decode_report(body)
    assert isinstance(rejection, Rejection)
    assert message in rejection.message


def test_a_long_report_is_cut_and_its_lines_still_counted():
    lines = ERRATUM.replace("5326", "-1").splitlines()
    place = next(n for n, line in enumerate(lines) if "-1" in line)
    lines[1:1] = [f'"x{n}": "{"y" * 80}",' for n in range(2_000)]
    rejection = decode_report("\n".join(lines).encode())
    assert (rejection.line, rejection.column) == (place + 2_001, lines[place + 2_000].index("-1") + 1)
    assert len(rejection.text) < 100_000


def test_what_a_report_says_does_not_act_on_a_terminal():
    rejection = decode_report(ERRATUM.replace('"sts"', '"\\u001b[2J\\nx"', 1).encode())
    assert rejection.message.isprintable()
    assert str(rejection).isprintable()


def with_policies(number, details=0):
    raw = json.loads(ERRATUM)
    (policy,) = raw["policies"]
    policy["failure-details"] = [{"result-type": "x", "failed-session-count": 1}] * details
    raw["policies"] = [policy] * number
    return json.dumps(raw).encode()


def test_bounds_on_numbers():
    assert isinstance(decode_report(with_policies(10_000)), Report)
    assert decode_report(with_policies(10_001)).rule == "$.policies"
    half = MAX_FAILURE_DETAILS // 2
    assert isinstance(decode_report(with_policies(2, half)), Report)
    rejection = decode_report(with_policies(2, half + 1))
    assert (rejection.rule, rejection.message) == (
        "$.policies", f"more than {MAX_FAILURE_DETAILS} failure details at $.policies"
    )  # fmt: skip


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_COUNTS = st.integers(0, 10**12)
_HOSTS = st.sampled_from(["example.com", "xn--bcher-kva.example", "a_b.example"]).map(HostName)
_ADDRESSES = st.none() | st.ip_addresses().map(lambda ip: Address(str(ip).partition("%")[0]))
_DETAILS = st.builds(
    FailureDetails,
    st.sampled_from([*ResultType]).map(str) | _TEXT.filter(bool),
    _COUNTS,
    _ADDRESSES, st.none() | _TEXT, st.none() | _TEXT, _ADDRESSES, st.none() | _TEXT, st.none() | _TEXT,
)  # fmt: skip
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_POLICIES = st.builds(
    PolicyReport,
    st.builds(PolicyDescription, st.sampled_from(PolicyType), _HOSTS, _TEXTS, _TEXTS),
    st.builds(Summary, _COUNTS, _COUNTS),
    st.lists(_DETAILS, max_size=3).map(tuple),
)
_RANGES = st.builds(
    lambda start, length: DateRange(start, start + length),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - see timezones
    st.timedeltas(timedelta(0), timedelta(days=31)),
)
REPORTS = st.builds(
    Report, _TEXT, _RANGES, _TEXT, _TEXT.filter(bool), st.lists(_POLICIES, max_size=3).map(tuple)
)


@given(REPORTS)
def test_law_what_is_encoded_decodes_to_the_same(report):
    assert decode_report(encode_report(report)) == report


@given(
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 6), st.binary(max_size=5)), min_size=1, max_size=5
    )
)
def test_law_a_mutated_report_is_a_report_or_a_rejection_with_a_place(edits):
    body = bytearray(ERRATUM.encode())
    for place, removed, inserted in edits:
        at = place % (len(body) + 1)
        body[at : at + removed] = inserted
    decoded = decode_report(bytes(body))
    if isinstance(decoded, Rejection):
        assert decoded.rule.startswith("$")
        assert 0 <= decoded.start <= decoded.end <= len(decoded.text)
    else:
        assert decode_report(encode_report(decoded)) == decoded
