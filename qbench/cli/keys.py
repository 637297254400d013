"""``keys``: who may use the service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec.structs import replace

from qbench.cli.options import Database, Json, dollars
from qbench.cli.render import console, tables
from qbench.errors import ConfigError, NotFound
from qbench.service.access import LOCAL, SCOPES, ApiKey, Scope
from qbench.service.keys import Issued, KeyOrder, issue, moment_of, revoke
from qbench.service.reports.values import SCHEMA, to_json
from qbench.service.store import Store

HERE = replace(LOCAL, address="command line")

keys = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Make, list and revoke the keys of the service.",
)


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    account: Annotated[str, typer.Option(help="Whose key [default: NAME]")] = "",
    scope: Annotated[str, typer.Option(help="read, run or admin; each includes those before.")] = (
        "read"
    ),
    budget: Annotated[str, typer.Option(help="Dollars it may spend [default: not limited]")] = "",
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute [default: not limited]")
    ] = None,
    expires: Annotated[str, typer.Option(help="30d, 12h, 2w or a date [default: never]")] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Make a key and print it; it is shown this once."""
    order = KeyOrder(
        name=name,
        account=account,
        scope=scope_of(scope),
        budget=dollars(budget),
        per_minute=per_minute,
        expires_at=moment_of(expires, datetime.now(UTC)),
    )
    with Store.open(database) as store:
        issued = issue(store, order, HERE)
    _show_issued(issued, json=json)


def _show_issued(issued: Issued, *, json: bool) -> None:
    if json:
        console.raw(to_json({"schema": SCHEMA, "secret": issued.secret, "key": issued.key}))
        return
    key = issued.key
    said = f"Key {key.id} of {key.account} may {key.scopes[0]}. It is shown this once: keep it."
    console.talk.print(said, markup=False)
    console.raw(issued.secret.encode())


@keys.command("list")
def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Also those that ended.")] = False,
    database: Database = "",
    json: Json = False,
) -> None:
    """List the keys."""
    now = datetime.now(UTC)
    with Store.open(database) as store:
        found = [key for key in store.keys() if everything or not key.ended(now)]  # noqa: SIM118
    if json:
        console.raw(to_json({"schema": SCHEMA, "keys": found}))
        return
    headers = ("Key", "Begins", "Name", "Account", "May", "Spent>", "A minute>", "Ends", "Used")
    tables.rows_of(headers, (_row(key, now) for key in found))


@keys.command("revoke")
def end(
    ref: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name.")],
    database: Database = "",
    json: Json = False,
) -> None:
    """End a key; a running service refuses it within 5 s."""
    with Store.open(database) as store:
        key = find_key(store.keys(), ref)
        first = revoke(store, key.id, HERE)
    if json:
        console.raw(to_json({"schema": SCHEMA, "id": key.id, "before": not first}))
        return
    said = f"Key {key.id} ({key.name}) " + ("is revoked." if first else "was revoked before.")
    console.out.print(said, markup=False, soft_wrap=True)


def find_key(known: Sequence[ApiKey], ref: str) -> ApiKey:
    """Find a key by id, else the only one of a name that is not revoked.

    Raises:
        NotFound: no key has the id or the name.
        ConfigError: several have the name.

    """
    by_id = [key for key in known if key.id == ref]
    found = by_id or [key for key in known if key.name == ref and key.revoked_at is None]
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise ConfigError(f"Several keys are named {ref!r}.", hint=f"Give an id: {ids}.")
    if found:
        return found[0]
    if not known:
        raise NotFound("There is no key yet.", hint="Make one with `qbench keys add NAME`.")
    raise NotFound.among("key", ref, {name for key in known for name in (key.id, key.name)})


def scope_of(name: str) -> Scope:
    """Read a scope's name. Raises NotFound."""
    if name not in SCOPES:
        raise NotFound.among("scope", name, SCOPES)
    return next(scope for scope in SCOPES if scope == name)


def _row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    spent = console.dollars(key.spent)
    ends = key.ended(now) or ("never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}")
    return (
        key.id,
        key.hint,
        key.name,
        key.account,
        ", ".join(key.scopes),
        spent if key.budget is None else f"{spent} of {console.dollars(key.budget)}",
        "–" if key.per_minute is None else str(key.per_minute),
        ends,
        "–" if key.used_at is None else f"{key.used_at:%Y-%m-%d %H:%M}",
    )
