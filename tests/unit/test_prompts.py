import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbench.workers.embedded.prompts import Prompts, read_call, read_reply, signature
from qbench.workers.gguf_import import read_tokenizer
from tests.tiny_model import gguf_fields

TOOL = {
    "type": "function",
    "function": {
        "name": "move",
        "description": "Move it.",
        "parameters": {"properties": {"to": {"type": "string"}, "how": {"enum": ["fast", "slow"]}}},
    },
}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "function": {"name": "move", "arguments": '{"to": "A"}'}}],
}


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts(read_tokenizer(gguf_fields()))


def text_of(prompts: Prompts, *messages: object, forced: bool = False, tools: bool = True) -> str:
    tokens = prompts.encode(list(messages), [TOOL] if tools else [], forced=forced)  # type: ignore[arg-type]
    return str(prompts._tokenizer.decode(tokens))


def test_a_template_without_tools_is_given_a_section_for_them(prompts: Prompts) -> None:
    assert not prompts.own_tools
    text = text_of(
        prompts, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go"}
    )
    assert "Be brief." in text
    assert "move(to: string, how: fast|slow): Move it." in text
    assert text.endswith("<|im_start|>assistant\n")


def test_calls_and_results_are_written_as_the_model_is_to_write_them(prompts: Prompts) -> None:
    result = {"role": "tool", "tool_call_id": "1", "content": "done"}
    text = text_of(prompts, {"role": "user", "content": "Go"}, CALLED, result)
    assert '<tool_call>\n{"name": "move", "arguments": {"to": "A"}}\n</tool_call>' in text
    assert "<tool_response>\ndone\n</tool_response>" in text


def test_a_forced_call_begins_in_the_prompt(prompts: Prompts) -> None:
    assert text_of(prompts, {"role": "user", "content": "Go"}, forced=True).endswith(
        "<tool_call>\n"
    )


def test_without_tools_the_models_own_template_is_used(prompts: Prompts) -> None:
    text = text_of(prompts, {"role": "user", "content": "Go"}, tools=False)
    assert text == "<|im_start|>user\nGo<|im_end|>\n<|im_start|>assistant\n"


def test_a_reply_is_taken_apart() -> None:
    first = '<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>'
    text = f'Sure.\n{first}\n<tool_call>{{"name": "b"}}'
    reply = read_reply(text, tools=True)
    assert reply.content == "Sure."
    assert reply.calls == (("a", '{"x":1}'), ("b", "{}"))
    assert read_reply(text, tools=False).content == text


def test_what_is_no_call_stays_text() -> None:
    broken = '<tool_call>{"name": "a", "arguments": </tool_call>'
    assert read_reply(broken, tools=True).content == broken
    assert read_call('{"arguments": {}}') is None
    assert read_call('{"name": "a", "parameters": {"x": 1}}') == ("a", '{"x":1}')


@given(st.text())
def test_no_text_raises(text: str) -> None:
    reply = read_reply(f"<tool_call>{text}", tools=True)
    assert reply.calls or reply.content


def test_signatures_are_one_line() -> None:
    assert signature({"name": "f"}) == "f(): "
