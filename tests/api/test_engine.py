"""The Python API: what it returns and refuses, its threads, and its engine's end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gelu_tui
from gelu_tui.api import engine as engine_module
from gelu_tui.api.keywords import checked
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.settings.run_settings import RunSettings
from tests.support.command import fake_engine, gelu, soon_gone

FIVE = ["gelu", "gelu_approx", "silu"]


def faked(scenario: str = "five") -> gelu_tui.Engine:
    return gelu_tui.Engine(engine_command=fake_engine(scenario))


def engine_pids() -> list[int]:
    """The engines that this process has started; commands of the tests have a process too."""
    children = psutil.Process().children()
    return [child.pid for child in children if "command_server" not in " ".join(child.cmdline())]


# --- what is returned -----------------------------------------------------------------------------


def test_it_returns_what_the_command_prints(
    home: dict[str, str], model: str, tmp_path: Path
) -> None:
    """Two comparisons and a scoring with one load; the tokens and figures are the command's."""
    words = ("--model", model, "-a", "gelu,relu")
    names = ("gelu", "relu")
    with gelu_tui.Engine(model) as engine:
        runs = [engine.compare(prompt, activations=names, max_tokens=5) for prompt in ("a b", "c")]
        score = engine.score("a b c d e f", activations="gelu,relu", context=4)
        held = engine.score("a b c d", activations="gelu", yardsticks=["q8", "again"])
        assert list(held.yardsticks) == ["q8", "again"] and held.yardsticks["q8"].mean_kl
        assert list(engine.score("a b", yardsticks="again,q8").yardsticks) == ["again", "q8"]
        with pytest.raises(gelu_tui.GeluError, match=r'yardsticks must be q8, .*, not "q5"'):
            engine.score("a b", yardsticks="q8,q5")
        kept = engine.score("a b c d", activations="gelu,relu", tokens=True)
        two = engine.score(["a b c", "d e f"], activations="gelu,relu", context=4).document
        assert (two.documents, two.clusters, two.cluster) == (2, 2, "document")
        assert kept.document.text is not None
        assert "".join(kept.document.text.texts) == "a b c d"
        relu = kept.per_token("relu").kl
        mean = sum(kl for kl in relu if kl is not None) / len(relu)
        assert kept["relu"].kl is not None and mean == pytest.approx(kept["relu"].kl.mean)
        saved = kept.save(tmp_path / "tokens.csv").read_text()
        assert saved.startswith("token,window,id,text,function")
        with pytest.raises(gelu_tui.GeluError, match="not kept its tokens"):
            score.per_token("relu")
        assert engine.model.family == "gemma3_text"
    for run, prompt in zip(runs, ("a b", "c"), strict=True):
        printed = gelu(home, "run", *words, "--max-tokens", "5", "--format", "json", prompt)
        expected = json.loads(printed.out)
        assert list(run) == ["gelu", "relu"] and run.reference == expected["reference"]
        for variant in expected["variants"]:
            assert list(run[variant["name"]].tokens) == variant["tokens"]
            assert run[variant["name"]].text == variant["text"]
            assert run[variant["name"]].first_divergent_token == variant["first_divergent_token"]
    printed = gelu(home, "score", *words, "--text", "-", "--context", "4", "--format", "json",
                   stdin=b"a b c d e f")  # fmt: skip
    expected = json.loads(printed.out)
    found = json.loads(score.to_json())
    assert found["variants"] == expected["variants"] and len(score) == 3  # with the control


def test_a_run_is_a_mapping_that_knows_aliases_and_says_what_it_is() -> None:
    with faked() as engine:
        run = engine.compare("Why?", activations=FIVE, max_tokens=6)
    assert list(run) == FIVE and len(run) == 3 and "relu" not in run and "swish" in run
    assert run["swish"] is run["silu"] and run["gelu_tanh"].name == "gelu_approx"
    assert run["silu"].first_divergent_token == 1
    fork = run["silu"].fork
    assert fork is not None and fork.verdict == "tie"
    assert repr(run).startswith("<Run of “Why?”; gelu: identical (6 tokens); gelu_approx: the ref")
    assert "diverges at 1" in str(run) and "\x1b" not in str(run)
    assert run._repr_html_().count("<article") == 3
    with pytest.raises(gelu_tui.GeluError, match="no function named 'mish'") as refused:
        run["mish"]
    assert refused.value.hint == "There are gelu, gelu_approx, silu."
    assert isinstance(refused.value, KeyError) and run.get("mish") is None


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    with faked() as engine:
        run = engine.compare("x", activations=FIVE, max_tokens=4)
    for name in ("run.json", "run.md", "run.html", "run.csv"):
        assert run.save(tmp_path / name) == tmp_path / name
    assert gelu_tui.load_run(tmp_path / "run.json").to_json() == run.to_json()
    assert gelu_tui.load_run(str(tmp_path / "run.json"))["silu"].text == run["silu"].text
    with pytest.raises(gelu_tui.GeluError, match="exists already"):
        run.save(tmp_path / "run.json")
    run.save(tmp_path / "run.json", overwrite=True)
    for wrong in (tmp_path / "run.md", tmp_path / "none.json", 7, "last"):
        with pytest.raises(gelu_tui.GeluError):
            gelu_tui.load_run(wrong)


def test_a_run_out_of_the_history(home: dict[str, str]) -> None:
    words = ("-a", "gelu,silu", "--max-tokens", "3", "--engine-command", fake_engine("five"))
    assert gelu(home, "run", *words, "kept").code == 0
    for name in ("last", 1, "1"):
        assert gelu_tui.load_run(name).prompt == "kept"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "given_", "said", "hint"),
    [
        (" ", {}, "The prompt is empty.", "Give some text"),
        ("x", {"max_token": 3}, "no setting named 'max_token'", "Did you mean 'max_tokens'?"),
        ("x", {"max_tokens": 0}, "max_tokens must be a whole number from 1", "At most"),
        ("x", {"max_tokens": "3"}, 'not "3"', "At most"),
        ("x", {"activations": ["gleu"]}, "no activation function named 'gleu'", "Known are"),
        ("x", {"reference": "mish"}, "mish", ""),
        ("x", {"model": "other\x1b"}, "The model of this engine is demo, not other␛.", "another"),
        ("x", {"dtype": "bfloat16"}, "The dtype of this engine is None, not bfloat16.", "another"),
    ],
)
def test_wrong_input_is_refused_before_an_engine_starts(
    prompt: str, given_: dict[str, Any], said: str, hint: str
) -> None:
    engine = gelu_tui.Engine(engine_command="false")
    with pytest.raises(gelu_tui.GeluError) as refused:
        engine.compare(prompt, **given_)
    assert said in str(refused.value) and hint in refused.value.hint
    assert refused.value.__notes__ == [refused.value.hint]  # what Python's traceback shows
    assert engine_pids() == []


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.lists(st.text(max_size=8), max_size=3) | st.binary(max_size=3) | st.builds(object)
)  # fmt: skip
KEYS = st.sampled_from(RunSettings.__struct_fields__) | st.text(max_size=8)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_keywords_are_settings_or_refused_in_a_sentence(keywords: dict[str, Any]) -> None:
    try:
        found = checked(keywords)
    except gelu_tui.GeluError as refused:
        assert str(refused).endswith(".") and refused.hint
    else:
        assert p.decode_command(p.encode(p.Compare("x", found))) == p.Compare("x", found)


def test_an_engine_that_cannot_start() -> None:
    with (
        pytest.raises(gelu_tui.GeluError, match="cannot be started"),
        gelu_tui.Engine(engine_command="/no/such/engine"),
    ):
        pass
    assert engine_pids() == []


# --- threads, loops and ends ----------------------------------------------------------------------


def test_in_a_running_event_loop_and_in_threads() -> None:
    async def notebook(engine: gelu_tui.Engine) -> gelu_tui.Run:
        return engine.compare("in a loop", activations=FIVE, max_tokens=2)

    found: list[str] = []
    with faked() as engine:
        assert asyncio.run(notebook(engine)).prompt == "in a loop"

        def ask(prompt: str) -> None:
            found.append(engine.compare(prompt, activations=FIVE, max_tokens=3).prompt)

        threads = [threading.Thread(target=ask, args=(f"thread {i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (pid,) = engine_pids()
    assert sorted(found) == [f"thread {i}" for i in range(4)]
    assert soon_gone(pid) and "gelu-tui engine" not in {t.name for t in threading.enumerate()}


def test_an_interrupt_ends_the_call_and_not_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Comparison.begin

    def interrupted(started: p.Started) -> Comparison:
        os.kill(os.getpid(), signal.SIGINT)  # as Ctrl+C, once the run has begun
        return begin(started)

    with gelu_tui.Engine(engine_command=fake_engine("long", 0.01)) as engine:
        (pid,) = engine_pids()
        with monkeypatch.context() as patched:
            patched.setattr(engine_module.Comparison, "begin", interrupted)
            with pytest.raises(KeyboardInterrupt):
                engine.compare("x", activations=FIVE, max_tokens=4000)
        assert engine.compare("x", activations=FIVE, max_tokens=2).status == "completed"
        assert engine_pids() == [pid]


def test_an_engine_that_dies_leaves_what_there_was_and_another_one_follows() -> None:
    with faked("dies") as engine:
        with pytest.raises(gelu_tui.Unfinished, match="out of memory") as failed:
            engine.compare("x", activations=FIVE)
        result = failed.value.result
        assert isinstance(result, gelu_tui.Run) and result.status == "failed"
        assert len(result["gelu"].tokens) == 6 and failed.value.hint
        assert engine.compare("x", activations=FIVE, max_tokens=3).status == "completed"
        assert len(engine_pids()) == 1
    assert engine_pids() == []


def test_garbage_and_refusals_of_the_engine() -> None:
    with faked("garbage") as engine, pytest.raises(gelu_tui.Unfinished):
        engine.compare("x", activations=FIVE)
    with (
        faked("compare_error") as engine,
        pytest.raises(gelu_tui.GeluError, match="40000 tokens") as refused,
    ):
        engine.compare("x", activations=FIVE)
    assert refused.value.hint == "Shorten it."


def test_a_function_that_fails_is_warned_of() -> None:
    with (
        faked("stream_error") as engine,
        pytest.warns(UserWarning, match="gelu_approx: The logits"),
    ):
        run = engine.compare("x", activations=FIVE)
    assert run["gelu_approx"].error is not None and run["silu"].error is None


SCRIPT = """
import gelu_tui, psutil, sys
assert not {"gelu_tui.api", "rich", "asyncio"} & set(sys.modules)
assert {"compare", "Engine"} <= set(dir(gelu_tui)) and not hasattr(gelu_tui, "no_such_name")
engine = gelu_tui.Engine(engine_command=sys.argv[1])
print(engine.compare("x", activations=["gelu", "silu"], max_tokens=3)["silu"].first_divergent_token)
print(psutil.Process().children()[0].pid)
"""


def test_a_script_that_closes_nothing_ends_and_leaves_no_process(home: dict[str, str]) -> None:
    words = [sys.executable, "-X", "dev", "-c", SCRIPT, fake_engine("five")]
    done = subprocess.run(words, env=home, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    fork, pid = map(int, done.stdout.split())
    assert fork == 1 and soon_gone(pid)
