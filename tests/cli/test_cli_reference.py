import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/build_cli_reference.py"


def test_the_command_reference_is_what_the_commands_say():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, (
        f"docs/reference/cli.md is stale: python scripts/build_cli_reference.py\n{done.stderr.decode()}"
    )
