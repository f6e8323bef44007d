"""How a rejection is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxseal.vocabulary.rejection import Rejection, printable


def test_a_caret_under_the_place():
    rejection = Rejection("one\ntwo three\r\nfour", 8, 13, "too much", "count", "RFC 8461 §3.2")
    assert rejection.with_caret() == (
        "too much (RFC 8461 §3.2, rule count)\n"
        "  line 2, column 5:\n"
        "    two three\n"
        "        ^^^^^"
    )  # fmt: skip
    assert str(rejection) == "too much in line 2, character 5 (RFC 8461 §3.2)"
    assert (rejection.line, rejection.column) == (2, 5)


@pytest.mark.parametrize(
    ("text", "start", "end", "shown", "marks"),
    [
        ("", 0, 0, "", "^"),
        ("ab", 1, 2, "ab", " ^"),
        ("ab", 2, 2, "ab", "  ^"),  # behind the end
        ("ab", 1, 1, "ab", " ^"),  # between two characters
        ("ab\ncd", 2, 2, "ab", "  ^"),  # at the end of a line
        ("ab\ncd", 1, 5, "ab", " ^"),  # over the end of a line
        ("a\x1b[31mb", 1, 2, "a\\x1b[31mb", " ^^^^"),
        ("a\x1bb", 2, 3, "a\\x1bb", "     ^"),
        ("a\u202eb", 2, 3, "a\\u202eb", "       ^"),
        ("\ta", 1, 2, "\\ta", "  ^"),
        ("例a", 1, 2, "例a", "  ^"),  # as wide as two letters
        ("e\u0301a", 2, 3, "e\u0301a", " ^"),  # combining: no width
        ("क\u0901a", 2, 3, "क\u0901a", " ^"),  # no combining class, and no width either
        ("📧a", 1, 2, "📧a", "  ^"),  # beyond the BMP: one character, two columns
        ("a" * 300 + "b" + "c" * 300, 300, 301, "…" + "a" * 50 + "b" + "c" * 49 + "…", " " * 51 + "^"),
        ("\ud800", 0, 1, "\\ud800", "^^^^^^"),
    ],
)
def test_places(text, start, end, shown, marks):
    lines = Rejection(text, start, end, "wrong").with_caret().split("\n")
    assert lines[2:] == [f"    {shown}", f"    {marks}"]


@given(st.text(), st.integers(0, 200), st.integers(0, 200), st.text(), st.text())
def test_law_no_text_acts_on_a_terminal(text, start, length, message, rule):
    shown = Rejection(text, start, start + length, message, rule, "RFC 8461 §3.1").with_caret()
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert shown.count("\n") == 3
    assert shown.rpartition("\n")[2].lstrip(" ").strip("^") == ""
    assert str(Rejection(text, start, start + length, message, rule, "RFC 8461 §3.1")).isprintable()


@given(st.text(max_size=700))
def test_law_printable_is_one_bounded_line(text):
    shown = printable(text, 500)
    assert shown.isprintable()
    assert len(shown) <= 10 * 500 + 1
    if text.isprintable() and len(text) <= 500:
        assert shown == text
