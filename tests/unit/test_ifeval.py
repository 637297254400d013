"""IFEval's 25 instruction kinds, and its strict and loose verdicts (arXiv 2311.07911)."""

from typing import Any

import pytest

from qbench.benchmarks.scoring.ifeval import text
from qbench.benchmarks.scoring.ifeval.instructions import CHECKS, follows
from qbench.benchmarks.scoring.ifeval.replies import GREETINGS, following, missing
from qbench.benchmarks.scoring.ifeval.verdict import judge, loosened
from qbench.errors import NotFound

AT_LEAST, FEWER = "at least", "less than"
BY_HAND: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["Fox", "hen"]}, "A fox, a HEN.", "A fox alone."),
    (
        "keywords:frequency",
        {"keyword": "war", "frequency": 2, "relation": AT_LEAST},
        "War and war.",
        "One war.",
    ),
    (
        "keywords:frequency",
        {"keyword": "war", "frequency": 2, "relation": FEWER},
        "One war.",
        "War and war.",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "Rocky road.", "Rock on."),
    (
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 2, "let_relation": AT_LEAST},
        "#a #b",
        "#a",
    ),
    (
        "language:response_language",
        {"language": "de"},
        "Heute ist das Wetter sehr schön und warm.",
        "The weather is very fine and warm today.",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": AT_LEAST},
        "One here. Two there! Three?",
        "Dr. Smith paid 3.50 for it. He left.",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": FEWER},
        "Only one",
        "One. Two.",
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": AT_LEAST},
        "a-b c",
        "two words",
    ),
    ("length_constraints:number_words", {"num_words": 3, "relation": FEWER}, "two words", "a b c"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First.\n\nThen, more.",
        "Then.\n\nFirst.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a b]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\np. s. y", "x\nPS y"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\nP.P.S y", "x\nP.S. y"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "So: My answer is no.", "No."),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*a* and **b**",
        "*a* ** **",
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Day", "num_sections": 2},
        "Day 1 x\nDay 2 y",
        "Day 1 x\nDay two y",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "a: 1"),
    ("detectable_format:title", {}, "<<A title>> text", "<< >> text"),
    ("combination:two_responses", {}, "a ****** b", "a ****** a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi", "Hi. Say hi."),
    ("startend:end_checker", {"end_phrase": "The end"}, "x. the end", "The end is near"),
    ("startend:quotation", {}, ' "all of it" ', '"'),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": FEWER, "capital_frequency": 2},
        "ONE-TWO is one",
        "ONE TWO",
    ),
    (
        "change_case:english_capital",
        {},
        "THIS IS THE WAY THAT WE WRITE ENGLISH WHEN WE ARE VERY ANGRY WITH THE OTHERS.",
        "This is it.",
    ),
    ("change_case:english_lowercase", {}, "this is the way that we write it.", "This is it."),
    ("punctuation:no_comma", {}, "a; b", "a, b"),
]


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), BY_HAND)
def test_each_instruction_is_met_and_missed(
    name: str, arguments: dict[str, Any], good: str, bad: str
) -> None:
    assert follows(name, arguments, good)
    assert not follows(name, arguments, bad)
    assert not follows(name, arguments, "  \n")


def test_all_25_kinds_are_tried_here() -> None:
    assert {name for name, *_ in BY_HAND} == set(CHECKS)
    assert len(CHECKS) == 25


def test_arguments_that_the_data_leaves_null_are_not_given() -> None:
    assert follows("punctuation:no_comma", {"num_words": None, "keywords": None}, "fine")


def test_an_unknown_instruction_is_named() -> None:
    with pytest.raises(NotFound, match="keywords:existance"):
        judge(["keywords:existance"], [{}], "x")


def test_an_introduction_fails_strictly_and_passes_loosely() -> None:
    names = ["startend:quotation", "punctuation:no_comma"]
    verdict = judge(names, [{}, {}], 'Sure, here it is:\n"plain words"')
    assert verdict.strict == (False, False)
    assert verdict.loose == (True, True)
    assert verdict.components == {
        "ifeval.prompt_strict": 0.0,
        "ifeval.prompt_loose": 1.0,
        "ifeval.instruction_strict": 0.0,
        "ifeval.instruction_loose": 1.0,
    }
    assert verdict.missed == tuple(names)


def test_loose_means_eight_variants() -> None:
    assert loosened("a\n*b*\nc") == (
        *("a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*"),
        *("a\nb\nc", "b\nc", "a\nb", "b"),
    )


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("", 0),
        ("No stop at all", 1),
        ('He said "No." She left.', 2),
        ("Mr. A. B. Jones of the U.S. army came. It rained...", 2),
        ("1. Wash.\n2. Dry.\n3. Iron.", 3),
        ("Wait... what? Yes!!", 3),
        ("lower case. goes on. too", 3),
    ],
)
def test_sentences_are_counted_as_people_do(said: str, count: int) -> None:
    assert text.sentences(said) == count


@pytest.mark.parametrize("code", sorted(GREETINGS))
def test_each_language_has_a_text_that_is_recognised(code: str) -> None:
    arguments = [{"language": code}]
    assert following(["language:response_language"], arguments)
    assert not follows(
        "language:response_language",
        arguments[0],
        missing(["language:response_language"], arguments),
    )


def test_made_replies_follow_several_instructions_at_once() -> None:
    names = ["punctuation:no_comma", "length_constraints:number_words", "detectable_format:title"]
    arguments: list[dict[str, Any]] = [{}, {"num_words": 120, "relation": AT_LEAST}, {}]
    good = following(names, arguments)
    assert good is not None
    assert all(judge(names, arguments, good).strict)
    assert not all(judge(names, arguments, missing(names, arguments)).strict)


def test_instructions_that_contradict_each_other_have_no_reply() -> None:
    arguments = [{"prompt_to_repeat": "Say it, please."}, {}]
    assert following(["combination:repeat_prompt", "punctuation:no_comma"], arguments) is None
