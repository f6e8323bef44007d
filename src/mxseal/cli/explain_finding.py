"""``mxseal check --explain``: the catalogue, for people and for programs."""

import difflib
import textwrap

from mxseal.cli.output import console, print_json
from mxseal.cli.render import STYLES
from mxseal.decisions.checkup.catalogue import CATALOGUE, Entry
from mxseal.vocabulary.faults import UsageFault


def explain_finding(id_: str, *, as_document: bool) -> None:
    """Print one entry of the catalogue, or all of them; raises `UsageFault` for an unknown id."""
    if id_.lower() == "all":
        if as_document:
            print_json("findings", {"findings": list(CATALOGUE.values())})
        else:
            _print_list()
        return
    entry = CATALOGUE.get(id_.upper())
    if entry is None:
        close = difflib.get_close_matches(id_.upper(), CATALOGUE, n=3)
        hint = f"did you mean {' or '.join(close)}?  " if close else ""
        raise UsageFault(f"no such finding: {id_!r}", cure=f"{hint}'mxseal check --explain all' lists them")
    if as_document:
        print_json("finding", entry)
    else:
        _print_entry(entry)


def _print_list() -> None:
    from rich.text import Text

    out = console()
    for entry in CATALOGUE.values():
        severity = Text(f"{entry.severity:<8}", STYLES[entry.severity])
        out.print(Text.assemble((entry.id, "bold"), "  ", severity, "  ", entry.title), soft_wrap=True)


def _print_entry(entry: Entry) -> None:
    from rich.text import Text

    out = console()
    width = min(out.width, 100)
    out.print(
        Text.assemble((entry.id, "bold"), "  ", (entry.severity.value, STYLES[entry.severity])),
        soft_wrap=True,
    )
    out.print(Text(entry.title, "bold"), soft_wrap=True)
    out.print()
    for line in textwrap.wrap(entry.explanation, width):
        out.print(Text(line), soft_wrap=True)
    out.print()
    for number, line in enumerate(entry.cure.split("\n")):
        out.print(Text.assemble(("  " if number else "→ ", "bold"), line), soft_wrap=True)
    out.print(Text(entry.section, "dim"), soft_wrap=True)
