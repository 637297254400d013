"""Next-token distributions of engine sessions on a fixed text."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "q004"
down_revision: str | None = "q003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "probe",
        sa.Column("endpoint_id", sa.String(length=32), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("engine_key", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("endpoint_id", "again"),
    )
    op.create_index("ix_probe_run_id", "probe", ["run_id"])


def downgrade() -> None:
    """Take the schema back; distributions can be measured again."""
    op.drop_index("ix_probe_run_id", "probe")
    op.drop_table("probe")
