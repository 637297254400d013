from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from qbench.errors import ConfigError, EngineError, Unsupported
from qbench.kernels.formats import FORMATS, Format, fitted, get_format
from qbench.kernels.linears.layers import AppliedFormat
from qbench.kernels.linears.linear import EmulatedLinear, Inputs, apply_format, prepare
from qbench.kernels.paths import multiplies_in
from qbench.kernels.reference import FLOATS, dequantize, fake_quantize, quantize
from qbench.kernels.rotation import rotate

QUANTIZED = sorted(name for name, fmt in FORMATS.items() if fmt.weights)
BLOCKS = 2
PROMPT = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def llama(dtype: torch.dtype = torch.bfloat16) -> LlamaForCausalLM:
    """Columns of 576 and 192, as a real small model has; the head is the embedding."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=576,
        intermediate_size=128,
        num_hidden_layers=BLOCKS,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    nn.Module.to(model, dtype)
    model.train(mode=False)
    return model


def two_steps(layer: nn.Linear, fmt: Format, values: Tensor) -> Tensor:
    fit = fitted(fmt, layer.in_features)
    assert fit.weights is not None
    weight = layer.weight.detach()
    if fit.rotation is not None:
        weight, values = rotate(weight.float(), fit.rotation), rotate(values, fit.rotation)
    weight = dequantize(quantize(weight, fit.weights), FLOATS[fmt.storage])
    if fit.activations is not None:
        values = fake_quantize(values, fit.activations)
    return functional.linear(values, weight, layer.bias)


def one_layer(*, bias: bool) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(576, 40, bias=bias).bfloat16())


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [1, 7])
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_layer_is_bit_for_bit_the_two_steps(name: str, tokens: int, bias: bool) -> None:
    values = torch.randn(2, tokens, 576).bfloat16()
    model = one_layer(bias=bias)
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    expected = two_steps(layer, get_format(name), values)
    apply_format(model, get_format(name))
    assert isinstance(model[0], EmulatedLinear)
    assert torch.equal(model(values), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", QUANTIZED)
def test_wide_arithmetic_rounds_once_and_uses_the_same_weights(name: str) -> None:
    values = torch.randn(5, 576).bfloat16()
    narrow, wide = one_layer(bias=True), one_layer(bias=True)
    fmt = fitted(get_format(name), 576)
    apply_format(narrow, fmt)
    apply_format(wide, fmt, multiply_in="float32")
    assert torch.equal(narrow[0].get_parameter("weight").float(), wide[0].get_parameter("weight"))
    rounded = prepare(values, Inputs(scheme=fmt.activations, rotation=fmt.rotation))
    exact = functional.linear(
        rounded.float(), wide[0].get_parameter("weight"), wide[0].get_parameter("bias")
    )
    assert torch.equal(wide(values), exact.bfloat16())
    assert wide(values).dtype is torch.bfloat16


@torch.no_grad()
@pytest.mark.parametrize("name", QUANTIZED)
def test_every_linear_layer_but_the_head_is_replaced(name: str) -> None:
    model = llama()
    applied = apply_format(model, get_format(name))
    kinds = {n: type(m) for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert kinds == {"lm_head": nn.Linear}
    assert applied.layers == 7 * BLOCKS
    assert applied.skipped == ("lm_head",)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert bool(model(PROMPT).logits.isfinite().all())


@torch.no_grad()
def test_quantized_answers_differ_from_bf16_a_little() -> None:
    baseline = llama()(PROMPT).logits.float()
    far = {}
    for name in QUANTIZED:
        model = llama()
        apply_format(model, get_format(name))
        far[name] = float((model(PROMPT).logits.float() - baseline).norm() / baseline.norm())
    assert all(0 < distance < (1.5 if name == "w2a16" else 0.5) for name, distance in far.items())
    assert far["w8a16"] < far["w8a8"] < far["w4a16"] < far["w3a16"] < far["w2a16"]


def test_groups_are_fitted_layer_by_layer_and_said() -> None:
    applied = apply_format(llama(), get_format("w4a16"))
    assert applied.effective == "w4a16 group 64 and 128"
    only_64 = apply_format(one_layer(bias=False), get_format("w4a16"))
    assert only_64.effective == "w4a16 group 64"
    assert only_64.bits_per_weight == 4.25
    only_128 = apply_format(nn.Sequential(nn.Linear(256, 8)), get_format("w4a16"))
    assert (only_128.effective, only_128.bits_per_weight) == ("w4a16", 4.125)


def test_packed_bytes_count_codes_scales_and_the_rest() -> None:
    applied = apply_format(one_layer(bias=True), get_format("w8a8"))
    assert applied.weight_bytes_packed == 40 * 576 + 40 * 2 + 40 * 2
    assert applied.bits_per_weight == pytest.approx(8 + 16 / 576)
    applied = apply_format(one_layer(bias=True), get_format("w4a16"))
    assert applied.weight_bytes_packed == 40 * 576 // 2 + 40 * 9 * 2 + 40 * 2
    bytes_16 = 2 * sum(parameter.numel() for parameter in llama().parameters())
    assert apply_format(llama(), get_format("bf16")).weight_bytes_packed == bytes_16


@pytest.mark.parametrize(("name", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_float_formats_only_cast(name: str, dtype: str) -> None:
    model = llama(torch.float32)
    applied = apply_format(model, get_format(name))
    assert applied == AppliedFormat(
        effective=name,
        layers=0,
        bits_per_weight=16.0,
        weight_bytes_packed=applied.weight_bytes_packed,
        skipped=(),
    )
    assert {str(p.dtype) for p in model.parameters()} == {f"torch.{dtype}"}
    assert model.model.rotary_emb.inv_freq.dtype is torch.float32
    assert isinstance(model.model.layers[0].mlp.up_proj, nn.Linear)


@torch.no_grad()
def test_wide_bf16_is_bf16_in_another_order() -> None:
    narrow, wide = llama(), llama()
    applied = apply_format(wide, get_format("bf16"), multiply_in="float32")
    assert (applied.layers, applied.bits_per_weight) == (0, 16.0)
    assert isinstance(wide.lm_head, EmulatedLinear)
    assert wide.model.embed_tokens.weight.dtype is torch.bfloat16
    torch.testing.assert_close(
        wide(PROMPT).logits, narrow(PROMPT).logits, rtol=0.05, atol=0.05, check_dtype=True
    )


def test_weights_that_are_kept_take_no_more_memory_than_promised() -> None:
    model = llama()
    before = sum(p.nbytes for p in model.parameters())
    apply_format(model, get_format("fp8"))
    assert sum(p.nbytes for p in model.parameters()) == before
    wide = llama()
    apply_format(wide, get_format("fp8"), multiply_in="float32")
    assert sum(p.nbytes for p in wide.parameters()) <= 2.5 * before


def test_full_precision_weights_are_quantized_before_they_are_cast() -> None:
    model = nn.Sequential(nn.Linear(64, 8))
    fmt = get_format("w8a16")
    assert fmt.weights is not None
    expected = dequantize(
        quantize(model[0].get_parameter("weight").detach(), fmt.weights), torch.bfloat16
    )
    apply_format(model, fmt)
    assert torch.equal(model[0].get_parameter("weight"), expected)


def test_skipped_layers_are_named() -> None:
    applied = apply_format(llama(), get_format("fp8"), skip=("lm_head", "down_proj"))
    assert applied.layers == 6 * BLOCKS
    assert applied.skipped == (
        *(f"model.layers.{block}.mlp.down_proj" for block in range(BLOCKS)),
        "lm_head",
    )


def test_a_model_whose_matrices_are_elsewhere_is_refused() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50))
    with pytest.raises(Unsupported, match=r"w4a16 cannot be emulated.*c_attn.*vllm"):
        apply_format(model, get_format("w4a16"))
    assert apply_format(model, get_format("bf16")).effective == "bf16"


def test_columns_that_no_group_divides_leave_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 4))
    with pytest.raises(Unsupported, match="none divides a layer with 8"):
        apply_format(model, get_format("w4a16"))
    assert {type(layer) for layer in model} == {nn.Linear}


def test_a_layer_with_two_names_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(32, 32)
            self.again = self.first

    with pytest.raises(Unsupported, match="again shares its module"):
        apply_format(Twice(), get_format("fp8"))


def test_a_second_format_is_refused() -> None:
    model = one_layer(bias=False)
    apply_format(model, get_format("fp8"))
    with pytest.raises(ConfigError, match=r"has a number format already.*Load it again"):
        apply_format(model, get_format("w4a16"))


def test_narrower_arithmetic_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be multiplied in float16"):
        apply_format(one_layer(bias=False), get_format("bf16"), multiply_in="float16")


@torch.no_grad()
def test_nan_is_refused_in_weights_and_activations() -> None:
    model = one_layer(bias=False)
    apply_format(model, get_format("w8a8"))
    with pytest.raises(EngineError, match="peak at nan"):
        model(torch.full((1, 576), math.nan).bfloat16())
    damaged = one_layer(bias=False)
    damaged[0].get_parameter("weight")[3, 4] = math.inf
    with pytest.raises(EngineError, match="peak at inf"):
        apply_format(damaged, get_format("w4a16"))


def test_what_a_cpu_multiplies_in() -> None:
    assert multiplies_in(get_format("bf16"), "x86_64 avx2") == "float32"
    assert multiplies_in(get_format("w4a16"), "x86_64 avx2") == "float32"
    assert multiplies_in(get_format("fp8"), "x86_64 amx_bf16 avx512_bf16") == "bfloat16"
    assert multiplies_in(get_format("fp16"), "x86_64 avx512_bf16") == "float32"
    assert multiplies_in(get_format("bf16"), "aarch64") == "bfloat16"
    assert multiplies_in(get_format("bf16"), "sm_90") == "bfloat16"


def test_a_layer_prints_what_it_is() -> None:
    model = one_layer(bias=False)
    apply_format(model, get_format("fp8"))
    assert "in=576, out=40, activations=e4m3" in repr(model)
