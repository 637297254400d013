"""What is known of the number formats before anything is run: the same for terminal and REST."""

from __future__ import annotations

from msgspec import Struct

from qbench.errors import Unsupported
from qbench.kernels.formats import FORMATS, Format, get_format
from qbench.kernels.paths import ComputePath, Way, architecture_of, own_way, way
from qbench.kernels.sizes import LLAMA_8B, Shape, Size, size_of
from qbench.service.reports.values import SCHEMA

GENERATIONS = ("sm_80", "sm_89", "sm_90", "sm_100")
"""Ampere, Ada, Hopper, Blackwell: the compute capabilities that a list shows side by side."""


class FormatFacts(Struct, frozen=True, kw_only=True):
    """A number format."""

    name: str
    bits_per_weight: float
    """Scales included, in the shape that sizes are told in."""
    path: ComputePath
    """What an optimised engine does with it on ``architecture``."""
    about: str
    source: str
    recipe: str = "rtn"
    """How its weights are made where nobody says otherwise."""
    kernel: str = ""
    """Family of kernels; empty where unknown."""
    note: str = ""
    paths: dict[str, ComputePath] = {}
    """By compute capability."""
    size: Size | None = None
    """None where the format does not fit the shape; ``note`` says why."""


class Formats(Struct, frozen=True, kw_only=True):
    """Number formats on an architecture."""

    architecture: str
    formats: tuple[FormatFacts, ...]
    model: str = LLAMA_8B.name
    """Whose shape sizes are told in."""
    schema: int = SCHEMA


class FormatPage(Struct, frozen=True, kw_only=True):
    """One format, looked at closely."""

    format: Format
    facts: FormatFacts
    architecture: str
    embedded: Way
    """What the embedded engine does with it."""
    model: str = LLAMA_8B.name
    schema: int = SCHEMA


def known_formats(place: str, shape: Shape = LLAMA_8B) -> Formats:
    """Describe every preset on ``place``, a GPU's name or an architecture. Raises NotFound."""
    architecture = architecture_of(place)
    facts = tuple(facts_of(fmt, architecture, shape) for fmt in FORMATS.values())
    return Formats(architecture=architecture, formats=facts, model=shape.name)


def format_page(name: str, place: str, shape: Shape = LLAMA_8B) -> FormatPage:
    """Describe one preset on ``place``. Raises NotFound for an unknown format or GPU."""
    fmt, architecture = get_format(name), architecture_of(place)
    return FormatPage(
        format=fmt,
        facts=facts_of(fmt, architecture, shape),
        architecture=architecture,
        embedded=own_way(fmt, architecture),
        model=shape.name,
    )


def facts_of(fmt: Format, architecture: str, shape: Shape) -> FormatFacts:
    """Describe a format on an architecture, in the size of a shape."""
    served = way(fmt, architecture)
    size, note = _size(fmt, architecture, shape)
    return FormatFacts(
        name=fmt.name,
        bits_per_weight=size.bits_per_weight if size else fmt.bits_per_weight(4096),
        path=served.path,
        about=fmt.about,
        source=fmt.paper,
        recipe=fmt.recipe,
        kernel=served.kernel,
        note=" ".join(filter(None, (served.note, note))),
        paths={one: way(fmt, one).path for one in GENERATIONS},
        size=size,
    )


def _size(fmt: Format, architecture: str, shape: Shape) -> tuple[Size | None, str]:
    try:
        return size_of(fmt, shape, architecture), ""
    except Unsupported as error:
        return None, str(error)
