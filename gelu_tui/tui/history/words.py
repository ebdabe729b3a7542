"""What the history screen says: its keys by what has the focus, and why its list is empty."""

from __future__ import annotations

from gelu_tui.core.safe_text import quoted
from gelu_tui.tui.history.run_table import MARK

# A narrow terminal cuts the line off at the right.
_KEYS = {
    "runs": "Enter open · q back · / search · c compare · r rerun · e export · x delete",
    "search": "Enter or ↓ to the runs · Esc, F10 clear the search",
    "path": "Enter writes · Esc, F10 do not · .md is a report, .json the data",
    "question": "",
}
_KEYS_MARKED = f"Compare run {{run}}: c on another run · c on {MARK} or Esc takes the mark away"
_NO_KEYS = "q, Esc back · F1 help"
_EMPTY = (
    "No runs yet.\n\nEvery run is saved here by itself when it ends, token by token, and can be "
    "opened again without the model.\n\nq goes back: type a prompt there and run it."
)


def keys(focused: str | None, marked: int | None, *, empty: bool) -> str:
    """The line of keys for the part that has the focus; `marked` is a run to compare with."""
    if empty and focused != "path":
        return _NO_KEYS
    if marked is not None and focused == "runs":
        return _KEYS_MARKED.format(run=marked)
    return _KEYS.get(focused or "", _NO_KEYS)


def why_empty(search: str) -> str:
    """Why no run is listed."""
    if not search.strip():
        return _EMPTY
    return f"No run holds {quoted(search, 30)}.\n\nEsc clears the search."
