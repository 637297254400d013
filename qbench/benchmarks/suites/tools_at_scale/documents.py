"""What is indexed of a tool: its name and description, or a document enriched by rule.

Toolshed (arXiv 2410.14594) enriches before retrieval: argument descriptions, key topics and
hypothetical questions. Here rules make them of the tool's own words, its service's topics and a
list of synonyms of its verb; they know no other word for the object.
"""

from __future__ import annotations

from qbench.benchmarks.retrieval.words import spaced
from qbench.benchmarks.suites.tools_at_scale.kinds import services
from qbench.benchmarks.suites.tools_at_scale.tools import ARGUMENTS, CODE, Tool, spoken


def plain(tool: Tool) -> str:
    """Return the name as words and the description."""
    return f"{spaced(tool.name)}. {tool.description}"


def enriched(tool: Tool) -> str:
    """Add arguments, topics and questions to the plain document."""
    service = services()[tool.thing.service]
    return "\n".join(
        (
            plain(tool),
            f"Questions: {' '.join(questions(tool))}",
            f"Topics: {tool.thing.name}, {service.topics}.",
            f"Arguments: {_arguments(tool)}",
        )
    )


def questions(tool: Tool) -> tuple[str, ...]:
    """Return what a user of the tool may ask, by rule."""
    thing = f"{tool.thing.article} {tool.thing.name}"
    unit = f" in {spoken(tool.unit)}" if tool.unit else ""
    verb = tool.verb.name.replace("-", " ")
    asked = (f"How do I {verb} {thing}{unit}?",)
    return asked + tuple(
        f"Can you {other} the {tool.thing.name}{unit}?" for other in tool.verb.also
    )


def _arguments(tool: Tool) -> str:
    facts = ((name, ARGUMENTS.get(name, CODE)) for name in tool.arguments)
    return "; ".join(f"{name}: {fact.get('description', name)}" for name, fact in facts)
