"""What is pictured: the real app with every clock stopped, brought somewhere by keys.

No engine process: its events are posted. Nothing of the machine is shown: no path, no figure of its
memory, no date.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from textual.widgets import DataTable, Input

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.models.inventory import HubSize, LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.runs.history import History
from gelu_tui.core.runs.merge import Choice
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.labels import forks_out_of_view
from gelu_tui.tui.engine_link import session as session_module
from gelu_tui.tui.engine_link.session import EngineEvent, EngineLost, Phase
from gelu_tui.tui.fed_text.screen import FedTextScreen
from gelu_tui.tui.history.choose_streams import ChooseStreams
from gelu_tui.tui.models import screen as models_module
from gelu_tui.tui.services import Services
from tests.support.comparisons import (
    EIGHT,
    FIVE,
    HELLO,
    LOADED_ON_MAC,
    MAX_TOKENS,
    NATIVE,
    PROMPT,
    run_document,
    run_events,
)
from tests.support.comparisons import what_if as tried
from tests.support.driving import Driven, an_app
from tests.support.lab_scenes import SCENES as LAB
from tests.support.made_up import token_id
from tests.support.sweep_scenes import SCENES as SWEEPS
from tests.support.text_scenes import SCENES as TEXTS

_NOBODY = cast(EngineClient, None)  # the client whose events are those of the test
_GB = 1_000_000_000
_CACHE = "/Users/you/.cache/huggingface/hub"


class Scene(Driven):
    """The app before the camera; `folder` is for files."""

    folder: Path

    async def told(self, events: Iterable[p.Event]) -> None:
        """As if the engine had said so."""
        for event in events:
            self.app.post_message(EngineEvent(_NOBODY, event))

    async def loaded(self) -> None:
        await self.told([HELLO, LOADED_ON_MAC])
        after = Phase.READY if self.app._prompt is None else Phase.RUNNING
        await self.until(lambda: self.phase is after, "the model is loaded")

    async def ran(self, activations: tuple[str, ...] = FIVE, steps: int = MAX_TOKENS) -> None:
        # One frame for all tokens: a tail is followed in jumps, and where it stands after them
        # depends on which tokens came together.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.app.services.gate, "may_draw", lambda: False)
            await self.loaded()
            await self.told(run_events(activations, steps))
            await self.until(lambda: self._told == steps or self.finished, "all is told")
            await self.pilot.pause()
        first = self.app.compare.board.panes[0]
        await self.until(lambda: first.tokens.tokens == self._told, "all is drawn")
        if self.finished:
            await self.until(self._forks_told, "the forks that are out of view are told")

    def _forks_told(self) -> bool:
        compare = self.app.compare
        told = forks_out_of_view(compare.board.forks_out_of_view())
        return all(sentence in str(compare.notice.content) for sentence in told)

    @property
    def _told(self) -> int:
        shown = self.app.compare.comparison
        return 0 if shown is None else len(shown.streams[0].tokens)

    async def opened(self, key: str, *texts: str) -> None:
        await self.press(key)
        for text in texts:
            await self.until_shown(text)

    async def to_panes(self) -> None:
        await self.press("tab")
        await self.until(lambda: self.app.compare.board.has_focus_within, "a pane has the focus")


# --- the scenes -----------------------------------------------------------------------------------

NOT_RUN = (
    "choose-streams",
    "empty",
    "fed-text",
    "history",
    "models",
    "prompts",
    *LAB,
    *SWEEPS,
    *TEXTS,
)
SCENES: dict[str, Callable[[Scene], Awaitable[None]]] = {**LAB, **SWEEPS, **TEXTS}


def scene(function: Callable[[Scene], Awaitable[None]]) -> Callable[[Scene], Awaitable[None]]:
    SCENES[function.__name__.rstrip("_").replace("_", "-")] = function
    return function


@scene
async def empty(it: Scene) -> None:
    await it.loaded()


@scene
async def loading(it: Scene) -> None:
    done, total = 110_000_000, 536_000_000
    file = "model.safetensors (2 of 5 files)"
    await it.told([HELLO, p.Progress("download", file, done, total, "bytes", 12_500_000.0)])
    await it.until(lambda: it.app.engine.progress, "progress")


@scene
async def running(it: Scene) -> None:
    await it.ran(steps=36)


@scene
async def finished(it: Scene) -> None:
    await it.ran()


@scene
async def eight(it: Scene) -> None:
    await it.ran(EIGHT)


@scene
async def explored(it: Scene) -> None:
    """A cursor on a fork, a search, tokens coloured by KL."""
    await it.ran()
    await it.to_panes()
    board = it.app.compare.board
    await it.press("c", "slash")
    await it.until(lambda: isinstance(it.app.focused, Input), "the search field has the focus")
    await it.type("the")
    await it.until(lambda: board.query_text == "the", "the search")
    await it.press("enter")
    await it.until(lambda: board.has_focus_within, "a pane has the focus")
    await it.press("3", "f")
    await it.until(lambda: _cursor(board) == 10, "the cursor is on the fork")


@scene
async def lost(it: Scene) -> None:
    """The engine died in the middle of the run."""
    await it.ran(steps=20)
    error = ErrorInfo(
        "engine_died",
        "The engine was ended by SIGKILL, perhaps for lack of memory.",
        "Choose fewer functions, or a smaller model.",
    )
    it.app.post_message(EngineLost(_NOBODY, error))
    await it.until(lambda: it.phase is Phase.LOST, "the engine is lost")


@scene
async def fork(it: Scene) -> None:
    await it.ran()
    await it.to_panes()
    await it.press("3")
    await it.opened("f7", "scattering")


@scene
async def what_if(it: Scene) -> None:
    await fork(it)
    tried(it.comparison, 2, 9)
    await it.press("end")
    await it.until_shown("What if: Given gelu_approx's token")


@scene
async def matrix(it: Scene) -> None:
    await it.ran()
    await it.opened("f8", "relu")


@scene
async def picker(it: Scene) -> None:
    await it.ran()
    await it.opened("f2", "mish", "exact GELU")


@scene
async def prompts(it: Scene) -> None:
    await it.loaded()
    await it.opened("f3", "haiku")


@scene
async def fed_text(it: Scene) -> None:
    await it.loaded()
    await it.type(PROMPT)
    await it.press("f9")
    await it.until(lambda: len(it.app.screen_stack) == 2, "the screen")
    assert isinstance(it.app.screen, FedTextScreen)
    it.app.screen.answer(_prompt_rendered())
    await it.until_shown("start_of_turn")


@scene
async def models(it: Scene) -> None:
    await it.loaded()
    await it.opened("f4", "gemma-3-4b")


@scene
async def history(it: Scene) -> None:
    await it.loaded()
    await it.opened("f6", "run 6")
    table = it.app.screen.query_one(DataTable)
    await it.press("down")
    await it.until(lambda: table.cursor_row == 1, "the second run")
    await it.until_shown("run 5")


@scene
async def choose_streams(it: Scene) -> None:
    await it.loaded()
    of_both = [Choice(run, name, same=name == "silu") for run in (2, 1) for name in FIVE]
    await it.app.push_screen(ChooseStreams(of_both))
    await it.until_shown("8 of at most 8 streams")


@scene
async def help_(it: Scene) -> None:
    await it.ran()
    await it.opened("f1", "Keys")


@scene
async def palette(it: Scene) -> None:
    await it.ran()
    await it.opened("ctrl+p", "Search for commands")


@scene
async def setting(it: Scene) -> None:
    await it.ran()
    commands = {c.title: c for c in it.app.get_system_commands(it.app.screen)}
    commands["Set the seed…"].callback()
    await it.until_shown("Enter sets it")


@scene
async def too_small(it: Scene) -> None:
    await it.ran()
    await it.until_shown("More room")


def _cursor(board: Board) -> int | None:
    return board.chosen_pane.tokens.cursor if board.chosen_pane is not None else None


def _prompt_rendered() -> p.PromptRendered:
    """The prompt as a chat template feeds it."""
    texts = [
        "<bos>", "<start_of_turn>", "user", "\n", "Why", " is", " the", " sky", " blue", "?",
        "<end_of_turn>", "\n", "<start_of_turn>", "model", "\n",
    ]  # fmt: skip
    special = tuple(sorted({token_id(text) for text in texts if text.startswith("<")}))
    ids = tuple(map(token_id, texts))
    return p.PromptRendered(PROMPT, "".join(texts), ids, tuple(texts), special, True, True, 32768)


# --- the stage ------------------------------------------------------------------------------------


@asynccontextmanager
async def staged(
    name: str, size: tuple[int, int], folder: Path, theme: str
) -> AsyncIterator[Scene]:
    """The app at this size, once it shows the scene."""
    options: dict[str, Any] = {
        "model": LOADED_ON_MAC.model.id,
        "activations": EIGHT if name == "eight" else FIVE,
        "max_tokens": MAX_TOKENS,
        "prompt": None if name in NOT_RUN else PROMPT,
        "theme": theme,
        "save_runs": False,
    }
    app = an_app(**options)
    shows_history = name in ("history", "prompts")
    app.services.history = saved_runs(folder / "history.sqlite") if shows_history else None
    async with app.run_test(size=size) as pilot:
        it = Scene(app, pilot)
        it.folder = folder
        await it.until(lambda: app.compare.is_mounted and app._driver is not None, "the screen")
        await SCENES[name](it)
        yield it


def saved_runs(path: Path) -> History:
    """A history of six runs."""
    history = History(path)
    saved: tuple[tuple[str, p.Status], ...] = (
        ("What is the Gaussian error linear unit?", "completed"),
        ("Write a haiku about rounding errors", "completed"),
        ("Explain why two networks that differ in the last bit of one function part ways after "
         "a few words, to somebody who has never seen a transformer.", "cancelled"),
        ("空はなぜ青いですか。", "completed"),
        ("def gelu(x):\n    return", "failed"),
        (PROMPT, "completed"),
    )  # fmt: skip
    for day, (prompt, status) in enumerate(saved, 3):
        created = datetime(2024, 3, day, 9, 7 * day, tzinfo=UTC)
        history.save(run_document(prompt, status=status, created=created))
    return history


async def found_models(*_: object) -> tuple[p.ModelsFound, str]:
    """What a Mac of 18 GB might have."""

    def cached(name: str, state: Any, size: int, bits: int | None = 4, **more: Any) -> LocalModel:
        return LocalModel(
            id=name,
            source="hub",
            folder=f"{_CACHE}/models--{name.replace('/', '--')}/snapshots/0123456",
            state=state,
            family=more.pop("family", "gemma3"),
            native_activation=NATIVE,
            dtype="bfloat16",
            quantization={"bits": bits, "group_size": 64} if bits else None,
            weight_bytes=size,
            disk_bytes=size,
            **more,
        )

    return (
        p.ModelsFound(
            (
                LocalModel(
                    id="demo",
                    source="demo",
                    folder="/Users/you/Library/Caches/gelu-tui/models/gemma-3-270m",
                    state="ready",
                    family="gemma3_text",
                    native_activation=NATIVE,
                    dtype="float32",
                    parameters=268_098_176,
                    weight_bytes=1_072_392_704,
                    disk_bytes=1_072_392_704,
                ),
                cached(LOADED_ON_MAC.model.id, "ready", 536_000_000, None, parameters=268_098_176),
                cached("mlx-community/gemma-3-4b-it-4bit", "ready", 2_600_000_000),
                cached("mlx-community/gemma-3-12b-it-4bit", "partial", 7_300_000_000),
                cached("mlx-community/gemma-3-27b-it-4bit", "ready", 16_100_000_000),
            ),
            3,
            Memory(18 * _GB, 9 * _GB, 12 * _GB, on_metal=True),
        ),
        LOADED_ON_MAC.model.id,
    )


async def told_sizes(*_: object) -> tuple[HubSize, ...]:
    """What the hub might say of one of them."""
    return (HubSize("mlx-community/gemma-2-9b-it-4bit", 5_220_000_000, 5_200_000_000),)


@pytest.fixture
def stopped_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, in Greenwich, on a machine that is nobody's."""
    monkeypatch.setattr(Services, "start_engine", lambda services: None)
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(models_module, "_look", found_models)
    monkeypatch.setattr(models_module, "_ask_sizes", told_sizes)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
