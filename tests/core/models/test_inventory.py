"""Memory against what a model needs, and the models that are offered."""

from __future__ import annotations

import pytest

from gelu_tui.core.models import inventory as models
from gelu_tui.core.models import memory
from gelu_tui.core.models.families import FAMILIES
from gelu_tui.core.models.inventory import HubSize
from gelu_tui.core.models.memory import ALLOWANCE_BYTES, Memory
from gelu_tui.core.reports.models import before_fetching

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("weights", "verdict"), [(GB, "fits"), (7 * GB, "fits"), (8 * GB, "tight"), (9 * GB, "too big")]
)
def test_verdict(weights: int, verdict: str) -> None:
    assert Memory(16 * GB, 8 * GB, 8 * GB).verdict(weights) == verdict


def test_what_the_loaded_model_holds_comes_free() -> None:
    assert Memory(16 * GB, 8 * GB, 8 * GB).plus(2 * GB) == Memory(16 * GB, 10 * GB, 10 * GB)
    assert Memory(16 * GB, 8 * GB, 8 * GB).plus(99 * GB).usable_bytes == 16 * GB
    on_metal = Memory(16 * GB, 2 * GB, 10 * GB, on_metal=True)
    assert on_metal.plus(2 * GB) == Memory(16 * GB, 4 * GB, 10 * GB, on_metal=True)
    on_cuda = Memory(24 * GB, 10 * GB, 10 * GB, on_cuda=True)
    assert on_cuda.plus(2 * GB) == Memory(24 * GB, 12 * GB, 12 * GB, on_cuda=True)


def test_this_machine() -> None:
    found = memory.machine_memory()
    assert 0 < found.usable_bytes <= found.total_bytes
    assert 0 < found.free_bytes <= found.total_bytes


# --- what can be fetched ------------------------------------------------------------------------


PUBLIC = models.public_models(on_gpu=True)


def test_only_served_families_are_offered_and_gated_ones_are_marked() -> None:
    families = {model.family for model in PUBLIC}
    assert families == {"gemma", "gemma2", "gemma3_text", "gemma3", "gemma3n", "gemma4"}
    assert families <= FAMILIES.keys()
    assert {model.id for model in PUBLIC if model.gated} == {"google/gemma-7b-it"}


def test_what_the_hub_tells_replaces_the_estimate() -> None:
    assert all(model.estimated and model.needed_bytes for model in PUBLIC)
    told = PUBLIC[0].with_size(HubSize(PUBLIC[0].id, 5, 7))
    assert (told.download_bytes, told.weight_bytes, told.estimated) == (5, 7, False)
    assert told.needed_bytes == 7 + ALLOWANCE_BYTES
    assert PUBLIC[0].with_size(None) == PUBLIC[0]


def test_on_a_cpu_weights_of_16_bits_take_twice_the_memory() -> None:
    for gpu, cpu in zip(PUBLIC, models.public_models(on_gpu=False), strict=True):
        assert gpu.weight_bytes is not None
        assert cpu.weight_bytes == gpu.weight_bytes * (1 if gpu.id.endswith("4bit") else 2)
        assert cpu.download_bytes == gpu.download_bytes


@pytest.mark.parametrize(
    ("name", "is_it"),
    [("a/gemma-3-4b-it-4bit", True), ("a/gemma-8-bit-mlx", True), ("a/gemma-3-270m-it-bf16", False),
     ("google/gemma-7b-it", False), ("a/gemma-2b-orbit", False)],
)  # fmt: skip
def test_a_quantized_model_by_its_name(name: str, is_it: bool) -> None:
    assert models.is_quantized(name) is is_it


def test_the_cpu_and_quantized_weights_are_told_before_a_fetch() -> None:
    quantized, floating = (next(m for m in PUBLIC if m.id.endswith(e)) for e in ("4bit", "bf16"))
    cpu, gpu = Memory(64 * GB, 32 * GB, 32 * GB), Memory(64 * GB, 32 * GB, 32 * GB, on_cuda=True)
    assert "very slow" in before_fetching(quantized, cpu)
    assert "very slow" not in before_fetching(quantized, gpu) + before_fetching(floating, cpu)
