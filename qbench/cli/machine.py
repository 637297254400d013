"""``doctor`` and ``db``: is this machine ready, and where is the data."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import Struct

from qbench.benchmarks.sandbox.kinds import UNSANDBOXED, choose
from qbench.benchmarks.sandbox.running import trial
from qbench.cli.options import Database, Json, command
from qbench.cli.render import console, quantization, tables
from qbench.errors import ConfigError, StoreError
from qbench.service import database as schema
from qbench.service.pricebook import read_prices
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import Store
from qbench.workers.hardware import this_machine
from qbench.workers.quantize.environment import VARIABLE, find_tool, make_tool


class Finding(Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    what: str
    state: str
    """``ok``, ``missing`` or ``failed``."""
    detail: str
    remedy: str = ""


Fix = Annotated[
    bool,
    typer.Option("--fix", help="Make llm-compressor's environment, in the cache folder."),
]


@command
def doctor(fix: Fix = False, database: Database = "", json: Json = False) -> None:
    """Say what works on this machine, and how to mend the rest."""
    if fix:
        mend()
    found = [_python(), _machine(), _price(), _database(database)]
    found += [_package(name, why, remedy) for name, why, remedy in PACKAGES]
    found += [_vllm(), _llmcompressor(), _sandbox()]
    if json:
        console.raw(to_json({"schema": SCHEMA, "findings": found}))
    else:
        headers = ("", "Looked at", "Found", "To mend it")
        marks = {"ok": "✓", "missing": "–", "failed": "✗"}
        rows = ((marks[one.state], one.what, one.detail, one.remedy) for one in found)
        tables.rows_of(headers, rows)
    if any(one.state == "failed" for one in found):
        raise typer.Exit(1)


def mend() -> None:
    """Make what qbench can make: llm-compressor's environment. Says what it did.

    Raises:
        EngineStartError: it cannot be made.

    """
    if find_tool() is not None:
        quantization.say("llm-compressor is there; nothing was changed")
        return
    began = time.monotonic()
    tool = make_tool(quantization.say)
    took = console.seconds(time.monotonic() - began)
    quantization.say(f"llm-compressor is ready after {took}: {tool.python}")


def _llmcompressor() -> Finding:
    what, told = "llm-compressor (quantize)", os.environ.get(VARIABLE, "")
    tool = find_tool()
    if tool is not None:
        said = ", ".join(f"{name} {version}" for name, version in tool.versions.items())
        return Finding(what=what, state="ok", detail=f"{said} ({tool.python})")
    if told:
        remedy = f"set {VARIABLE} to a Python that has it, or unset it"
        return Finding(what=what, state="failed", detail=f"not at {told}", remedy=remedy)
    return Finding(what=what, state="missing", detail="", remedy="qbench doctor --fix")


LOCAL = "pip install 'qbench[local]'"
PACKAGES = (
    ("torch", "embedded engine", LOCAL),
    ("transformers", "embedded engine", LOCAL),
    ("llguidance", "embedded engine: forced calls", LOCAL),
    ("gguf", "embedded engine: the default model without a hub", LOCAL),
    ("litellm", "API models", "pip install 'qbench[api]'"),
    ("psycopg", "PostgreSQL", "pip install 'qbench[postgres]'"),
)


def _python() -> Finding:
    return Finding(what="Python", state="ok", detail=platform.python_version())


def _machine() -> Finding:
    machine = this_machine()
    return Finding(
        what="machine", state="ok", detail=f"{machine.name} ({machine.architecture or 'unknown'})"
    )


def _price() -> Finding:
    name = this_machine().name
    price = read_prices().machine_price(name, datetime.now(UTC))
    if price is None:
        return Finding(
            what="price of this machine",
            state="missing",
            detail=f"{name} is unpriced",
            remedy="write it into a YAML file, see docs/money.md, or name one with --hardware",
        )
    said = f"{console.dollars(price.per_hour)}/h, {price.provider}, checked {price.checked}"
    return Finding(what="price of this machine", state="ok", detail=said)


def _database(url: str) -> Finding:
    try:
        with Store.open(url) as store:
            detail = store.database.url.render_as_string(hide_password=True)
    except (StoreError, ConfigError) as error:
        return Finding(what="database", state="failed", detail=error.what, remedy=error.hint)
    return Finding(what="database", state="ok", detail=detail)


def _package(name: str, why: str, remedy: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(what=f"{name} ({why})", state="missing", detail="", remedy=remedy)
    return Finding(what=f"{name} ({why})", state="ok", detail=importlib.metadata.version(name))


def _vllm() -> Finding:
    place = os.environ.get("QBENCH_VLLM", "") or shutil.which("vllm") or ""
    if place:
        return Finding(what="vllm", state="ok", detail=place)
    return Finding(
        what="vllm",
        state="missing",
        detail="",
        remedy="install it into an environment of its own and set QBENCH_VLLM to its bin/vllm",
    )


def _sandbox() -> Finding:
    what = "sandbox (programs that models write)"
    tried = asyncio.run(trial())
    others = "; ".join(f"{one.kind}: {one.why}" for one in tried if not one.works)
    try:
        kind = choose(tried, os.environ)
    except ConfigError as error:
        return Finding(what=what, state="missing", detail=others, remedy=error.hint)
    if kind == "none":
        detail = f"NONE: {UNSANDBOXED}=1 runs programs with your rights ({others})"
        return Finding(what=what, state="missing", detail=detail, remedy=f"unset {UNSANDBOXED}")
    detail = f"{kind} ({others})" if others else kind
    return Finding(what=what, state="ok", detail=detail)


db = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Upgrade, check or locate the database.",
)


@db.command()
def upgrade(database: Database = "", json: Json = False) -> None:
    """Bring the schema to this version."""
    with Store.open(database) as store:
        shown = store.database.url.render_as_string(hide_password=True)
        _say(json, database=shown, revision=schema.current_revision(store.database))


@db.command()
def where(database: Database = "", json: Json = False) -> None:
    """Print the database's URL."""
    place = schema.connect(database)
    _say(json, database=place.url.render_as_string(hide_password=True))


@db.command()
def check(database: Database = "", json: Json = False) -> None:
    """Check that the schema is this version's; without --database, in memory: up, down, up."""
    if database:
        with Store.open(database, upgrade=False) as store:
            revision = _refuse_drift(store)
    else:
        revision = _rehearse()
    _say(json, revision=revision, state="up to date, no drift")


def _rehearse() -> str | None:
    """Migrate an empty database up, down and up again."""
    with Store.open("sqlite://") as store:
        schema.downgrade(store.database, "base")
        schema.upgrade(store.database)
        return _refuse_drift(store)


def _refuse_drift(store: Store) -> str | None:
    drift = schema.drift(store.database)
    if drift:
        raise StoreError(
            f"The schema differs from the tables: {drift}.", hint="Write a migration for it."
        )
    return schema.current_revision(store.database)


def _say(json: bool, **facts: str | None) -> None:
    if json:
        console.raw(to_json({"schema": SCHEMA, **facts}))
    else:
        said = ": ".join(str(value) for value in facts.values())
        console.out.print(said, markup=False, soft_wrap=True)
