"""A chat template that shows tools to models whose own template has no place for them.

vLLM then leaves the tools out without a word, and the model never calls. Prompts with tools become
those of the embedded engine to the letter, so that rows of both engines compare; prompts without
tools stay the model's own.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from qbench.workers.engines.schemes import find_config

CHATML = "<|im_start|>"

_KIND = (
    "{%- macro kind(schema) -%}"
    "{%- if schema.enum -%}{{ schema.enum | join('|') }}"
    "{%- else -%}{{ schema.type or 'any' }}{%- endif -%}"
    "{%- endmacro -%}"
)
_SIGNATURE = (
    "{%- macro signature(function) -%}"
    "{{ function.name }}("
    "{%- for name, schema in ((function.parameters or {}).properties or {}).items() -%}"
    "{{ name }}: {{ kind(schema) }}{% if not loop.last %}, {% endif %}"
    "{%- endfor -%}"
    "): {{ function.description or '' }}"
    "{%- endmacro -%}"
)
_WITH_TOOLS = """\
{%- set ns = namespace(system='') -%}
{%- if messages[0]['role'] == 'system' -%}
{%- set ns.system = messages[0]['content'] -%}
{%- set messages = messages[1:] -%}
{%- endif -%}
<|im_start|>system
{{ ns.system or 'You are a helpful AI assistant.' }}
You can call these functions:
{% for tool in tools -%}
{{ signature(tool.function) }}
{% endfor -%}
To call one, write <tool_call>
{"name": ..., "arguments": {...}}
</tool_call><|im_end|>
{% for message in messages -%}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{%- if message.content or not loop.first %}
{% endif -%}
<tool_call>
{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
</tool_call>
{%- endfor -%}
<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""


def template_for(source: str) -> str:
    """Return the template to serve ``source`` with; empty: its own is fine, or not known.

    Only ChatML models are helped: others would not know the tags.
    """
    own = own_template(source)
    return with_tools(own) if CHATML in own and "tools" not in own else ""


def with_tools(own: str) -> str:
    """Return a template that is ``own`` for prompts without tools."""
    return f"{_KIND}{_SIGNATURE}{{%- if tools -%}}{_WITH_TOOLS}{{% else %}}{own}{{% endif %}}"


def own_template(source: str) -> str:
    """Return the chat template of a folder or of a Hub id in the cache; empty without one."""
    config = find_config(source)
    if config is None:
        return ""
    folder = config.parent
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except OSError:
        return _in_tokenizer(folder / "tokenizer_config.json")


def _in_tokenizer(path: Path) -> str:
    try:
        told = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.MsgspecError):
        return ""
    found = told.get("chat_template")
    return found if isinstance(found, str) else ""
