"""The classic wrong TLSA records, recognised from the record and the chain.

Each was seen in the field: digests of nothing, of the PEM text, of the
certificate where the key was meant, of an issuer, of a digest's text.
"""

import textwrap
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import md5, sha1, sha224, sha256, sha384, sha512
from typing import Final, NamedTuple

from mxseal.standards.dane.usability import MatchingType, Selector, Usage
from mxseal.standards.dane.verification import PresentedCertificate
from mxseal.vocabulary.observations import TlsaData

_DIGESTS: Final = {"SHA2-256": sha256, "SHA2-512": sha512, "SHA2-384": sha384, "SHA2-224": sha224}
_OLD_DIGESTS: Final = {"SHA-1": sha1, "MD5": md5}
_MAX_CHAIN: Final = 10


class _Content(NamedTuple):
    """Something that people have digested by mistake."""

    what: str
    selector: int | None = None
    """Where it is a certificate or key as such: which of both."""
    position: int = 0


class _Clue(NamedTuple):
    order: int
    """The likelier mistakes come first."""
    digest: str
    content: _Content


def recognise_wrong_digest(record: TlsaData, chain: Sequence[PresentedCertificate]) -> str | None:
    """What the data of a record is that does not match, if it is a known mistake; one clause.

    Args:
        record: one that did not match.
        chain: what the server sent, its own certificate first.
    """
    clues = _clues(tuple((one.der, one.spki) for one in chain[:_MAX_CHAIN]))
    digested = clues.get(record.data)
    # The content itself is known by its digest.
    plain = clues.get(sha256(record.data).digest()) if record.data else None
    if plain is not None and (digested is None or plain.order <= digested.order):
        what = plain.content.what + _hint(record, plain.content)
        return f"the data is {what} itself, not a digest, as matching type {record.matching_type} wants"
    if digested is not None:
        return _sentence(record, digested.digest, digested.content.what + _hint(record, digested.content))
    return None


@lru_cache(maxsize=16)
def _clues(chain: tuple[tuple[bytes, bytes], ...]) -> Mapping[bytes, _Clue]:
    """The digests of all that people digest by mistake; some milliseconds, for any number of records."""
    clues: dict[bytes, _Clue] = {}
    for order, (content, described) in enumerate(_candidates(chain)):
        for name, digest in _DIGESTS.items():
            clues.setdefault(digest(content).digest(), _Clue(order, name, described))
        for name, old in _OLD_DIGESTS.items():
            clues.setdefault(old(content, usedforsecurity=False).digest(), _Clue(order, name, described))
    return clues


def _sentence(record: TlsaData, digest: str, what: str) -> str:
    wanted = {MatchingType.SHA2_256: "SHA2-256", MatchingType.SHA2_512: "SHA2-512"}.get(
        MatchingType(record.matching_type) if record.matching_type in (0, 1, 2) else MatchingType.FULL
    )
    if wanted == digest:
        return f"the data is the digest of {what}"
    return (
        f"the data is the {digest} digest of {what}, and matching type {record.matching_type} says otherwise"
    )


def _candidates(chain: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, _Content]]:
    """Contents that people have digested by mistake, each with its description; `chain` is DER and SPKI."""
    yield b"", _Content("nothing at all (the command that made it got no input)")
    yield b"\n", _Content("an empty line (the command that made it got no input)")
    for position, (whole, spki) in enumerate(chain):
        whose = "the server's" if position == 0 else f"an issuer's (number {position + 1} of those sent)"
        kinds = (
            (Selector.CERT, whole, "certificate", "CERTIFICATE"),
            (Selector.SPKI, spki, "public key", "PUBLIC KEY"),
        )
        for selector, content, kind, label in kinds:
            what = f"{whose} {kind}"
            yield content, _Content(what, selector, position)
            for text in _pem_forms(content, label):
                yield text, _Content(f"the PEM text of {what}, instead of its DER")
            for name, digest in (("SHA2-256", sha256), ("SHA2-512", sha512)):
                text = digest(content).hexdigest().encode()
                for form in (text, text + b"\n", digest(content).digest()):
                    yield form, _Content(f"the {name} digest of {what}: it was digested twice")
        for bare in _bare_keys(spki):
            without = f"{whose} key without its algorithm; a TLSA record has the whole SubjectPublicKeyInfo"
            yield bare, _Content(without)
    if len(chain) > 1:
        bundle = b"".join(next(_pem_forms(whole, "CERTIFICATE")) for whole, _ in chain)
        yield bundle, _Content("the whole PEM file with all certificates")


def _hint(record: TlsaData, content: _Content) -> str:
    if content.selector is None:
        return ""
    hints: list[str] = []
    if record.selector != content.selector:
        hints.append(f"which is selector {content.selector:d}, while the record says {record.selector}")
    if content.position == 0 and record.usage == Usage.DANE_TA:
        hints.append("which is usage 3, while the record says 2")
    elif content.position and record.usage == Usage.DANE_EE:
        hints.append("which is usage 2, while the record says 3")
    return f", {' and '.join(hints)}" if hints else ""


def _pem_forms(content: bytes, label: str) -> Iterator[bytes]:
    """PEM as tools write it: lines of 64, with LF or CRLF, with and without the last line end; bare base64."""
    base64 = b64encode(content).decode()
    body = "\n".join(textwrap.wrap(base64, 64))
    pem = f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
    for text in (pem, pem.rstrip("\n"), pem.replace("\n", "\r\n"), body, body + "\n", base64, base64 + "\n"):
        yield text.encode()


def _bare_keys(spki: bytes) -> Iterator[bytes]:
    """The contents of the BIT STRING: what "the key" is to those who forget the algorithm (RFC 5280 §4.1.2.7)."""
    # SEQUENCE { SEQUENCE { … }, BIT STRING }: step over two headers and the algorithm.
    outer = _header(spki, 0)
    algorithm = _header(spki, outer) if outer else None
    if outer is None or algorithm is None:
        return
    length = _length(spki, outer)
    bit_string = algorithm + length
    inner = _header(spki, bit_string)
    if inner is not None and inner < len(spki):
        yield spki[inner + 1 :]
        yield spki[inner:]


def _header(data: bytes, at: int) -> int | None:
    """Where the contents of the element at `at` begin."""
    if at + 1 >= len(data):
        return None
    return at + 2 + (data[at + 1] & 0x7F if data[at + 1] & 0x80 else 0)


def _length(data: bytes, at: int) -> int:
    if not data[at + 1] & 0x80:
        return data[at + 1]
    return int.from_bytes(data[at + 2 : at + 2 + (data[at + 1] & 0x7F)])
