"""DNS in memory: a resolver, and authoritative servers, that know what they are told."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self

from mxseal.vocabulary.names import Address, HostName, InvalidName
from mxseal.vocabulary.observations import (
    AddressData,
    Alias,
    Answer,
    AuthoritativeAnswer,
    MxData,
    OtherData,
    Outcome,
    RecordData,
    RecordType,
    Security,
    TextData,
    TlsaData,
)

Question = tuple[str, RecordType]

_TTL: Final = 3600
_MAX_ALIASES: Final = 12


class MemoryResolver:
    """Satisfies `ports.Resolver` from a dictionary; counts the questions it was asked.

    `answers` holds whole answers by question.  What it does not hold gets the
    `unknown` outcome: `NO_NAME` for a small invented DNS, `FAILED` where a
    question that was never asked must not look answered.
    """

    def __init__(
        self, answers: Mapping[Question, Answer] = {}, *, unknown: Outcome = Outcome.NO_NAME
    ) -> None:
        self.answers: dict[Question, Answer] = dict(answers)
        self.unknown = unknown
        self.asked: list[Question] = []

    @classmethod
    def from_texts(
        cls,
        records: Mapping[str, Iterable[str]],
        *,
        secure: Iterable[str] = (),
        bogus: Iterable[str] = (),
        failing: Iterable[str] = (),
    ) -> "_ZoneResolver":
        """A small DNS in the notation of zone files; see the package docstring.

        `secure` and `bogus` are names whose whole subtree is so, `failing` are
        questions (``"name TYPE"``) that no server answers.
        """
        return _ZoneResolver(records, secure=secure, bogus=bogus, failing=failing)

    @classmethod
    def from_answers(cls, answers: Iterable[Answer], *, unknown: Outcome = Outcome.FAILED) -> Self:
        """What was answered once is answered again."""
        return cls({(answer.name, answer.record_type): answer for answer in answers}, unknown=unknown)

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        self.asked.append((name, record_type))
        found = self.answers.get((name, record_type))
        return found if found is not None else self._missing(name, record_type)

    def _missing(self, name: str, record_type: RecordType) -> Answer:
        failed = self.unknown is Outcome.FAILED
        return Answer(
            name,
            record_type,
            self.unknown,
            Security.INDETERMINATE if failed else Security.INSECURE,
            reason="not in memory",
        )


class _ZoneResolver(MemoryResolver):
    def __init__(
        self,
        records: Mapping[str, Iterable[str]],
        *,
        secure: Iterable[str],
        bogus: Iterable[str],
        failing: Iterable[str],
    ) -> None:
        super().__init__()
        self.records: dict[Question, tuple[str, ...]] = {
            _question(key): tuple(values) for key, values in records.items()
        }
        self.secure = tuple(secure)
        self.bogus = tuple(bogus)
        self.failing = {_question(key) for key in failing}

    async def resolve(self, name: str, record_type: RecordType) -> Answer:
        self.asked.append((name, record_type))
        aliases: list[Alias] = []
        last = name
        securities = [self._security(name)]
        while record_type is not RecordType.CNAME and len(aliases) < _MAX_ALIASES:
            targets = self.records.get((last, RecordType.CNAME))
            if not targets:
                break
            target = targets[0].removesuffix(".")
            aliases.append(Alias(last, target, self._security(last)))
            last = target
            securities.append(self._security(last))
        security = _weakest(securities)
        if (last, record_type) in self.failing or security is Security.BOGUS:
            bogus = security is Security.BOGUS
            return Answer(
                name,
                record_type,
                Outcome.FAILED,
                Security.BOGUS if bogus else Security.INDETERMINATE,
                aliases=tuple(aliases),
                reason="the signature does not verify" if bogus else "SERVFAIL",
            )
        texts = self.records.get((last, record_type), ())
        return Answer(
            name,
            record_type,
            Outcome.FOUND if texts else self._denial(last),
            security,
            tuple(parse_record_data(record_type, text) for text in texts),
            tuple(aliases),
            _TTL,
            reason="in memory",
        )

    def _security(self, name: str) -> Security:
        if any(name == top or name.endswith("." + top) for top in self.bogus):
            return Security.BOGUS
        if any(name == top or name.endswith("." + top) for top in self.secure):
            return Security.SECURE
        return Security.INSECURE

    def _denial(self, name: str) -> Outcome:
        exists = any(owner == name or owner.endswith("." + name) for owner, _ in self.records)
        return Outcome.NO_DATA if exists else Outcome.NO_NAME


class MemoryAuthoritativeServers:
    """Satisfies `ports.AuthoritativeServers` from answers that were given once."""

    def __init__(self, answers: Iterable[AuthoritativeAnswer] = ()) -> None:
        self.answers = {
            (answer.server, answer.address, answer.name, answer.record_type): answer for answer in answers
        }

    async def ask(
        self, zone: str, server: HostName, address: Address, name: str, record_type: RecordType
    ) -> AuthoritativeAnswer:
        found = self.answers.get((server, address, name, record_type))
        return found or AuthoritativeAnswer(
            zone, server, address, name, record_type, Outcome.FAILED, detail="not in memory"
        )


def parse_record_data(record_type: RecordType, text: str) -> RecordData:
    """A record's data in presentation format as a value; what does not fit its type is `OtherData`."""
    try:
        return _PARSERS.get(record_type, OtherData)(text)
    except (InvalidName, ValueError):
        return OtherData(text)


def _mx(text: str) -> MxData:
    preference, exchange = text.split()
    return MxData(int(preference), None if exchange == "." else HostName(exchange))


def _address(text: str) -> AddressData:
    return AddressData(Address(text))


def _text(text: str) -> TextData:
    # Quoted strings as in a zone file, or the whole text as one string.
    parts = shlex.split(text) if text.startswith('"') else [text]
    return TextData(tuple(part.encode() for part in parts))


def _tlsa(text: str) -> TlsaData:
    usage, selector, matching_type, *digits = text.split()
    return TlsaData(int(usage), int(selector), int(matching_type), bytes.fromhex("".join(digits)))


_PARSERS: Final[Mapping[RecordType, Callable[[str], RecordData]]] = {
    RecordType.MX: _mx,
    RecordType.A: _address,
    RecordType.AAAA: _address,
    RecordType.TXT: _text,
    RecordType.TLSA: _tlsa,
}


def _question(key: str) -> Question:
    name, _, record_type = key.rpartition(" ")
    return name.removesuffix(".").lower(), RecordType(record_type)


_ORDER: Final = (Security.BOGUS, Security.INDETERMINATE, Security.INSECURE, Security.SECURE)


def _weakest(securities: Iterable[Security]) -> Security:
    return min(securities, key=_ORDER.index)
