"""Tournaments of judged matches, and where imported runs come from."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "q005"
down_revision: str | None = "q004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "tournament",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tournament_run_id", "tournament", ["run_id"])
    _judgements()
    _imports()


def _judgements() -> None:
    op.create_table(
        "judgement",
        sa.Column("tournament_id", sa.String(length=32), nullable=False),
        sa.Column("sample_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("swapped", sa.Boolean(), nullable=False),
        sa.Column("first", sa.String(length=32), nullable=False),
        sa.Column("second", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("reply", sa.String(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("raw_usage", sa.LargeBinary(), nullable=False),
        sa.Column("dollars", sa.String(length=64), nullable=True),
        sa.Column("price_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("e2el_s", sa.Float(), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=False),
        sa.Column("served_model", sa.String(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tournament_id"], ["tournament.id"]),
        sa.ForeignKeyConstraint(["sample_id"], ["sample.id"]),
        sa.ForeignKeyConstraint(["first"], ["attempt.id"]),
        sa.ForeignKeyConstraint(["second"], ["attempt.id"]),
        sa.PrimaryKeyConstraint("tournament_id", "sample_id", "epoch", "slot", "swapped"),
    )


def _imports() -> None:
    op.create_table(
        "imported",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("harness", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "imported_file",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("ix_imported_file_run_id", "imported_file", ["run_id"])


def downgrade() -> None:
    """Take the schema back; judgements were paid for and are lost with it."""
    op.drop_index("ix_imported_file_run_id", "imported_file")
    op.drop_table("imported_file")
    op.drop_table("imported")
    op.drop_table("judgement")
    op.drop_index("ix_tournament_run_id", "tournament")
    op.drop_table("tournament")
