"""Packing: what is unpacked is what was packed, and a configuration names exactly what it means."""

from __future__ import annotations

import re

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.checkpoints.clipping import scales_by
from qbench.kernels.checkpoints.packing import (
    QUANT_STATE,
    layout_of,
    pack,
    pack_bits,
    unpack,
    unpack_bits,
)
from qbench.kernels.checkpoints.packing_config import arguments, quantization_config, scheme_of
from qbench.kernels.formats import FORMATS, Format, fitted
from qbench.kernels.reference import dequantize, quantize

PRESETS = sorted(name for name, fmt in FORMATS.items() if fmt.weights is not None)


def preset(name: str, columns: int = 192) -> Format:
    return fitted(FORMATS[name], columns)


@given(
    name=st.sampled_from(PRESETS),
    rows=st.integers(1, 150),
    wide=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_unpacking_undoes_packing(name: str, rows: int, wide: int, seed: int) -> None:
    fmt = preset(name, 64 * wide)
    assert fmt.weights is not None
    weight = torch.randn(rows, 64 * wide, generator=torch.Generator().manual_seed(seed))
    weight[rows // 2] = 0
    made = quantize(weight, fmt.weights)
    back = unpack(pack(made, layout_of(fmt)), fmt.weights, layout_of(fmt))
    assert back.scheme == made.scheme
    for mine, theirs in ((made.codes, back.codes), (made.scale, back.scale)):
        assert mine.dtype is theirs.dtype
        assert torch.equal(mine.float(), theirs.float())
    assert (made.zero is None) == (back.zero is None)
    if made.zero is not None and back.zero is not None:
        assert torch.equal(made.zero, back.zero)
    assert torch.equal(dequantize(made, torch.float32), dequantize(back, torch.float32))


@given(bits=st.integers(1, 8), columns=st.integers(1, 100), seed=st.integers(0, 99))
@settings(deadline=None)
def test_bits_have_no_gaps(bits: int, columns: int, seed: int) -> None:
    half = 1 << (bits - 1)
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(-half, half, (3, columns), generator=draw).to(torch.int8)
    words = pack_bits(codes, bits)
    assert words.dtype is torch.int32
    assert words.shape == (3, -(-columns * bits // 32))
    assert torch.equal(unpack_bits(words, bits, columns), codes)
    whole = sum(int(word) % (1 << 32) << 32 * at for at, word in enumerate(words[0].tolist()))
    assert [(whole >> bits * at) % (1 << bits) - half for at in range(columns)] == codes[0].tolist()


def test_packed_tensors_take_the_bits_that_are_counted() -> None:
    for name in PRESETS:
        fmt = preset(name)
        assert fmt.weights is not None
        named = pack(quantize(torch.randn(64, 192), fmt.weights), layout_of(fmt))
        counted = {"weight", "weight_packed", "weight_scale", "weight_zero_point"}
        counted |= {"weight_global_scale", "weight.absmax"}
        sizes = [8 * named[key].numel() * named[key].element_size() for key in counted & set(named)]
        assert sum(sizes) == fmt.packed_bits(64, 192), name


def test_four_bits_by_hand() -> None:
    words = pack_bits(torch.tensor([[-8, -7, 7, 0, 0, 0, 0, 0]], dtype=torch.int8), 4)
    assert words.tolist() == [[0x88888F10 - (1 << 32)]]


def test_two_codes_of_a_byte_stand_as_their_readers_expect() -> None:
    weight = torch.zeros(1, 64)
    weight[0, :3] = torch.tensor([6.0, -3.0, 1.0])
    mx, nf = preset("mxfp4a16", 64), preset("nf4", 64)
    assert mx.weights is not None
    assert nf.weights is not None
    low_first = pack(quantize(weight, mx.weights), layout_of(mx))["weight_packed"]
    assert low_first[0, :2].tolist() == [0x7 | 0xD << 4, 0x2]
    named = pack(quantize(weight, nf.weights), "bitsandbytes")
    assert named["weight"].shape == (32, 1)
    assert named["weight"][:2].flatten().tolist() == [0xF << 4 | 0x2, 0x9 << 4 | 0x7]
    state = msgspec.json.decode(bytes(named[QUANT_STATE].tolist()))
    assert state == {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [1, 64]}


def test_what_a_layout_cannot_hold_is_refused() -> None:
    scheme = FORMATS["mxfp4"].weights
    assert scheme is not None
    weight = torch.randn(4, 64)
    made = quantize(weight, scheme, scales=scales_by(weight, scheme, "three-quarters"))
    with pytest.raises(ConfigError, match="no powers of two"):
        pack(made, "mxfp4-pack-quantized")
    with pytest.raises(Unsupported, match="bf16 stores no codes"):
        layout_of(FORMATS["bf16"])
    with pytest.raises(ConfigError, match="no tensor 'weight_scale'; it has weight_packed"):
        unpack({"weight_packed": torch.zeros(1, 8, dtype=torch.uint8)}, scheme, layout_of(mx()))


def mx() -> Format:
    return FORMATS["mxfp4"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_scheme_is_read_as_it_was_written(name: str) -> None:
    fmt = preset(name)
    for scheme in (fmt.weights, fmt.activations):
        if scheme is None or scheme.element == "nf4":
            continue
        assert scheme_of(arguments(scheme), scheme.scale_dtype) == scheme


def layers() -> dict[str, int]:
    """Names and columns of two blocks of a small model and its head."""
    parts = {"self_attn.q_proj": 192, "self_attn.o_proj": 192, "mlp.up_proj": 192}
    parts["mlp.down_proj"] = 512
    named = {f"model.layers.{at}.{part}": size for at in (0, 1) for part, size in parts.items()}
    return named | {"lm_head": 192}


def meant(config: dict[str, object], name: str) -> list[str]:
    """Return the groups whose targets match a layer, as compressed-tensors reads them."""
    found = []
    for key, group in config["config_groups"].items():  # type: ignore[attr-defined]
        for target in group["targets"]:
            pattern = target.removeprefix("re:")
            hit = (
                re.match(pattern, name) if target.startswith("re:") else target in (name, "Linear")
            )
            found += [key] if hit else []
    return found


def test_layers_of_one_format_are_one_group() -> None:
    plan = {name: preset("w8a8", size) for name, size in layers().items() if name != "lm_head"}
    config = quantization_config(plan, layers())
    assert config["format"] == "int-quantized"
    assert config["ignore"] == ["lm_head"]
    assert config["config_groups"]["group_0"]["targets"] == ["Linear"]
    assert "transform_config" not in config


def test_every_layer_is_meant_once_where_groups_differ() -> None:
    plan = {name: preset("w4a16", size) for name, size in layers().items() if name != "lm_head"}
    plan["model.layers.1.mlp.up_proj"] = preset("w8a16")
    config = quantization_config(plan, layers())
    sizes = {}
    for name, fmt in plan.items():
        (group,) = meant(config, name)
        weights = config["config_groups"][group]["weights"]
        sizes[name] = (weights["num_bits"], weights.get("group_size"))
        assert fmt.weights is not None
        assert sizes[name] == (fmt.weights.element_bits, fmt.weights.group)
    assert len(set(sizes.values())) == 3
    assert meant(config, "lm_head") == []
    downs = meant(config, "model.layers.0.mlp.down_proj")[0]
    assert config["config_groups"][downs]["targets"] == [r"re:.*\.down_proj$"]


def test_rotations_are_told_by_block_size() -> None:
    plan = {name: preset("mxfp4-mr", size) for name, size in layers().items() if name != "lm_head"}
    config = quantization_config(plan, layers(), low_rank=4)
    transforms = config["transform_config"]["config_groups"]
    assert {name: one["head_dim"] for name, one in transforms.items()} == {
        "hadamard_64": 64,
        "hadamard_128": 128,
    }
    assert config["config_groups"]["group_0"]["targets"] == ["Linear"]
    assert config["low_rank"] == 4
    (online, offline) = transforms["hadamard_128"]["apply"]
    assert online["targets"] == offline["targets"] == [r"re:.*\.down_proj$"]
    assert (online["location"], offline["location"]) == ("input", "weight_input")


def test_nf4_is_bitsandbytes_and_stands_alone() -> None:
    plan = {name: preset("nf4", 64) for name in ("a.x", "a.y")}
    config = quantization_config(plan, ["a.x", "a.y", "lm_head"])
    assert config["quant_method"] == "bitsandbytes"
    assert config["llm_int8_skip_modules"] == ["lm_head"]
    plan["a.y"] = preset("w8a16")
    with pytest.raises(Unsupported, match="nf4 cannot stand beside other formats"):
        quantization_config(plan, ["a.x", "a.y"])
