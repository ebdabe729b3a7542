"""What the tests in a terminal look for on the screen: where the app's texts change, only here."""

from __future__ import annotations

import re

HINT = "Type a prompt"  # in the empty prompt
READY = "ready"  # in the status line, a model is loaded
STREAMING = "The sky"  # the first words of the fake engine's text
FORKED = "diverges at 1"
LATER = "Rayleigh"  # the tenth word
STOPPED = "stopped"
RUNNING = "running"
KILLED = "SIGKILL"
NO_SENSE = "sent a line it should not"
MORE_ROOM = "More room"
NOT_SAVED = "could not be saved"
DAMAGED = "history was damaged"

ENTER, STOP, RELOAD, QUIT, SUSPEND = "\r", "\x07", "\x1b[15~", "\x11", "\x1a"


def tokens_shown(text: str) -> int:
    """The largest number of tokens that a pane says it has; 0 if none does."""
    return max(map(int, re.findall(r"\b(\d+)/\d+", text)), default=0)
