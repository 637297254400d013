from __future__ import annotations

import pytest

from qbench.errors import ConfigError, NotFound
from qbench.kernels.formats import FORMATS, get_format
from qbench.kernels.paths import architecture_of, compute_path, multiplies_in, way
from qbench.kernels.sizes import LLAMA_8B, shape_of, size_of
from qbench.service.formats import format_page, known_formats

SMOLLM = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def test_shapes_have_the_published_numbers_of_parameters() -> None:
    assert LLAMA_8B.parameters == 8_030_261_248
    assert shape_of(SMOLLM, "SmolLM2-135M").parameters == 134_515_008


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),
        ("mxfp8", 8.25),
        ("nf4", 4.5),
        ("w4a16", 4.125),
        ("w4a16-awq", 4.15625),
        ("w3a16", 3.125),
        ("w2a16", 2.125),
        ("int4-mr", 4.5),
        ("fp8-block", 8 + 32 / 128**2),
        ("bf16", 16),
        ("layercast", 16),
    ],
)
def test_bits_per_weight_count_scales_exactly(name: str, bits: float) -> None:
    assert get_format(name).bits_per_weight(4096) == bits


def test_sizes_of_llama_8b_are_those_of_its_checkpoints() -> None:
    bf16 = size_of(get_format("bf16"), LLAMA_8B, "sm_90")
    assert bf16.file_bytes == 2 * LLAMA_8B.parameters
    w4a16 = size_of(get_format("w4a16"), LLAMA_8B, "sm_90")
    assert w4a16.file_bytes / 2**30 == pytest.approx(5.3, abs=0.1)
    assert w4a16.emulated_bytes == bf16.file_bytes


def test_groups_are_fitted_to_each_layer() -> None:
    size = size_of(get_format("w4a16"), shape_of(SMOLLM, "small"), "sm_90")
    assert 4.125 < size.bits_per_weight < 4.25


def test_shapes_that_cannot_be_told_are_refused() -> None:
    with pytest.raises(ConfigError, match="experts"):
        shape_of(SMOLLM | {"num_local_experts": 8}, "mixture")
    with pytest.raises(ConfigError, match="no hidden_size"):
        shape_of({}, "empty")


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("h100", "sm_90"),
        ("H100-SXM", "sm_90"),
        ("A100", "sm_80"),
        ("RTX 5090", "sm_120"),
        ("sm_89", "sm_89"),
        ("sm90a", "sm_90"),
        ("x86_64 avx2", "x86_64 avx2"),
        ("l40s", "sm_89"),
    ],
)
def test_gpus_are_known_by_name(name: str, architecture: str) -> None:
    assert architecture_of(name) == architecture


def test_unknown_gpus_get_close_names() -> None:
    with pytest.raises(NotFound, match="h100"):
        architecture_of("h1OO")


def test_nvfp4_is_a_fallback_then_lent_then_native() -> None:
    page = format_page("nvfp4", "h100")
    assert (page.facts.path, page.facts.kernel) == ("emulated", "qbench rounding, Triton")
    assert "multiplied in 16 bits" in page.facts.note
    assert compute_path(get_format("nvfp4"), "sm_80", emulated=False) == "weight-only fallback"
    assert (page.embedded.path, page.embedded.kernel) == ("emulated", "qbench rounding, Triton")
    assert format_page("nf4", "h100").embedded.path == "emulated"
    assert format_page("fp8", "h100").embedded.path == "native"
    assert format_page("fp8", "a100").embedded.path == "emulated"
    assert compute_path(get_format("nvfp4"), "sm_100", emulated=False) == "native"


def test_every_preset_is_described_on_every_generation() -> None:
    found = known_formats("h100")
    assert [fact.name for fact in found.formats] == list(FORMATS)
    assert all(fact.about and len(fact.paths) == 4 and fact.size for fact in found.formats)
    assert all(fact.source for fact in found.formats[3:])


def test_layercast_computes_in_float32_and_is_not_called_emulated() -> None:
    layercast = get_format("layercast")
    assert way(layercast, "x86_64 avx2", emulated=True).path == "native"
    assert multiplies_in(layercast, "x86_64 avx512_bf16") == "float32"
