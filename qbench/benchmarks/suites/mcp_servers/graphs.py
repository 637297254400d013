"""The memory task: `@modelcontextprotocol/server-memory` over a small knowledge graph.

The state is ``{"entities": [{name, type, observations}], "relations": [{from, to, type}]}``; the
order of entities, relations and observations does not count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from mcp import StdioServerParameters

from qbench.benchmarks.servers.seats import Room
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.cases import look
from qbench.benchmarks.suites.mcp_servers.installed import node_server

FILE = "memory.jsonl"
PEOPLE = tuple("Ada Boris Clara Dario Elif Femi Greta Hugo Ines Jonas Kaya Lior Mira Nils".split())
FIRMS = tuple("Acorn Beacon Cinder Drift Ember Foxglove".split())
FACTS = (
    "plays the cello",
    "keeps bees",
    "is left-handed",
    "speaks Finnish",
    "likes chess",
    "grows tomatoes",
    "collects stamps",
    "rows on Sundays",
    "bakes rye bread",
    "studied geology",
    "drinks no coffee",
    "paints boats",
)


class GraphPlace:
    """The server and its file."""

    def command(self, room: Room) -> StdioServerParameters:
        """Point it at a file in the attempt's folder."""
        variables = {"MEMORY_FILE_PATH": str(room.data / FILE)}
        return node_server(room, "server-memory", environment=variables)

    def fill(self, data: Path, state: State) -> None:
        """Write the graph as the server keeps it: one JSON object a line."""
        entities = [
            {
                "type": "entity",
                "name": one["name"],
                "entityType": one["type"],
                "observations": one["observations"],
            }
            for one in state["entities"]
        ]
        relations = [
            {
                "type": "relation",
                "from": one["from"],
                "to": one["to"],
                "relationType": one["type"],
            }
            for one in state["relations"]
        ]
        lines = [msgspec.json.encode(one) for one in (*entities, *relations)]
        (data / FILE).write_bytes(b"\n".join(lines))

    def read(self, data: Path) -> State:
        """Read the file back; a missing one is an empty graph, as the server has it."""
        path = data / FILE
        text = path.read_bytes() if path.exists() else b""
        lines = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        return {
            "entities": [
                entity(one["name"], one["entityType"], one["observations"])
                for one in lines
                if one["type"] == "entity"
            ],
            "relations": [
                relation(one["from"], one["to"], one["relationType"])
                for one in lines
                if one["type"] == "relation"
            ],
        }

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Refuse nothing: the server reaches its one file only."""
        del name, arguments
        return ""


def entity(name: str, kind: str, observations: list[str]) -> dict[str, Any]:
    """Write an entity as the server stores it."""
    return {"name": name, "type": kind, "observations": sorted(observations)}


def relation(source: str, target: str, kind: str) -> dict[str, str]:
    """Write a relation as the server stores it."""
    return {"from": source, "to": target, "type": kind}


def create_entities(state: State, entities: list[dict[str, Any]]) -> str:
    """Add entities."""
    state["entities"] += [
        entity(one["name"], one["entityType"], one["observations"]) for one in entities
    ]
    return ""


def create_relations(state: State, relations: list[dict[str, str]]) -> str:
    """Add relations."""
    new = [relation(one["from"], one["to"], one["relationType"]) for one in relations]
    state["relations"] += [one for one in new if one not in state["relations"]]
    return ""


def add_observations(state: State, observations: list[dict[str, Any]]) -> str:
    """Add observations to entities."""
    for one in observations:
        entity = named(state, one["entityName"])
        entity["observations"] = sorted({*entity["observations"], *one["contents"]})
    return ""


def delete_entities(state: State, entityNames: list[str]) -> str:  # noqa: N803 - the server's name
    """Remove entities and the relations that touch them."""
    state["entities"] = [one for one in state["entities"] if one["name"] not in entityNames]
    state["relations"] = [
        one for one in state["relations"] if not {one["from"], one["to"]} & {*entityNames}
    ]
    return "Entities deleted successfully"


def delete_observations(state: State, deletions: list[dict[str, Any]]) -> str:
    """Remove observations from entities."""
    for one in deletions:
        entity = named(state, one["entityName"])
        entity["observations"] = [
            fact for fact in entity["observations"] if fact not in one["observations"]
        ]
    return "Observations deleted successfully"


def delete_relations(state: State, relations: list[dict[str, str]]) -> str:
    """Remove relations."""
    gone = [relation(one["from"], one["to"], one["relationType"]) for one in relations]
    state["relations"] = [one for one in state["relations"] if one not in gone]
    return "Relations deleted successfully"


def named(state: State, name: str) -> dict[str, Any]:
    """Return the entity of that name."""
    entity: dict[str, Any] = next(one for one in state["entities"] if one["name"] == name)
    return entity


OPERATIONS = {
    **dict.fromkeys(("read_graph", "search_nodes", "open_nodes"), look),
    **{
        one.__name__: one
        for one in (
            create_entities,
            create_relations,
            add_observations,
            delete_entities,
            delete_observations,
            delete_relations,
        )
    },
}


PLACE = GraphPlace()
