"""Tools at scale: the catalogue, the requests, their solutions and the verdicts."""

import re
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from qbench.benchmarks.catalogue import asked
from qbench.benchmarks.chat import Message
from qbench.benchmarks.retrieval.words import words
from qbench.benchmarks.servers.tools import in_memory
from qbench.benchmarks.suite import Sample, Score
from qbench.benchmarks.suites.tools_at_scale.catalogue import CORE, SIZES, catalogue
from qbench.benchmarks.suites.tools_at_scale.documents import enriched
from qbench.benchmarks.suites.tools_at_scale.kinds import kinds, services
from qbench.benchmarks.suites.tools_at_scale.offers import offer_of
from qbench.benchmarks.suites.tools_at_scale.requests import PLAN, gold, request
from qbench.benchmarks.suites.tools_at_scale.scoring import solvable
from qbench.benchmarks.suites.tools_at_scale.suite import ToolsAtScaleSuite
from qbench.benchmarks.suites.tools_at_scale.tools import spoken, tools_of, universe
from qbench.benchmarks.suites.tools_at_scale.world import RECORDS
from qbench.benchmarks.transcript import ToolRun, Transcript
from qbench.errors import ConfigError, NotFound

SUITE = ToolsAtScaleSuite()


def drawn(limit: int, *tasks: str, levels: Sequence[int] = (1,), seed: int = 0) -> list[Sample]:
    return list(SUITE.samples(seed=seed, tasks=tasks, levels=levels, limit=limit))


async def judged(sample: Sample, said: Sequence[Message]) -> Score:
    """Make the calls of ``said`` on the real server, in this process."""
    runs: list[ToolRun] = []
    async with in_memory(RECORDS, sample) as tools:
        for turn, message in enumerate(said):
            for call in message.tool_calls:
                given = msgspec.json.decode(call.arguments)
                result = await tools.call(call.name, given)
                run = ToolRun(
                    turn=turn, call_id=call.id, name=call.name, arguments=given, result=result.text
                )
                runs.append(replace(run, fault="tool_error" if result.is_error else ""))
        state = await tools.end_state()
    answer = said[-1].content
    done = Transcript(messages=(), turns=(), tool_runs=tuple(runs), answer=answer, end_state=state)
    return SUITE.score(sample, done)


async def test_solutions_pass_and_blunders_fail_on_the_real_server() -> None:
    for sample in drawn(200, "oracle@10", levels=(1, 2)):
        good = await judged(sample, SUITE.solution(sample))
        assert good.passed, (sample.prompt, good.reason)
        bad = await judged(sample, SUITE.blunder(sample))
        assert not bad.passed, sample.prompt


async def test_doing_nothing_passes_only_where_no_tool_fits() -> None:
    for sample in drawn(60, "oracle@10"):
        idle = await judged(sample, (Message(role="assistant", content="I cannot."),))
        assert idle.passed == (not sample.reference)


async def test_a_refused_call_where_no_tool_fits_fails_in_every_component() -> None:
    idle = next(sample for sample in drawn(20, "oracle@10") if not sample.reference)
    verdict = await judged(idle, SUITE.blunder(idle))
    assert verdict.reason == "A tool was called where none fits."
    assert verdict.components["decision.recovery"] == 0
    assert verdict.components["radar1.ra"] == 0
    assert "retrieval.recall" not in verdict.components
    assert verdict.components["retrieval.tools"] == 100


async def test_a_sample_whose_tool_was_not_offered_has_no_solution_and_says_why() -> None:
    samples = drawn(60, "bm25@5", levels=(4,))
    missed = next(sample for sample in samples if not solvable(sample))
    assert SUITE.solution(missed) == ()
    verdict = await judged(missed, (Message(role="assistant", content="I cannot."),))
    assert verdict.reason.startswith("A tool that was needed was not offered.")
    assert verdict.components["retrieval.whole"] == 0
    assert "retrieval.used" not in verdict.components


def test_the_same_number_is_the_same_request_for_every_retriever_k_and_size() -> None:
    asked = [
        [sample.prompt for sample in drawn(12, task, levels=(level,))]
        for task in ("bm25@5", "bm25@50", "oracle@10")
        for level in SIZES
    ]
    assert all(prompts == asked[0] for prompts in asked)


def test_a_larger_limit_extends_a_smaller_one_and_a_seed_gives_others() -> None:
    assert drawn(15, "bm25@10") == drawn(30, "bm25@10")[:15]
    others = {sample.prompt for sample in drawn(30, "bm25@10", seed=1)}
    assert not others & {sample.prompt for sample in drawn(30, "bm25@10")}


def test_larger_catalogues_hold_smaller_ones_and_neighbours_of_each_tool() -> None:
    small, large = catalogue(3, CORE), catalogue(3, 3_000)
    assert large[:CORE] == small
    assert len({tool.name for tool in large}) == 3_000
    same_verb = {(tool.thing.service, tool.verb.name) for tool in small}
    assert len(same_verb) < 0.7 * CORE


def test_a_catalogue_is_neither_smaller_than_its_requests_nor_larger_than_the_universe() -> None:
    for size in (CORE - 1, len(universe()) + 1):
        with pytest.raises(ConfigError, match="no catalogue"):
            catalogue(0, size)


def test_every_name_is_one_an_api_takes_and_every_alias_is_unique() -> None:
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in universe())
    things = [thing for service in services().values() for thing in service.things]
    assert len({thing.alias for thing in things}) == len({t.name for t in things}) == len(things)


def test_what_no_tool_fits_is_about_objects_that_no_tool_handles() -> None:
    asked = [request(5, number) for number in range(200)]
    idle = [one for one in asked if not one.calls]
    assert len(idle) == 200 * sum(kind.startswith("none") for kind in PLAN) // len(PLAN)
    unserved = [t for s in services().values() for t in s.things if not t.served]
    assert not any(tool.name in universe() for thing in unserved for tool in tools_of(thing))


def test_several_tools_means_two_to_four_of_different_objects() -> None:
    for made in (request(7, number) for number in range(100)):
        if made.kind.startswith("multi"):
            assert 2 <= len({universe()[name].thing.name for name in gold(made)}) <= 4
            assert len(gold(made)) == len(made.calls)


def test_paraphrases_share_no_telling_word_with_the_verbs_of_enriched_documents() -> None:
    measures = set(words("hours minutes percent five"))
    for kind in kinds().values():
        for verb in kind.verbs.values():
            told = " ".join([verb.name.replace("-", " "), *verb.also, verb.does])
            known = set(words(re.sub(r"{.*?}", "", told)))
            for other in verb.other:
                assert not known & set(words(re.sub(r"{.*?}", "", other))) - measures


def test_enriched_documents_do_not_know_the_other_words_for_an_object() -> None:
    for tool in list(universe().values())[::37]:
        assert tool.thing.alias not in enriched(tool)
        assert spoken(tool.unit) in enriched(tool)


def test_a_version_that_was_shut_down_names_its_successor() -> None:
    retired = [tool for tool in universe().values() if tool.successor]
    assert 0.03 < len(retired) / len(universe()) < 0.09
    for tool in retired:
        assert universe()[tool.successor].arguments == tool.arguments
        assert tool.description.startswith(f"Deprecated: use {tool.successor}.")


@pytest.mark.parametrize("task", ["bm25", "bm25@0", "bm25@129", "tfidf@5", "all@3"])
def test_a_task_that_is_written_otherwise_is_refused(task: str) -> None:
    with pytest.raises(ConfigError, match="no task of tools-at-scale"):
        offer_of(task)


def test_all_tools_are_offered_only_where_an_api_takes_them() -> None:
    assert {len(sample.tools) for sample in drawn(5, "all")} == {100}
    with pytest.raises(ConfigError, match="cannot be offered"):
        drawn(5, "all", levels=(2, 3))


def test_the_oracle_offers_every_needed_tool_whatever_k_and_the_rest_are_near() -> None:
    assert all(solvable(sample) for sample in drawn(40, "oracle@1", levels=(3,)))
    assert {len(sample.tools) for sample in drawn(40, "oracle@10", levels=(3,))} == {10}


def test_tasks_that_are_not_the_usual_ones_are_asked_when_they_are_named() -> None:
    assert asked("tools-at-scale")[1] == SUITE.tasks
    assert asked("tools-at-scale/all,tools-at-scale/bm25@50")[1] == ("bm25@50", "all")
    _, both = asked("sums/add,tools-at-scale/hybrid@5")
    assert both == ("sums/add", "tools-at-scale/hybrid@5")
    with pytest.raises(NotFound):
        asked("tools-at-scale/hybrid@6")
