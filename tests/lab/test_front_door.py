"""The library's front door: cheap to import, and it leads to the same as the command."""

import asyncio
import subprocess
import sys

import pytest

import mxseal
from mxseal.vocabulary.names import InvalidName


def test_importing_it_loads_next_to_nothing():
    code = (
        "import mxseal, sys; print(*sorted({'asyncio', 'ssl', 'dns', 'msgspec', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_all_that_it_names_is_there():
    assert all(getattr(mxseal, name) is not None for name in mxseal.__all__)
    assert set(mxseal.__all__) <= set(dir(mxseal))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mxseal.nonsense


def test_a_domain_is_checked(lab):
    judgement = asyncio.run(mxseal.check("tlsa-mismatch.test", lab.world))
    assert isinstance(judgement, mxseal.Judgement)
    assert judgement.state == "broken"
    assert {finding.id for finding in judgement.findings} == {"DANE008", "STS001"}


def test_what_is_no_name_is_refused():
    with pytest.raises(InvalidName):
        asyncio.run(mxseal.check("two..dots"))
