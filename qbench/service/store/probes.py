"""Next-token distributions of engine sessions: one compressed body each."""

from __future__ import annotations

import zlib
from collections.abc import Collection

import msgspec
import numpy as np
from msgspec import Struct
from sqlalchemy import insert, select

from qbench.benchmarks.analysis.fidelity import Distributions
from qbench.service.domain import Endpoint
from qbench.service.store.shelf import Shelf
from qbench.service.tables import PROBE


class Probe(Struct, frozen=True, kw_only=True):
    """What an engine session told of the fixed text."""

    engine_key: str
    text: str
    """Digest of the text."""
    again: bool
    """The second time, with all passages asked at once: their difference is rounding."""
    told: Distributions


class _Body(Struct, frozen=True, kw_only=True):
    """Arrays as bytes; log-probabilities in float32, as engines send them."""

    positions: int
    token: bytes
    passage: bytes
    logprob: bytes
    top: bytes
    top_logprob: bytes


class Probes(Shelf):
    """What engine sessions told of the fixed text."""

    def save_probe(self, endpoint: Endpoint, probe: Probe) -> None:
        """Keep a session's distributions; a second of the same kind is not taken."""
        values = {
            "endpoint_id": endpoint.id,
            "again": probe.again,
            "run_id": endpoint.run_id,
            "engine_key": probe.engine_key,
            "text": probe.text,
            "body": zlib.compress(msgspec.msgpack.encode(_packed(probe.told)), 6),
        }
        known = select(PROBE.c.endpoint_id).where(
            PROBE.c.endpoint_id == endpoint.id, PROBE.c.again.is_(probe.again)
        )
        with self.writing() as tx:
            if tx.execute(known).first() is None:
                tx.execute(insert(PROBE), [values])

    def probed(self, run_id: str, engine_key: str, text: str) -> bool:
        """Whether an engine of a run has told of this text already."""
        query = select(PROBE.c.endpoint_id).where(
            PROBE.c.run_id == run_id, PROBE.c.engine_key == engine_key, PROBE.c.text == text
        )
        with self.reading() as view:
            return view.execute(query.limit(1)).first() is not None

    def probes(self, run_id: str, engine_keys: Collection[str]) -> tuple[Probe, ...]:
        """Return what some engines of a run told, newest session first."""
        query = (
            select(PROBE)
            .where(PROBE.c.run_id == run_id, PROBE.c.engine_key.in_(engine_keys))
            .order_by(PROBE.c.endpoint_id.desc(), PROBE.c.again)
        )
        with self.reading() as view:
            rows = view.execute(query).all()
        return tuple(
            Probe(
                engine_key=row.engine_key,
                text=row.text,
                again=row.again,
                told=_unpacked(row.body),
            )
            for row in rows
        )


def _packed(told: Distributions) -> _Body:
    return _Body(
        positions=len(told.token),
        token=told.token.astype("<i4").tobytes(),
        passage=told.passage.astype("<i4").tobytes(),
        logprob=told.logprob.astype("<f4").tobytes(),
        top=told.top.astype("<i4").tobytes(),
        top_logprob=told.top_logprob.astype("<f4").tobytes(),
    )


def _unpacked(data: bytes) -> Distributions:
    body = msgspec.msgpack.decode(zlib.decompress(data), type=_Body)
    shape = (body.positions, -1)
    return Distributions(
        token=np.frombuffer(body.token, "<i4"),
        passage=np.frombuffer(body.passage, "<i4"),
        logprob=np.frombuffer(body.logprob, "<f4").astype(np.float64),
        top=np.frombuffer(body.top, "<i4").reshape(shape),
        top_logprob=np.frombuffer(body.top_logprob, "<f4").astype(np.float64).reshape(shape),
    )
