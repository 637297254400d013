from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qbench.errors import ConfigError, NotFound, Unsupported
from qbench.kernels.formats import FORMATS, Format, fitted, get_format
from qbench.kernels.paths import compute_path
from qbench.kernels.schemes import SMALLEST_GROUP, Scheme

NAMES = st.sampled_from(sorted(FORMATS))
COLUMNS = st.integers(min_value=1, max_value=1 << 16)


def test_formats_are_read_without_torch() -> None:
    code = (
        "import sys, qbench.kernels.formats\n"
        "heavy = {'torch', 'triton', 'transformers', 'vllm', 'litellm', 'numpy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@given(name=NAMES, flips=st.lists(st.booleans(), min_size=10, max_size=10))
def test_names_are_found_in_any_case(name: str, flips: list[bool]) -> None:
    letters = zip(name, flips, strict=False)
    mixed = "".join(letter.upper() if flip else letter for letter, flip in letters)
    assert get_format(f" {mixed} ") is FORMATS[name]


def test_an_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(NotFound, match=r"no format named 'w4a61'.*w4a16"):
        get_format("w4a61")


@given(name=NAMES)
def test_formats_survive_json(name: str) -> None:
    fmt = FORMATS[name]
    assert msgspec.json.decode(msgspec.json.encode(fmt), type=Format) == fmt
    assert fmt.effective_name == fmt.name == name


def test_bits_count_the_scales() -> None:
    w4a16 = get_format("w4a16")
    assert w4a16.bits_per_weight() == 4.125
    assert w4a16.bits_per_weight(4096) == 4.125
    assert fitted(w4a16, 576).bits_per_weight(576) == 4.25
    assert get_format("bf16").bits_per_weight(576) == get_format("fp16").bits_per_weight() == 16
    assert get_format("fp32").bits_per_weight() == 32


@given(columns=COLUMNS, name=st.sampled_from(["fp8", "w8a8", "w8a16"]))
def test_eight_bit_channels_cost_sixteen_bits_per_row_more(columns: int, name: str) -> None:
    assert get_format(name).bits_per_weight(columns) == pytest.approx(8 + 16 / columns, rel=1e-15)
    assert get_format(name).bits_per_weight() == 8


@given(columns=st.integers(min_value=1, max_value=4096).map(lambda n: n * SMALLEST_GROUP))
def test_a_fitted_group_is_the_largest_that_divides(columns: int) -> None:
    w4a16 = get_format("w4a16")
    fit = fitted(w4a16, columns)
    assert fit.weights is not None
    group = fit.weights.group
    assert group is not None
    assert columns % group == 0
    assert all(columns % larger for larger in (16, 32, 64, 128) if larger > group)
    assert fit.effective_name == ("w4a16" if group == 128 else f"w4a16 group {group}")
    assert fitted(fit, columns) == fit


@given(columns=COLUMNS)
def test_columns_that_no_group_divides_are_refused(columns: int) -> None:
    assume(columns % SMALLEST_GROUP)
    with pytest.raises(Unsupported, match=f"none divides a layer with {columns}.*w8a16"):
        fitted(get_format("w4a16"), columns)


@given(columns=COLUMNS, name=st.sampled_from(["bf16", "fp8", "w8a8", "w8a16"]))
def test_formats_without_groups_fit_anything(columns: int, name: str) -> None:
    assert fitted(get_format(name), columns) == get_format(name)


def test_576_columns_take_group_64() -> None:
    assert fitted(get_format("w4a16"), 576).effective_name == "w4a16 group 64"
    assert fitted(get_format("w4a16"), 1536).effective_name == "w4a16"


def test_a_group_that_is_no_power_of_two_is_kept_where_it_divides() -> None:
    fmt = Format(name="mine", weights=Scheme(element="int4", strategy="group", group=96))
    assert fitted(fmt, 576) == fmt
    assert fitted(fmt, 128).weights == Scheme(element="int4", strategy="group", group=64)


@pytest.mark.parametrize(
    ("strategy", "group"),
    [("group", None), ("channel", 64), ("group", 0), ("group", -16), ("channel", 0)],
)
def test_contradictory_groups_are_refused(strategy: str, group: int | None) -> None:
    with pytest.raises(ConfigError, match="positive group"):
        Scheme(element="int4", strategy=strategy, group=group)  # type: ignore[arg-type]


def test_floats_have_no_zero_point() -> None:
    with pytest.raises(ConfigError, match="zero point"):
        Scheme(element="e2m1", strategy="channel", symmetric=False)


@pytest.mark.parametrize(
    ("name", "architecture", "path"),
    [
        ("fp8", "sm_90", "native"),
        ("fp8", "sm_89", "native"),
        ("fp8", "sm_120", "native"),
        ("fp8", "sm_86", "weight-only fallback"),
        ("fp8", "sm_80", "weight-only fallback"),
        ("fp8", "sm_75", "weight-only fallback"),
        ("fp8", "sm_70", "unknown"),
        ("fp8", "x86_64 avx512_bf16", "emulated"),
        ("fp8-block", "x86_64 avx512_bf16", "unknown"),
        ("nvfp4", "x86_64 avx2", "emulated"),
        ("nvfp4", "sm_75", "weight-only fallback"),
        ("mxfp4", "sm_75", "unknown"),
        ("mxfp4", "sm_90", "emulated"),
        ("mxfp4a16", "sm_90", "native"),
        ("mxfp4a16", "sm_100", "native"),
        ("w4a8", "sm_90", "native"),
        ("w4a8", "sm_100", "unknown"),
        ("w4a8-fp4", "sm_100", "emulated"),
        ("w3a16", "sm_90", "native"),
        ("int4-mr", "sm_90", "emulated"),
        ("nvfp4-mr", "sm_80", "weight-only fallback"),
        ("nvfp4-mr", "sm_90", "emulated"),
        ("nvfp4-mr", "sm_100", "native"),
        ("w8a8", "sm_75", "native"),
        ("w8a8", "sm_90", "native"),
        ("w8a8", "sm_100", "unknown"),
        ("w8a8", "sm_120", "unknown"),
        ("w8a8", "sm_70", "unknown"),
        ("w8a8", "x86_64 avx512_bf16 avx512_vnni", "native"),
        ("w8a8", "x86_64 avx2", "unknown"),
        ("w4a16", "sm_80", "native"),
        ("w8a16", "sm_90", "native"),
        ("w4a16", "x86_64 avx2", "native"),
        ("w4a16", "sm_75", "unknown"),
        ("bf16", "sm_80", "native"),
        ("bf16", "sm_75", "unknown"),
        ("fp16", "sm_70", "native"),
        ("fp32", "aarch64", "native"),
    ],
)
def test_what_runs_without_emulation(name: str, architecture: str, path: str) -> None:
    assert compute_path(get_format(name), architecture, emulated=False) == path


@given(name=NAMES, architecture=st.sampled_from(["sm_80", "sm_90", "x86_64 avx512_bf16", ""]))
def test_emulation_is_said_of_every_quantized_format_and_no_other(
    name: str, architecture: str
) -> None:
    fmt = get_format(name)
    path = compute_path(fmt, architecture, emulated=True)
    assert path == ("emulated" if fmt.weights else "native")
