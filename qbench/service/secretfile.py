"""Keys of providers from a file that only its owner can read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from qbench.errors import ConfigError
from qbench.service.redaction import remember

ENVIRONMENT = "QBENCH_SECRETS_FILE"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_secrets(environ: MutableMapping[str, str] | None = None) -> tuple[str, ...]:
    """Put the secrets of ``QBENCH_SECRETS_FILE`` into the environment; return the names set.

    A variable that is set already is left alone. All values are redacted from now on. Called
    once at the start of the service and of a worker.

    Raises:
        ConfigError: the file cannot be read, others may read it, or a line is not ``NAME=value``.

    """
    target = os.environ if environ is None else environ
    place = target.get(ENVIRONMENT, "")
    if not place:
        return ()
    found = dict(parse_secrets(_read(Path(place).expanduser()), place))
    remember(found.values())
    fresh = {name: value for name, value in found.items() if name not in target}
    target.update(fresh)
    return tuple(fresh)


def parse_secrets(text: str, place: str) -> Iterator[tuple[str, str]]:
    """Read ``NAME=value`` lines. Empty lines and those that begin with ``#`` are skipped.

    Raises:
        ConfigError: names the line's number, never what it says.

    """
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip().removeprefix("export ")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not (equals and NAME.fullmatch(name.strip())):
            raise ConfigError(f"{place} line {number} is not NAME=value.", hint="Mend the line.")
        yield name.strip(), _unquoted(value.strip())


def _read(file: Path) -> str:
    """Read the file that was checked: permissions are asked of what is open, not of its name."""
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if os.name == "posix" and mode & OTHERS:
                raise ConfigError(
                    f"{file} can be used by others (mode {stat.S_IMODE(mode):04o}).",
                    hint=f"Keep it to yourself: chmod 600 {file}",
                )
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read the secrets file {file}: {error}.",
            hint=f"Mend it, or unset {ENVIRONMENT}.",
        ) from None


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
