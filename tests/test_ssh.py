"""An engine on another machine, by a real sshd on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gelu_tui import client
from gelu_tui.client import EngineClient, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.remote import ssh_command
from tests.support.command import COMMAND, complaint, fake_engine, gelu, sweep_engine
from tests.support.commands import comparing
from tests.support.driving import driven
from tests.support.engine_process import environment
from tests.support.ssh_server import SshServer, free_port, remote_python, slow_line, ssh_server
from tests.support.terminal import Terminal

BY_HOST = ("--host", "mac")
FAREWELL = 'sh -c "$SSH_ORIGINAL_COMMAND"; code=$?; echo Goodbye; exit $code\n'
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKJ8Zyw8ImT6uHGBrOB9Qx2ZYcHKCZcRQ5i2cFSNgi"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture
def mac(server: SshServer) -> SshServer:
    """The server as it is for who has set up everything well; the engine's tokens are made up."""
    server.engine(fake_engine("five"))
    server.profile("")
    server.known_hosts()
    server.client()
    return server


@pytest.fixture
def env(mac: SshServer, tmp_path: Path) -> dict[str, str]:
    return {**environment(tmp_path), **mac.env}


@pytest.fixture
def here(mac: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process finds the ssh of the tests."""
    for name, value in mac.env.items():
        monkeypatch.setenv(name, value)


def tokens(out: bytes) -> dict[str, list[int]]:
    return {variant["name"]: variant["tokens"] for variant in json.loads(out)["variants"]}


# --- a good life ----------------------------------------------------------------------------------


def test_a_run_over_it_has_the_same_tokens(mac: SshServer, env: dict[str, str]) -> None:
    from tests.support import tiny_models

    model = tiny_models.write(mac.folder / "tiny", "gemma3_text")
    words = ("run", "Why?", "--format", "json", "--max-tokens", "6")
    near = gelu(env, *words, "--model", str(model))
    mac.engine(remote_python("-P", "-m", "gelu_tui.engine"))
    # A folder of the other side: what `~` is, only its engine knows.
    far = gelu(env, *words, *BY_HOST, "--model", "~/tiny")
    assert (near.code, far.code, far.err) == (0, 0, "")
    assert tokens(near.raw) == tokens(far.raw)


@pytest.mark.parametrize(
    "noise",
    ["echo Welcome to mac; echo; echo '{}'", "printf 'no line feed> '; echo loud >&2", "seq 5000"],
)
def test_a_shell_that_talks(mac: SshServer, env: dict[str, str], noise: str) -> None:
    near = gelu(env, "run", "x", "--format", "json", "--engine-command", fake_engine("five"))
    mac.profile(f"{noise}\n{FAREWELL}")
    done = gelu(env, "run", "x", "--format", "json", *BY_HOST)
    assert (done.code, done.err) == (0, "")
    assert tokens(done.raw) == tokens(near.raw)


def test_a_command_by_hand_does_the_same(mac: SshServer, env: dict[str, str]) -> None:
    done = gelu(env, "models", "--engine-command", "ssh mac gelu-tui engine")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("On mac ")
    variable = gelu({**env, "GELU_TUI_HOST": "mac"}, "models")
    assert variable.out == done.out


def test_a_sweep_over_it_has_the_same_results(mac: SshServer, env: dict[str, str]) -> None:
    prompts = Path(env["HOME"]) / "prompts.txt"
    prompts.write_text("".join(f"prompt {number}\n" for number in range(8)))
    words = ("sweep", str(prompts), "--format", "csv", "--max-tokens", "9")
    near = gelu(env, *words, "--engine-command", sweep_engine())
    mac.engine(sweep_engine())
    far = gelu(env, *words, *BY_HOST, "--restart")
    assert (near.code, far.code) == (0, 0), far.err
    assert near.raw == far.raw


async def test_the_models_screen_names_the_machine(mac: SshServer, here: None) -> None:
    async with driven(engine_command=ssh_command("mac")) as it:
        await it.until_shown("ready")
        await it.press("f4")
        await it.until_shown("Models on mac", "demo")


def test_doctor_asks_the_engine_there(mac: SshServer, env: dict[str, str]) -> None:
    found = gelu(env, "doctor", *BY_HOST).out
    assert "\nengine on mac\n" in found
    document = json.loads(gelu(env, "doctor", *BY_HOST, "--format", "json").raw)
    assert document["engine"] == {"fake": "1", "log": "engine.log"}
    mac.engine("false")
    assert "The engine on mac ended with exit code 1." in gelu(env, "doctor", *BY_HOST).err


def test_two_places_for_the_engine(env: dict[str, str]) -> None:
    words = ("models", *BY_HOST, "--engine-command", "ssh other x")
    told, advice = complaint(gelu(env, *words), 2)
    assert told.startswith("--host and --engine-command do not go together")
    assert advice == "Give one of them."
    # What is typed comes before what the environment says.
    variable = {"GELU_TUI_ENGINE_COMMAND": "false", "GELU_TUI_COLOR": "never"}
    assert gelu({**env, **variable}, "models", *BY_HOST).out.startswith("On mac ")


# --- what cannot be -------------------------------------------------------------------------------


def _unknown_key(mac: SshServer) -> None:
    mac.known_hosts("")


def _wrong_key(mac: SshServer) -> None:
    mac.known_hosts(f"[127.0.0.1]:{mac.port} {OTHER_KEY}\n")


def _password_only(mac: SshServer) -> None:
    mac.client("PreferredAuthentications password")


def _unknown_name(mac: SshServer) -> None:
    mac.client("HostName no-such-host.invalid")


def _closed_port(mac: SshServer) -> None:
    mac.client(f"Port {free_port()}")


def _no_command(mac: SshServer) -> None:
    (mac.folder / "there" / "gelu-tui").unlink()


def _traceback(mac: SshServer) -> None:
    mac.engine(remote_python("-c", "import gelu_tui.no_such_module"))


def _other_version(mac: SshServer) -> None:
    mac.engine(fake_engine("old_protocol"))


def _no_account(mac: SshServer) -> None:
    mac.profile("echo This account is currently not available.; exit 1\n")


def _endless_greeting(mac: SshServer) -> None:
    mac.profile("yes Welcome\n")


REFUSALS: dict[Callable[[SshServer], None], tuple[str, str]] = {
    _unknown_key: (
        "ssh could not connect to mac: Host key verification failed.",
        "Connect once by hand, `ssh mac`, and accept its key if it is the right one.",
    ),
    _wrong_key: (
        "ssh could not connect to mac: Host key for [127.0.0.1]:",
        "If you know why its key is new, remove the old one: `ssh-keygen -R '[127.0.0.1]:",
    ),
    _password_only: ("ssh could not connect to mac: ", "`ssh-copy-id mac`"),
    _unknown_name: ("ssh could not connect to mac: ssh: Could not resolve", "Check the name"),
    _closed_port: ("ssh could not connect to mac: ssh: connect to host", "Check the port"),
    _no_command: ("The shell on mac finds no gelu-tui: ", '--engine-command "ssh mac /PATH/OF/'),
    _traceback: (
        "The engine on mac ended with exit code 1: ModuleNotFoundError: No module named",
        "Install gelu-tui again where the engine runs.",
    ),
    _other_version: (
        f"The engine on mac speaks protocol version 999, this app {p.PROTOCOL_VERSION} (gelu-tui",
        "Update gelu-tui here.",
    ),
    _no_account: (
        "The engine on mac ended with exit code 1: This account is currently not available.",
        "Try it by hand: `ssh mac gelu-tui engine`.",
    ),
    _endless_greeting: ("Instead of the engine on mac something else answers: Welcome.", "Look at"),
}


@pytest.mark.parametrize(
    ("spoil", "sentence", "hint"),
    [(spoil, *told) for spoil, told in REFUSALS.items()],
    ids=[spoil.__name__ for spoil in REFUSALS],
)
async def test_what_is_told(
    mac: SshServer,
    here: None,
    spoil: Callable[[SshServer], None],
    sentence: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_CLOSE_GRACE_S", 0.1)  # some go on talking
    spoil(mac)
    engine = EngineClient(ssh_command("mac"))
    with pytest.raises(GeluError) as caught:
        await engine.start()
    assert not engine.running
    assert caught.value.info.message.startswith(sentence)
    assert hint in caught.value.hint


@pytest.mark.parametrize("words", [BY_HOST, ("--engine-command", "ssh mac gelu-tui engine")])
def test_a_password_is_not_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    """Neither on the terminal that the app draws on, nor by waiting for an answer."""
    server = tmp_path / "server"
    server.mkdir()
    methods = ("PubkeyAuthentication no", "PasswordAuthentication yes")
    with ssh_server(server, *methods) as mac:
        env = {**environment(tmp_path / "home"), **mac.env, "DISPLAY": ""}
        command = [*COMMAND, "run", "x", *words]
        terminal = Terminal(command, (200, 24), env)
        try:
            terminal.until_shown("ssh-copy-id mac")
            assert "Permission denied" in terminal.text
            assert "password:" not in terminal.text
        finally:
            terminal.close()


async def test_a_farewell_does_not_hide_why_an_engine_died(mac: SshServer, here: None) -> None:
    mac.engine(fake_engine("dies"))
    mac.profile(FAREWELL)
    async with EngineClient(ssh_command("mac")) as engine:
        with pytest.raises(EngineDied, match=r"The engine on mac was killed \(SIGKILL\): ") as told:
            async for _ in engine.ask(p.Load("demo"), comparing("x")):
                pass
    assert "memory" in told.value.hint


# --- what happens on the way ----------------------------------------------------------------------


@pytest.fixture
async def running(mac: SshServer, here: None) -> AsyncIterator[EngineClient]:
    """An engine on the other side in the midst of a long run."""
    mac.engine(fake_engine("long", 0.01))
    async with EngineClient(ssh_command("mac")) as engine:
        await engine.send(p.Load("demo"))
        await engine.send(comparing("x", max_tokens=4000))
        async for event in engine.events():
            if isinstance(event, p.Step):
                break
        yield engine


async def test_a_connection_that_is_closed(mac: SshServer, running: EngineClient) -> None:
    engines = mac.cut()
    assert engines
    with pytest.raises(EngineDied, match="The connection to mac was lost: ") as caught:
        async for _ in running.events():
            pass
    assert "ends with the connection" in caught.value.hint
    await asyncio.to_thread(psutil.wait_procs, engines, 60)
    assert not any(engine.is_running() for engine in engines)


async def test_an_engine_that_is_killed(mac: SshServer, running: EngineClient) -> None:
    for engine in mac.engines():
        if "fake_engine.py" in " ".join(engine.cmdline()):
            engine.kill()
    with pytest.raises(
        EngineDied, match=r"The engine on mac was killed( \(SIGKILL\))?: |\."
    ) as caught:
        async for _ in running.events():
            pass
    assert "memory" in caught.value.hint


async def test_a_stop_arrives_over_a_slow_line(mac: SshServer, here: None) -> None:
    mac.engine(fake_engine("long", 0.01))
    settings = {"engine_command": ssh_command("mac"), "max_tokens": 4000}
    async with slow_line(mac, 20_000), driven(**settings) as it:
        await it.until_shown("ready")
        await it.type("x")
        await it.press("enter")
        await it.until_shown("tok/s")
        await it.press("f1")
        await it.until_shown("Help")
        await it.press("escape")
        await it.press("ctrl+g")
        await it.until_shown("stopped")
        # What had been sent before is still on its way, and comes first.
        assert len(it.comparison.streams[0].tokens) < 4000


async def test_the_engine_there_ends_with_the_client(mac: SshServer, running: EngineClient) -> None:
    engines = mac.engines()
    assert engines
    running.kill()
    await asyncio.to_thread(psutil.wait_procs, engines, 60)
    assert not any(engine.is_running() for engine in engines)
