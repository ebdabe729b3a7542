"""An engine on another machine, by ssh: the command, the machine's name, what ssh's words mean.

ssh brings the keys, the encryption and the login; nothing of ours listens there.
"""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from gelu_tui.core.safe_text import visible_line

# What may stand for a host; no word that ssh or a shell could take for something else.
_NAME = r"[\w.+~-]+"
_ADDRESS = r"[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%\w+)?"  # of IPv6
HOST_PATTERN = (
    rf"^(?!-)({_NAME}@)?(?!-)({_NAME}(:[0-9]{{1,5}})?|\[{_ADDRESS}\](:[0-9]{{1,5}})?|{_ADDRESS})"
    r"$(?!\n)"
)

# No terminal and no question: whoever must be asked is told to try it by hand. Compressed, because
# events are text; told of a dead line after a minute; without what a user's configuration adds for
# sessions of a person, which would fail in the second engine.
_OPTIONS = (
    *("-T", "-C", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
    *("-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"),
)
# A login shell, because that is where a Mac's PATH is extended.
_ON_THE_OTHER_SIDE = "exec $SHELL -lc 'exec gelu-tui engine'"

_WITH_A_VALUE = "b:c:e:i:l:m:o:p:B:D:E:F:I:J:L:O:P:Q:R:S:W:w:"
_WITHOUT = "46afgknqstvxyACGKMNTVXY"
SSH_FAILED = 255  # also where a signal has ended the command there
_NO_COMMAND = (126, 127)

_HINTS = (
    (
        "has changed",
        "If you know why its key is new, remove the old one: `ssh-keygen -R '{name}'`; else do not "
        "connect.",
    ),
    (
        "host key verification failed|host key is known",
        "Connect once by hand, `ssh {host}`, and accept its key if it is the right one.",
    ),
    (
        "permission denied|authentication failures|passphrase",
        "It must let you in without a question: `ssh-copy-id {host}`, or ssh-add; then try "
        "`ssh {host} true`.",
    ),
    ("could not resolve", "Check the name: it is what `ssh` takes."),
    (
        "connection refused",
        "Check the port, and that its ssh server is on; on a Mac: Sharing, Remote Login.",
    ),
    ("timed out|no route|unreachable", "Check that it is on, awake and in reach."),
    ("configuration option|terminating, ", "Look into ~/.ssh/config."),
)
_CHANGED = re.compile(r"Host key for (\S+) has changed and you have requested")
_OF_A_LOST_LINE = re.compile(
    r"client_loop|closed by|not responding|reset by|broken pipe|disconnect|from remote host|packet",
    re.IGNORECASE,
)


def ssh_command(host: str) -> str:
    """Return the command line that starts the engine on `host`, which matches `HOST_PATTERN`."""
    port: tuple[str, ...] = ()
    if found := re.fullmatch(r"(.*@)?\[(.*)\](?::(\d+))?|([^:]*):(\d+)", host):
        user, address, first, name, second = found.groups()
        host = name or f"{user or ''}{address}"
        port = ("-p", first or second) if first or second else ()
    return shlex.join(["ssh", *_OPTIONS, *port, host, _ON_THE_OTHER_SIDE])


def ssh_host(command: object) -> str | None:
    """Return the machine on which a command starts its engine by ssh, as the command names it.

    None for every other command, and for what is none.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else command
        if not isinstance(words, Sequence) or not words or PurePath(words[0]).name != "ssh":
            return None
        options, rest = getopt.getopt(list(words[1:]), _WITH_A_VALUE + _WITHOUT)
    except (ValueError, TypeError, getopt.GetoptError):
        return None
    if not rest:
        return None
    port = dict(options).get("-p", "")
    return f"{rest[0]}:{port}" if port and ":" not in rest[0] else rest[0]


def machine_of(command: object) -> str:
    """Return what to call the machine of an engine, as it may be shown."""
    host = ssh_host(command)
    return "this machine" if host is None else visible_line(host)


def last_words(lines: Sequence[str]) -> str:
    """Return the line of ssh's last ones that says most; empty where there is none."""
    for line in reversed(lines):
        if _CHANGED.search(line):
            return line
    return lines[-1] if lines else ""


def how_ssh_ended(host: str, code: int | None, said: str, *, began: bool) -> tuple[str, str] | None:
    """Return what happened and what helps; None where the engine ended and not the way to it.

    `code` is the exit code of ssh, `said` what was said last, as it may be shown; `began`: an
    engine had answered.
    """
    told = f": {said.removesuffix('.')}" if said else ""
    if code == SSH_FAILED and began:
        if not _OF_A_LOST_LINE.search(said):
            return None  # ssh says why it gives up, but not which signal has ended a command
        hint = "The engine there ends with the connection. Run it again when ssh reaches it."
        return f"The connection to {host} was lost{told}.", hint
    if code == SSH_FAILED:
        hints = (hint for words, hint in _HINTS if re.search(words, said.lower()))
        hint = next(hints, "Try it by hand: `ssh {host} true`.")
        name = found.group(1) if (found := _CHANGED.search(said)) else host
        return f"ssh could not connect to {host}{told}.", hint.format(host=host, name=name)
    if code in _NO_COMMAND and not began:
        hint = (
            "Install gelu-tui there, or name its place: "
            f'--engine-command "ssh {host} /PATH/OF/.venv/bin/gelu-tui engine".'
        )
        return f"The shell on {host} finds no gelu-tui{told}.", hint
    return None
