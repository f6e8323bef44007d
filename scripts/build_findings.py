#!/usr/bin/env python3
"""Write docs/findings/ from the catalogue; ``--check`` only compares, exit 1 on drift."""

import sys
import textwrap
from pathlib import Path

from mxseal.decisions.checkup.catalogue import CATALOGUE, Entry

TARGET = Path(__file__).resolve().parent.parent / "docs" / "findings"
GROUPS = {
    "MX": "MX: where mail goes",
    "DNS": "DNS: what DNSSEC proves",
    "DANE": "DANE: TLSA records",
    "STS": "STS: MTA-STS",
    "RPT": "RPT: reports",
    "TLS": "TLS: sessions with MX hosts",
}
SEVERITIES = {
    "broken": "mail of senders that follow the standards is lost or waits",
    "open": "mail flows, but an attacker in the path can read or take it",
    "warning": "it works, and will break or is weaker than meant",
    "note": "worth knowing; nothing has to be done",
}
HEAD = "<!-- written by scripts/build_findings.py from src/mxseal/decisions/checkup/catalogue.py -->\n"


def page(entry: Entry) -> str:
    """One finding."""
    return "\n".join(
        [
            HEAD,
            f"# {entry.id}: {entry.title}",
            "",
            f"**{entry.severity}** ({SEVERITIES[entry.severity]}), {entry.section}",
            "",
            textwrap.fill(entry.explanation, 100, break_long_words=False, break_on_hyphens=False),
            "",
            "## What mends it",
            "",
            "```",
            entry.cure,
            "```",
            "",
            "Words in braces stand for the domain's own values; `mxseal check DOMAIN` fills them in.",
            "",
            "[All findings](README.md)",
            "",
        ]
    )


def index() -> str:
    """The list of all findings."""
    lines = [
        HEAD,
        "# Findings of `mxseal check`",
        "",
        "An id means the same in every release: in the terminal, in JSON, here. `mxseal check --explain ID` tells",
        "the same as its page.",
        "",
        "| severity | meaning |",
        "|---|---|",
        *(f"| {severity} | {meaning} |" for severity, meaning in SEVERITIES.items()),
    ]
    for prefix, title in GROUPS.items():
        lines += ["", f"## {title}", "", "| id | severity | finding |", "|---|---|---|"]
        lines += [
            f"| [{entry.id}]({entry.id}.md) | {entry.severity} | {entry.title} |"
            for entry in CATALOGUE.values()
            if entry.id.rstrip("0123456789") == prefix
        ]
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """File name → text."""
    return {"README.md": index(), **{f"{entry.id}.md": page(entry) for entry in CATALOGUE.values()}}


def drift() -> list[str]:
    """What differs between the files and the catalogue."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.md")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write, or compare."""
    if "--check" in sys.argv[1:]:
        different = drift()
        for name in different:
            print(f"docs/findings/{name} is not what the catalogue says: run scripts/build_findings.py")
        return 1 if different else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for path in TARGET.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
