"""Replies that follow a set of instructions, and replies that do not: for self-tests only.

They say nothing about the question. A suite uses them to show that its checks can be met and
missed.
"""

# ruff: noqa: RUF001 - texts in many scripts

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from qbench.benchmarks.scoring.ifeval.instructions import ANSWERS
from qbench.benchmarks.scoring.ifeval.verdict import judge

WORDS = tuple(
    "we had the good time there and then she said that they are going to walk with him all day "
    "long because this was very fine for them both who knew much more about it now when her "
    "small dog came home again from its long trip by the old river where big fish live".split()
)
GREETINGS = {
    "ar": "مرحبا، أتمنى لك يوما سعيدا وجميلا مع العائلة والأصدقاء",
    "bg": "Здравейте, днес времето е хубаво и ние отиваме на разходка с нашите деца",
    "bn": "আপনি কেমন আছেন আমি ভালো আছি আজ আবহাওয়া খুব সুন্দর",
    "de": "Guten Tag, heute ist das Wetter sehr schön und wir gehen mit den Kindern spazieren",
    "es": "Buenos días, hoy hace muy buen tiempo y vamos a pasear con los niños por la ciudad",
    "fa": "سلام، امروز هوا بسیار خوب است و ما با بچه‌ها به پارک می‌رویم",
    "fi": "Hyvää päivää, tänään on kaunis ilma ja menemme lasten kanssa kävelylle metsään",
    "fr": "Bonjour, aujourd'hui il fait très beau et nous allons nous promener avec les enfants",
    "gu": "તમે કેમ છો હું મજામાં છું આજે હવામાન ખૂબ સરસ છે",
    "he": "שלום, היום מזג האוויר יפה מאוד ואנחנו הולכים לטייל עם הילדים",
    "hi": "नमस्ते, आज मौसम बहुत अच्छा है और हम बच्चों के साथ घूमने जा रहे हैं",
    "it": "Buongiorno, oggi il tempo è molto bello e andiamo a passeggiare con i bambini",
    "ja": "こんにちは、今日は天気がとても良いので子供たちと散歩に行きます",
    "kn": "ನಮಸ್ಕಾರ ನೀವು ಹೇಗಿದ್ದೀರಿ ಇಂದು ಹವಾಮಾನ ತುಂಬಾ ಚೆನ್ನಾಗಿದೆ",
    "ko": "안녕하세요, 오늘은 날씨가 아주 좋아서 아이들과 산책을 갑니다",
    "ml": "നമസ്കാരം ഇന്ന് കാലാവസ്ഥ വളരെ നല്ലതാണ് ഞങ്ങൾ നടക്കാൻ പോകുന്നു",
    "mr": "नमस्कार, आज हवामान खूप छान आहे आणि आम्ही मुलांसोबत फिरायला जात आहोत",
    "ne": "नमस्ते, आज मौसम धेरै राम्रो छ र हामी बच्चाहरूसँग घुम्न जाँदैछौं भनेर खुसी छौं",
    "pa": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ ਅੱਜ ਮੌਸਮ ਬਹੁਤ ਵਧੀਆ ਹੈ ਅਤੇ ਅਸੀਂ ਸੈਰ ਕਰਨ ਜਾ ਰਹੇ ਹਾਂ",
    "pl": "Dzień dobry, dzisiaj jest bardzo ładna pogoda i idziemy z dziećmi na spacer",
    "pt": "Bom dia, hoje o tempo está muito bonito e nós vamos passear com as crianças",
    "ru": "Здравствуйте, сегодня очень хорошая погода, и мы идём гулять с детьми в парк",
    "sw": "Habari za asubuhi, leo hali ya hewa ni nzuri sana na tunakwenda kutembea na watoto",
    "ta": "வணக்கம் இன்று வானிலை மிகவும் நன்றாக உள்ளது நாங்கள் நடக்கப் போகிறோம்",
    "te": "నమస్కారం ఈ రోజు వాతావరణం చాలా బాగుంది మేము నడవడానికి వెళ్తున్నాము",
    "th": "สวัสดีครับ วันนี้อากาศดีมากและเรากำลังจะไปเดินเล่นกับเด็กๆ",
    "uk": "Доброго дня, сьогодні дуже гарна погода, і ми йдемо гуляти з дітьми в парк",
    "ur": "السلام علیکم، آج موسم بہت اچھا ہے اور ہم بچوں کے ساتھ سیر کو جا رہے ہیں",
    "vi": "Xin chào, hôm nay thời tiết rất đẹp và chúng tôi đi dạo cùng với các con",
}
"""The weather is fine today and we go for a walk: in the languages that the data asks for."""

WRONG = ("I am not sure, Sorry.", "Well, " + "it may be so, or it may not be. " * 60)
Asked = Mapping[str, list[dict[str, Any]]]


def following(names: Sequence[str], arguments: Sequence[dict[str, Any]]) -> str | None:
    """Make a reply that follows all instructions; None when no try does (some contradict)."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for name, given in zip(names, arguments, strict=True):
        asked.setdefault(name, []).append(given)
    tries = (_reply(asked, body) for body in _bodies(asked))
    return next((one for one in tries if _passes(names, arguments, one)), None)


def missing(names: Sequence[str], arguments: Sequence[dict[str, Any]]) -> str:
    """Make a reply that misses an instruction; at worst an empty one."""
    named = [word for given in arguments for word in given.get("forbidden_words") or ()]
    letters = [given["letter"] * 99 for given in arguments if given.get("letter")]
    words = [f"{given['keyword']} " * 99 for given in arguments if given.get("keyword")]
    tries = (*WRONG, ", ".join(named), *letters, *words, "NO SORRY " * 60)
    return next((one for one in tries if one and not _passes(names, arguments, one)), "")


def _passes(names: Sequence[str], arguments: Sequence[dict[str, Any]], reply: str) -> bool:
    return all(judge(list(names), list(arguments), reply).strict)


def _bodies(asked: Asked) -> Iterator[str]:
    """Try running texts: few or many sentences, short or long, from words that are allowed."""
    language = next(
        (given["language"] for given in asked.get("language:response_language", ())), ""
    )
    if language in GREETINGS:
        yield from (GREETINGS[language], GREETINGS[language].replace(",", ""))
    bank = [word for word in WORDS if _allowed(word, asked)] or ["so"]
    least = _least(asked, "length_constraints:number_words", "num_words", 6)
    ends = _least(asked, "length_constraints:number_sentences", "num_sentences", 1)
    for sentences in (ends, 1):
        for total in (least, 3 * sentences, 1, 90, 400):
            yield _text(bank, sentences, max(total, sentences))
            yield _text(bank[::-1], sentences, max(total, sentences))


def _allowed(word: str, asked: Asked) -> bool:
    """Whether ``word`` holds no letter or word that is to be rare."""
    rare = [
        given["letter"]
        for given in asked.get("keywords:letter_frequency", ())
        if given["let_relation"] == "less than"
    ]
    out = [
        one
        for given in asked.get("keywords:forbidden_words", ())
        for one in given["forbidden_words"]
    ]
    out += [
        given["keyword"]
        for given in asked.get("keywords:frequency", ())
        if given["relation"] == "less than"
    ]
    return not any(one in word for one in rare) and word not in {one.lower() for one in out}


def _least(asked: Asked, name: str, key: str, otherwise: int) -> int:
    """Return the largest ``at least`` among the instructions ``name``."""
    given = asked.get(name, ())
    wanted = [int(one[key]) for one in given if one.get("relation") == "at least"]
    return max([otherwise, *wanted])


def _text(bank: Sequence[str], sentences: int, total: int) -> str:
    """Write ``total`` words from ``bank`` in ``sentences`` sentences."""
    each = -(-total // sentences)
    said = [
        [bank[(first + at) % len(bank)] for at in range(each)]
        for first in range(0, sentences * each, each)
    ]
    return " ".join(f"{' '.join(one).capitalize()}." for one in said)


def _reply(asked: Asked, body: str) -> str:
    """Wrap a running text in the forms that are asked for, the outermost last."""
    if "detectable_format:constrained_response" in asked:
        return ANSWERS[0]
    for add in (_keywords, _inside, _shaped, _cased, _ends):
        body = add(asked, body)
    if "detectable_format:json_format" in asked:
        body = msgspec.json.encode({"text": body}).decode()
    for given in asked.get("combination:repeat_prompt", ()):
        body = f"{given['prompt_to_repeat']}\n{body}"
    return f'"{body}"' if "startend:quotation" in asked else body


def _keywords(asked: Asked, body: str) -> str:
    """Put in the words and letters that must be there."""
    wanted = [word for given in asked.get("keywords:existence", ()) for word in given["keywords"]]
    for given in asked.get("keywords:frequency", ()):
        wanted += [given["keyword"]] * (given["frequency"] * (given["relation"] == "at least"))
    for given in asked.get("keywords:letter_frequency", ()):
        wanted += [given["letter"]] * (
            given["let_frequency"] * (given["let_relation"] == "at least")
        )
    return f"{' '.join(wanted)} {body}" if wanted else body


def _inside(asked: Asked, body: str) -> str:
    """Put in placeholders, highlights, a title and words in capitals."""
    parts = [body]
    for given in asked.get("detectable_content:number_placeholders", ()):
        parts += ["[name]"] * given["num_placeholders"]
    for given in asked.get("detectable_format:number_highlighted_sections", ()):
        parts += [f"*part {at}*" for at in range(given["num_highlights"])]
    for given in asked.get("change_case:capital_word_frequency", ()):
        if given["capital_relation"] == "at least":
            parts += ["YES"] * given["capital_frequency"]
    text = " ".join(parts)
    return f"<<a title>> {text}" if "detectable_format:title" in asked else text


def _shaped(asked: Asked, body: str) -> str:
    """Divide into paragraphs, sections, bullets or two answers."""
    for given in asked.get("length_constraints:nth_paragraph_first_word", ()):
        parts = [body, *("more" for _ in range(given["num_paragraphs"] - 1))]
        place = given["nth_paragraph"] - 1
        parts[place] = f"{given['first_word']} {parts[place]}"
        body = "\n\n".join(parts)
    for given in asked.get("length_constraints:number_paragraphs", ()):
        body = "\n***\n".join([body, *("more" for _ in range(given["num_paragraphs"] - 1))])
    for given in asked.get("detectable_format:multiple_sections", ()):
        named = (f"{given['section_spliter']} {at + 1}" for at in range(given["num_sections"]))
        body = "\n".join((*named, body))
    for given in asked.get("detectable_format:number_bullet_lists", ()):
        body = "\n".join([body, *("* a point" for _ in range(given["num_bullets"]))])
    return f"{body}\n******\nanother" if "combination:two_responses" in asked else body


def _cased(asked: Asked, body: str) -> str:
    if "change_case:english_lowercase" in asked:
        return body.lower()
    return body.upper() if "change_case:english_capital" in asked else body


def _ends(asked: Asked, body: str) -> str:
    """Add the postscript and the closing phrase; commas go where none may be."""
    capital = "change_case:english_capital" in asked
    small = "change_case:english_lowercase" in asked
    added = [
        f"{given['postscript_marker']} that is all"
        for given in asked.get("detectable_content:postscript", ())
    ]
    added += [given["end_phrase"] for given in asked.get("startend:end_checker", ())]
    said = [one.upper() if capital else one.lower() if small else one for one in added]
    text = "\n".join((body, *said))
    return re.sub(",", "", text) if "punctuation:no_comma" in asked else text
