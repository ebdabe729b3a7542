"""Completion: what each shell is offered, without MLX and Textual, and in the real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gelu_tui.cli.completion import VARIABLE
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.settings.theme_names import THEME_NAMES
from gelu_tui.tui.themes import offered
from tests.support.command import COMMAND, fake_engine, gelu
from tests.support.engine_process import environment


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home with two saved runs and a model in the hub's cache."""
    folder = tmp_path_factory.mktemp("home")
    env = environment(folder)
    for prompt in ("Why is the sky blue?", "two"):
        assert gelu(env, "run", "--engine-command", fake_engine("five"), prompt).code == 0
    (folder / "hub" / "hub" / "models--maker--my-gemma").mkdir(parents=True)
    return env


def offers(env: dict[str, str], line: str, shell: str = "bash") -> list[str]:
    """The values that a shell is offered for the last word of a line."""
    words = line.split(" ")
    asked = {VARIABLE: f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        asked["COMP_CWORD"] = words[-1]
    done = gelu({**env, **asked})
    assert (done.code, done.err) == (0, "")
    return [said.split(",", 1)[1].split("\t")[0] for said in done.out.splitlines() if said]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("gelu-tui ru", ["run"]),
        ("gelu-tui se", ["settings"]),
        ("gelu-tui --ref", ["--reference", "--refresh"]),
        ("gelu-tui --model dem", ["demo"]),
        ("gelu-tui run --model maker/", ["maker/my-gemma"]),
        ("gelu-tui models --delete ", ["demo", "maker/my-gemma"]),
        ("gelu-tui run -a si", ["silu"]),
        ("gelu-tui run -a gelu,silu,gelu_a", ["gelu,silu,gelu_approx"]),
        ("gelu-tui run -a swi", ["swish"]),
        ("gelu-tui run -a nothing", []),
        ("gelu-tui run -a gelu,relu@0-5,12,mis", ["gelu,relu@0-5,12,mish"]),
        ("gelu-tui run -a gelu,relu@g", ["gelu,relu@gate"]),
        ("gelu-tui run --reference mi", ["mish"]),
        ("gelu-tui --theme nor", ["nord"]),
        ("gelu-tui show ", ["last", "2", "1"]),
        ("gelu-tui score --run la", ["last"]),
        ("gelu-tui score --yardstick q", ["q8", "q4"]),
        ("gelu-tui score --yardstick q8,b", ["q8,bf16"]),
        ("gelu-tui history --delete ", ["2", "1"]),
        ("gelu-tui run --format js", ["json", "jsonl"]),
        ("gelu-tui run --dtype b", ["bfloat16"]),
        ("gelu-tui run --model = dem", ["demo"]),
        ("gelu-tui completion z", ["zsh"]),
        ("gelu-tui hsitory ", []),
    ],
)
def test_what_is_offered(home: dict[str, str], line: str, found: list[str]) -> None:
    assert offers(home, line) == found


def test_every_command_is_offered_first(home: dict[str, str]) -> None:
    assert {"run", "score", "history", "models", "completion"} <= set(offers(home, "gelu-tui "))


def test_all_functions_are_offered(home: dict[str, str]) -> None:
    assert offers(home, "gelu-tui run -a ") == list(REGISTRY)


def test_files_are_left_to_the_shell(home: dict[str, str]) -> None:
    for line in ("score --text x", "run --output x", "show ./x"):
        words = f"gelu-tui {line}"
        asked = {VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
        asked["COMP_CWORD"] = str(len(words.split()) - 1)
        assert gelu({**home, **asked}).out.startswith("file,")


def test_values_after_an_equals_sign_and_with_commas(home: dict[str, str]) -> None:
    assert offers(home, "gelu-tui run --model=dem", "fish") == ["--model=demo"]
    assert offers(home, "gelu-tui run -a gelu,sil", "fish") == ["gelu,silu"]


def test_the_names_of_themes_are_the_apps() -> None:
    assert list(THEME_NAMES) == offered(no_color=False)


def test_a_completion_waits_for_nothing_heavy(home: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from gelu_tui.cli.tree import run_tree\n"
        "run_tree()\n"
        "heavy = {'mlx', 'mlx_lm', 'textual', 'transformers', 'numpy', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    for line in ("gelu-tui ", "gelu-tui --theme ", "gelu-tui run -a ", "gelu-tui show "):
        count = str(len(line.split(" ")) - 1)
        asked = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": count}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**home, **asked}, capture_output=True, check=True
        )
        assert done.stdout and done.stderr == b"[]\n"


def test_a_failure_does_not_spoil_the_line(home: dict[str, str], tmp_path: Path) -> None:
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": "gelu-tui show ", "COMP_CWORD": "2"}
    (tmp_path / "gelu-tui").mkdir()
    (tmp_path / "gelu-tui" / "history.sqlite").write_text("no database")
    done = gelu({**home, **asked, "XDG_DATA_HOME": str(tmp_path)})
    assert done.err == ""
    assert gelu({**home, **asked, VARIABLE: "tcsh_complete"}).err == ""


SHELLS = {
    "bash": (
        'eval "$(gelu-tui completion bash)"; COMP_WORDS=({words}); COMP_CWORD={at};'
        ' _gelu_tui_completion gelu-tui 2>/dev/null; printf "%s\\n" "${{COMPREPLY[@]}}"'
    ),
    "fish": 'gelu-tui completion fish | source; complete -C "{line}"',
    "zsh": (
        "autoload -U compinit; compinit -u; source <(gelu-tui completion zsh);"
        " compadd() {{ print -l ${{(P)@[-1]}} }}; _describe() {{ print -l ${{(P)@[-2]}} }};"
        ' _path_files() {{ : }}; words=({words} ""); CURRENT={current}; _gelu_tui_completion'
    ),
}


@pytest.mark.parametrize("shell", list(SHELLS))
@pytest.mark.parametrize(
    ("line", "value"), [("gelu-tui ru", "run"), ("gelu-tui -a gelu,sil", "gelu,silu")]
)
def test_in_the_real_shell(
    home: dict[str, str], tmp_path: Path, shell: str, line: str, value: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    script = tmp_path / "gelu-tui"
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    at = len(line.split()) - 1
    text = SHELLS[shell].format(words=line, at=at, current=at + 1, line=line)
    words = [shell, *(["-f"] if shell == "zsh" else []), "-c", text]
    env = {**home, "PATH": f"{tmp_path}:{home['PATH']}"}
    said = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert value in [one.split("\t")[0].split(":")[0] for one in said.stdout.split("\n")], said
