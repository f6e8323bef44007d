"""TLSA records as people write them: RFC 6698 §2.2, presentation format."""

import re
from typing import Final

from mxseal.vocabulary.observations import TlsaData
from mxseal.vocabulary.rejection import Rejection

MAX_TEXT: Final = 200_000
"""Characters; the data of a DNS record has at most 65 535 octets."""

_FIELDS: Final = ("certificate usage", "selector", "matching type")
_MNEMONICS: Final = (
    {"PKIX-TA": 0, "PKIX-EE": 1, "DANE-TA": 2, "DANE-EE": 3},
    {"CERT": 0, "SPKI": 1},
    {"FULL": 0, "SHA2-256": 1, "SHA2-512": 2},
)
"""RFC 7218 §2; zone files do not have them, people do."""
_WORD: Final = re.compile(r"\S+")
_ANOTHER: Final = re.compile(r"\s([0-3]\s+[01]\s+[0-2])\s+[0-9A-Fa-f]{2}")
_NOT_HEX: Final = re.compile(r"[^0-9A-Fa-f\s]")


def parse_tlsa(text: str) -> TlsaData | Rejection:
    """Read ``3 1 1 2d84…``; blanks within the hexadecimal data and parentheses around it are fine.

    An owner name, TTL, class and type in front (``_25._tcp.mx IN TLSA 3 1 1 …``)
    are skipped.  Numbers that no RFC knows are read; `classify` judges them.
    """
    if len(text) > MAX_TEXT:
        return _reject(text, f"a TLSA record has at most {MAX_TEXT} characters", MAX_TEXT, MAX_TEXT, "")
    prefix = re.search(r"\bTLSA\s", text, re.IGNORECASE)
    position = prefix.end() if prefix else 0
    # Parentheses, as zone files continue lines with, become blanks; offsets stay.
    plain = text.replace("(", " ").replace(")", " ")
    numbers: list[int] = []
    for field, mnemonics in zip(_FIELDS, _MNEMONICS, strict=True):
        word = _WORD.search(plain, position)
        if word is None:
            end = len(text.rstrip())
            return _reject(text, f"the {field} is missing; a record is like '3 1 1 2d84…'", end, end, field)
        token = word[0]
        if token.upper() in mnemonics:
            numbers.append(mnemonics[token.upper()])
        elif token.isascii() and token.isdigit() and len(token) <= 3 and int(token) <= 255:
            numbers.append(int(token))
        else:
            return _reject(text, f"the {field} is a number from 0 to 255", *word.span(), field)
        position = word.end()
    data = _data(text, plain, position)
    return data if isinstance(data, Rejection) else TlsaData(numbers[0], numbers[1], numbers[2], data)


def _data(text: str, plain: str, position: int) -> bytes | Rejection:
    """The certificate association data, from `position` to the end."""
    if another := _ANOTHER.search(plain, position):
        # Blanks within the data are fine, so two records would read as one with strange data.
        return _reject(text, "another record begins here: one at a time", *another.span(1))
    if wrong := _NOT_HEX.search(plain, position):
        return _reject(text, "the data is hexadecimal: digits and the letters a to f", *wrong.span())
    digits = "".join(plain[position:].split())
    end = len(text.rstrip())
    if not digits:
        return _reject(text, "the certificate association data is missing", end, end)
    if len(digits) % 2:
        what = f"the data has {len(digits)} hexadecimal digits, and two make an octet"
        return _reject(text, what, end - 1, end)
    return bytes.fromhex(digits)


def _reject(
    text: str, message: str, start: int, end: int, rule: str = "certificate association data"
) -> Rejection:
    return Rejection(text, start, end, message, rule, "RFC 6698 §2.2")
