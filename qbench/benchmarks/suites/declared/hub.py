"""Fetching a declared suite's data: from the hub over HTTPS, or from the user's file.

``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` (or the file that ``hf auth login`` wrote) is sent
to it and to nobody else, and is never written anywhere. Files of a repository come from its
``resolve`` URLs; without named files, the Parquet files that the hub makes of every split.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import httpx

from qbench.benchmarks.data import Get, Origin, Say
from qbench.benchmarks.suites.declared.definition import Definition, Source
from qbench.benchmarks.suites.declared.files import ASKED, SHOWN, digest_of
from qbench.benchmarks.suites.declared.loading import definition_of
from qbench.benchmarks.suites.declared.rows import READERS
from qbench.errors import ConfigError

HUB = "https://huggingface.co"
SECONDS = httpx.Timeout(30.0, read=120.0)
REFUSED = (401, 403)


def getter(name: str) -> Get:
    """Return what fetches the data of a shipped suite, or of a YAML file. Raises ConfigError."""
    return partial(get, definition_of(name))


def get(definition: Definition, folder: Path, source: str, say: Say) -> Origin:
    """Fill ``folder``; ``source``: a local file, another data set's id, or empty.

    Raises:
        ConfigError: the hub refuses or has no such data, or the file is not there.

    """
    if source and (Path(source).suffix in READERS or Path(source).exists()):
        return _from_file(definition, folder, Path(source).expanduser())
    wanted = definition.source
    if source:
        wanted = Source(hub=source, config=wanted.config, split=wanted.split)
    with httpx.Client(headers=_headers(), timeout=SECONDS, follow_redirects=True) as client:
        _download(client, wanted, folder / ASKED, say)
        shown = definition.examples
        if shown.split or shown.files:
            examples = Source(
                hub=wanted.hub,
                config=wanted.config,
                revision=wanted.revision,
                split=shown.split,
                files=shown.files,
            )
            _download(client, examples, folder / SHOWN, say)
    return _origin(definition, folder, f"{endpoint()}/datasets/{wanted.hub}", _version(wanted))


def _from_file(definition: Definition, folder: Path, path: Path) -> Origin:
    """Copy the user's file; it is asked, and without others it is shown from, too."""
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", hint="Name a JSONL, CSV or Parquet file.")
    (folder / ASKED).mkdir()
    shutil.copyfile(path, folder / ASKED / path.name)
    if definition.examples.split or definition.examples.files:
        (folder / SHOWN).mkdir()
        shutil.copyfile(path, folder / SHOWN / path.name)
    return _origin(definition, folder, str(path), "your file")


def _origin(definition: Definition, folder: Path, source: str, version: str) -> Origin:
    files = [path for part in (ASKED, SHOWN) for path in sorted((folder / part).glob("*"))]
    return Origin(
        source=source,
        version=version,
        license=definition.license,
        sha256=digest_of(files),
        fetched=datetime.now(UTC),
        note=definition.note,
    )


def _version(source: Source) -> str:
    return f"{source.config}/{source.split}" if not source.files else source.revision


def endpoint() -> str:
    """Return the hub's address without a slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _headers() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN") or _stored_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _stored_token() -> str:
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    path = Path(home) / "token"
    return path.read_text("utf-8").strip() if path.is_file() else ""


def _download(client: httpx.Client, source: Source, folder: Path, say: Say) -> None:
    folder.mkdir()
    for number, url in enumerate(_urls(client, source)):
        path = folder / f"{number:04}{PurePosixPath(url).suffix}"
        say(f"fetching {url}")
        _save(client, source, url, path)


def _urls(client: httpx.Client, source: Source) -> Sequence[str]:
    """Return where the files of a source are."""
    at = f"{endpoint()}/datasets/{source.hub}/resolve/{quote(source.revision, safe='')}"
    if source.files:
        return [f"{at}/{quote(name)}" for name in source.files]
    listed = f"{endpoint()}/api/datasets/{source.hub}/parquet/{source.config}/{source.split}"
    try:
        answer = client.get(listed)
    except httpx.HTTPError as error:
        raise _unreachable(listed, error) from None
    _refuse(answer, source)
    return [f"{listed}/{number}.parquet" for number in range(len(answer.json()))]


def _save(client: httpx.Client, source: Source, url: str, path: Path) -> None:
    try:
        with client.stream("GET", url) as answer, path.open("wb") as file:
            _refuse(answer, source)
            for part in answer.iter_bytes():
                file.write(part)
    except httpx.HTTPError as error:
        raise _unreachable(url, error) from None


def _refuse(answer: httpx.Response, source: Source) -> None:
    """Say in words why the hub does not give it. Raises ConfigError."""
    page = f"{endpoint()}/datasets/{source.hub}"
    if answer.status_code in REFUSED:
        raise ConfigError(
            f"The hub does not give {source.hub} to you (HTTP {answer.status_code}).",
            hint=f"Accept its terms at {page} and set HF_TOKEN; or use --from FILE.",
        )
    if answer.status_code != httpx.codes.OK:
        raise ConfigError(
            f"The hub has no {source.config}/{source.split} of {source.hub} "
            f"(HTTP {answer.status_code}).",
            hint=f"See {page}, or use --from FILE.",
        )


def _unreachable(url: str, error: httpx.HTTPError) -> ConfigError:
    return ConfigError(
        f"{url} cannot be reached: {type(error).__name__}.",
        hint="Check the network and HF_ENDPOINT, or use --from FILE.",
    )
