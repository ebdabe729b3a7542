"""A text as windows of tokens: what the model is fed by all commands that read a text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.models.loading import LoadedModel

_USUAL_CONTEXT = 512


def windows_of(tokens: list[int], bos: list[int], context: int) -> list[list[int]]:
    """Cut a text into windows of at most `context` tokens, each with BOS in front if there is one.

    Every token of the text is in one window, and BOS is no token of the text.
    """
    if bos and tokens[: len(bos)] == bos:
        tokens = tokens[len(bos) :]
    own = context - len(bos)
    return [bos + tokens[start : start + own] for start in range(0, len(tokens), own)]


@dataclass(frozen=True)
class Windows:
    """A text, or several documents, cut into windows.

    Every token of a window but the last is fed, and those behind it are its targets. `clusters` has
    the number of each window's cluster: positions of a document are not independent, and those of
    a single document's window neither.
    """

    windows: list[list[int]]
    clusters: list[int]
    context: int
    tokens: int  # of the text
    documents: int
    bos: tuple[int, ...]  # in front of each window, and not of the text

    @property
    def positions(self) -> int:
        """How many tokens are fed, and have a target."""
        return sum(len(window) - 1 for window in self.windows)

    def told(self) -> dict[str, int]:
        """Return what a `TextStarted` tells of the text."""
        return {
            "tokens": self.tokens,
            "windows": len(self.windows),
            "positions": self.positions,
            "context": self.context,
            "documents": self.documents,
        }

    def check_vocabulary(self, vocabulary: int) -> None:
        """Raise `GeluError` where the text has tokens that the model does not know."""
        for token in (min(map(min, self.windows)), max(map(max, self.windows))):
            if not 0 <= token < vocabulary:
                raise GeluError(
                    "tokens",
                    f"The tokens are of another model: this one has no token {token}.",
                    "Take the run's own model.",
                )


def cut(loaded: LoadedModel, command: p.OverText) -> Windows:
    """Cut a command's text into windows.

    Raises `GeluError` for a window that the model has no room for, or a text of one token.
    """
    asked, limit = command.context, loaded.context_length
    if asked is not None and not 2 <= asked <= limit:
        raise GeluError(
            "context",
            f"A window of {asked} tokens does not fit this model, whose context holds {limit}.",
            f"Choose 2 to {limit}.",
        )
    context = asked or min(_USUAL_CONTEXT, limit)
    bos = loaded.tokenizer.encode("")
    texts = command.documents or (command.text,)
    parts = [list(command.tokens)] if command.tokens else map(loaded.tokenizer.encode, texts)
    of_part = [windows_of(tokens, bos, context) for tokens in parts]
    windows = list(chain.from_iterable(of_part))
    by_document = [number for number, part in enumerate(of_part) for _ in part]
    clusters = by_document if len(of_part) > 1 else list(range(len(windows)))
    tokens = sum(len(window) - len(bos) for window in windows)
    text = Windows(windows, clusters, context, tokens, len(of_part), tuple(bos[:1]))
    if not text.positions:
        message = "The text has no token with another one before it."
        raise GeluError("too_short", message, "Use more text.")
    return text
