"""The filesystem task: `@modelcontextprotocol/server-filesystem` over a folder of text files.

The state is ``{"folders": [...], "files": {path: text}}`` with paths below ``/data``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp import StdioServerParameters

from qbench.benchmarks.servers.seats import ROOT, Room
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job, look
from qbench.benchmarks.suites.mcp_servers.installed import node_server
from qbench.benchmarks.worlds.cases import Case, Kind, call, listed

FOLDERS = tuple("drafts reports photos music recipes letters plans".split())
NAMES = tuple(
    "budget notes agenda summary sketch album song soup cake poem trip garden survey memo "
    "contract menu diary outline review".split()
)
WORDS = tuple("amber birch cobalt dune ember fjord grove heron iris jade kelp lotus".split())


class FolderPlace:
    """The server and its folder."""

    def command(self, room: Room) -> StdioServerParameters:
        """Let it see nothing but the attempt's folder."""
        return node_server(room, "server-filesystem", str(room.data))

    def fill(self, data: Path, state: State) -> None:
        """Make the folders and files."""
        for folder in state["folders"]:
            (data / folder).mkdir(parents=True, exist_ok=True)
        for path, text in state["files"].items():
            (data / path).write_text(f"{text}\n")

    def read(self, data: Path) -> State:
        """Read the folders and files; newlines at the end of a file do not count."""
        paths = sorted(data.rglob("*"))
        return {
            "folders": [str(path.relative_to(data)) for path in paths if path.is_dir()],
            "files": {
                str(path.relative_to(data)): path.read_text(errors="replace").rstrip("\n")
                for path in paths
                if path.is_file()
            },
        }

    def refuse(self, name: str, arguments: dict[str, Any]) -> str:
        """Refuse nothing: the server guards its folder."""
        del name, arguments
        return ""


def _below(path: str) -> str:
    return path.removeprefix(f"{ROOT}/")


def write_file(state: State, path: str, content: str) -> str:
    """Write or overwrite a file."""
    state["files"][_below(path)] = content
    return f"Successfully wrote to {path}"


def create_directory(state: State, path: str) -> str:
    """Make a folder."""
    state["folders"] = sorted({*state["folders"], _below(path)})
    return f"Successfully created directory {path}"


def move_file(state: State, source: str, destination: str) -> str:
    """Move a file."""
    state["files"][_below(destination)] = state["files"].pop(_below(source))
    return f"Successfully moved {source} to {destination}"


def edit_file(state: State, path: str, edits: list[dict[str, str]]) -> str:
    """Replace pieces of a file."""
    for edit in edits:
        text = state["files"][_below(path)]
        state["files"][_below(path)] = text.replace(edit["oldText"], edit["newText"], 1)
    return ""


READING = ("read_text_file", "read_multiple_files", "list_directory", "search_files")
OPERATIONS = {
    **dict.fromkeys(READING, look),
    **{one.__name__: one for one in (write_file, create_directory, move_file, edit_file)},
}
EXAMPLES = (
    Example(
        request="Start a folder for games.",
        call=call("create_directory", path=f"{ROOT}/games"),
        result=f"Successfully created directory {ROOT}/games",
    ),
    Example(
        request="Turn plans/lunch.txt into plans/dinner.txt.",
        call=call(
            "move_file", source=f"{ROOT}/plans/lunch.txt", destination=f"{ROOT}/plans/dinner.txt"
        ),
        result=f"Successfully moved {ROOT}/plans/lunch.txt to {ROOT}/plans/dinner.txt",
    ),
    Example(
        request="plans/snack.txt should say pear.",
        call=call("write_file", path=f"{ROOT}/plans/snack.txt", content="pear"),
        result=f"Successfully wrote to {ROOT}/plans/snack.txt",
    ),
)
TOOL_SETS = (
    ("create_directory", "move_file"),
    ("move_file", "write_file"),
    ("create_directory", "write_file"),
)


def disk(rng: random.Random, files: int, folders: int = 4) -> State:
    """Draw ``files`` files of three words in ``folders`` folders."""
    names = sorted(rng.sample(FOLDERS, folders))
    paths = rng.sample([f"{folder}/{name}.txt" for folder in names for name in NAMES], files)
    texts = {path: " ".join(rng.sample(WORDS, 3)) for path in sorted(paths)}
    return {"folders": names, "files": texts}


def _some(rng: random.Random, state: State) -> str:
    paths: list[str] = sorted(state["files"])
    return rng.choice(paths)


def _free(rng: random.Random, state: State) -> str:
    paths = [f"{folder}/{name}.txt" for folder in state["folders"] for name in NAMES]
    return rng.choice([path for path in paths if path not in state["files"]])


def _new_folder(rng: random.Random, state: State) -> str:
    return rng.choice([name for name in FOLDERS if name not in state["folders"]])


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {path}, {new}, {folder}, {word}."""

    def make(rng: random.Random) -> Case:
        state = disk(rng, 4)
        path, new, word = _some(rng, state), _free(rng, state), rng.choice(WORDS)
        folder = _new_folder(rng, state)
        arguments = {
            "create_directory": {"path": f"{ROOT}/{folder}"},
            "move_file": {"source": f"{ROOT}/{path}", "destination": f"{ROOT}/{new}"},
            "write_file": {"path": f"{ROOT}/{new}", "content": word},
        }[tool]
        request = text.format(path=path, new=new, folder=folder, word=word)
        return Case(request=request, state=state, calls=(call(tool, **arguments),))

    return make


LEVEL_1 = {
    "create_directory": (
        "Create the directory {folder}.",
        "Make a folder {folder}.",
        "I want to keep things under {folder}.",
        "There should be a place called {folder}.",
    ),
    "move_file": (
        "Move the file {path} to {new}.",
        "Move {path} to {new}.",
        "{path} belongs at {new}.",
        "Rename {path}: it shall be {new}.",
    ),
    "write_file": (
        "Write the file {new} with the content {word}.",
        "Write {word} into a new file {new}.",
        "{new} should say {word}.",
        "Put the word {word} down in {new}.",
    ),
}


def _folder_and_file(rng: random.Random) -> Case:
    state = disk(rng, 6)
    folder, name, word = _new_folder(rng, state), rng.choice(NAMES), rng.choice(WORDS)
    return Case(
        request=f"In {ROOT}, make the folder {folder} and write a file {name}.txt with the text "
        f"{word} in it.",
        state=state,
        calls=(
            call("create_directory", path=f"{ROOT}/{folder}"),
            call("write_file", path=f"{ROOT}/{folder}/{name}.txt", content=word),
        ),
    )


def _last_word(rng: random.Random) -> Case:
    state = disk(rng, 6)
    path = _some(rng, state)
    return Case(
        request=f"Which is the last word in {ROOT}/{path}? Answer with that word.",
        state=state,
        calls=(call("read_text_file", path=f"{ROOT}/{path}"),),
        answer=state["files"][path].split()[-1],
    )


def _where_is(rng: random.Random) -> Case:
    """Only the name is known: find the folder, then replace a word."""
    state = disk(rng, 8)
    path = _some(rng, state)
    folder, name = path.split("/")
    for other in [one for one in state["files"] if one.endswith(f"/{name}") and one != path]:
        del state["files"][other]
    old = rng.choice(state["files"][path].split())
    new = rng.choice([word for word in WORDS if word not in state["files"][path]])
    return Case(
        request=f"Somewhere below {ROOT} there is a file {name}. Replace the word {old} in it by "
        f"{new}, and tell me in which folder it is.",
        state=state,
        calls=(
            call("search_files", path=ROOT, pattern=f"**/{name}"),
            call("edit_file", path=f"{ROOT}/{path}", edits=[{"oldText": old, "newText": new}]),
        ),
        answer=folder,
    )


def _copy(rng: random.Random) -> Case:
    state = disk(rng, 8)
    path, new = _some(rng, state), _free(rng, state)
    return Case(
        request=f"Copy {path} to {new} (both below {ROOT}); the original stays.",
        state=state,
        calls=(
            call("read_text_file", path=f"{ROOT}/{path}"),
            call("write_file", path=f"{ROOT}/{new}", content=state["files"][path]),
        ),
    )


def _make_room(rng: random.Random) -> Case:
    """The target exists: the server refuses until it is put aside."""
    state = disk(rng, 12)
    source, target = rng.sample(sorted(state["files"]), 2)
    aside = f"{target.removesuffix('.txt')}-old.txt"
    return Case(
        request=f"Move {source} to {target} (both below {ROOT}). If there is a file at {target} "
        f"already, keep it as {aside}.",
        state=state,
        calls=(
            call("move_file", source=f"{ROOT}/{target}", destination=f"{ROOT}/{aside}"),
            call("move_file", source=f"{ROOT}/{source}", destination=f"{ROOT}/{target}"),
        ),
    )


def _sort_out(rng: random.Random) -> Case:
    """Every file is filed by what it says, and listed."""
    state = disk(rng, 12)
    word = rng.choice(sorted({one for text in state["files"].values() for one in text.split()}))
    new = _new_folder(rng, state)
    names: list[str] = []
    calls = [
        call("search_files", path=ROOT, pattern="**/*.txt"),
        call("read_multiple_files", paths=[f"{ROOT}/{path}" for path in sorted(state["files"])]),
        call("create_directory", path=f"{ROOT}/{new}"),
    ]
    for path, text in sorted(state["files"].items()):
        if word in text.split():
            names.append(path.replace("/", "-"))
            calls.append(
                call(
                    "move_file",
                    source=f"{ROOT}/{path}",
                    destination=f"{ROOT}/{new}/{names[-1]}",
                )
            )
    calls.append(
        call("write_file", path=f"{ROOT}/{new}/list.txt", content="\n".join(sorted(names)))
    )
    return Case(
        request=f"Read all files below {ROOT}. Make a folder {new} there, and move into it each "
        f"file that contains the word {word}; a file a/b.txt is then called a-b.txt. At last write "
        f"list.txt in {new}: the names of the files that you moved, sorted, one a line. How many "
        "did you move? Answer with the number.",
        state=state,
        calls=tuple(calls),
        answer=str(len(names)),
    )


def _not_sure(rng: random.Random) -> Case:
    state = disk(rng, 6)
    return Case(
        request=f"I may want to move {_some(rng, state)} some day, but leave everything as it is "
        "for now. Just say all right.",
        state=state,
        answer="all right",
    )


def _first_of(rng: random.Random) -> Case:
    names = rng.sample(NAMES, 3)
    return Case(
        request=f"Which of the words {listed(names)} comes first in the alphabet? Answer with "
        "that word only.",
        state=disk(rng, 6),
        answer=min(names),
    )


JOB = Job(
    name="filesystem",
    tools=(*OPERATIONS, "directory_tree"),
    operations=OPERATIONS,
    examples=EXAMPLES,
    tool_sets=TOOL_SETS,
    levels={
        1: tuple(
            Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
            for tool, texts in LEVEL_1.items()
            for number, text in enumerate(texts)
        ),
        2: (
            Kind(name="folder-and-file", make=_folder_and_file),
            Kind(name="last-word", make=_last_word),
        ),
        3: (Kind(name="where-is", make=_where_is), Kind(name="copy", make=_copy)),
        4: (Kind(name="make-room", make=_make_room),),
        5: (Kind(name="sort-out", make=_sort_out),),
    },
    no_call=(Kind(name="not-sure", make=_not_sure), Kind(name="first-of", make=_first_of)),
    needless=call("list_directory", path=ROOT),
)
PLACE = FolderPlace()
