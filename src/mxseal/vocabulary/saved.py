"""Evidence and other values as JSON, and back: what ``--save`` and ``--replay`` use."""

from typing import Any, TypeVar

import msgspec

from mxseal.vocabulary.faults import DataFault
from mxseal.vocabulary.rejection import printable

Value = TypeVar("Value", bound=msgspec.Struct)


def to_json(value: object) -> bytes:
    """Any value of the vocabulary as JSON; octets become base64, times RFC 3339."""
    return msgspec.json.encode(value, enc_hook=str)


def to_builtins(value: object) -> Any:
    """The same as dictionaries, lists and strings."""
    return msgspec.to_builtins(value, enc_hook=str)


def from_json(kind: type[Value], text: bytes, *, source: str) -> Value:
    """Read a value back; raises `DataFault` naming `source` and the place in it."""
    try:
        return msgspec.json.decode(text, type=kind, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DataFault(
            # The message quotes the file, which may have come from anybody.
            f"{source} is no saved {kind.__name__.lower()}: {printable(str(error), 300)}",
            cure="give a file that the same version of mxseal has written",
        ) from None


def _decode(kind: type, raw: object) -> object:
    # Texts whose constructor checks them: HostName, Address, and patterns of the standards.
    if issubclass(kind, str):
        if not isinstance(raw, str):
            raise ValueError(f"Expected `str`, got `{type(raw).__name__}`")  # noqa: TRY004 - msgspec names the place of it
        return kind(raw)
    raise NotImplementedError(f"no decoder for {kind!r}")
