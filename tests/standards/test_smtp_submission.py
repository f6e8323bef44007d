"""What the first sender of a message sees to (RFC 5322 §3.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.standards.smtp import field_names, finish, read_message

MISSING = {"Date": "today", "Message-ID": "<1@x>"}


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        (b"Subject: x\n\nhi\n", b"Date: today\nMessage-ID: <1@x>\nSubject: x\n\nhi\n"),
        (b"date : y\nMESSAGE-ID: z\n\nhi\n", b"date : y\nMESSAGE-ID: z\n\nhi\n"),
        (
            b"Date: y\nBcc: a@b,\n c@d\nX: z\n\nBcc: stays\n",
            b"Message-ID: <1@x>\nDate: y\nX: z\n\nBcc: stays\n",
        ),
        (b"Resent-Bcc: a\nReturn-Path: <b>\nbcc : c\n\n", b"Date: today\nMessage-ID: <1@x>\n\n"),
        # What is no header is a body, as sendmail takes it.
        (b"hi\nthere: x\n", b"Date: today\nMessage-ID: <1@x>\n\nhi\nthere: x\n"),
        (b"Subject: x\nhi\n", b"Date: today\nMessage-ID: <1@x>\nSubject: x\n\nhi\n"),
        (b"\nDate: body\n", b"Date: today\nMessage-ID: <1@x>\n\nDate: body\n"),
        (b" folded\n", b"Date: today\nMessage-ID: <1@x>\n\n folded\n"),
        (b"From a@b Mon Nov 23\nSubject: x\n\nhi\n", b"Date: today\nMessage-ID: <1@x>\nSubject: x\n\nhi\n"),
        (b"", b"Date: today\nMessage-ID: <1@x>\n\n"),
        (b"Date: a\nDate: b\n\n\n", b"Message-ID: <1@x>\nDate: a\nDate: b\n\n\n"),
    ],
)
def test_finishing(text, finished):
    result = finish(read_message(text).octets, MISSING)
    assert result == finished.replace(b"\n", b"\r\n")
    assert {"date", "message-id"} <= field_names(result)


LINES = st.lists(
    st.sampled_from(
        [b"Bcc: secret\r\n", b" secret\r\n", b"Subject: x\r\n", b"\r\n", b"text\r\n", b"Date: y\r\n"]
    )
)


@given(LINES.map(b"".join))
def test_finishing_twice_changes_nothing_and_a_header_keeps_no_secret(text):
    once = finish(text, MISSING)
    assert finish(once, MISSING) == once
    assert "bcc" not in field_names(once)
    assert {"date", "message-id"} <= field_names(once)
    # The body is as it was: the last lines of the text.
    body = once.partition(b"\r\n\r\n")[2]
    assert text.endswith(body)
