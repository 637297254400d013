"""The price book: dated YAML with a source for every number, ours and the user's.

Files hold ``machines`` (dollars per hour, by commitment) and ``models`` (dollars per million
tokens, for API models that the public lists lack or that the user pays differently), and the facts
of ``qbench.service.facts``. The user's file or folder, named by ``QBENCH_PRICES``, replaces ours by
name. ``docs/money.md`` and ``docs/cost-of-pass.md`` show them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import ConfigError, NotFound, PriceMissing
from qbench.service.facts import (
    Electricity,
    Expert,
    Power,
    Release,
    compiled,
    normal,
    positive,
    sourced,
)
from qbench.service.money import Commitment, MachinePrice, Rates, Tier, TokenPrice

SHIPPED = Path(__file__).parent / "prices"
USER_PRICES = "QBENCH_PRICES"
"""Environment variable with the user's own YAML file, or a folder of them."""

KINDS = frozenset({"machines", "models", "experts", "releases", "power", "electricity"})

_Entry = TypeVar("_Entry", "Machine", "Model", Expert, Release, Power, Electricity)
_Fact = TypeVar("_Fact", "Model", Expert, Release, Power)


class MachineRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dated number of a machine."""

    commitment: Commitment = "on-demand"
    dollars_per_hour: Decimal
    """Of one device or virtual CPU."""
    from_devices: int = 1
    """Fewest devices in one machine at which this rate is sold."""
    provider: str
    source: str
    via: str = ""
    checked: date
    valid_from: date
    """First day it is known to hold: the day it was read, where the source gives none."""
    valid_until: date | None = None
    note: str = ""

    def __post_init__(self) -> None:
        positive(self.dollars_per_hour, "dollars_per_hour")
        sourced(self.source)


class Machine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of device, the names that engines report for it, and its rates."""

    name: str
    matches: tuple[str, ...] = ()
    """Regular expressions for whole normalised names (lower case, words joined by ``-``).
    A group called ``units`` is the number of virtual CPUs."""
    prices: tuple[MachineRate, ...]
    origin: str = ""

    def __post_init__(self) -> None:
        compiled(self.matches)

    @property
    def counted(self) -> bool:
        """Whether a name must say how many units there are: ``cpu`` alone has no price."""
        return any("(?P<units>" in pattern for pattern in self.matches)


class ModelRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dated set of rates of an API model."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    per_request: Decimal = Decimal(0)
    source: str
    checked: date
    valid_from: date
    valid_until: date | None = None

    def __post_init__(self) -> None:
        for rates in (self.rates, *(tier.rates for tier in self.tiers)):
            for field, value in msgspec.structs.asdict(rates).items():
                if value is not None:
                    positive(value, field)
        positive(self.per_request, "per_request")
        sourced(self.source)


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API model in litellm's spelling and its rates."""

    name: str
    prices: tuple[ModelRate, ...]
    origin: str = ""


class PriceBook(Struct, frozen=True, kw_only=True):
    """What the YAML files say. Look-ups return None for what has no price at that moment."""

    machines: tuple[Machine, ...]
    models: tuple[Model, ...]
    experts: tuple[Expert, ...] = ()
    releases: tuple[Release, ...] = ()
    power: tuple[Power, ...] = ()
    electricity: tuple[Electricity, ...] = ()

    def days(self) -> tuple[date, ...]:
        """Return every day on which a price of the book begins or ends, the first one first."""
        dated: list[MachineRate | ModelRate | Electricity] = [*self.electricity]
        dated += [rate for machine in self.machines for rate in machine.prices]
        dated += [rate for model in self.models for rate in model.prices]
        ends = {one.valid_until for one in dated if one.valid_until is not None}
        return tuple(sorted({one.valid_from for one in dated} | ends))

    def expert(self, suite: str) -> Expert | None:
        """Return what an expert's answer in a suite costs; None where nobody said."""
        return next((entry for entry in self.experts if entry.name == suite.lower()), None)

    def release(self, model: str) -> Release | None:
        """Return when a model was released; None where the book does not know."""
        wanted = normal(model.rsplit("/", 1)[-1])
        for entry in self.releases:
            if normal(entry.name) == wanted or any(re.fullmatch(p, wanted) for p in entry.matches):
                return entry
        return None

    def watts(self, hardware: str, *, devices: int = 1) -> tuple[Power, Decimal] | None:
        """Return what ``devices`` devices of ``hardware`` draw at most; None where unknown."""
        found = self._machine(hardware)
        if found is None:
            return None
        machine, units = found
        entry = next((entry for entry in self.power if entry.name == machine.name), None)
        return None if entry is None else (entry, entry.watts * units * devices)

    def kilowatt_hour(self, at: datetime) -> Electricity | None:
        """Return the newest price of electricity in force at ``at``; None where there is none."""
        known = [entry for entry in self.electricity if _in_force(entry, _day(at))]
        return max(known, key=lambda entry: entry.valid_from, default=None)

    def machine_price(
        self,
        hardware: str,
        at: datetime,
        commitment: Commitment = "on-demand",
        *,
        devices: int = 1,
    ) -> MachinePrice | None:
        """Return the price of ``devices`` devices of ``hardware`` in force at ``at``.

        Args:
            hardware: a price-book name, or what an engine reports (``cpu-16core``,
                ``NVIDIA H100 80GB HBM3``).
            at: UTC.
            commitment: how the machine is paid for.
            devices: in one machine; larger machines can have a lower rate per device.

        """
        found = self._machine(hardware)
        if found is None:
            return None
        machine, units = found
        rates = [
            rate
            for rate in machine.prices
            if rate.commitment == commitment
            and rate.from_devices <= devices
            and _in_force(rate, _day(at))
        ]
        if not rates:
            return None
        rate = max(rates, key=lambda rate: (rate.valid_from, rate.from_devices))
        return _resolve(machine, rate, hardware=hardware, units=units * devices)

    def model_price(self, model: str, at: datetime) -> TokenPrice | None:
        """Return the book's own price of an API model; the public lists are in ``apiprices``."""
        found = next((entry for entry in self.models if entry.name == model.lower()), None)
        rates = [] if found is None else [r for r in found.prices if _in_force(r, _day(at))]
        if found is None or not rates:
            return None
        rate = max(rates, key=lambda rate: rate.valid_from)
        return TokenPrice(name=found.name, origin=found.origin, **msgspec.structs.asdict(rate))

    def machine_missing(self, hardware: str, commitment: Commitment = "on-demand") -> PriceMissing:
        """Build the error for a machine without a price."""
        found = self._machine(hardware)
        hint = f"Write it into a YAML file named by {USER_PRICES}: see docs/money.md."
        if found is not None:
            sold = ", ".join(sorted({rate.commitment for rate in found[0].prices}))
            hint = f"{found[0].name} has prices for {sold}. {hint}"
        else:
            names = [machine.name for machine in self.machines]
            short = normal(hardware).removeprefix("nvidia-")
            hint = f"{NotFound.among('machine', short, names).hint} {hint}"
        return PriceMissing(f"There is no {commitment} price for {hardware!r}.", hint=hint)

    def _machine(self, hardware: str) -> tuple[Machine, int] | None:
        wanted = normal(hardware)
        for machine in self.machines:
            if wanted == machine.name and not machine.counted:
                return machine, 1
        for machine in self.machines:
            for pattern in machine.matches:
                if match := re.fullmatch(pattern, wanted):
                    return machine, int(match.groupdict().get("units") or 1)
        return None


def read_prices(environ: Mapping[str, str] = os.environ) -> PriceBook:
    """Read the shipped price book and the user's over it.

    Raises:
        ConfigError: a file cannot be read or an entry is wrong; names file, entry and field.

    """
    shipped = read_book(SHIPPED)
    own = environ.get(USER_PRICES, "")
    return overlay(shipped, read_book(Path(own).expanduser())) if own else shipped


def read_book(path: Path) -> PriceBook:
    """Read one YAML file, or all of a folder. Raises ConfigError as ``read_prices``."""
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(
            f"There is no YAML file in the price folder {path}.",
            hint=f"Put one there or unset {USER_PRICES}.",
        )
    read = [(file, _content(file)) for file in files]

    def every(key: str, kind: type[_Entry]) -> tuple[_Entry, ...]:
        return tuple(entry for file, said in read for entry in _entries(said, key, kind, file))

    return PriceBook(
        machines=every("machines", Machine),
        models=every("models", Model),
        experts=every("experts", Expert),
        releases=every("releases", Release),
        power=every("power", Power),
        electricity=every("electricity", Electricity),
    )


def overlay(under: PriceBook, over: PriceBook) -> PriceBook:
    """Return ``under`` with what ``over`` names replaced.

    A model or a fact is replaced whole. A machine keeps its names, and its rates of other
    commitments. Electricity of the user replaces all of ours.
    """
    known = {machine.name: machine for machine in under.machines}
    machines = {entry.name: _over(known.get(entry.name), entry) for entry in over.machines}
    return PriceBook(
        machines=(*machines.values(), *(m for m in under.machines if m.name not in machines)),
        models=_replaced(under.models, over.models),
        experts=_replaced(under.experts, over.experts),
        releases=_replaced(under.releases, over.releases),
        power=_replaced(under.power, over.power),
        electricity=over.electricity or under.electricity,
    )


def _replaced(under: tuple[_Fact, ...], over: tuple[_Fact, ...]) -> tuple[_Fact, ...]:
    named = {entry.name for entry in over}
    return over + tuple(entry for entry in under if entry.name not in named)


def _over(under: Machine | None, over: Machine) -> Machine:
    if under is None:
        return over
    given = {rate.commitment for rate in over.prices}
    kept = tuple(rate for rate in under.prices if rate.commitment not in given)
    return replace(over, matches=over.matches or under.matches, prices=(*over.prices, *kept))


class _Loader(yaml.SafeLoader):
    """Reads numbers with a point as Decimal: 4.29 dollars are not 4.29000000000000003553."""


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    text = loader.construct_scalar(node)
    try:
        return Decimal(text.replace("_", ""))
    except ArithmeticError:
        raise yaml.constructor.ConstructorError(
            None, None, f"{text!r} is not a decimal number", node.start_mark
        ) from None


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


def _content(file: Path) -> dict[str, Any]:
    hint = f"Mend the file, or unset {USER_PRICES}."
    try:
        content = yaml.load(file.read_text("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"The price file {file} cannot be read: {error}.", hint=hint) from None
    content = {} if content is None else content
    if not isinstance(content, dict) or not set(content) <= KINDS:
        named = "', '".join(sorted(KINDS))
        raise ConfigError(f"The price file {file} is not a mapping of '{named}'.", hint=hint)
    return content


def _entries(content: dict[str, Any], key: str, kind: type[_Entry], file: Path) -> list[_Entry]:
    values = content.get(key) or []
    if not isinstance(values, list):
        raise ConfigError(f"In {file}, {key!r} is not a list.", hint="See docs/money.md.")
    return [_entry(value, key, number, kind, file) for number, value in enumerate(values, 1)]


def _entry(value: Any, key: str, number: int, kind: type[_Entry], file: Path) -> _Entry:
    name = value.get("name", "without a name") if isinstance(value, dict) else "not a mapping"
    where = f"In {file}, {key} entry {number} ({name})"
    try:
        entry = msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{where}: {error}.", hint="See docs/money.md for the fields.") from None
    return replace(entry, name=entry.name.lower(), origin=file.name)


def _resolve(machine: Machine, rate: MachineRate, *, hardware: str, units: int) -> MachinePrice:
    return MachinePrice(
        name=machine.name,
        hardware=hardware,
        commitment=rate.commitment,
        per_unit=rate.dollars_per_hour,
        units=units,
        provider=rate.provider,
        source=rate.source,
        via=rate.via,
        origin=machine.origin,
        checked=rate.checked,
        valid_from=rate.valid_from,
        valid_until=rate.valid_until,
        note=rate.note,
    )


def _in_force(rate: MachineRate | ModelRate | Electricity, day: date) -> bool:
    return rate.valid_from <= day and (rate.valid_until is None or day < rate.valid_until)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
