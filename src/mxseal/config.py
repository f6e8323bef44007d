"""The configuration: TOML files and the environment, read into frozen settings.

    settings = load()                   # where the system or the user has it
    settings = load(Path("my.toml"))

Each of these may change what the one before it says:

1. the defaults below;
2. ``mxseal.toml`` in ``/etc/mxseal``, or for a user who has one in
   ``~/.config/mxseal``;
3. ``conf.d/*.toml`` beside it, in the order of their names;
4. the environment: ``MXSEAL_SERVE__SOCKETMAP`` is ``socketmap`` in ``[serve]``.

A key that is not known is a mistake and not a wish, so it is refused, with the
key that was probably meant; and each complaint names file and line, or the
variable.  docs/reference/configuration.md is written from the structs below
(scripts/build_configuration_reference.py).
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta

from mxseal.vocabulary.faults import ConfigurationFault
from mxseal.vocabulary.names import Address, InvalidName, parse_host_name
from mxseal.vocabulary.rejection import Rejection, printable

SYSTEM_DIRECTORY: Final = Path("/etc/mxseal")
FILE_NAME: Final = "mxseal.toml"
ENVIRONMENT_PREFIX: Final = "MXSEAL_"
_MAX_FILE: Final = 1 << 20


def _is_host(text: str) -> bool:
    try:
        Address(text)
    except InvalidName:
        return not isinstance(parse_host_name(text), Rejection)
    return True


class Listen(str):
    """Where to listen: ``HOST:PORT``, ``[IPv6]:PORT``, or the absolute path of a unix socket.

    Raises `ValueError`.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if text.startswith("/"):
            # sun_path has 108 octets with the final zero (unix(7)).
            if len(os.fsencode(text)) > 107 or "\0" in text:
                raise ValueError(
                    f"{printable(text, 120)!r}: the path of a unix socket has at most 107 octets"
                )
            return super().__new__(cls, text)
        host, colon, port = text.rpartition(":")
        inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
            raise ValueError(
                f"{printable(text, 120)!r} is neither HOST:PORT, [IPv6]:PORT nor the absolute path of a unix socket"
            )
        if not _is_host(inner) or (":" in inner) != (inner != host):
            raise ValueError(f"{printable(text, 120)!r} has no host or address before the port")
        return super().__new__(cls, text)

    @property
    def path(self) -> Path | None:
        """Of a unix socket; None for TCP."""
        return Path(self) if self.startswith("/") else None

    @property
    def host(self) -> str:
        return self.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])


class DnsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How DNS is asked."""

    resolvers: Annotated[
        tuple[str, ...],
        Meta(
            description="Resolvers to ask, in order: `IP`, `IP:PORT` or `[IPv6]:PORT`. Empty: those of `/etc/resolv.conf`."
        ),
    ] = ()
    trust_ad: Annotated[
        Literal["no", "yes", "unproved"],
        Meta(
            description="`yes`: take the AD bit of `resolvers` instead of validating here, once they have proved that"
            " they validate. `unproved` skips the proof, for tests and odd networks."
        ),
    ] = "no"
    trust_anchor: Annotated[
        str,
        Meta(
            description="File with DS or DNSKEY records of the root zone. Empty: the built-in ones of the internet's root."
        ),
    ] = ""
    timeout: Annotated[
        float, Meta(ge=0.1, le=60, description="Seconds for a lookup, a connection or a session.")
    ] = 5.0


class PoliciesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How MTA-STS policies are fetched and kept."""

    store: Annotated[
        str,
        Meta(
            description="File (SQLite) that keeps policies over restarts. Empty: `policies.sqlite` in the service's"
            " state directory (`/var/lib/mxseal`, or `~/.local/share/mxseal` for a user). `memory`: keep nothing."
        ),
    ] = ""
    ca_file: Annotated[
        str, Meta(description="Certificates (PEM) of the CAs to trust. Empty: the system's.")
    ] = ""
    https_port: Annotated[int, Meta(ge=1, le=65535, description="Port of policy hosts.")] = 443
    allow_private: Annotated[
        bool, Meta(description="Also connect to policy hosts on private addresses, as in a laboratory.")
    ] = False


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `mxseal serve` answers, and where."""

    socketmap: Annotated[
        tuple[Listen, ...],
        Meta(
            description="Where Postfix and Sendmail ask. The defaults are the ports of postfix-mta-sts-resolver,"
            " postfix-tlspol and Sendmail's `FEATURE(sts)`; at each of them any map name is answered."
        ),
    ] = (Listen("127.0.0.1:8461"), Listen("127.0.0.1:8642"), Listen("127.0.0.1:5461"))
    lines: Annotated[
        tuple[Listen, ...],
        Meta(description="Where one line is answered with one line, as Exim's `${readsocket}` likes it."),
    ] = ()
    http: Annotated[
        tuple[Listen, ...], Meta(description="Where `GET /v1/policy/DOMAIN` is answered in JSON.")
    ] = ()
    metrics: Annotated[
        tuple[Listen, ...], Meta(description="Where Prometheus gets its metrics (`GET /metrics`).")
    ] = ()
    control: Annotated[
        str,
        Meta(
            description="Unix socket for `mxseal send dump|export|purge|refresh`. Empty: `control.sock` in the service's"
            " runtime directory (`/run/mxseal`, or `$XDG_RUNTIME_DIR/mxseal` for a user)."
        ),
    ] = ""
    socket_mode: Annotated[
        str,
        Meta(
            pattern="^0?[0-7]{3}$",
            description="Permissions of unix sockets, in octal. The control socket never has any for others.",
        ),
    ] = "0666"
    socket_owner: Annotated[str, Meta(description="User who owns unix sockets. Empty: the service's.")] = ""
    socket_group: Annotated[str, Meta(description="Group of unix sockets. Empty: the service's.")] = ""
    overrides: Annotated[
        str,
        Meta(
            description="File with policies of your own for single domains, which go before anything found out; read"
            " again at SIGHUP. Empty: none."
        ),
    ] = ""
    mixed: Annotated[
        Literal["sts", "dane-only"],
        Meta(
            description="What an MTA is told where MTA-STS enforces and only some of the MX hosts have DANE."
            " `dane-only` uses those alone."
        ),
    ] = "sts"
    answers: Annotated[
        int,
        Meta(
            ge=100,
            le=10_000_000,
            description="Answers kept ready in memory; the oldest make room for new ones.",
        ),
    ] = 100_000
    connections: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Connections at a time, over all listeners; more are refused."),
    ] = 10_000


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written to stderr, one line an event."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important that is written.")
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        Meta(
            description="`text`: `key=value`, with priorities under systemd's journal. `json`: one object a line."
        ),
    ] = "text"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it: one field for each section."""

    dns: DnsSettings = DnsSettings()
    policies: PoliciesSettings = PoliciesSettings()
    serve: ServeSettings = ServeSettings()
    log: LogSettings = LogSettings()


class Source(msgspec.Struct, frozen=True):
    """Where a value was given."""

    name: str
    """A file, or a variable of the environment."""
    line: int | None = None

    def __str__(self) -> str:
        return self.name if self.line is None else f"{self.name}, line {self.line}"


Given = dict[tuple[str, str], tuple[object, Source]]
"""(section, key) → the value, and who says so."""


def load(file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force; raises `ConfigurationFault`.

    `file` has to exist; without it there may be no file at all.
    """
    return build(given(file, environment=environment))


def given(file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Given:
    """What files and environment say, each checked by itself, before the defaults fill it up."""
    found: Given = {}
    for path in files(file, environment=environment):
        found |= _read_file(path)
    found |= _read_environment(environment)
    return found


def build(values: Given) -> Settings:
    """Settings from single values and the defaults."""
    sections: dict[str, dict[str, object]] = {}
    for (section, key), (value, _) in values.items():
        sections.setdefault(section, {})[key] = value
    return msgspec.convert(sections, Settings, strict=False, dec_hook=_decode)


def files(file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that are read, in order."""
    named = environment.get("MXSEAL_CONFIG")
    if file is None and named:
        file = Path(named)
    if file is None:
        file = _directory(environment) / FILE_NAME
        found = [file] if _exists(file) else []
    else:
        found = [file]
    try:
        return found + sorted((file.parent / "conf.d").glob("*.toml"))
    except OSError as error:
        raise _unreadable(file.parent / "conf.d", error) from None


def _directory(environment: Mapping[str, str]) -> Path:
    """The user's, where there is one; root has only the system's."""
    home = environment.get("HOME")
    base = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    own = Path(base) / "mxseal"
    return own if base and os.geteuid() != 0 and _exists(own / FILE_NAME) else SYSTEM_DIRECTORY


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ConfigurationFault:
    return ConfigurationFault(
        f"{path}: {error.strerror or error}", cure="let the service's user read its configuration"
    )


# --- files --------------------------------------------------------------------------------------------


def _read_file(path: Path) -> Given:
    try:
        with path.open("rb") as stream:
            octets = stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(octets) > _MAX_FILE:
        raise ConfigurationFault(
            f"{path}: larger than {_MAX_FILE} octets", cure="no configuration is so long"
        )
    try:
        text = octets.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigurationFault(f"{path}, line {line}: not UTF-8", cure="TOML is written in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationFault(
            f"{path}: no TOML: {printable(str(error), 200)}",
            cure='a line is written key = "value", below the [section] that it belongs to',
        ) from None
    found: Given = {}
    for section, values in document.items():
        source = Source(str(path), _line_of(text, section, None))
        _check_section(section, source)
        if not isinstance(values, dict):
            raise ConfigurationFault(
                f"{source}: {section} is a section",
                cure=f"write [{section}] on a line, and its keys below it",
            )
        for key, value in values.items():
            where = Source(str(path), _line_of(text, section, key))
            _check(section, key, value, where)
            found[section, key] = value, where
    return found


def _line_of(text: str, section: str, key: str | None) -> int | None:
    """Where a key stands; None where it is written in a way that is not looked for (an inline table)."""
    quoted = rf"[\"']?{re.escape(section)}[\"']?"
    header = re.compile(rf"\s*\[\s*{quoted}\s*\]")
    own = rf"[\"']?{re.escape(key or '')}[\"']?"
    dotted = re.compile(rf"\s*{quoted}\s*\.\s*{own}\s*=" if key else rf"\s*{quoted}\s*[.=]")
    below = re.compile(rf"\s*{own}\s*=")
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            inside = bool(header.match(line))
            if inside and key is None:
                return number
        elif dotted.match(line) or (key is not None and inside and below.match(line)):
            return number
    return None


# --- the environment ----------------------------------------------------------------------------------


def _read_environment(environment: Mapping[str, str]) -> Given:
    found: Given = {}
    for name in sorted(environment):
        section, double, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not name.startswith(ENVIRONMENT_PREFIX) or not double:
            continue
        source = Source(f"environment variable {name}")
        _check_section(section, source)
        _check_key(section, key, source)
        text = environment[name]
        value: object = _words(text) if _takes_several(section, key) else text
        _check(section, key, value, source)
        found[section, key] = value, source
    return found


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _takes_several(section: str, key: str) -> bool:
    return isinstance(fields_of(section)[key].type, msgspec.inspect.VarTupleType)


# --- checks -------------------------------------------------------------------------------------------


def sections() -> dict[str, type[msgspec.Struct]]:
    """The sections and their structs, in order."""
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def fields_of(section: str) -> dict[str, msgspec.inspect.Field]:
    """The keys of a section, in order; `Field.type` has their kinds and bounds."""
    found = msgspec.inspect.type_info(sections()[section])
    assert isinstance(found, msgspec.inspect.StructType)  # noqa: S101 - for mypy: each section is a struct
    return {
        field.name: msgspec.structs.replace(field, type=_without_metadata(field.type))
        for field in found.fields
    }


def description(section: str, key: str) -> str:
    """What a key means, from its annotation."""
    found = msgspec.inspect.type_info(sections()[section])
    assert isinstance(found, msgspec.inspect.StructType)  # noqa: S101 - idem
    for field in found.fields:
        if field.name == key and isinstance(field.type, msgspec.inspect.Metadata):
            return str((field.type.extra_json_schema or {}).get("description", ""))
    return ""


def _without_metadata(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind


def _check_section(section: str, source: Source) -> None:
    if section not in sections():
        raise ConfigurationFault(
            f"{source}: no section is called {printable(section, 60)!r}",
            cure=_meant(section, list(sections()), "the sections are {}"),
        )


def _check_key(section: str, key: str, source: Source) -> None:
    known = list(fields_of(section))
    if key not in known:
        raise ConfigurationFault(
            f"{source}: [{section}] has no key {printable(key, 60)!r}",
            cure=_meant(key, known, f"the keys of [{section}] are {{}}"),
        )


def _check(section: str, key: str, value: object, source: Source) -> None:
    _check_key(section, key, source)
    # Numbers and truth values are texts in the environment; in TOML they have types of their own.
    strict = source.line is not None or not source.name.startswith("environment")
    try:
        msgspec.convert({section: {key: value}}, Settings, strict=strict, dec_hook=_decode)
    except (msgspec.ValidationError, ValueError) as error:
        told, _, at = str(error).partition(" - at ")
        item = re.search(r"\[(\d+)\]", at)
        place = f"{section}.{key}" + (f", item {int(item[1]) + 1}" if item else "")
        raise ConfigurationFault(
            f"{source}: {place}: {printable(told, 300)}",
            cure=f"{key}: {description(section, key)}",
        ) from None


def _meant(word: str, known: list[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise.format(", ".join(known))


def _decode(kind: type, raw: object) -> Any:
    if kind is Listen:
        if not isinstance(raw, str):
            raise ValueError(f"Expected `str`, got `{type(raw).__name__}`")
        return Listen(raw)
    raise NotImplementedError(f"no decoder for {kind!r}")


# --- showing ------------------------------------------------------------------------------------------


def show(settings: Settings, values: Given) -> Iterator[str]:
    """The settings in force as TOML, with a comment at each one that is not a default."""
    for section in sections():
        yield f"[{section}]"
        for key in fields_of(section):
            value = getattr(getattr(settings, section), key)
            line = f"{key} = {as_toml(value)}"
            yield f"{line}  # {values[section, key][1]}" if (section, key) in values else line
        yield ""


def as_toml(value: object) -> str:
    """A value as TOML writes it."""
    # JSON's numbers, texts and truth values are TOML's as well.
    if isinstance(value, tuple):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    return msgspec.json.encode(value, enc_hook=str).decode()
