from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qbench.workers.engines.schemes import (
    FORMATS,
    READERS,
    Scheme,
    contradiction,
    find_config,
    read_scheme,
    scheme_of,
)


def compressed(
    bits: int, kind: str = "int", *, group: int | None = None, activations: int | None = None
) -> dict[str, Any]:
    inputs = {"num_bits": activations, "type": kind} if activations else None
    layers = {
        "weights": {"num_bits": bits, "type": kind, "group_size": group},
        "input_activations": inputs,
        "targets": ["Linear"],
    }
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": layers}}


def rotated(told: dict[str, Any], **scheme: Any) -> dict[str, Any]:
    use = {"location": "input", "targets": ["Linear"]}
    groups = {"R": {"type": "hadamard", "apply": [use], **scheme}}
    return {**told, "transform_config": {"config_groups": groups}}


@pytest.mark.parametrize(
    ("told", "label", "formats"),
    [
        (None, "unquantized", {"bf16", "fp16", "fp32"}),
        (
            compressed(4, group=128),
            "compressed-tensors int4 group 128, activations 16",
            {"w4a16", "w4a16-awq"},
        ),
        (
            compressed(8, "float", activations=8),
            "compressed-tensors float8, activations 8",
            {"fp8", "fp8-block"},
        ),
        (compressed(8, activations=8), "compressed-tensors int8, activations 8", {"w8a8"}),
        (
            compressed(4, "float", group=16, activations=4),
            "compressed-tensors float4 group 16, activations 4",
            {"nvfp4"},
        ),
        (
            compressed(4, "float", group=32),
            "compressed-tensors float4 group 32, activations 16",
            {"mxfp4a16"},
        ),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": -1},
            "gptq int4, activations 16",
            {"w4a16", "w4a16-awq"},
        ),
        (
            {"quant_method": "awq", "w_bit": 4, "q_group_size": 128},
            "awq int4 group 128, activations 16",
            {"w4a16", "w4a16-awq"},
        ),
        ({"quant_method": "fp8"}, "fp8 float8, activations 8", {"fp8"}),
        (
            {"quant_method": "fp8", "weight_block_size": [128, 128]},
            "fp8 float8 in blocks, activations 8",
            {"fp8-block"},
        ),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False},
            "gptq int4 group 128 with zero points, activations 16",
            {"w4a16", "w4a16-awq"},
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "FP8"},
            "modelopt float8, activations 8 by fixed scales",
            {"fp8"},
        ),
        (
            compressed(8, "float", group=32, activations=8),
            "compressed-tensors float8 group 32, activations 8",
            {"mxfp8"},
        ),
        (
            {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
            },
            "bitsandbytes normal4 group 64, activations 16",
            {"nf4"},
        ),
        (
            rotated(compressed(4, "float", group=32, activations=4), head_dim=64),
            "compressed-tensors float4 group 32, activations 4, rotated by 64",
            {"mxfp4-mr"},
        ),
        (
            rotated(compressed(4, activations=4, group=32)),
            "compressed-tensors int4 group 32, activations 4, rotated by all columns",
            {"int4-mr"},
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "NVFP4"},
            "modelopt float4 group 16, activations 4",
            {"nvfp4"},
        ),
    ],
)
def test_a_checkpoint_is_what_its_config_says_and_nothing_else(
    told: dict[str, Any] | None, label: str, formats: set[str]
) -> None:
    scheme = scheme_of({"quantization_config": told} if told else {})
    assert scheme is not None
    assert scheme.label == label
    assert {name for name in FORMATS if not contradiction(name, scheme)} == formats


def test_a_contradiction_names_both_sides() -> None:
    said = contradiction("w4a16", Scheme(method="gptq", kind="int", bits=8))
    assert said == "the checkpoint holds gptq int8, activations 16, which is not w4a16"


def test_what_is_mixed_is_named_and_what_is_unknown_is_not_judged() -> None:
    fitted = compressed(4, group=128)
    fitted["config_groups"]["group_1"] = compressed(4, group=64)["config_groups"]["group_0"]
    scheme = scheme_of({"quantization_config": fitted})
    assert scheme is not None
    assert scheme.label == "compressed-tensors int4 group 64 and 128, activations 16"
    assert contradiction("w4a16", scheme) == ""
    mixed = compressed(4)
    mixed["config_groups"]["group_1"] = compressed(8)["config_groups"]["group_0"]
    both = scheme_of({"quantization_config": mixed})
    assert both is not None
    assert both.label == "compressed-tensors mixed: int4, activations 16; int8, activations 16"
    assert [name for name in FORMATS if not contradiction(name, both)] == [
        "w8a16",
        "w4a16",
        "w4a16-awq",
    ]
    assert scheme_of({"quantization_config": {"quant_method": "of-tomorrow"}}) is None
    assert contradiction("of-tomorrow", Scheme(method="")) == ""


def test_blocks_and_fixed_scales_are_told_apart() -> None:
    told = compressed(8, "float", activations=8)
    group = told["config_groups"]["group_0"]
    group["weights"]["strategy"] = "block"
    blocks = scheme_of({"quantization_config": told})
    assert blocks is not None
    assert "in blocks" in blocks.label
    assert contradiction("fp8", blocks)
    assert not contradiction("fp8-block", blocks)
    group["weights"]["strategy"] = "channel"
    group["input_activations"]["dynamic"] = False
    fixed = scheme_of({"quantization_config": told})
    assert fixed is not None
    assert fixed.label.endswith("activations 8 by fixed scales")
    assert contradiction("fp8-block", fixed)


def test_the_file_of_modelopt_is_read_where_the_config_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    told = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(told))
    scheme = read_scheme(tmp_path / "config.json")
    assert scheme is not None
    assert scheme.label == "modelopt float4 group 16, activations 4"


def test_nested_text_models_are_read_too() -> None:
    scheme = scheme_of({"text_config": {"quantization_config": {"quant_method": "fp8"}}})
    assert scheme is not None
    assert scheme.bits == 8


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    method=st.sampled_from([*READERS, "x"]),
    told=st.dictionaries(st.sampled_from(["config_groups", "bits", "group_size", "x"]), ANY),
)
def test_no_config_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, method: str, told: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps({"quantization_config": {**told, "quant_method": method}}))
    assert isinstance(read_scheme(path), Scheme | None)


def test_a_folder_and_the_newest_snapshot_of_the_hub_cache_are_found(tmp_path: Path) -> None:
    snapshots = tmp_path / "hub" / "models--org--model" / "snapshots"
    for age, name in ((100, "new"), (200, "old")):
        (snapshots / name).mkdir(parents=True)
        config = snapshots / name / "config.json"
        config.write_text("{}")
        os.utime(config, (1e9 - age, 1e9 - age))
    assert find_config("org/model", {"HF_HOME": str(tmp_path)}) == snapshots / "new/config.json"
    cache = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert find_config("org/model", cache) == snapshots / "new/config.json"
    assert find_config(str(snapshots / "old"), {}) == snapshots / "old/config.json"
    assert find_config("org/other", {"HF_HOME": str(tmp_path)}) is None
