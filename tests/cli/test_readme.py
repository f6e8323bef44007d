"""The README's example is what the program prints, but for what differs at every run."""

import re
from pathlib import Path

from mxseal.cli import run
from mxseal.lab import Lab, LabThread

README = Path(__file__).parents[2] / "README.md"


def steady(text: str) -> str:
    """Without digests, addresses, dates, numbers of days, and without blanks: an address may move a line's end."""
    patterns = {
        r"\b[0-9a-f]{16,}": "DIGEST",
        r"\b127\.[0-9.]+": "ADDRESS",
        r"\bid=[0-9]+": "ID",
        r"\b[0-9]+ d\b": "DAYS",
    }
    for pattern, word in patterns.items():
        text = re.sub(pattern, word, text)
    return "".join(text.split())


def test_the_example_in_the_readme(tmp_path: Path, capsys):
    with LabThread(Lab(scenarios=["tlsa-mismatch.test"])) as lab:
        (tmp_path / "ca.pem").write_bytes(lab.ca_pem)
        (tmp_path / "root.ds").write_text(lab.trust_anchor)
        address, port = lab.resolver
        code = run(
            [
                "check",
                "tlsa-mismatch.test",
                f"--resolver={address}:{port}",
                f"--smtp-port={lab.smtp_port}",
                f"--https-port={lab.https_port}",
                f"--ca-file={tmp_path}/ca.pem",
                f"--trust-anchor={tmp_path}/root.ds",
                "--allow-private",
            ]
        )
    printed = capsys.readouterr().out
    assert code == 1
    _, _, after = README.read_text(encoding="utf-8").partition("tests/cli/test_readme.py -->\n")
    example = re.match(r"(?:(?: {4}.*)?\n)+", after)
    assert example is not None
    assert steady(example[0]) == steady(printed)
