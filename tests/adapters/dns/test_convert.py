"""From dnspython's records to the vocabulary."""

import dns.rdata

from mxseal.adapters.dns.convert import to_records
from mxseal.standards.dane import classify


def test_no_record_of_a_large_rrset_is_left_out():
    # In canonical order PKIX-TA(0) comes first: a cut would leave the unusable ones only.
    digests = [f"{number:064x}" for number in range(300)]
    rdatas = [dns.rdata.from_text("IN", "TLSA", f"0 0 1 {digest}") for digest in digests]
    rdatas.append(dns.rdata.from_text("IN", "TLSA", f"3 1 1 {digests[0]}"))
    records = to_records(rdatas)
    assert len(records) == 301
    assert [str(record) for record in classify(records).usable] == [f"3 1 1 {digests[0]}"]


def test_equal_records_are_one():
    # RFC 4034 §6.3; names compare without case.
    rdatas = [dns.rdata.from_text("IN", "MX", text) for text in ("10 mx.test.", "10 MX.test.", "20 mx.test.")]
    assert [(record.preference, record.exchange) for record in to_records(rdatas)] == [
        (10, "mx.test"),
        (20, "mx.test"),
    ]
