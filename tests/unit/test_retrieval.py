"""Retrieval: measures, words, queries, fusion and BM25."""

import numpy as np
import pytest

from qbench.benchmarks.retrieval.bm25 import Bm25
from qbench.benchmarks.retrieval.fusion import fused, in_turn, order, ranks
from qbench.benchmarks.retrieval.measures import found, recall_at, reciprocal_rank
from qbench.benchmarks.retrieval.packages import package
from qbench.benchmarks.retrieval.queries import parts, rewritten
from qbench.benchmarks.retrieval.words import spaced, words
from qbench.errors import ConfigError
from tests.worked import WORKED


def test_recall_at_k_is_that_of_the_worked_example() -> None:
    worked = WORKED["recall_at_k"]
    for k in (5, 6):
        assert recall_at(worked["gold"], worked["ranked"], k) == worked[f"recall@{k}"]


def test_recall_counts_a_needed_tool_once_and_is_whole_only_with_all() -> None:
    assert recall_at(["a", "a", "b"], ["a", "x"], 5) == 0.5
    assert not found(["a", "b"], ["a", "x", "b"], 2).whole
    assert found(["a", "b"], ["a", "x", "b"], 3).whole


def test_recall_of_nothing_is_no_number() -> None:
    with pytest.raises(ValueError, match="something to recall"):
        recall_at([], ["a"], 3)


def test_reciprocal_rank_is_that_of_the_first_needed_one() -> None:
    assert reciprocal_rank(["b", "c"], ["a", "b", "c"]) == 0.5
    assert reciprocal_rank(["z"], ["a", "b"]) == 0


@pytest.mark.parametrize("name", ["createCreditNote", "create_credit_note", "create-credit-note"])
def test_names_of_any_style_are_the_same_words(name: str) -> None:
    assert spaced(name) == "create credit note"
    assert words(name) == words("Creating the credit notes")


def test_a_request_is_split_into_what_is_to_be_done() -> None:
    said = "Lock the lease Q12; let Amir see the bill R30, and after that print it. Then stop."
    assert parts(said) == ("Lock the lease Q12", "let Amir see the bill R30", "print it", "stop")


def test_queries_lose_the_values_and_keep_the_words() -> None:
    said = "Move the visit Q417 to 2027-01-30 at 10:30 and write to amir3@example.org for Berta."
    (query,) = rewritten(said)
    assert query.split() == "Move the visit to at and write to for".split()


def test_a_part_that_is_all_values_is_kept() -> None:
    assert rewritten("Q417") == ("Q417",)


def test_equal_scores_keep_the_order_of_the_documents_and_share_a_rank() -> None:
    scores = np.array([1, 3, 3, 0], dtype=np.float32)
    assert list(order(scores)) == [1, 2, 0, 3]
    assert list(ranks(scores)) == [3, 1.5, 1.5, 4]


def test_fusion_prefers_what_both_rank_well_and_adds_reciprocal_ranks() -> None:
    one = np.array([9, 8, 7, 6, 5], dtype=np.float32)
    other = np.array([0, 8, 9, 6, 5], dtype=np.float32)
    total = fused(one, other)
    assert total[0] == pytest.approx(1_000 * (1 / 61 + 1 / 65))
    assert list(order(total))[:3] == [2, 1, 0]


def test_each_part_of_a_request_gets_its_turn() -> None:
    assert in_turn([["a", "b", "c"], ["x", "a"]]) == ("a", "x", "b", "c")


def test_bm25_finds_the_rarer_word_and_scores_nothing_for_strangers() -> None:
    index = Bm25(["create an invoice", "delete an invoice", "delete a lease"])
    assert order(index.scores("delete the leases"))[0] == 2
    assert not index.scores("zebra").any()


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(ConfigError) as missing:
        package("no_such_package_of_ours", what="The retriever x")
    assert missing.value.hint == "pip install 'qbench[suites]'"
