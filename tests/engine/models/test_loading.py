"""Bad models: each is refused with a sentence, before memory is spent on it where possible."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import mlx.core as mx
import psutil
import pytest

from gelu_tui.core import backends
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.models import loading
from gelu_tui.engine.models.checkpoint import open_checkpoint
from tests.support import in_process, tiny_models
from tests.support.permissions import closed


def refused(folder: Path | str) -> GeluError:
    with pytest.raises(GeluError) as caught:
        in_process.load(folder)
    assert caught.value.info.message.endswith(".")
    assert caught.value.info.hint
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_models.write(tmp_path / "model", "gemma3_text")


def test_what_is_said_of_a_model(folder: Path) -> None:
    loaded = in_process.load(folder)
    assert loaded.info.id == str(folder)
    assert loaded.info.family == "gemma3_text"
    assert loaded.info.dtype == "float32"
    assert loaded.info.quantization is None
    assert loaded.info.native_activation == "gelu_approx"
    assert loaded.info.sites == {"feed-forward": 4}
    assert loaded.context_length == 256
    size = (folder / "model.safetensors").stat().st_size
    assert 0.9 * size < loaded.weight_bytes <= size


def test_quantization_is_said(tmp_path: Path) -> None:
    loaded = in_process.load(tiny_models.write(tmp_path, "gemma", bits=4))
    assert loaded.info.quantization == {"group_size": 32, "bits": 4}
    assert loaded.info.native_activation == "gelu"


@pytest.mark.parametrize(("dtype", "expected"), [(None, "float32"), ("bfloat16", "bfloat16")])
def test_dtype(dtype: str | None, expected: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma2", dtype=mx.bfloat16)
    stored = "bfloat16" if device.on_gpu() and dtype is None else expected
    assert in_process.load(folder, dtype).info.dtype == stored


def test_two_backends_are_told_with_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process.load(folder).info.warnings == ()
    version = importlib.metadata.version("mlx")
    both = {"mlx-cpu": version, "mlx-cuda-12": version}
    monkeypatch.setattr(backends, "installed", lambda: both)
    (warning,) = in_process.load(folder).info.warnings
    assert warning.startswith("mlx-cpu and mlx-cuda-12 are installed together: ")
    assert "pip uninstall -y mlx-cpu mlx-cuda-12" in warning


def test_unknown_dtype(folder: Path) -> None:
    with pytest.raises(GeluError, match="'int3' is not a dtype"):
        in_process.load(folder, "int3")


def test_no_such_folder() -> None:
    assert refused("./nowhere").info.kind == "model_not_found"
    assert "mlx-community/" in refused("nowhere").info.hint


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    assert "is a file" in refused(folder / "config.json").info.message


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path).info.message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_may_not_be_read(name: str, folder: Path) -> None:
    with closed(folder / name):
        info = refused(folder).info
    assert "cannot be read: Permission denied." in info.message
    assert info.hint == "Correct its permissions."


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_broken_config(content: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert refused(folder).info.kind == "not_a_model"


@pytest.mark.parametrize("model_type", ["llama", "gemma9", "../gemma", None, 3, ["gemma"]])
def test_not_a_gemma(model_type: object, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    error = refused(folder)
    assert error.info.kind == "not_served"
    assert "gemma, gemma2, gemma3_text, gemma3" in error.info.hint


def test_code_of_a_repo_never_runs(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_file": "evil.py"}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    assert refused(folder).info.kind == "remote_code"
    assert not (tmp_path / "pwned").exists()


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error = refused(folder)
    assert error.info.kind == "weights_missing"
    assert "mlx_lm.convert" in error.info.hint


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_truncated_weights(keep: int, folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert refused(folder).info.kind == "weights_damaged"


@pytest.mark.parametrize("offsets", [[], [1], [0, 1, 2], ["a", "b"], [4, 2], None, {}])
def test_a_header_that_makes_no_sense(offsets: object, folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
    content = len(header).to_bytes(8, "little") + header + b"\0" * 64
    (folder / "model.safetensors").write_bytes(content)
    assert refused(folder).info.kind == "weights_damaged"


def test_a_blas_that_does_not_exist_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GELU_TUI_BLAS_PRELOADED", raising=False)
    monkeypatch.setattr(device, "on_gpu", lambda: False)
    monkeypatch.setenv("GELU_TUI_BLAS", "/nowhere/libblas.so")
    assert device.find_blas() is None
    assert device.blas_name() == "bundled with MLX (GELU_TUI_BLAS names no file)"
    monkeypatch.setenv("GELU_TUI_BLAS", "off")
    assert device.blas_name() == "bundled with MLX"


def test_unreadable_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)
    assert refused(folder).info.kind == "weights_damaged"


def test_weights_of_another_model(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    error = refused(folder)
    assert error.info.kind == "weights_damaged"
    assert "do not fit" in error.info.message


def test_too_large_for_memory_is_predicted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_memory", lambda: 1000)
    # If the prediction were not used, loading would go on and succeed.
    error = refused(folder)
    assert error.info.kind == "memory"
    assert "GB are free" in error.info.message


def test_prediction_counts_the_dtype(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "gemma", dtype=mx.bfloat16)
    opened = open_checkpoint(folder)
    stored = opened.weight_bytes
    assert stored == in_process.load(folder, "bfloat16").weight_bytes
    opened.cast("float32")
    assert opened.weight_bytes == 2 * stored == in_process.load(folder, "float32").weight_bytes


def test_free_memory_is_less_than_the_machine_has() -> None:
    assert 0 < device.free_memory() <= psutil.virtual_memory().total


def test_cancel_before_the_weights(folder: Path) -> None:
    with pytest.raises(Interrupted):
        loading.load(str(folder), None, lambda _: None, lambda: True)


def test_import_survives_a_low_limit_of_open_files() -> None:
    import subprocess
    import sys

    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024));"
        "from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm;"
        "import_mlx_lm(); print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
