"""The requests of the git task, and what its tools do to the state."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from qbench.benchmarks.servers.seats import ROOT
from qbench.benchmarks.servers.world import State
from qbench.benchmarks.suite import ReferenceCall
from qbench.benchmarks.suites.mcp_servers.cases import Example, Job, look
from qbench.benchmarks.suites.mcp_servers.repositories import RepositoryPlace, final
from qbench.benchmarks.worlds.cases import Case, Kind, call

FILES = tuple(
    "README.md app.py config.ini docs/guide.md docs/faq.md src/parser.py src/writer.py "
    "tests/test_app.py".split()
)
WORDS = tuple("amber birch cobalt dune ember fjord grove heron iris jade kelp lotus".split())
VERBS = tuple("Add Change Correct Describe Extend Improve Rework Simplify".split())
BRANCHES = tuple("release hotfix parser-speed new-docs cleanup trial".split())


def at(name: str, **arguments: Any) -> ReferenceCall:
    """Call a tool on the attempt's repository."""
    return call(name, repo_path=ROOT, **arguments)


def git_add(state: State, repo_path: str, files: list[str]) -> str:
    """Stage files."""
    del repo_path
    chosen = state["work"] if files == ["."] else files
    state["index"] |= {path: state["work"][path] for path in chosen}
    return "Files staged successfully"


def git_commit(state: State, repo_path: str, message: str) -> str:
    """Commit what is staged."""
    del repo_path
    branch = state["branches"][state["head"]]
    branch["log"].insert(0, message)
    branch["files"] = dict(state["index"])
    return ""


def git_reset(state: State, repo_path: str) -> str:
    """Unstage everything."""
    del repo_path
    state["index"] = dict(state["branches"][state["head"]]["files"])
    return "All staged changes reset"


def git_create_branch(
    state: State, repo_path: str, branch_name: str, base_branch: str | None = None
) -> str:
    """Make a branch."""
    del repo_path
    base = state["branches"][base_branch or state["head"]]
    state["branches"][branch_name] = {"log": list(base["log"]), "files": dict(base["files"])}
    return f"Created branch '{branch_name}' from '{base_branch or state['head']}'"


def git_checkout(state: State, repo_path: str, branch_name: str) -> str:
    """Switch to a branch; changes that are not committed come along."""
    del repo_path
    old = state["branches"][state["head"]]["files"]
    new = state["branches"][branch_name]["files"]
    for tree in (state["index"], state["work"]):
        kept = {path: text for path, text in tree.items() if old.get(path) != text}
        tree.clear()
        tree.update(new | kept)
    state["head"] = branch_name
    return f"Switched to branch '{branch_name}'"


READING = (
    "git_status git_diff_unstaged git_diff_staged git_diff git_log git_show git_branch".split()
)
OPERATIONS = {
    **dict.fromkeys(READING, look),
    **{
        one.__name__: one
        for one in (git_add, git_commit, git_reset, git_create_branch, git_checkout)
    },
}


EXAMPLES = (
    Example(
        request="I need a branch called draft.",
        call=at("git_create_branch", branch_name="draft"),
        result="Created branch 'draft' from 'main'",
    ),
    Example(
        request="Stage plans.md.",
        call=at("git_add", files=["plans.md"]),
        result="Files staged successfully",
    ),
    Example(
        request="Go over to the branch older.",
        call=at("git_checkout", branch_name="older"),
        result="Switched to branch 'older'",
    ),
)
TOOL_SETS = (
    ("git_create_branch", "git_checkout"),
    ("git_add", "git_create_branch"),
    ("git_add", "git_checkout"),
)


def repository(rng: random.Random, commits: int, changed: int = 0) -> State:
    """Draw a history on main of ``commits`` commits, then changes that are not staged.

    The first commit makes all files but two; each later one changes one of them. Messages are
    distinct.
    """
    files = list(rng.sample(FILES, 6))
    made = [{"message": "Start the project", "files": {path: _text(rng) for path in files[:4]}}]
    messages: set[str] = set()
    while len(made) < commits:
        path = rng.choice(files[:4])
        message = f"{rng.choice(VERBS)} {path.split('/')[-1]} for {rng.choice(WORDS)}"
        if message not in messages:
            messages.add(message)
            made.append({"message": message, "files": {path: _text(rng)}})
    work = {path: _text(rng) for path in rng.sample(files, changed)}
    main = {"from": "", "commits": made}
    return {"branches": {"main": main}, "head": "main", "work": work, "index": {}}


def _text(rng: random.Random) -> str:
    return "\n".join(" ".join(rng.sample(WORDS, 3)) for _ in range(3))


def _branch(rng: random.Random, state: State, name: str) -> None:
    """Add a branch with one commit of its own, which makes a file that main lacks."""
    path = f"{name}.md"
    commit = {"message": f"Begin {name}", "files": {path: _text(rng)}}
    state["branches"][name] = {"from": "main", "commits": [commit]}


def _one(text: str, tool: str) -> Callable[[random.Random], Case]:
    """Make cases of one obvious call from a text with {new}, {file}, {branch}."""

    def make(rng: random.Random) -> Case:
        state = repository(rng, 2, changed=2)
        branch, new = rng.sample(BRANCHES, 2)
        _branch(rng, state, branch)
        file = rng.choice(sorted(state["work"]))
        made = {
            "git_create_branch": at(tool, branch_name=new),
            "git_add": at(tool, files=[file]),
            "git_checkout": at(tool, branch_name=branch),
        }[tool]
        request = text.format(new=new, file=file, branch=branch)
        return Case(request=f"{HERE}{request}", state=state, calls=(made,))

    return make


HERE = f"The repository is {ROOT}. "
LEVEL_1 = {
    "git_create_branch": (
        "Create the branch {new}.",
        "Create a new branch {new} from here.",
        "I need a branch called {new}.",
        "There should be {new}, beginning where we are.",
    ),
    "git_add": (
        "Add {file}.",
        "Add the file {file} to the index.",
        "Stage {file}.",
        "{file} shall be part of the next commit.",
    ),
    "git_checkout": (
        "Check out {branch}.",
        "Check out the branch {branch}.",
        "Go over to the branch {branch}.",
        "I want to work on {branch} now.",
    ),
}


def _save(rng: random.Random) -> Case:
    state = repository(rng, 3, changed=2)
    file, word = rng.choice(sorted(state["work"])), rng.choice(WORDS)
    message = f"Rewrite for {word}"
    return Case(
        request=f"{HERE}Commit the change to {file}, and nothing else, with the message "
        f'"{message}".',
        state=state,
        calls=(at("git_add", files=[file]), at("git_commit", message=message)),
    )


def _newest(rng: random.Random) -> Case:
    state = repository(rng, 5)
    message = state["branches"]["main"]["commits"][-1]["message"]
    return Case(
        request=f"{HERE}What is the message of the newest commit? Answer with it alone.",
        state=state,
        calls=(at("git_log", max_count=1),),
        answer=message,
    )


def _who_changed(rng: random.Random) -> Case:
    """Look through the history for the commit that last brought a word into a file."""
    state = repository(rng, 7)
    commits = state["branches"]["main"]["commits"]
    place = rng.randrange(1, len(commits))
    path = next(iter(commits[place]["files"]))
    mark = rng.choice(("quartz", "velvet", "zephyr"))
    commits[place]["files"][path] += f" {mark}"
    hashes = [at("git_show", revision=f"HEAD~{back}") for back in range(len(commits) - place)]
    return Case(
        request=f"{HERE}One commit brought the word {mark} into {path}. What is that commit's "
        "message? Answer with it alone.",
        state=state,
        calls=(at("git_log", max_count=20), *hashes),
        answer=commits[place]["message"],
    )


def _start_fix(rng: random.Random) -> Case:
    """A branch from another branch, with a change committed there."""
    state = repository(rng, 4)
    base, new = rng.sample(BRANCHES, 2)
    _branch(rng, state, base)
    path = "notes.md"
    state["work"] = {path: _text(rng)}
    message = f"Note what {rng.choice(WORDS)} means"
    return Case(
        request=f"{HERE}Make a branch {new} that begins where {base} is, and on it commit the new "
        f'file {path} with the message "{message}". Which branch did you start from: which file '
        "does its own commit add? Answer with the file's name.",
        state=state,
        calls=(
            at("git_create_branch", branch_name=new, base_branch=base),
            at("git_checkout", branch_name=new),
            at("git_show", revision="HEAD"),
            at("git_add", files=[path]),
            at("git_commit", message=message),
        ),
        answer=f"{base}.md",
    )


def _in_the_way(rng: random.Random) -> Case:
    """A change stands in the way of the checkout: git refuses until it is committed."""
    state = repository(rng, 4)
    branch = rng.choice(BRANCHES)
    _branch(rng, state, branch)
    path = rng.choice(sorted(state["branches"]["main"]["commits"][0]["files"]))
    state["branches"][branch]["commits"][0]["files"][path] = _text(rng)
    state["work"] = {path: _text(rng)}
    message = f"Keep {rng.choice(WORDS)}"
    return Case(
        request=f"{HERE}Go over to the branch {branch}. If a change that is not committed stands "
        f'in the way, first commit it where we are, with the message "{message}".',
        state=state,
        calls=(
            at("git_add", files=[path]),
            at("git_commit", message=message),
            at("git_checkout", branch_name=branch),
        ),
    )


def _one_by_one(rng: random.Random) -> Case:
    """Everything is staged together, and shall be commits of one file each on a new branch."""
    state = repository(rng, 4, changed=4)
    state["index"], state["work"] = state["work"], {}
    new = rng.choice(BRANCHES)
    mark = rng.choice(WORDS)
    kept = [path for path, text in sorted(state["index"].items()) if mark in text.split()]
    calls = [
        at("git_diff_staged"),
        at("git_reset"),
        at("git_create_branch", branch_name=new),
        at("git_checkout", branch_name=new),
    ]
    for path in kept:
        calls += [at("git_add", files=[path]), at("git_commit", message=f"Update {path}")]
    return Case(
        request=f"{HERE}Four changed files are staged. Unstage them all. On a new branch {new}, "
        f"which you stay on, commit each of them whose staged text contains the word {mark}, one "
        'commit a file in alphabetical order of paths, with the message "Update PATH". Leave the '
        "others as they are, not staged. How many commits did you make? Answer with the number.",
        state=state,
        calls=tuple(calls),
        answer=str(len(kept)),
    )


def _later(rng: random.Random) -> Case:
    state = repository(rng, 3, changed=1)
    return Case(
        request=f"{HERE}I will commit my change to {next(iter(state['work']))} myself. Just "
        "say all right.",
        state=state,
        answer="all right",
    )


def _which_command(rng: random.Random) -> Case:
    command, text = rng.choice(
        (
            ("rebase", "replays commits on another base"),
            ("stash", "puts changes of the working tree aside"),
            ("bisect", "finds the commit that broke something by halving"),
        )
    )
    return Case(
        request=f"Which git command {text}: rebase, stash or bisect? Answer with that word.",
        state=repository(rng, 2),
        answer=command,
    )


JOB = Job(
    name="git",
    tools=tuple(OPERATIONS),
    operations=OPERATIONS,
    settled=final,
    examples=EXAMPLES,
    tool_sets=TOOL_SETS,
    levels={
        1: tuple(
            Kind(name=f"{tool}-{number}", make=_one(text, tool), tools=(tool,))
            for tool, texts in LEVEL_1.items()
            for number, text in enumerate(texts)
        ),
        2: (Kind(name="save", make=_save), Kind(name="newest", make=_newest)),
        3: (Kind(name="who-changed", make=_who_changed), Kind(name="start-fix", make=_start_fix)),
        4: (Kind(name="in-the-way", make=_in_the_way),),
        5: (Kind(name="one-by-one", make=_one_by_one),),
    },
    no_call=(Kind(name="later", make=_later), Kind(name="which-command", make=_which_command)),
    needless=at("git_status"),
)
PLACE = RepositoryPlace()
