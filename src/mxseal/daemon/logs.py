"""One line an event, on stderr: ``key=value`` with the journal's priorities, or JSON.

    level=info logger=mxseal.answers event=answer next_hop=example.com seconds=0.021

Under systemd's journal (JOURNAL_STREAM is our stderr) each line begins with its
priority, ``<6>``, instead of naming its level and time, which the journal has.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

from mxseal.vocabulary.rejection import printable

_PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST: Final = 2_000


class EventFormatter(logging.Formatter):
    """The event's name and what was given as ``extra``, on one line whatever is in it."""

    def __init__(self, *, as_json: bool, journal: bool) -> None:
        super().__init__()
        self._json = as_json
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        fields: dict[str, object] = {}
        if not self._journal:
            fields["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            fields["level"] = record.levelname.lower()
        fields["logger"] = record.name
        fields["event"] = record.getMessage()
        fields |= {key: value for key, value in vars(record).items() if key not in _KNOWN}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self._json:
            line = json.dumps(fields, default=str)
        else:
            line = " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def _quoted(value: object) -> str:
    text = printable(str(value), _LONGEST)
    if text and not any(sign in text for sign in ' "=\\'):
        return text
    # JSON's texts are read by whatever reads key=value lines (logfmt).
    return json.dumps(text, ensure_ascii=False)


def set_up(
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["text", "json"],
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Send all events of this program to stderr; again with other settings after a reload."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        EventFormatter(as_json=form == "json", journal=form == "text" and _is_journal(stream, environment))
    )
    ours = logging.getLogger("mxseal")
    ours.handlers[:] = [handler]
    ours.propagate = False
    ours.setLevel(level.upper())


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written goes to the journal: sd-daemon(3), systemd.exec(5) JOURNAL_STREAM."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
