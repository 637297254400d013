"""What a YAML file says of a suite, read strictly: a misspelt key is an error that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

from qbench.benchmarks.scoring.extraction import Rule
from qbench.errors import ConfigError

Kind = Literal[
    "exact", "contains", "regex", "number", "tolerance", "math", "choice", "ifeval", "matscibench"
]
"""How an answer is judged; see ``graders``."""


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the rows are: a data set of the hub, or files of the user's."""

    hub: str = ""
    """``owner/name``."""
    config: str = "default"
    split: str = "test"
    revision: str = "main"
    """A commit where it is known: what is asked must not change unseen."""
    files: tuple[str, ...] = ()
    """Within the hub's repository; empty: the Parquet files that the hub makes of each split."""
    gated: bool = False
    """The hub wants its terms accepted and a token (``HF_TOKEN``)."""
    path: str | tuple[str, ...] = ()
    """Local JSONL, JSON, CSV, TSV or Parquet, relative to the YAML file."""


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value made of a row."""

    text: str
    """A column's name, or a template over columns: ``{question} in {unit}``."""
    find: str = ""
    """A regular expression: its first group, or else its match, is the value."""
    map: dict[str, Any] = {}
    """Values by what was found; anything else is an error unless ``otherwise`` is set."""
    otherwise: Any = None


Written = str | Value


class Columns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which columns are what. A text with braces is a template, else the name of a column."""

    prompt: Written
    """``{choices}`` in it stands for the lettered choices, one a line."""
    answer: Written = ""
    choices: str | tuple[str, ...] = ()
    """A column with a list, or several columns."""
    id: Written = ""
    family: Written = ""
    level: Written = ""
    task: Written = ""
    details: dict[str, str] = {}
    """Columns kept as they are for the grader, by the name it knows them by."""


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How choices are lettered."""

    answer: Literal["letter", "text", "index"] = "letter"
    """What the answer column holds."""
    shuffled: bool = False
    """In an order drawn from the row's id: for sets that list the right one first."""
    line: str = "{letter}. {text}"


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worked example written in the file."""

    prompt: str
    answer: str


class Examples(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Worked examples before each question: written here, or the first rows of a file."""

    given: tuple[Given, ...] = ()
    rows: int = 0
    split: str = ""
    """Of the hub's data set; empty: the rows come from the suite's own data and are not asked."""
    files: tuple[str, ...] = ()
    path: str = ""
    answer: Written = ""
    """What the example answers, such as a worked solution; empty: as the grader reads it."""


class Grader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an answer is taken out of a reply, and judged."""

    kind: Kind = "exact"
    rules: tuple[Rule, ...] = ()
    """Where the final answer stands, in order of preference; empty: as is usual for the kind."""
    relative: float = 0.0
    absolute: float = 0.0
    """Of ``tolerance`` and ``math``: the larger one counts."""
    ignore_case: bool = True
    pattern: str = ""
    """Of ``regex``: what the whole final answer must match; empty: the answer is the pattern."""


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A declared suite."""

    name: str
    description: str = ""
    version: str = "1"
    """To be changed when the prompt or the grader is."""
    license: str = "unknown"
    """Of the questions."""
    source: Source
    columns: Columns
    tasks: tuple[str, ...] = ()
    """Empty: what the rows say."""
    levels: tuple[int, ...] = ()
    choices: Choices = Choices()
    only: dict[str, tuple[str, ...]] = {}
    """Rows that have one of these values in a column; all others are left out."""
    without: tuple[str, ...] = ()
    """Rows that have something in one of these columns are left out: images, for example."""
    system: str = ""
    examples: Examples = Examples()
    grader: Grader = Grader()
    canary: str = ""
    """Mark of a set that must not leak into logs and exports."""
    size: int = 0
    """Rows that the source is known to have; told in lists."""
    note: str = ""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that declares a suite. Raises ConfigError."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=_NEW) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {error}", hint=_NEW) from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} declares nothing.", hint=_NEW)
    return raw


def converted(raw: dict[str, Any], path: Path) -> Definition:
    """Make a definition of what a file says; its local files become absolute paths.

    Raises:
        ConfigError: it is no definition.

    """
    if isinstance(raw.get("grader"), str):
        raw = raw | {"grader": {"kind": raw["grader"]}}
    try:
        definition = msgspec.convert(raw, Definition)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.", hint="See docs/suites.md for its keys.") from None
    checked(definition, str(path))
    return located(definition, path.parent)


_NEW = "Start one with: qbench suites new NAME"


def checked(definition: Definition, where: str) -> None:
    """Refuse what cannot be meant. Raises ConfigError."""
    if not definition.name or set(definition.name) & set("/,@: "):
        raise ConfigError(
            f"{where}: the name {definition.name!r} has a blank or one of / , @ :.",
            hint="Use letters, digits and hyphens.",
        )
    if bool(definition.source.hub) == bool(definition.source.path):
        what = "both a hub and a path" if definition.source.hub else "nothing"
        raise ConfigError(
            f"{where}: source names {what}.",
            hint="Give source.hub (with source.split) or source.path.",
        )
    if definition.grader.kind == "choice" and not definition.columns.choices:
        raise ConfigError(
            f"{where}: the grader is 'choice' and columns.choices is missing.",
            hint="Name the column that lists the choices, or the columns that hold one each.",
        )


def located(definition: Definition, folder: Path) -> Definition:
    """Make the paths of local files absolute."""
    source, examples = definition.source, definition.examples
    files = tuple(str((folder / Path(one).expanduser()).resolve()) for one in local(source))
    shown = str((folder / Path(examples.path).expanduser()).resolve()) if examples.path else ""
    return msgspec.structs.replace(
        definition,
        source=msgspec.structs.replace(source, path=files),
        examples=msgspec.structs.replace(examples, path=shown),
    )


def local(source: Source) -> tuple[str, ...]:
    """Return the local files of a source, one or several."""
    return (source.path,) if isinstance(source.path, str) else source.path
