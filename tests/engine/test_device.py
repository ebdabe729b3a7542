"""What is chosen by the device, on devices that this machine may not have."""

from __future__ import annotations

import os
from collections.abc import Mapping

import mlx.core as mx
import pytest

from gelu_tui.core import backends
from gelu_tui.core.models.memory import Memory, machine_memory
from gelu_tui.engine import device

GB = 1_000_000_000
METAL = {"max_recommended_working_set_size": 12 * GB, "device_name": "Apple M9"}
CUDA = {"total_memory": 24 * GB, "free_memory": 20 * GB, "device_name": "NVIDIA"}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> object:
    def becomes(info: Mapping[str, object], *wheels: str) -> None:
        monkeypatch.setattr(device, "on_gpu", lambda: True)
        monkeypatch.setattr(mx, "device_info", lambda: info)
        monkeypatch.setattr(backends, "installed", lambda: dict.fromkeys(wheels, "1"))

    return becomes


def test_the_memory_of_an_nvidia_gpu_is_its_own(on) -> None:  # type: ignore[no-untyped-def]
    on(CUDA, "mlx-cuda-12")
    assert device.memory() == Memory(24 * GB, 20 * GB, 20 * GB, on_cuda=True)
    assert device.memory().on_gpu


def test_what_does_not_fit_into_it_may_use_the_machines(on) -> None:  # type: ignore[no-untyped-def]
    on(CUDA, "mlx-cuda-12")
    assert device.free_memory() > 20 * GB


def test_a_mac_has_one_memory(on) -> None:  # type: ignore[no-untyped-def]
    on(METAL)
    assert device.free_memory() == 12 * GB - mx.get_active_memory()
    assert not device.memory().on_cuda


def test_a_cuda_wheel_without_a_gpu_is_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "installed", lambda: {"mlx-cuda-12": "1"})
    monkeypatch.setattr(device, "on_gpu", lambda: False)
    assert device.memory().total_bytes == machine_memory().total_bytes
    assert not device.memory().on_gpu and device.prefill_chunk() <= 256


@pytest.mark.parametrize("info", [METAL, CUDA], ids=["metal", "cuda"])
def test_every_gpu_gets_the_chunks_of_mlx_lm(on, info) -> None:  # type: ignore[no-untyped-def]
    on(info)
    assert device.prefill_chunk("bfloat16") == 2048


@pytest.mark.parametrize(("given", "kept"), [(None, "0"), ("1", "1")])
def test_float32_is_float32_unless_the_user_says_otherwise(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLX_ENABLE_TF32", given or "")
    if given is None:
        monkeypatch.delenv("MLX_ENABLE_TF32")
    device.prefer_full_float32()
    assert os.environ["MLX_ENABLE_TF32"] == kept
