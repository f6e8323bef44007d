"""Units and monitoring: they name what there is."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mxseal.config import Settings
from mxseal.daemon.counters import Counters, exposition

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"


def metrics():
    counters = Counters()
    gauges = re.findall(
        r'"(mxseal_[a-z_]+)": \(', (ROOT / "src/mxseal/daemon/service.py").read_text(encoding="utf-8")
    )
    assert len(gauges) > 3
    text = exposition(counters, dict.fromkeys(gauges, ("help", 0.0)))
    found = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    return found | {f"{name}_{part}" for name in found for part in ("bucket", "sum", "count")}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_monitoring_names_metrics_that_exist(name):
    text = (PACKAGING / "monitoring" / name).read_text(encoding="utf-8")
    used = set(re.findall(r"\bmxseal_[a-z_]+", text))
    assert len(used) > 5
    assert used <= metrics()


def test_the_dashboard_is_fresh():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/build_dashboard.py"), "--check"], check=False, timeout=60
    )
    assert done.returncode == 0, "stale: run python scripts/build_dashboard.py"


def unit(name):
    read = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    read.optionxform = str
    read.read(PACKAGING / "systemd" / name)
    return read


def test_the_socket_unit_has_the_ports_of_the_defaults():
    text = (PACKAGING / "systemd/mxseal.socket").read_text(encoding="utf-8")
    places = re.findall(r"^ListenStream=(\S+)$", text, re.MULTILINE)
    assert places == list(Settings().serve.socketmap)
    assert unit("mxseal.socket")["Socket"]["FileDescriptorName"] == "socketmap"


def test_the_service_unit_is_hardened():
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    file = PACKAGING / "systemd/mxseal.service"
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", str(file)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "--offline" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at files")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
