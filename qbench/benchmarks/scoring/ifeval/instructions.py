"""The 25 kinds of instruction by their names in the data, each a check of one reply.

A check takes the reply and the arguments that the data gives, and says whether the reply follows.
Definitions: arXiv 2311.07911, table 3 (the names in the data are those of its release).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from qbench.benchmarks.scoring.ifeval import text as of

Relation = Literal["less than", "at least"]
Check = Callable[..., bool]

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
FENCE = re.compile(r"\A```(?:json)?\s*|\s*```\Z", re.IGNORECASE)


def holds(count: int, relation: Relation | None, limit: int) -> bool:
    """Whether ``count`` is ``less than`` or, the default, ``at least`` ``limit``."""
    return count < limit if relation == "less than" else count >= limit


def _existence(reply: str, *, keywords: Sequence[str]) -> bool:
    return all(word.lower() in reply.lower() for word in keywords)


def _frequency(reply: str, *, keyword: str, frequency: int, relation: Relation) -> bool:
    return holds(reply.lower().count(keyword.lower()), relation, frequency)


def _forbidden(reply: str, *, forbidden_words: Sequence[str]) -> bool:
    found = (re.search(rf"\b{re.escape(word)}\b", reply, re.IGNORECASE) for word in forbidden_words)
    return not any(found)


def _letters(reply: str, *, letter: str, let_frequency: int, let_relation: Relation) -> bool:
    return holds(reply.lower().count(letter.lower()), let_relation, let_frequency)


def _language(reply: str, *, language: str) -> bool:
    return of.language(reply) in (language, None)


def _sentences(reply: str, *, num_sentences: int, relation: Relation) -> bool:
    return holds(of.sentences(reply), relation, num_sentences)


def _words(reply: str, *, num_words: int, relation: Relation) -> bool:
    return holds(len(of.words(reply)), relation, num_words)


def _paragraphs(reply: str, *, num_paragraphs: int) -> bool:
    parts = of.divided(reply, "***")
    return parts is not None and len(parts) == num_paragraphs


def _first_word(reply: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = of.paragraphs(reply)
    if len(parts) != num_paragraphs or nth_paragraph > len(parts):
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'\"")
    return re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _placeholders(reply: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", reply)) >= num_placeholders


def _postscript(reply: str, *, postscript_marker: str) -> bool:
    letters = [re.escape(letter) for letter in re.findall(r"[a-z]", postscript_marker.lower())]
    spelled = r"\.\s?".join(letters) + (r"\." if postscript_marker.strip().endswith(".") else "")
    return bool(re.search(spelled, reply, re.IGNORECASE))


def _bullets(reply: str, *, num_bullets: int) -> bool:
    lines = (line.lstrip() for line in reply.splitlines())
    return sum(bool(re.match(r"\*[^*]|-", line)) for line in lines) == num_bullets


def _constrained(reply: str) -> bool:
    return any(answer in reply for answer in ANSWERS)


def _highlights(reply: str, *, num_highlights: int) -> bool:
    spans = re.findall(r"\*([^\n*]*)\*", reply) + re.findall(r"\*\*([^\n*]*)\*\*", reply)
    return sum(bool(span.strip()) for span in spans) >= num_highlights


def _sections(reply: str, *, section_spliter: str, num_sections: int) -> bool:
    heading = rf"{re.escape(section_spliter.strip())}\s?\d+"
    return len(re.findall(heading, reply)) >= num_sections


def _json(reply: str) -> bool:
    try:
        msgspec.json.decode(FENCE.sub("", reply.strip()))
    except msgspec.DecodeError:
        return False
    return True


def _title(reply: str) -> bool:
    return any(title.strip("<> ") for title in re.findall(r"<<([^\n]+)>>", reply))


def _two(reply: str) -> bool:
    parts = of.divided(reply, "******")
    return parts is not None and len(parts) == 2 and parts[0] != parts[1]


def _repeated(reply: str, *, prompt_to_repeat: str) -> bool:
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ended(reply: str, *, end_phrase: str) -> bool:
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capitals(reply: str, *, capital_relation: Relation, capital_frequency: int) -> bool:
    return holds(of.capital_words(reply), capital_relation, capital_frequency)


def _all_capital(reply: str) -> bool:
    return reply.isupper() and of.language(reply) in ("en", None)


def _all_small(reply: str) -> bool:
    return reply.islower() and of.language(reply) in ("en", None)


def _no_comma(reply: str) -> bool:
    return "," not in reply


def _quoted(reply: str) -> bool:
    return re.fullmatch(r'".*"', reply.strip(), re.DOTALL) is not None


CHECKS: dict[str, Check] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two,
    "combination:repeat_prompt": _repeated,
    "startend:end_checker": _ended,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": _all_capital,
    "change_case:english_lowercase": _all_small,
    "punctuation:no_comma": _no_comma,
}


def follows(name: str, arguments: dict[str, Any], reply: str) -> bool:
    """Whether ``reply`` follows the instruction ``name``; an empty reply follows none."""
    given = {key: value for key, value in arguments.items() if value is not None}
    return bool(reply.strip()) and CHECKS[name](reply, **given)
