"""The Python code in the documents runs, and does what they say."""

import functools
import re
from pathlib import Path

import pytest

import mxseal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/deliver.md"])
def test_delivering_as_the_documents_show_it(lab, page, monkeypatch, capsys):
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.setattr(
        mxseal, "deliver", functools.partial(mxseal.deliver, settings=lab.world), raising=False
    )
    before = len(lab.mail)
    exec(compile(code.replace("otto@example.org", "otto@good-dane.test"), page, "exec"), {})
    printed = capsys.readouterr().out
    assert "sealed" in printed
    assert "mx1.good-dane.test" in printed
    (mail,) = lab.mail[before:]
    assert b"flowerpot" in mail.content
    assert mail.tls == "TLSv1.3"
