"""Making behind the cache, with a maker that takes no time: sharing, damage, kills, failures."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qbench.errors import QuantizationFailed, Unsupported
from qbench.kernels.formats import get_format
from qbench.workers.checkpoints import here
from qbench.workers.quantize import Made, Wish, cache, ensure, environment, making
from qbench.workers.quantize.cache import MANIFEST, cached_checkpoint, entries
from qbench.workers.quantize.calibration import Calibration, Tokens, find_tokens
from qbench.workers.quantize.identity import weights_digest
from qbench.workers.quantize.layouts import measure
from qbench.workers.quantize.locks import in_thread
from qbench.workers.quantize.making import Watch, ensure_entry
from tests.tiny_model import save_tiny_model

TOOL = environment.Tool(python=sys.executable, versions={"llmcompressor": "0.14.0.1"})
FAKE = Path(__file__).parents[1] / "fake_maker.py"
WISH = Wish(calibration=Calibration(samples=4, length=64))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the fake in the place of llm-compressor."""
    monkeypatch.setenv("QBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"log": str(tmp_path / "log")}))
    use_fake(monkeypatch)
    return tmp_path


def use_fake(patch: pytest.MonkeyPatch) -> None:
    """Let makers be the fake, and tokens be there without transformers."""
    patch.setattr(making, "SCRIPT", FAKE)
    patch.setattr(making, "find_tool", lambda: TOOL)
    patch.setattr(cache, "find_tool", lambda: TOOL)
    tokens = Tokens(path="tokens", probe="probe", digest="d" * 64)
    patch.setattr(making, "ready_tokens", lambda *_: tokens)
    patch.setattr(cache, "find_tokens", lambda *_: tokens)


def runs(home: Path) -> int:
    log = home / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def first_maker(home: Path) -> int:
    """Return the process id of the first maker."""
    return int((home / "log").read_text().split()[0])


def make(model: Path, name: str = "w4a16", recipe: str = "") -> Made:
    return ensure(str(model), name, recipe=recipe, say=lambda _: None, wish=WISH)


def test_made_once_found_again_and_described(tiny: Path, home: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    assert cached_checkpoint(str(tiny), "w4a16", "gptq", WISH) is None
    watch = Watch(lambda _: None, lambda *told: steps.append(told))
    first = ensure_entry(str(tiny), "w4a16", recipe="gptq", wish=WISH, watch=watch)
    assert steps == [(n, 3, f"model.layers.{n}") for n in range(3)]
    made = make(tiny, recipe="gptq")
    assert made.path == first.path
    assert runs(home) == 1
    assert cached_checkpoint(str(tiny), "w4a16", "gptq", WISH) == Path(made.path)
    assert made.label == "w4a16 by gptq (llm-compressor 0.14.0.1)"
    (entry,) = entries()
    told = entry.manifest
    assert (told.format, told.recipe, told.mean_error) == ("w4a16", "gptq", 0.25)
    assert set(told.files) >= {"model.safetensors", "config.json", "tokenizer.json", "README.md"}
    assert "Licence" in (Path(made.path) / "README.md").read_text()
    assert not list(Path(made.path).parent.glob(".making-*"))


def test_other_wishes_are_other_checkpoints(tiny: Path, home: Path) -> None:
    wishes = [
        WISH,
        Wish(calibration=WISH.calibration, seed=1),
        Wish(calibration=WISH.calibration, options={"dampening": 0.1}),
        Wish(calibration=WISH.calibration, layers={"down_proj": "bf16"}),
        Wish(calibration=WISH.calibration, layers={"down_proj": "w8a16"}),
    ]
    made = [
        ensure(str(tiny), "w4a16", recipe="gptq", say=lambda _: None, wish=wish) for wish in wishes
    ]
    assert len({one.fingerprint for one in made}) == len(wishes) == runs(home)


def test_other_weights_of_the_same_name_are_another_checkpoint(home: Path) -> None:
    folder = home / "model"
    first = make(save_tiny_model(folder, seed=0))
    second = make(save_tiny_model(folder, seed=1))
    assert first.fingerprint != second.fingerprint
    assert runs(home) == 2


def test_the_digest_of_weights_is_kept_and_notices_changes(home: Path) -> None:
    source = here(str(save_tiny_model(home / "model")))
    assert source
    first = weights_digest(source)
    assert weights_digest(source) == first
    weights = home / "model" / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert weights_digest(source) != first


def test_damage_is_found_by_checksum_and_mended(tiny: Path, home: Path) -> None:
    said: list[str] = []
    made = make(tiny)
    weights = Path(made.path) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert cached_checkpoint(str(tiny), "w4a16", wish=WISH) is None
    again = ensure(str(tiny), "w4a16", say=said.append, wish=WISH)
    assert again == made
    assert weights.read_bytes() == whole
    assert any("damaged" in line for line in said)
    (Path(made.path) / MANIFEST).write_text("{")
    assert make(tiny) == made
    assert runs(home) == 3


def test_many_who_want_the_same_share_one_making(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"log": str(home / "log"), "sleep": 0.3}))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: make(tiny), range(4)))
    assert len({one.path for one in found}) == 1
    assert runs(home) == 1


async def test_a_caller_that_is_cancelled_stops_the_maker(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = str(home / "log")
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"log": log, "sleep": 60}))

    def work(stop: threading.Event) -> Made:
        return ensure(str(tiny), "w4a16", say=lambda _: None, wish=WISH, stop=stop)

    making_it = asyncio.create_task(in_thread(work))
    while not runs(home):
        await asyncio.sleep(0.02)
    waiting = asyncio.create_task(in_thread(work))  # for the lock
    await asyncio.sleep(0.3)
    for task in (waiting, making_it):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    maker = first_maker(home)
    while _lives(maker):
        await asyncio.sleep(0.02)
    monkeypatch.setenv("FAKE_MAKER", "{}")
    assert make(tiny) == make(tiny)
    assert runs(home) == 1


KILLED = """
import sys
import pytest
from pathlib import Path
from tests.integration import test_quantize_cache as tests
tests.use_fake(pytest.MonkeyPatch())
tests.make(Path(sys.argv[1]))
"""


def test_a_killed_process_leaves_no_lock_no_maker_and_no_half(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = os.environ | {
        "FAKE_MAKER": json.dumps({"log": str(home / "log"), "sleep": 60}),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    doomed = subprocess.Popen([sys.executable, "-c", KILLED, str(tiny)], env=environ)
    deadline = time.monotonic() + 30
    while not runs(home) and time.monotonic() < deadline:
        time.sleep(0.02)
    maker = first_maker(home)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"log": str(home / "log")}))
    made = make(tiny)
    assert Path(made.path).is_dir()
    assert not list(Path(made.path).parent.glob(".making-*"))
    while _lives(maker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _lives(maker)


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except FileNotFoundError:
        return False


def test_a_makers_failure_is_told_by_its_last_line(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"fail": "the checkpoint has NaN in q_proj"}))
    with pytest.raises(QuantizationFailed, match="could not be made: the checkpoint has NaN"):
        make(tiny)
    assert not entries()
    assert not list((home / "cache" / "quantized" / "models" / "tiny").glob("[!.]*"))


def test_errors_that_are_no_numbers_are_no_checkpoint(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    monkeypatch.setenv("FAKE_MAKER", json.dumps({"nan": True}))
    with pytest.raises(QuantizationFailed, match=r"could not be made|NaN"):
        make(tiny)
    assert not entries()


def test_no_room_is_said_before_anything_is_made(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(QuantizationFailed, match="too full"):
        make(tiny)
    assert runs(home) == 0


def test_without_llm_compressor_the_doctor_is_named(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    made = make(tiny)
    for module in (making, cache):
        monkeypatch.setattr(module, "find_tool", lambda: None)
    assert make(tiny) == made  # what was made with any version will do
    with pytest.raises(QuantizationFailed, match="doctor --fix"):
        make(tiny, "w8a8")


def test_what_is_quantized_already_is_no_source(home: Path) -> None:
    folder = save_tiny_model(home / "model")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match="gptq int4 group 128"):
        make(folder)


def test_sizes_are_measured_from_the_files(tiny: Path, home: Path) -> None:
    del home
    made = make(tiny, "w8a8")
    size = measure(tiny, Path(made.path))
    (entry,) = entries()
    assert entry.manifest.size == size
    assert size.quantized == 21
    # the fake keeps float32 weights and adds a float32 scale per row
    weights = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64)
    rows = 3 * (64 + 32 + 32 + 64 + 128 + 128 + 64)
    assert size.bits_per_weight == pytest.approx(32 + 32 * rows / weights)
    assert size.bytes == (Path(made.path) / "model.safetensors").stat().st_size


def test_tokens_are_not_there_before_they_are_made(tiny: Path, home: Path) -> None:
    del home
    assert find_tokens(tiny, WISH.calibration) is None
    assert get_format("w4a16").recipe == "rtn"
