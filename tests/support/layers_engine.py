"""A stand-in for an engine that swaps layers: eight chunks of made-up figures for each function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.layers import chosen_variants
from tests.support.stand_in import CancelSeen, Died

if TYPE_CHECKING:
    from tests.support.fake_engine import FakeEngine

LAYERS = 18
CHUNKS, POSITIONS = 8, 64
NATIVE = "gelu_approx"


def started(command: p.Layers, layers: int = LAYERS) -> p.LayersStarted:
    """How it begins: one window of a text."""
    reference, variants = chosen_variants(command.settings, NATIVE)
    infos = tuple(
        p.VariantInfo.of(variant, "float32", NATIVE) for variant in (reference, *variants)
    )
    places = tuple(p.Place(layer, "feed-forward") for layer in range(layers))
    return p.LayersStarted(
        variants=infos, reference=0, places=places, tokens=CHUNKS * POSITIONS, windows=1,
        positions=CHUNKS * POSITIONS, context=CHUNKS * POSITIONS + 1,
    )  # fmt: skip


def chunk(variant: int, number: int, layers: int = LAYERS) -> p.LayersChunk:
    """Made-up sums: the first and the last layer matter most, and each function has its size."""
    size = POSITIONS * 10.0 ** (1 - 2 * variant)
    rows = []
    for layer in range(layers):
        kl = size * (0.02 + 0.3 / (1 + layer) ** 2 + 0.2 / (layers - layer) ** 2)
        rows.append(p.SwappedRow(p.Moved(kl, -kl), p.Moved(size - kl, kl - size)))
    return p.LayersChunk(
        variant, 0, number * POSITIONS, POSITIONS, 0,
        p.Moved(0.0, 0.0), p.Moved(size, -size), tuple(rows),
    )  # fmt: skip


async def measured(engine: FakeEngine, command: p.Layers) -> None:
    """Answer a command; a text with a `BANG` ends the engine halfway."""
    begins = started(command)
    engine.emit(begins)
    status: p.Status = "completed"
    total = begins.positions * (len(begins.variants) - 1)
    done = 0
    try:
        for number in range(CHUNKS):
            for variant in range(1, len(begins.variants)):
                label = "window 1 of 1"
                engine.emit(p.Progress("layers", label, done, total, "tokens", 50.0))
                await engine.sleep(engine.step_s)
                if "BANG" in command.text and number == CHUNKS // 2:
                    raise Died("libc++abi: terminating: out of memory")
                engine.emit(chunk(variant, number))
                done += POSITIONS
    except CancelSeen:
        status = "cancelled"
    engine.emit(p.LayersFinished(status, 1.0, 2_000_000_000))
