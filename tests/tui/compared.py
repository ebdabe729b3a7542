"""Comparisons for the fork and matrix screens, and an app that shows one screen alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App
from textual.screen import Screen

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison
from tests.fake_engine import BASE, RELU, SILU
from tests.tui.driving import screen_text
from tests.tui.settling import post_key, settle

Top = list[tuple[str, float]]


def token_id(text: str) -> int:
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 262_144


class Run:
    """A comparison that is fed by hand; the texts of the streams say which tokens they are."""

    def __init__(self, *names: str, reference: int = 0, prompt: str = "Why is the sky blue?"):
        variants = tuple(p.VariantInfo(name, "x", "float32") for name in names)
        self.comparison = Comparison.begin(
            p.Started(prompt, prompt, (1,), variants, reference, 40, "lockstep", False)
        )

    def feed(self, *texts: Sequence[str]) -> None:
        """One step after another for all streams, as long as their texts go."""
        first = [len(stream.tokens) for stream in self.comparison.streams]
        for step in range(max(map(len, texts))):
            said = tuple(
                p.StreamStep(stream, token_id(text[step]), text[step], -0.5, 1.0, 0.25, 0.1)
                for stream, text in enumerate(texts)
                if step < len(text)
            )
            self.comparison.apply(p.Step(max(first) + step, 0.1, said))

    def fork(self, stream: int, reference_top: Top, variant_top: Top, **fields: Any) -> None:
        """The fork of a stream as an engine tells it: the first of each list was taken."""
        step = self.comparison.streams[stream].first_divergent_token
        assert step is not None
        (a, p_a), (b, p_b) = reference_top[0], variant_top[0]
        values: dict[str, Any] = {
            "margins": {"reference": 0.05, "variant": 0.12},
            "probabilities": {
                "reference_a": p_a,
                "reference_b": dict(reference_top).get(b, 1e-6),
                "variant_a": dict(variant_top).get(a, 1e-6),
                "variant_b": p_b,
            },
            "ranks": {"b_in_reference": 1, "a_in_variant": 1},
            "reason": "forks are not replayed yet",
            **fields,
        }
        tops = [
            tuple(p.Candidate(token_id(text), text, chance) for text, chance in top)
            for top in (reference_top, variant_top)
        ]
        ids = token_id(a), token_id(b)
        self.comparison.apply(p.ForkFound(step, *ids, a, b, *tops, stream=stream, **values))

    def finish(self, reason: p.FinishReason = "length") -> None:
        for stream in range(len(self.comparison.streams)):
            self.comparison.apply(p.StreamFinished(stream, reason))


SCATTERING: Top = [(" scattering", 0.312), (" light", 0.28), *((f" r{i}", 0.03) for i in range(8))]
LIGHT: Top = [(" light", 0.28), (" scattering", 0.249), *((f" v{i}", 0.02) for i in range(8))]


def five(tokens: int = 40) -> Run:
    """gelu = gelu_approx; gelu_fast_approx forks at 10 and rejoins, silu at 1, relu at 0."""
    run = Run("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu", reference=1)
    fast = [*BASE[:10], " light", " scattering", *BASE[11:]]
    silu, relu = [BASE[0], *SILU, *SILU], [*RELU, *RELU, *RELU, *RELU, *RELU]
    run.feed(*(texts[:tokens] for texts in (BASE, BASE, fast, silu, relu)))
    if tokens > 10:
        run.fork(2, SCATTERING, LIGHT)
    return run


class Shown:
    """A running app with one screen on it."""

    def __init__(self, app: ScreenApp) -> None:
        self.app = app

    async def press(self, *keys: str) -> None:
        for key in keys:
            post_key(self.app, key)
            await settle(self.app)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never: {what}; on the screen:\n{self.screen()}")

    async def until_shown(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.flat() for text in texts), f"{texts}")

    async def until_gone(self, text: str) -> None:
        await self.until(lambda: text not in self.flat(), f"'{text}' gone")

    def screen(self) -> str:
        return screen_text(self.app)

    def flat(self) -> str:
        """What the terminal shows, on one line, frames left out."""
        return " ".join(self.screen().replace("│", " ").split())


class ScreenApp(App[None]):
    """Shows a screen and keeps what it was dismissed with."""

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self.shown_first = screen
        self.results: list[Any] = []

    def on_mount(self) -> None:
        self.push_screen(self.shown_first, self.results.append)


@asynccontextmanager
async def shown(screen: Screen[Any], size: tuple[int, int] = (120, 36)) -> AsyncIterator[Shown]:
    app = ScreenApp(screen)
    async with app.run_test(size=size):
        it = Shown(app)
        await it.until(lambda: app.screen is screen and screen.is_mounted, "the screen")
        yield it
