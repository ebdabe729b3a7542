"""Where an engine runs: what may stand for a host, and the command that ssh gets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.remote import HOST_PATTERN, how_ssh_ended, last_words, ssh_command, ssh_host
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import Settings, load_settings
from gelu_tui.core.settings.validation import convert

HOST = fields_of(Settings)["host"]

NAMES = {
    "mac": ("mac", None),
    "user@mac.local": ("user@mac.local", None),
    "mac:2222": ("mac", "2222"),
    "me@10.0.0.7:22": ("me@10.0.0.7", "22"),
    "::1": ("::1", None),
    "fe80::1%en0": ("fe80::1%en0", None),
    "me@[fe80::1]:2222": ("me@fe80::1", "2222"),
    "[::1]": ("::1", None),
    "büro": ("büro", None),
}
REFUSED = (
    "", " ", "-oProxyCommand=x", "me@-oProxyCommand=x", "a b", "a;b", "$(id)", "`id`", "a\nb",
    "mac\n", "mac:", "mac:port", "mac:222222", "@mac", "me@", "a/b", "a'b", 'a"b', "\x1b[31m",
    "\u202emac", "%h", "me@you@mac", "[::1", "mac:22:", "a|b", "a&b", "a\\b", "~\x00",
)  # fmt: skip


@pytest.mark.parametrize(("name", "parts"), NAMES.items())
def test_a_host_as_ssh_takes_it(name: str, parts: tuple[str, str | None]) -> None:
    words = shlex.split(ssh_command(convert(HOST, name)))
    host, port = parts
    assert words[0] == "ssh"
    assert words[-2] == host
    assert ("-p" in words) == (port is not None)
    if port is not None:
        assert words[words.index("-p") + 1] == port


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_host(name: str) -> None:
    with pytest.raises(UsageError, match="must be a machine's name as ssh takes it"):
        convert(HOST, name)


@given(st.text(max_size=20) | st.from_regex(HOST_PATTERN.removesuffix(r"$(?!\n)"), fullmatch=True))
def test_whatever_is_taken_is_one_word_and_no_option(name: str) -> None:
    try:
        convert(HOST, name)
    except UsageError:
        return
    words = shlex.split(ssh_command(name))
    host = words[-2]
    assert host[0] != "-" and "@-" not in host
    assert not re.search(r"[\s;&|<>$`'\"\\(){}\x00-\x1f]", host)
    assert words[-1] == "exec $SHELL -lc 'exec gelu-tui engine'"
    assert "BatchMode=yes" in words
    assert (ssh_host(ssh_command(name)) or "").startswith(host)


@pytest.mark.parametrize(
    ("command", "host"),
    [
        ("ssh mac gelu-tui engine", "mac"),
        ("/usr/bin/ssh -p 22 -i key -o A=b -v me@mac x", "me@mac:22"),
        (["ssh", "-T", "mac", "x"], "mac"),
        ("ssh", None),
        ("ssh -Z mac", None),
        ("ssh 'mac", None),
        ("mosh mac gelu-tui engine", None),
        ("", None),
        ([], None),
        (None, None),
        (print, None),
        ([1], None),
    ],
)
def test_the_machine_of_a_command(command: object, host: str | None) -> None:
    assert ssh_host(command) == host


@given(st.text(max_size=30) | st.lists(st.text(max_size=6), max_size=5))
def test_any_command_has_a_machine_or_none(command: object) -> None:
    assert ssh_host(command) is None or isinstance(ssh_host(command), str)


def test_a_killed_engine_is_no_lost_line() -> None:
    assert how_ssh_ended("mac", 255, "", began=True) is None
    assert how_ssh_ended("mac", 255, "malloc failed", began=True) is None
    assert how_ssh_ended("mac", 1, "", began=False) is None
    for said in (
        "Connection to mac closed by remote host.",
        "client_loop: send disconnect: Broken pipe",
        "Timeout, server mac not responding.",
        "Read from remote host mac: Connection reset by peer",
    ):
        told = how_ssh_ended("mac", 255, said, began=True)
        assert told is not None and told[0].startswith("The connection to mac was lost: ")


def test_the_line_that_says_why() -> None:
    changed = "Host key for mac has changed and you have requested strict checking."
    assert last_words(["x", changed, "Host key verification failed."]) == changed
    assert last_words(["a", "b"]) == "b"
    assert last_words([]) == ""


def test_the_host_of_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('host = "mac"\n')
    assert load_settings(file, environ={}).settings.engine == ssh_command("mac")
    both = {"GELU_TUI_HOST": "other", "GELU_TUI_ENGINE_COMMAND": "x"}
    assert load_settings(file, environ={"GELU_TUI_HOST": "other"}).settings.host == "other"
    by_command = load_settings(file, environ={"GELU_TUI_ENGINE_COMMAND": "x"})
    assert (by_command.settings.engine, by_command.settings.host) == ("x", None)
    for content, environ in (('host = "a"\nengine_command = "x"\n', {}), ("", both)):
        file.write_text(content)
        found = load_settings(file, environ=environ)
        assert found.settings.engine == "x"
        assert "host and engine_command" in found.problems[0].message
    file.write_text('engine_command = "x"\n')
    found = load_settings(file, environ={"GELU_TUI_HOST": "mac"})
    assert (found.settings.engine, found.problems) == (ssh_command("mac"), ())


def test_the_schema_knows_the_form() -> None:
    described = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]["host"]
    assert described["anyOf"][0]["pattern"] == HOST_PATTERN
