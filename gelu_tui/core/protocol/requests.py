"""Commands from the user's input, with every check that needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.validation import check

_OverText = TypeVar("_OverText", bound=p.OverText)


def check_prompt(prompt: str) -> None:
    """Raise `UsageError` for a prompt that no model can continue."""
    if not prompt.strip():
        raise UsageError("The prompt is empty.", "Give some text to continue.", kind="empty_prompt")
    if any("\ud800" <= char <= "\udfff" for char in prompt):
        hint = "Convert the text to UTF-8 first."
        raise UsageError("The prompt is not valid UTF-8.", hint, kind="encoding")


def compare_command(prompt: str, settings: RunSettings) -> p.Compare:
    """Return the command of a comparison. Raises `UsageError`."""
    check_prompt(prompt)
    check(settings)
    return p.Compare(prompt, settings)


def over_text(
    kind: type[_OverText],
    settings: RunSettings,
    *,
    texts: Sequence[str] = (),
    tokens: Sequence[int] = (),
    context: int | None = None,
    **more: Any,
) -> _OverText:
    """Return a command of this kind that reads either `texts` or `tokens`; `more` are its fields.

    Raises `UsageError`.
    """
    if not tokens and not any(text.strip() for text in texts):
        raise UsageError("The text is empty.", "Give some text to read.", kind="empty_text")
    if context is not None and context < 2:
        counted = "1 token" if context == 1 else f"{context} tokens"
        message = f"A window of {counted} has no token with another one before it."
        raise UsageError(message, "Choose 2 or more.", kind="context")
    check(settings, room=False)
    if len(texts) > 1:
        return kind(settings, context=context, documents=tuple(texts), **more)
    return kind(settings, "".join(texts), tuple(tokens), context, **more)
