"""Gateway calls in the ledger; counters and sums that are kept in step, filled here once."""

import json
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision: str = "q003"
down_revision: str | None = "q002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SPENDING = ("run_id", "basis", "dollars", "priced", "unpriced")
COUNTERS = ("scored", "unscored", "errored", "passed")


def upgrade() -> None:
    """Bring the schema forward."""
    _ledger_forward()
    _fill_counters()
    _fill_planned()
    _fill_spending()


def downgrade() -> None:
    """Take the schema back."""
    _ledger_back()
    op.execute("DELETE FROM spending")


def _ledger_forward() -> None:
    """Let a gateway call be a line's cause, and an engine session belong to no run."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(
            ENDPOINT.format(run="", extra="reserved VARCHAR(64),"),
            LEDGER.format(run="", call=CALL, named="ledger_one_cause", cause=ONE_OF_THREE),
        )
        return
    op.alter_column("endpoint", "run_id", nullable=True)
    op.add_column("endpoint", sa.Column("reserved", sa.String(length=64), nullable=True))
    op.alter_column("ledger", "run_id", nullable=True)
    op.execute("ALTER TABLE ledger ADD COLUMN call_id VARCHAR(32) REFERENCES gateway_call (id)")
    op.create_unique_constraint("ledger_call", "ledger", ["call_id", "basis", "price_id"])
    op.drop_constraint("ledger_cause", "ledger")
    op.create_check_constraint("ledger_one_cause", "ledger", ONE_OF_THREE)


def _ledger_back() -> None:
    """Take the columns back, but never lose what the gateway spent."""
    if op.get_bind().execute(sa.text("SELECT count(*) FROM ledger WHERE run_id IS NULL")).scalar():
        raise CommandError("The ledger holds costs of the gateway, which this would lose.")
    op.execute("DELETE FROM endpoint WHERE run_id IS NULL")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(
            ENDPOINT.format(run="NOT NULL", extra=""),
            LEDGER.format(run="NOT NULL", call="", named="ledger_cause", cause=ONE_OF_TWO),
        )
        return
    op.drop_constraint("ledger_one_cause", "ledger")
    op.drop_column("ledger", "call_id")
    op.create_check_constraint("ledger_cause", "ledger", ONE_OF_TWO)
    op.alter_column("ledger", "run_id", nullable=False)
    op.alter_column("endpoint", "run_id", nullable=False)
    op.drop_column("endpoint", "reserved")


def _rebuild(endpoint: str, ledger: str) -> None:
    """Make both tables anew on SQLite, which cannot change a column or a constraint in place."""
    for table in ("ledger", "endpoint"):  # the child first
        op.execute(f"CREATE TABLE {table}_kept AS SELECT {KEPT[table]} FROM {table}")  # noqa: S608
        op.execute(f"DROP TABLE {table}")
    for table, columns in (("endpoint", endpoint), ("ledger", ledger)):
        op.execute(f"CREATE TABLE {table} {columns}")
        kept = KEPT[table]
        op.execute(f"INSERT INTO {table} ({kept}) SELECT {kept} FROM {table}_kept")  # noqa: S608
        op.execute(f"DROP TABLE {table}_kept")
        op.create_index(f"ix_{table}_run_id", table, ["run_id"])
    _freeze("ledger")


ONE_OF_TWO = "(attempt_id IS NULL) <> (endpoint_id IS NULL)"
ONE_OF_THREE = (
    "(attempt_id IS NOT NULL AND endpoint_id IS NULL AND call_id IS NULL)"
    " OR (attempt_id IS NULL AND endpoint_id IS NOT NULL AND call_id IS NULL)"
    " OR (attempt_id IS NULL AND endpoint_id IS NULL AND call_id IS NOT NULL)"
)
CALL = (
    "call_id VARCHAR(32) REFERENCES gateway_call (id),"
    " CONSTRAINT ledger_call UNIQUE (call_id, basis, price_id),"
)
ENDPOINT = """(
    id VARCHAR(32) NOT NULL PRIMARY KEY, run_id VARCHAR(32) {run} REFERENCES run (id),
    healthy BOOLEAN NOT NULL, touched_at DATETIME NOT NULL, stopped_at DATETIME,
    seconds BLOB NOT NULL, {extra} body BLOB NOT NULL)"""
LEDGER = """(
    id INTEGER NOT NULL PRIMARY KEY, run_id VARCHAR(32) {run} REFERENCES run (id),
    attempt_id VARCHAR(32) REFERENCES attempt (id),
    endpoint_id VARCHAR(32) REFERENCES endpoint (id),
    basis VARCHAR NOT NULL, price_id VARCHAR NOT NULL, dollars VARCHAR(64), seconds FLOAT,
    usage BLOB NOT NULL, at DATETIME NOT NULL, {call}
    UNIQUE (attempt_id, basis, price_id), UNIQUE (endpoint_id, basis, price_id),
    CONSTRAINT {named} CHECK ({cause}))"""
KEPT = {
    "endpoint": "id, run_id, healthy, touched_at, stopped_at, seconds, body",
    "ledger": ("id, run_id, attempt_id, endpoint_id, basis, price_id, dollars, seconds, usage, at"),
}


def _fill_counters() -> None:
    """Count the attempts that are there: status pages read the counters."""
    where = "a.cell_id = cell.id AND a.superseded_by IS NULL"
    for name in COUNTERS:
        which = "a.passed" if name == "passed" else f"a.status = '{name}'"
        counted = f"SELECT count(*) FROM attempt a WHERE {where} AND {which}"  # noqa: S608
        op.execute(f"UPDATE cell SET {name} = ({counted})")  # noqa: S608


def _fill_planned() -> None:
    """Count the attempts that each cell is to make."""
    shards = op.get_bind().execute(sa.text("SELECT cell_id, epochs, sample_ids FROM shard"))
    planned: dict[str, int] = {}
    for cell_id, epochs, sample_ids in shards:
        planned[cell_id] = planned.get(cell_id, 0) + epochs * len(json.loads(bytes(sample_ids)))
    setting = sa.text("UPDATE cell SET planned = :planned WHERE id = :id")
    for cell_id, number in planned.items():
        op.get_bind().execute(setting, {"id": cell_id, "planned": number})


def _fill_spending() -> None:
    """Add up the lines that are there, exactly."""
    query = sa.text("SELECT run_id, basis, dollars FROM ledger WHERE run_id IS NOT NULL")
    found: dict[tuple[str, str], list[Decimal | None]] = {}
    for run_id, basis, dollars in op.get_bind().execute(query):
        amount = None if dollars is None else Decimal(dollars)
        found.setdefault((run_id, basis), []).append(amount)
    rows = [
        {"run_id": run_id, "basis": basis} | _summed(amounts)
        for (run_id, basis), amounts in found.items()
    ]
    names: list[Any] = [sa.column(name) for name in SPENDING]
    op.bulk_insert(sa.table("spending", *names), rows)


def _summed(amounts: Sequence[Decimal | None]) -> dict[str, Any]:
    known = [amount for amount in amounts if amount is not None]
    with localcontext(prec=80):
        total = format(sum(known, Decimal(0)), "f")
    return {"dollars": total, "priced": len(known), "unpriced": len(amounts) - len(known)}


def _freeze(table: str) -> None:
    """Refuse UPDATE and DELETE on a table of SQLite that was made anew."""
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
