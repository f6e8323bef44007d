#!/usr/bin/env python3
"""Write docs/reference/check.schema.json from the types; ``--check`` only compares, exit 1 on drift."""

import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from mxseal.cli.output import SCHEMA_VERSION
from mxseal.decisions.checkup import Judgement
from mxseal.vocabulary.names import HostName

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "check.schema.json"


def schema() -> dict[str, Any]:
    """JSON Schema of what ``mxseal check --jsonl`` prints on each line, and ``--json`` as a list."""
    (line,), components = msgspec.json.schema_components(
        (Judgement,), schema_hook=_hook, ref_template="#/$defs/{name}"
    )
    del line
    for component in components.values():
        if "description" in component:  # Python 3.13 takes the indentation away, earlier ones do not
            component["description"] = inspect.cleandoc(component["description"])
    judgement = components["Judgement"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of mxseal check --jsonl (one line) and --json (whole)",
        "oneOf": [{"$ref": "#/$defs/Line"}, {"$ref": "#/$defs/Document"}],
        "$defs": {
            "Line": {
                **judgement,
                "title": "Line",
                "properties": {**_frame("check"), **judgement["properties"]},
                "required": ["schema_version", "kind", *judgement["required"]],
            },
            "Document": {
                "title": "Document",
                "type": "object",
                "properties": {
                    **_frame("checks"),
                    "domains": {"type": "array", "items": {"$ref": "#/$defs/Judgement"}},
                },
                "required": ["schema_version", "kind", "domains"],
            },
            **components,
        },
    }


def _frame(kind: str) -> dict[str, Any]:
    return {"schema_version": {"const": SCHEMA_VERSION}, "kind": {"const": kind}}


def _hook(kind: type) -> dict[str, Any]:
    if kind is HostName:
        return {"type": "string", "description": "A host name: A-labels, lower case, no trailing dot."}
    raise NotImplementedError(kind)


def text() -> str:
    """The file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def main() -> int:
    """Write, or compare."""
    if "--check" in sys.argv[1:]:
        same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text()
        if not same:
            print(f"{TARGET.name} is not what the types say: run scripts/build_check_schema.py")
        return 0 if same else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
