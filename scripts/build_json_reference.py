"""Writes docs/reference/json.md from the values themselves; with --check only says whether it would change.

The structs are what `--json` prints and `--save` writes, so their fields, types and docstrings are
the documentation; this only lays them out.
"""

import ast
import inspect
import sys
import types
import typing
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from mxseal.cli.dane import MadeRecord, Verification
from mxseal.daemon.control import Status
from mxseal.decisions.doctor import Remark
from mxseal.decisions.mailing import Bounced, Deferred, Delivered
from mxseal.decisions.schedule import PolicyState
from mxseal.journeys.discover_delivery import Discovery
from mxseal.vocabulary.observations import Evidence
from mxseal.vocabulary.session_result import SessionResult

TARGET = Path(__file__).parent.parent / "docs/reference/json.md"

HEAD = """\
# JSON output

<!-- Written by scripts/build_json_reference.py; do not edit. -->

Every document begins with two keys:

| key | |
|---|---|
| `schema_version` | 1. Raised when a key changes its meaning or goes away; new keys may come at any time |
| `kind` | what it is, see below |

Times are RFC 3339 in UTC, octets are base64, host names are A-labels without a trailing dot. Text from
outside is as it came; escape it before it reaches a terminal or a page.

| command | `kind` | keys |
|---|---|---|
| `check --json`, `check --jsonl` | `checks`, `check` | [a page of its own](check-json.md) |
| `check --save` | | a line for each domain: [Evidence](#evidence), without the two keys above |
| `send explain --json` | `delivery-explanation` | [Discovery](#discovery), `next_hop` as text, and `postfix`: the \
answer in Postfix' words |
| `send mail --json` | `delivery` | `fates`: a list of [Delivered](#delivered), [Deferred](#deferred) or [Bounced](#bounced), \
one for each recipient; `sessions`: a list of [SessionResult](#sessionresult) |
| `send dump --jsonl` | `policy-state` | [PolicyState](#policystate), a line for each domain |
| `send ask --json` | `service-answer` | `answer`: in Postfix' words; `override`: whether it was set by hand; `lines`: \
the explanation; `policy`: [PolicyState](#policystate) or null; `store_trouble` |
| `send status --json` | `service-status` | [Status](#status) |
| `send purge --json` | `purged` | `domain`, and `kept`: whether anything was known about it; a line for each domain |
| `send refresh --json` | `refreshed` | `domain`; `fetched`: whether a policy came; `detail`: the policy, or why not |
| `config show --json` | `configuration` | `settings` by section; `sources`: where those come from that are no defaults |
| `dane tlsa --json` | `tlsa` | [MadeRecord](#maderecord) |
| `dane verify --json` | `dane-verify` | [Verification](#verification) |
| `dns lookup --json` | `dns-answer` | [Answer](#answer) |
| `doctor --json` | `doctor` | `fit`: whether nothing is wrong; `remarks`: a list of [Remark](#remark) |

The tools for single texts (`sts`, `tlsrpt`) print `valid`, and either the parts of the text or a `rejection`
with `message`, `rule`, `section` and the place.
"""

ROOTS: Sequence[type[msgspec.Struct]] = (
    Discovery,
    Delivered,
    Deferred,
    Bounced,
    SessionResult,
    PolicyState,
    Status,
    MadeRecord,
    Verification,
    Remark,
    Evidence,
)


def reference() -> str:
    """The whole page."""
    waiting: list[type] = list(ROOTS)
    seen: list[type] = []
    while waiting:
        kind = waiting.pop(0)
        if kind not in seen:
            seen.append(kind)
            waiting = referred(kind) + waiting if kind not in ROOTS else waiting + referred(kind)
    order = [*ROOTS, *sorted((kind for kind in seen if kind not in ROOTS), key=lambda kind: kind.__name__)]
    return "\n\n".join([HEAD.strip(), *map(section, order)]) + "\n"


def referred(kind: type) -> list[type]:
    """The structs and enumerations that fields of `kind` are made of."""
    if not issubclass(kind, msgspec.Struct):
        return []
    return [part for hint in hints(kind).values() for part in leaves(hint) if is_ours(part)]


def hints(kind: type) -> dict[str, object]:
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if not name.startswith("_")}


def leaves(hint: object) -> list[type]:
    arguments = typing.get_args(hint)
    if arguments:
        return [leaf for argument in arguments for leaf in leaves(argument)]
    return [hint] if isinstance(hint, type) else []


def is_ours(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct | StrEnum)


def section(kind: type) -> str:
    text = " ".join((vars(kind).get("__doc__") or "").split("\n\n")[0].split())
    notes = docstrings(kind)
    if issubclass(kind, StrEnum):
        head = "| value | |\n|---|---|"
        rows = [f"| `{member.value}` | {notes.get(name, '')} |" for name, member in kind.__members__.items()]
    else:
        head = "| key | type | |\n|---|---|---|"
        rows = [f"| `{name}` | {shown(hint)} | {notes.get(name, '')} |" for name, hint in hints(kind).items()]
        tag = getattr(kind.__struct_config__, "tag", None)
        if tag:
            rows.insert(0, f'| `type` | `"{tag}"` | |')
    parts = [f"## {kind.__name__}", cell(text), "\n".join([head, *rows])]
    return "\n\n".join(filter(None, parts))


def docstrings(kind: type) -> dict[str, str]:
    """Field → the string below it in the source."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(definition.body, definition.body[1:], strict=False):
        match before, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = cell(" ".join(text.split()))
    return found


def cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


def shown(hint: object) -> str:
    """A type as JSON has it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return f"list of {shown(arguments[0])}"
    if origin is tuple:
        return "list: " + ", ".join(map(shown, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is types.NoneType else shown(part) for part in arguments)
    if origin is not None:
        return shown(arguments[0]) if arguments else str(origin)
    assert isinstance(hint, type)
    if is_ours(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    names = {bool: "true or false", int: "integer", float: "number", bytes: "base64", datetime: "time"}
    return names.get(hint, "string" if issubclass(hint, str) else hint.__name__)


def main(arguments: list[str]) -> int:
    text = reference()
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
