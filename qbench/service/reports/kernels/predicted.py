"""Profiles that nobody measured: T(p, o) of a layer time, in the shape that runs are costed with.

A predicted profile says so in its label, carries the model's error, and is never kept in a file.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

from qbench import __version__
from qbench.benchmarks.analysis.efficiency.runtime import fit
from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.formats import get_format
from qbench.kernels.layertime.kernels import usable
from qbench.kernels.layertime.serving import Traffic
from qbench.service.domain import Endpoint, System, fingerprint
from qbench.service.profiles import Prediction, Profile, Summary, Timed, grid_of
from qbench.service.reports.efficiency.shapes import CONFIGS, transformer_named
from qbench.service.reports.kernels.known import known_rows
from qbench.service.reports.kernels.report import Predictor, Wanted

MARK = "predicted:"
"""Begins the name of a predicted profile: ``predicted:MODEL@FORMAT@GPU`` or ``...@ENGINE``."""
PROMPTS = (32, 128, 512, 2048, 8192)
OUTPUTS = (1, 16, 128, 512)
LOCAL = frozenset({"embedded", "vllm"})


def predictor_for(system: System, hardware: str) -> Predictor | None:
    """Return what predicts a system on a machine; None where rows, shape or format are missing.

    None as well for several GPUs, without CUDA graphs and for emulations.
    """
    model = transformer_named(system.model)
    if model is None or not hardware or system.engine not in LOCAL or _unlike(system):
        return None
    wanted = Wanted(gpu=hardware, engine=system.engine)
    try:
        found = Predictor.of(model, wanted, known_rows())
    except NotFound:
        return None
    return found if usable(found.kernels, system.format, system.engine) else None


def _unlike(system: System) -> bool:
    """Whether options make an engine run what no layer time tells."""
    told = system.options
    several = told.get("tensor_parallel", 1) != 1
    return several or told.get("device") == "cpu" or bool(told.get("eager") or told.get("emulate"))


def predicted_for(system: System, endpoint: Endpoint | None) -> Profile | None:
    """Return the predicted profile of a system where it was served.

    None for emulated formats and several devices, and where no error of predictions is known.
    """
    if endpoint is None or endpoint.devices != 1 or endpoint.path == "emulated":
        return None
    found = predictor_for(system, endpoint.hardware)
    if found is None or found.agreed.error is None:
        return None
    return _profile(found, system.model, system.format, endpoint.hardware)


def predicted_named(ref: str) -> Profile:
    """Return the profile that ``predicted:MODEL@FORMAT@GPU`` names.

    Raises:
        ConfigError: it is not of that form, or nothing says how far such predictions are off.
        NotFound: an unknown model, format or GPU.

    """
    parts = ref.removeprefix(MARK).split("@")
    if len(parts) not in (3, 4) or not all(parts):
        raise ConfigError(
            f"Cannot read {ref!r}.", hint=f"Write {MARK}llama-3.1-8b@w4a16@h100, or ...@h100@vllm."
        )
    name, fmt, gpu = parts[0], get_format(parts[1]).name, parts[2]
    model = transformer_named(name)
    if model is None:
        raise NotFound.among("model with a known shape", name, CONFIGS)
    engine = parts[3] if len(parts) == 4 else "embedded"
    found = Predictor.of(model, Wanted(gpu=gpu, engine=engine), known_rows())
    found.kernels.taken(fmt, engine)
    if found.agreed.error is None:
        raise Unsupported(
            f"Nothing says how far predictions of {engine} on {found.kernels.gpu} are off.",
            hint="Name another engine, or see `qbench kernels cost` for what is predicted.",
        )
    return _profile(found, model.name, fmt, found.kernels.gpu)


def source_of(found: Predictor) -> str:
    """Say where such numbers are from and how far off they are."""
    error = found.agreed.error
    known = "error unknown" if error is None else f"± {100 * error:.0f} %"
    return f"layer-time model on measured kernel rows, {known}"


def _profile(found: Predictor, model: str, fmt: str, hardware: str) -> Profile:
    error = found.agreed.error
    assert error is not None
    timings = tuple(
        Timed(prompt=prompt, output=output, seconds=_seconds(found, fmt, prompt, output))
        for prompt, output in product(PROMPTS, OUTPUTS)
    )
    taken, decoder = found.kernels.taken(fmt, found.engine), found.model.decoder
    return Profile(
        id=f"predicted-{fingerprint((model, fmt, hardware, found.engine))}",
        model=model,
        format=fmt,
        engine=found.engine,
        engine_key="",
        engine_version="",
        hardware=hardware,
        devices=1,
        architecture="",
        effective=fmt,
        kernel=taken.contestant,
        path="native",
        checkpoint="",
        made_at=datetime.now(UTC),
        version=__version__,
        load_s=0.0,
        timings=timings,
        fit=_summary(timings),
        weight_bytes=float(found.weights(fmt)),
        parameters=float(found.model.shape.parameters),
        hidden=decoder.hidden,
        layers=decoder.layers,
        predicted=Prediction(
            source=source_of(found),
            error=error,
            rows=sum(row.judged for row in found.agreed.rows),
        ),
    )


def _seconds(found: Predictor, fmt: str, prompt: int, output: int) -> float:
    return found.time(fmt).batch(Traffic(prompt=prompt, output=output)).seconds


def _summary(timings: tuple[Timed, ...]) -> Summary:
    made = fit(grid_of(timings), context=True)
    return Summary(
        prompts=tuple(int(prompt) for prompt in made.prompts),
        first=tuple(float(value) for value in made.table),
        per_token=made.per_token,
        r_squared=made.r_squared,
        worst_residual=float(abs(made.residuals).max()),
        context_change=None,
    )
