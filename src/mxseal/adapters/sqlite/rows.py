"""What is kept about a policy domain, as columns and as octets; read back strictly."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from mxseal.decisions.policy_lifecycle import CachedPolicy
from mxseal.decisions.schedule import PolicyState
from mxseal.standards.mta_sts import parse_policy
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import FetchStage
from mxseal.vocabulary.rejection import Rejection


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The columns after the domain, in their order; times are seconds since 1970 UTC."""

    look_at: float
    used_at: float
    policy: str | None
    """Its text as it was received: whoever reads the file can read it, and it is parsed anew."""
    policy_id: str
    fetched_at: float
    record_id: str
    attempted_at: float | None
    failures: int
    failure: str
    failure_stage: str


COLUMNS: Final = ("domain", *Row.__struct_fields__)

_PACK: Final = msgspec.msgpack.Encoder()
_UNPACK: Final = msgspec.msgpack.Decoder(Row)


class DamagedRow(ValueError):
    """What is kept cannot be what was written."""


def to_row(state: PolicyState) -> Row:
    cached = state.cached
    return Row(
        look_at=state.look_at.timestamp(),
        used_at=state.used_at.timestamp(),
        policy=None if cached is None else "\n".join(cached.policy.lines),
        policy_id="" if cached is None else cached.policy_id,
        fetched_at=0.0 if cached is None else cached.fetched_at.timestamp(),
        record_id=state.record_id,
        attempted_at=None if state.attempted_at is None else state.attempted_at.timestamp(),
        failures=state.failures,
        failure=state.failure,
        failure_stage=state.failure_stage or "",
    )


def from_row(domain: HostName, row: Row) -> PolicyState:
    """The state that was kept; raises `DamagedRow`."""
    try:
        return PolicyState(
            domain=domain,
            cached=_cached(row),
            record_id=row.record_id,
            attempted_at=None if row.attempted_at is None else _moment(row.attempted_at),
            failures=row.failures,
            failure=row.failure,
            failure_stage=FetchStage(row.failure_stage) if row.failure_stage else None,
            look_at=_moment(row.look_at),
            used_at=_moment(row.used_at),
        )
    except (ValueError, OverflowError, OSError) as error:
        raise DamagedRow(str(error)) from None


def _cached(row: Row) -> CachedPolicy | None:
    if row.policy is None:
        return None
    policy = parse_policy(row.policy)
    if isinstance(policy, Rejection):
        raise DamagedRow(f"the policy is invalid: {policy}")
    return CachedPolicy(policy_id=row.policy_id, policy=policy, fetched_at=_moment(row.fetched_at))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def check_columns(columns: tuple[object, ...]) -> tuple[HostName, Row]:
    """Columns as SQLite gives them: of any type, since somebody may have edited them; raises `DamagedRow`."""
    try:
        domain, *rest = columns
        row = msgspec.convert(rest, Row)
        if not isinstance(domain, str):
            raise DamagedRow(f"the domain is a {type(domain).__name__}")
        name = HostName(domain)
        if name != domain:
            raise DamagedRow(f"the domain is not canonical: that would be {name}")
    except ValueError as error:
        # InvalidName and msgspec.ValidationError are such.
        raise DamagedRow(str(error)) from None
    return name, row


def pack(row: Row) -> bytes:
    return _PACK.encode(row)


def unpack(octets: bytes) -> Row:
    """The inverse of `pack`."""
    return _UNPACK.decode(octets)
