"""Write the table of scenarios into docs/lab.md, from `mxseal.lab.SCENARIOS`."""

from pathlib import Path

from mxseal.lab import SCENARIOS

DOCUMENT = Path(__file__).parent.parent / "docs" / "lab.md"
HEAD = "| domain | what it is like | a strict sender | findings of `check` |"


def table() -> str:
    rows = [
        f"| `{each.name}` | {each.story} | **{each.fate}**: {each.sender} "
        f"| {' '.join(sorted(each.findings)) or '–'} |"
        for each in SCENARIOS.values()
    ]
    return "\n".join((HEAD, "|---|---|---|---|", *rows)) + "\n"


def main() -> None:
    before, _, rest = DOCUMENT.read_text().partition(HEAD)
    after = rest.partition("\n\n")[2]
    DOCUMENT.write_text(before + table() + ("\n" + after if after else ""))
    print(f"{DOCUMENT}: {len(SCENARIOS)} scenarios")


if __name__ == "__main__":
    main()
