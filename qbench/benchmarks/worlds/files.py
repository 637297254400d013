"""The files world: text files in folders. A path is ``folder/name``."""

from __future__ import annotations

import random
from collections.abc import Callable

from qbench.benchmarks.worlds.cases import (
    Case,
    Kind,
    Office,
    Operation,
    Refused,
    Shown,
    State,
    call,
    listed,
)

FOLDERS = tuple("drafts reports photos music recipes letters plans".split())
NAMES = tuple(
    "budget notes agenda summary sketch album song soup cake poem trip garden letter survey memo "
    "contract menu diary outline review".split()
)
WORDS = tuple("amber birch cobalt dune ember fjord grove heron iris jade kelp lotus".split())


def _content(state: State, path: str) -> str:
    if path not in state["files"]:
        near = [
            known
            for known in state["files"]
            if known.split("/")[-1] == path.rsplit("/", maxsplit=1)[-1]
        ]
        hint = f" But there is {listed(near)}." if near else ""
        raise Refused(f"There is no file {path}.{hint}")
    content: str = state["files"][path]
    return content


def _vacant(state: State, path: str) -> None:
    folder, slash, name = path.partition("/")
    if not (slash and name) or "/" in name or folder not in state["folders"]:
        raise Refused(
            f"{path} is no path: folder/name, folders: {listed(sorted(state['folders']))}."
        )
    if path in state["files"]:
        raise Refused(f"There is already a file {path}.")


def write_file(state: State, path: str, text: str) -> str:
    """Write a new file."""
    _vacant(state, path)
    state["files"][path] = text
    return f"{path} is written."


def delete_file(state: State, path: str) -> str:
    """Delete a file."""
    _content(state, path)
    del state["files"][path]
    return f"{path} is deleted."


def move_file(state: State, path: str, new_path: str) -> str:
    """Move a file to a new path."""
    text = _content(state, path)
    _vacant(state, new_path)
    state["files"][new_path] = text
    del state["files"][path]
    return f"{path} is now {new_path}."


def make_folder(state: State, folder: str) -> str:
    """Make a folder."""
    if folder in state["folders"]:
        raise Refused(f"There is already a folder {folder}.")
    state["folders"] = sorted([*state["folders"], folder])
    return f"{folder} is made."


def append_text(state: State, path: str, text: str) -> str:
    """Append a line of text to a file."""
    state["files"][path] = f"{_content(state, path)}\n{text}"
    return f"{path} has a line more."


def read_file(state: State, path: str) -> str:
    """Read a file."""
    return _content(state, path)


def list_folder(state: State, folder: str) -> str:
    """List the files of a folder."""
    if folder not in state["folders"]:
        raise Refused(f"There is no folder {folder}. Folders: {listed(sorted(state['folders']))}.")
    found = sorted(path for path in state["files"] if path.startswith(f"{folder}/"))
    return "\n".join(found) or f"{folder} is empty."


def list_folders(state: State) -> str:
    """List the folders."""
    return "\n".join(sorted(state["folders"]))


OPERATIONS: dict[str, Operation] = {
    made.__name__: made
    for made in (
        write_file,
        delete_file,
        move_file,
        make_folder,
        append_text,
        read_file,
        list_folder,
        list_folders,
    )
}
TOOL_SETS = (("delete_file", "make_folder"), ("append_text", "delete_file", "move_file"))
SHOWN = (
    Shown(
        request="I do not need plans/lunch any longer.",
        call=call("delete_file", path="plans/lunch"),
        result="plans/lunch is deleted.",
    ),
    Shown(
        request="Start a place for games.",
        call=call("make_folder", folder="games"),
        result="games is made.",
    ),
    Shown(
        request="Turn plans/lunch into plans/dinner.",
        call=call("move_file", path="plans/lunch", new_path="plans/dinner"),
        result="plans/lunch is now plans/dinner.",
    ),
    Shown(
        request="Note the word pear in plans/lunch.",
        call=call("append_text", path="plans/lunch", text="pear"),
        result="plans/lunch has a line more.",
    ),
)


def disk(rng: random.Random, files: int, folders: int = 4) -> State:
    """Draw ``files`` files in ``folders`` folders."""
    names = sorted(rng.sample(FOLDERS, folders))
    paths = rng.sample([f"{folder}/{name}" for folder in names for name in NAMES], files)
    return {
        "folders": names,
        "files": {path: " ".join(rng.sample(WORDS, 3)) for path in sorted(paths)},
    }


def _some(rng: random.Random, state: State) -> str:
    paths: list[str] = sorted(state["files"])
    return rng.choice(paths)


def _new_path(rng: random.Random, state: State) -> str:
    paths = [f"{folder}/{name}" for folder in state["folders"] for name in NAMES]
    return rng.choice([path for path in paths if path not in state["files"]])


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {path}, {new}, {folder}, {word}."""

    def make(rng: random.Random) -> Case:
        state = disk(rng, 4)
        path, new, word = _some(rng, state), _new_path(rng, state), rng.choice(WORDS)
        folder = rng.choice([name for name in FOLDERS if name not in state["folders"]])
        arguments = {
            "delete_file": {"path": path},
            "make_folder": {"folder": folder},
            "move_file": {"path": path, "new_path": new},
            "append_text": {"path": path, "text": word},
        }[tool]
        request = text.format(path=path, new=new, folder=folder, word=word)
        return Case(request=request, state=state, calls=(call(tool, **arguments),))

    return make


LEVEL_1 = {
    "delete_file": (
        "Delete the file {path}.",
        "Please delete {path}.",
        "{path} can go away.",
        "Get rid of {path}.",
    ),
    "make_folder": (
        "Make the folder {folder}.",
        "Make a new folder {folder}.",
        "I want to keep things under {folder}.",
        "There should be {folder} as well.",
    ),
    "move_file": (
        "Move {path} to {new}.",
        "Move the file {path} to {new}.",
        "{path} belongs at {new}.",
        "{path} should be {new}.",
    ),
    "append_text": (
        "Append the text {word} to {path}.",
        "Append {word} to {path}.",
        "{path} should end with {word}.",
        "Put {word} at the end of {path}.",
    ),
}


def _folder_and_file(rng: random.Random) -> Case:
    state = disk(rng, 6)
    folder = rng.choice([name for name in FOLDERS if name not in state["folders"]])
    name, word = rng.choice(NAMES), rng.choice(WORDS)
    return Case(
        request=f"Make the folder {folder} and write a file {name} with the text {word} in it.",
        state=state,
        calls=(
            call("make_folder", folder=folder),
            call("write_file", path=f"{folder}/{name}", text=word),
        ),
    )


def _last_word(rng: random.Random) -> Case:
    state = disk(rng, 6)
    path = _some(rng, state)
    return Case(
        request=f"Which is the last word in {path}? Answer with that word.",
        state=state,
        calls=(call("read_file", path=path),),
        answer=str(state["files"][path]).split()[-1],
    )


def _where_is(rng: random.Random) -> Case:
    """Only the name is known: find the folder, then append."""
    state = disk(rng, 8)
    path, word = _some(rng, state), rng.choice(WORDS)
    folder, name = path.split("/")
    for other in [one for one in state["files"] if one.endswith(f"/{name}") and one != path]:
        del state["files"][other]
    before = [one for one in state["folders"] if one <= folder]
    return Case(
        request=f"Somewhere there is one file called {name}. Append {word} to it, and tell me in "
        "which folder it is.",
        state=state,
        calls=(
            call("list_folders"),
            *(call("list_folder", folder=one) for one in before),
            call("append_text", path=path, text=word),
        ),
        answer=folder,
    )


def _copy(rng: random.Random) -> Case:
    state = disk(rng, 8)
    path, new = _some(rng, state), _new_path(rng, state)
    return Case(
        request=f"Copy {path} to {new}; the original stays.",
        state=state,
        calls=(
            call("read_file", path=path),
            call("write_file", path=new, text=state["files"][path]),
        ),
    )


def _make_room(rng: random.Random) -> Case:
    """The target exists: it must be put aside under another name first."""
    state = disk(rng, 12)
    source, target = rng.sample(sorted(state["files"]), 2)
    folder, name = target.split("/")
    aside = f"{folder}/{name}-old"
    return Case(
        request=f"Move {source} to {target}. If there is a file at {target} already, first move "
        f"that one to {aside} and append the word replaced to it.",
        state=state,
        calls=(
            call("list_folder", folder=folder),
            call("move_file", path=target, new_path=aside),
            call("append_text", path=aside, text="replaced"),
            call("move_file", path=source, new_path=target),
        ),
    )


def _sort_out(rng: random.Random) -> Case:
    """Every file is filed by what it says."""
    state = disk(rng, 16)
    keep, drop = rng.sample(WORDS, 2)
    new = rng.choice([name for name in FOLDERS if name not in state["folders"]])
    calls = [call("list_folders"), *(call("list_folder", folder=f) for f in state["folders"])]
    calls += [call("read_file", path=path) for path in sorted(state["files"])]
    calls.append(call("make_folder", folder=new))
    for path, text in sorted(state["files"].items()):
        folder, name = path.split("/")
        if drop in text.split():
            calls.append(call("delete_file", path=path))
        elif keep in text.split():
            calls.append(call("move_file", path=path, new_path=f"{new}/{folder}-{name}"))
    return Case(
        request=f"Read every file. Delete those that contain the word {drop}. Those that contain "
        f"{keep} but not {drop} go to a new folder {new}, under the name OLDFOLDER-OLDNAME "
        "(photos/song becomes photos-song). The others stay.",
        state=state,
        calls=tuple(calls),
    )


def _not_sure(rng: random.Random) -> Case:
    state = disk(rng, 6)
    return Case(
        request=f"I might delete {_some(rng, state)}, but I have not decided. Do nothing for now "
        "and answer with the one word: waiting.",
        state=state,
        answer="waiting",
    )


def _longer(rng: random.Random) -> Case:
    one, two = rng.sample([word for word in WORDS if word != "fjord"], 2)
    first = min(one, two)
    return Case(
        request=f"Which of the words {one} and {two} comes first in the alphabet? Answer with that "
        "word only.",
        state=disk(rng, 6),
        answer=first,
    )


LEVELS: dict[int, tuple[Kind, ...]] = {
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
}
NO_CALL = (Kind(name="not-sure", make=_not_sure), Kind(name="longer", make=_longer))

OFFICE = Office(
    name="files",
    operations=OPERATIONS,
    shown=SHOWN,
    tool_sets=TOOL_SETS,
    levels=LEVELS,
    no_call=NO_CALL,
)
