"""Trouble on our side, as one small tree of exceptions.

Trouble of the *other* side is not here: it is a value (`Rejection`,
`HandshakeFailed`, an `Answer` that is `BOGUS`, …), because it is an
observation that gets judged, shown and counted.

    Fault                       70  a bug of ours
    ├── UsageFault              64  the call is wrong
    ├── DataFault               65  a file or text that we were given is wrong
    ├── UnavailableFault        69  something on this machine that we need is not there
    ├── StorageFault            74  reading or writing failed
    ├── TemporaryFault          75  try again later
    └── ConfigurationFault      78  the configuration is wrong

The numbers are the exit codes, from sysexits.h.
"""

from typing import ClassVar


class Fault(Exception):
    """Base of all faults; `str()` is one line for the user, `cure` says what mends it."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure


class UsageFault(Fault):
    exit_code = 64


class DataFault(Fault):
    exit_code = 65


class UnavailableFault(Fault):
    exit_code = 69


class StorageFault(Fault):
    exit_code = 74


class TemporaryFault(Fault):
    exit_code = 75


class ConfigurationFault(Fault):
    exit_code = 78
