"""The SQL tables, nothing else. Written and read by ``store`` alone.

Bodies (JSON as bytes) are msgspec encodings of values; columns beside a body are those that
queries filter or sum by. Times are UTC. Money is exact: text on both databases.
"""

from __future__ import annotations

from sqlmodel import SQLModel

from qbench.service.tables import arena, imported, runs, team

__all__ = ["arena", "imported", "runs", "team"]

TABLES = SQLModel.metadata.tables
RUN = TABLES["run"]
SAMPLE = TABLES["sample"]
CELL = TABLES["cell"]
SHARD = TABLES["shard"]
LEASE = TABLES["lease"]
ENDPOINT = TABLES["endpoint"]
PROBE = TABLES["probe"]
ATTEMPT = TABLES["attempt"]
TRANSCRIPT = TABLES["transcript"]
MODEL_CALL = TABLES["model_call"]
PRICE = TABLES["price"]
LEDGER = TABLES["ledger"]
SPENDING = TABLES["spending"]
SCORE_REVISION = TABLES["score_revision"]
ACCOUNT = TABLES["account"]
API_KEY = TABLES["api_key"]
AUDIT = TABLES["audit"]
IDEMPOTENCY = TABLES["idempotency"]
WORKER = TABLES["worker"]
DEVICE = TABLES["device"]
HOSTING = TABLES["hosting"]
SWEEP = TABLES["sweep"]
SCHEDULE = TABLES["schedule"]
FIRING = TABLES["firing"]
ALERT = TABLES["alert"]
SNAPSHOT = TABLES["snapshot"]
GATEWAY_CALL = TABLES["gateway_call"]
TOURNAMENT = TABLES["tournament"]
JUDGEMENT = TABLES["judgement"]
IMPORTED = TABLES["imported"]
IMPORTED_FILE = TABLES["imported_file"]
