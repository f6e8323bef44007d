"""Draw a part of the demo as an SVG for the README: a real run, in a terminal's colours.

    .venv/bin/python scripts/build_picture.py        writes docs/images/demo.svg

The picture needs no font from elsewhere: it names monospaced families that
readers have.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "images" / "demo.svg"
WIDTH = 98

# Dark ground with enough contrast for each colour (WCAG AA).
THEME = TerminalTheme(
    (22, 27, 34),
    (213, 219, 226),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (213, 219, 226),
    ],
)

# As rich's own frame, without the web font that it would load.
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>A part of what mxseal demo shows</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the demo, keep its acts 3 and 4, draw them."""
    story = subprocess.run(
        [sys.executable, "-m", "mxseal", "demo", "--fast"],
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    first, last = (re.search(rf"^.*── {act} ──", story, re.MULTILINE) for act in (3, 5))
    if first is None or last is None:
        sys.exit("the demo no longer has the acts 3 and 4 that this picture shows")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(story[first.start() : last.start()].rstrip()))
    TARGET.parent.mkdir(exist_ok=True)
    svg = console.export_svg(title="mxseal demo", theme=THEME, code_format=FORMAT, unique_id="demo")
    TARGET.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE))
    sys.stdout.write(f"{TARGET.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
