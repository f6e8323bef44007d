"""Pages that are written from the code say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize(
    "script",
    [
        "build_cli_reference.py",
        "build_json_reference.py",
        "build_configuration_reference.py",
        "build_openapi.py",
    ],
)
def test_the_reference_is_fresh(script):
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), "--check"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"stale: run python scripts/{script}\n{done.stderr.decode()}"
