"""The aggregate report, as values (RFC 8460 §4.4).

Each field is called as its key in the JSON, with underscores for hyphens.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from mxseal.standards.tlsrpt.result_types import PolicyType, ResultType
from mxseal.vocabulary.names import Address, HostName

MAX_POLICIES = 10_000
MAX_FAILURE_DETAILS = 100_000
"""Of all policies of a report together."""

Text = Annotated[str, msgspec.Meta(max_length=4096)]
"""Any text in a report, at most 4,096 characters."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339, with its zone."""


class DateRange(msgspec.Struct, frozen=True, rename="kebab"):
    """The time that the report is about; should be one whole UTC day (RFC 8460 §4.1)."""

    start_datetime: Moment
    end_datetime: Moment


class PolicyDescription(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """The policy that was applied."""

    policy_type: PolicyType
    policy_domain: HostName
    """The domain that the policy is about: for ``sts`` the policy domain, for ``tlsa`` the TLSA base domain."""
    policy_string: Annotated[tuple[Text, ...], msgspec.Meta(max_length=2_000)] = ()
    """The lines of the MTA-STS policy, or the TLSA records; nothing for ``no-policy-found``."""
    mx_host: Annotated[tuple[Text, ...], msgspec.Meta(max_length=2_000)] = ()
    """The patterns of the MTA-STS policy: an array, as erratum 6241 says, not the string of the RFC's example."""


class Summary(msgspec.Struct, frozen=True, rename="kebab"):
    """How many sessions went well and how many did not."""

    total_successful_session_count: Count
    total_failure_session_count: Count


class FailureDetails(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """Sessions that failed in the same way.

    Their sum may be more than the total of the summary: one session can fail in two ways.
    """

    result_type: Name
    """One of `ResultType`, or one that was registered since."""
    failed_session_count: Count
    sending_mta_ip: Address | None = None
    """None where no connection was made, for instance for a policy that could not be fetched."""
    receiving_mx_hostname: Text | None = None
    receiving_mx_helo: Text | None = None
    receiving_ip: Address | None = None
    additional_information: Text | None = None
    """A URI with more about this failure."""
    failure_reason_code: Text | None = None
    """A word or text of the sender's TLS library."""

    @property
    def known_result_type(self) -> ResultType | None:
        """The result type, if RFC 8460 §4.3 defines it."""
        try:
            return ResultType(self.result_type)
        except ValueError:
            return None


class PolicyReport(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """What happened under one policy."""

    policy: PolicyDescription
    summary: Summary
    failure_details: Annotated[tuple[FailureDetails, ...], msgspec.Meta(max_length=MAX_FAILURE_DETAILS)] = ()


class Report(msgspec.Struct, frozen=True, rename="kebab"):
    """One sender's report about one policy domain."""

    organization_name: Text
    date_range: DateRange
    contact_info: Text
    """A mail address, or another way to reach who is responsible for the report."""
    report_id: Name
    policies: Annotated[tuple[PolicyReport, ...], msgspec.Meta(max_length=MAX_POLICIES)]
