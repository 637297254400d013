"""BM25 over the documents' words (package bm25s, the Lucene variant, k1 1.5, b 0.75)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qbench.benchmarks.retrieval.fusion import Scores
from qbench.benchmarks.retrieval.packages import package
from qbench.benchmarks.retrieval.words import words


class Bm25:
    """An index of ``documents``. Raises ConfigError when bm25s is not installed."""

    def __init__(self, documents: Sequence[str]) -> None:
        self._size = len(documents)
        self._index = package("bm25s", what="The retriever bm25").BM25()
        self._index.index([words(document) for document in documents], show_progress=False)

    def scores(self, query: str) -> Scores:
        """Score all documents: floats of shape (documents,), 0 where no word is shared."""
        known = [word for word in words(query) if word in self._index.vocab_dict]
        if not known:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._index.get_scores(known), dtype=np.float32)
