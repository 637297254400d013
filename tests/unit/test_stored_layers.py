"""Layers of other people's checkpoints: packed here number by number, read back, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from qbench.errors import ConfigError, Unsupported
from qbench.kernels.checkpoints.packing import pack
from qbench.kernels.floats import E2M1
from qbench.kernels.formats import NF4_BLOCK
from qbench.kernels.reference import dequantize, quantize
from qbench.workers.embedded.stored import Layer
from qbench.workers.embedded.stored_layers import reader_of

ROWS, COLUMNS, GROUP = 16, 64, 16
AWQ_PLACES = (0, 2, 4, 6, 1, 3, 5, 7)
"""The column of eight that lies in each half byte of a word, lowest first (AutoAWQ's GEMM)."""


def draw(high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def scales(*shape: int) -> Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(9))
    return (0.01 + drawn).to(torch.float16)


def words(values: list[int], bits: int) -> list[int]:
    """Pack unsigned numbers densely into signed 32-bit words, lowest bit first."""
    whole = sum(value << (bits * place) for place, value in enumerate(values))
    count = -(-len(values) * bits // 32)
    found = [(whole >> (32 * place)) & 0xFFFFFFFF for place in range(count)]
    return [word - (1 << 32) if word >= 1 << 31 else word for word in found]


def packed(codes: Tensor, bits: int) -> Tensor:
    """Pack the rows of ``codes``."""
    return torch.tensor([words(row.tolist(), bits) for row in codes], dtype=torch.int32)


def read(told: dict[str, Any], **parts: Tensor) -> Layer:
    return reader_of(told)("layer", {name.replace("__", "."): part for name, part in parts.items()})


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq(bits: int, ordered: bool) -> None:
    codes, zeros = draw(1 << bits, ROWS, COLUMNS), draw((1 << bits) - 1, ROWS, COLUMNS // GROUP)
    scale = scales(ROWS, COLUMNS // GROUP)
    group = draw(COLUMNS // GROUP, COLUMNS) if ordered else torch.arange(COLUMNS) // GROUP
    made = read(
        {"quant_method": "gptq", "bits": bits, "group_size": GROUP},
        qweight=packed(codes, bits).t().contiguous(),
        qzeros=packed(zeros.t(), bits),
        scales=scale.t().contiguous(),
        g_idx=group.to(torch.int32),
    )
    expected = (codes - zeros[:, group] - 1) * scale.float()[:, group]
    assert torch.equal(made.weight, expected)
    second = read(
        {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "checkpoint_format": "gptq_v2"},
        qweight=packed(codes, bits).t().contiguous(),
        qzeros=packed(zeros.t(), bits),
        scales=scale.t().contiguous(),
        g_idx=group.to(torch.int32),
    )
    assert torch.equal(second.weight, (codes - zeros[:, group]) * scale.float()[:, group])


def _awq_words(codes: Tensor) -> Tensor:
    """Pack (rows, columns) eight columns a word in AutoAWQ's order."""
    order = [8 * block + place for block in range(codes.shape[1] // 8) for place in AWQ_PLACES]
    return packed(codes[:, order], 4)


def test_awq() -> None:
    codes, zeros = draw(16, ROWS, COLUMNS), draw(16, ROWS, COLUMNS // GROUP, seed=1)
    scale = scales(ROWS, COLUMNS // GROUP)
    made = read(
        {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"},
        qweight=_awq_words(codes.t()),
        qzeros=_awq_words(zeros.t()),
        scales=scale.t().contiguous(),
    )
    group = torch.arange(COLUMNS) // GROUP
    assert torch.equal(made.weight, (codes - zeros[:, group]) * scale.float()[:, group])


def _e4m3(*shape: int) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    return drawn.to(torch.float8_e4m3fn)


def test_blocks_of_deepseek_at_the_edges() -> None:
    codes, scale = _e4m3(40, 72), torch.rand(3, 5)
    told = {"quant_method": "fp8", "weight_block_size": [16, 16], "activation_scheme": "dynamic"}
    made = read(told, weight=codes, weight_scale_inv=scale)
    for row, column in ((0, 0), (39, 71), (16, 15), (31, 64)):
        expected = codes[row, column].float() * scale[row // 16, column // 16]
        assert made.weight[row, column] == expected
    assert made.inputs.scheme is not None
    assert (made.inputs.scheme.strategy, made.inputs.scheme.group) == ("group", 16)


def test_plain_fp8_with_fixed_and_with_live_scales() -> None:
    codes, scale = _e4m3(8, 32), torch.tensor(0.25)
    told = {"quant_method": "fp8", "activation_scheme": "static"}
    fixed = read(told, weight=codes, weight_scale=scale, input_scale=torch.tensor(0.5))
    assert torch.equal(fixed.weight, codes.float() / 4)
    assert fixed.inputs.scale == 0.5
    live = read({"quant_method": "fp8"}, weight=codes, weight_scale=scale)
    assert live.inputs.scheme is not None
    assert live.inputs.scheme.strategy == "token"


def test_modelopt() -> None:
    codes, scale = _e4m3(8, 32), torch.tensor(0.25)
    told = {"quant_method": "modelopt", "quant_algo": "FP8"}
    plain = read(told, weight=codes, weight_scale=scale, input_scale=torch.tensor(0.5))
    assert torch.equal(plain.weight, codes.float() / 4)
    assert plain.inputs.scale == 0.5
    numbers, small = draw(16, 8, 32), _e4m3(8, 2).abs().float().clamp_min(0.1)
    small = small.to(torch.float8_e4m3fn)
    made = read(
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        weight=(numbers[:, ::2] | (numbers[:, 1::2] << 4)).to(torch.uint8),
        weight_scale=small,
        weight_scale_2=torch.tensor(0.125),
        input_scale=torch.tensor(0.5),
    )
    for row, column in ((0, 0), (7, 31), (3, 16)):
        value = E2M1.value(int(numbers[row, column]))
        assert made.weight[row, column] == value * small[row, column // 16].float() * 0.125
    assert made.inputs.global_scale == 2.0


def test_bitsandbytes() -> None:
    weight = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(2)).bfloat16()
    made = quantize(weight, NF4_BLOCK)
    parts = pack(made, "bitsandbytes")
    told = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    layer = reader_of(told)("layer", parts)
    assert torch.equal(layer.weight, dequantize(made, torch.float32))
    with pytest.raises(Unsupported, match="quantized twice"):
        reader_of(told)("layer", parts | {"weight.nested_absmax": torch.ones(1)})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"quant_method": "mxfp4"}, "mxfp4 has no reader"),
        ({}, "an unnamed method"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "gemv"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "W4A8_AWQ"),
        ({"quant_method": "bitsandbytes", "bnb_4bit_quant_type": "fp4"}, "only NF4"),
        (
            {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8}},
            "keys and values",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "transform_config": {
                    "config_groups": {"a": {"type": "hadamard", "apply": [{"location": "k_cache"}]}}
                },
            },
            "k_cache",
        ),
    ],
)
def test_what_nothing_here_computes_is_refused_by_name(told: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        reader_of(told)


def _group(**changes: Any) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16}
    made: dict[str, Any] = {"targets": ["Linear"], "weights": weights, "format": "pack-quantized"}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": made | changes}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "marlin-24"}, "marlin-24"),
        ({"output_activations": {"num_bits": 8}}, "outputs"),
        (
            {"input_activations": {"num_bits": 8, "strategy": "tensor", "dynamic": True}},
            "a whole batch",
        ),
        ({"targets": ["re:other.*"]}, "names the layer"),
        ({"weights": {"num_bits": 5, "type": "int"}}, "5 bits"),
    ],
)
def test_layers_that_nothing_here_computes_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        reader_of(_group(**changes))("layer", {})


def test_the_closest_target_wins() -> None:
    told = _group()
    close: Callable[..., dict[str, Any]] = lambda bits, target: {  # noqa: E731
        "targets": [target],
        "weights": {"num_bits": bits, "type": "int", "strategy": "channel"},
        "format": "pack-quantized",
    }
    told["config_groups"] |= {"group_1": close(8, "re:.*up"), "group_2": close(2, "mlp.up")}
    for name, bits in (("mlp.down", 4), ("a.up", 8), ("mlp.up", 2)):
        codes = torch.zeros(2, 16, dtype=torch.int8)
        parts = {
            "weight_packed": packed(codes.int() + (1 << (bits - 1)), bits),
            "weight_scale": torch.ones(2, 1),
            "weight_shape": torch.tensor([2, 16]),
        }
        assert torch.equal(reader_of(told)(name, parts).weight, torch.zeros(2, 16)), name


def test_a_column_order_is_followed() -> None:
    codes = draw(16, 4, 32) - 8
    order = draw(2, 32).to(torch.int32)
    scale = scales(4, 2).bfloat16()
    layer = reader_of(_group())(
        "layer",
        {
            "weight_packed": packed(codes + 8, 4),
            "weight_scale": scale,
            "weight_shape": torch.tensor([4, 32]),
            "weight_g_idx": order,
        },
    )
    assert torch.equal(layer.weight, codes * scale.float()[:, order.long()])


def test_a_layer_without_its_scale_is_damaged() -> None:
    with pytest.raises(ConfigError, match="weight_scale"):
        reader_of(_group())(
            "layer",
            {
                "weight_packed": torch.zeros(2, 2, dtype=torch.int32),
                "weight_shape": torch.tensor([2, 16]),
            },
        )
