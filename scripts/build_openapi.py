"""Writes docs/reference/policy-api.json (OpenAPI 3.1) from the service's structs; with --check only says whether it would change."""

import json
import sys
from pathlib import Path

import msgspec

from mxseal.daemon.http import SCHEMA_VERSION, PolicyAnswer, Problem

TARGET = Path(__file__).parent.parent / "docs/reference/policy-api.json"


def document() -> str:
    """The whole file."""
    (answer, problem), components = msgspec.json.schema_components(
        (PolicyAnswer, Problem), ref_template="#/components/schemas/{name}"
    )
    trouble = {"content": {"application/problem+json": {"schema": problem}}}
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "MXSeal: how mail must travel",
            "version": str(SCHEMA_VERSION),
            "description": "What `mxseal serve` answers where `serve.http` says; see docs/serve.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/policy/{next_hop}": {
                "get": {
                    "operationId": "policy",
                    "summary": "How mail to a next-hop must travel, and why",
                    "parameters": [
                        {
                            "name": "next_hop",
                            "in": "path",
                            "required": True,
                            "description": "`example.com`, `example.com:587`, `[mx.example.com]:587`, percent-encoded",
                            "schema": {"type": "string"},
                        }
                    ],
                    "responses": {
                        "200": {
                            "description": "The decision. Mail waits where `answer` is `temp`.",
                            "content": {"application/json": {"schema": answer}},
                        },
                        "400": {"description": "No next-hop.", **trouble},
                        "503": {"description": "No answer now: mail waits.", **trouble},
                    },
                }
            },
            "/healthz": {
                "get": {
                    "operationId": "health",
                    "summary": "Whether the service is alive",
                    "responses": {"200": {"description": "It is."}},
                }
            },
        },
        "components": {"schemas": components},
    }
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    text = document()
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
