"""Keeping secrets out of logs, errors, transcripts and answers."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping

SECRET_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
SHORTEST = 8
"""Characters; a shorter value would be found by chance in innocent text."""

MASK = "[redacted]"

SHAPES = (
    (re.compile(r"\bqb_[A-Za-z0-9_-]{43}"), MASK),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{MASK}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{MASK}@"),
)
"""What looks like a secret whatever its value: our keys, credentials in headers and URLs."""

_remembered: set[str] = set()
_lock = threading.Lock()


def remember(values: Iterable[str]) -> None:
    """Redact these values from now on, whatever the names of their variables."""
    with _lock:
        _remembered.update(value for value in values if len(value) >= SHORTEST)


def environment_secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the known secrets, longest first: a shorter one may be part of a longer.

    They are the values of environment variables named like secrets, and those of the secrets file.
    """
    found = {
        value
        for name, value in (os.environ if environ is None else environ).items()
        if name.upper().endswith(SECRET_ENDINGS) and len(value) >= SHORTEST
    }
    with _lock:
        found |= _remembered
    return tuple(sorted(found, key=len, reverse=True))


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """Return ``text`` with each secret masked; ``secrets``: longest first, None: all known now."""
    for secret in environment_secrets() if secrets is None else secrets:
        text = text.replace(secret, MASK)
    for shape, mask in SHAPES:
        text = shape.sub(mask, text)
    return text


class Redacting(logging.Filter):
    """Masks secrets in every record of the handler it is added to, tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; every record is let through."""
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
