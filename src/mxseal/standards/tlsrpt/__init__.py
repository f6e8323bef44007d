"""TLSRPT: a domain asks senders to tell it, once a day, how TLS went (RFC 8460).

A domain that publishes MTA-STS or DANE does not see the mail that an attacker,
or its own mistake, keeps away.  TLSRPT lets senders tell:

1. A TXT record at ``_smtp._tls.example.com`` says where reports are wanted:
   ``mailto:`` or ``https:`` URIs in its ``rua`` field (§3).  In contrast to
   DMARC, the owner of a destination elsewhere is not asked for consent.
2. A sender counts its sessions with the domain's MX hosts, per policy that it
   applied: successful, failed, and of the failed ones the reason, as a result
   type (§4.3).
3. After the UTC day it makes one report of them, I-JSON (§4.4), and sends it
   as a DKIM-signed mail (§5.3) or by HTTPS POST (§5.4).

This package has the record, the words for what goes wrong, the report as a
value and its strict codec.  It does no I/O.  In order::

    answer = await resolver.resolve(record_name(domain), RecordType.TXT)
    match select_record(answer.texts()):
        case Record(rua=rua): ...                   # parse_destination(rua[0]) decodes one
        case NoRecord() | Rejection(): ...          # no reports are wanted

    report = Report(…, policies=(PolicyReport(…),))
    decode_report(encode_report(report)) == report  # or a Rejection with JSON path and place

Two places where the RFC's text and practice differ, and how it is here: the
example's ``mx-host`` is a string, erratum 6241 makes it an array, so it is an
array; ``sending-mta-ip`` and the other details of a connection may be absent,
since a policy that could not be fetched has no connection.
"""

from mxseal.standards.tlsrpt.codec import (
    MAX_DAYS,
    MAX_DEPTH,
    MAX_REPORT_OCTETS,
    decode_report,
    encode_report,
)
from mxseal.standards.tlsrpt.record import (
    MAX_DESTINATIONS,
    MAX_URI_LENGTH,
    Destination,
    HttpsDestination,
    MailDestination,
    NoRecord,
    Record,
    UnknownDestination,
    parse_destination,
    parse_record,
    record_name,
    select_record,
)
from mxseal.standards.tlsrpt.report import (
    MAX_FAILURE_DETAILS,
    MAX_POLICIES,
    DateRange,
    FailureDetails,
    PolicyDescription,
    PolicyReport,
    Report,
    Summary,
)
from mxseal.standards.tlsrpt.result_types import PolicyType, ResultType

__all__ = [
    "MAX_DAYS",
    "MAX_DEPTH",
    "MAX_DESTINATIONS",
    "MAX_FAILURE_DETAILS",
    "MAX_POLICIES",
    "MAX_REPORT_OCTETS",
    "MAX_URI_LENGTH",
    "DateRange",
    "Destination",
    "FailureDetails",
    "HttpsDestination",
    "MailDestination",
    "NoRecord",
    "PolicyDescription",
    "PolicyReport",
    "PolicyType",
    "Record",
    "Report",
    "ResultType",
    "Summary",
    "UnknownDestination",
    "decode_report",
    "encode_report",
    "parse_destination",
    "parse_record",
    "record_name",
    "select_record",
]
