"""One stream as styled text: quiet while it agrees, the first divergent token unmistakable."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.style import Style

from gelu_tui.core.comparison import Stream
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.tui.labels import FORK_MARK


@dataclass(frozen=True)
class StreamStyles:
    """How the parts of a stream look."""

    shared: Style
    fork: Style
    error: Style


def stream_content(stream: Stream, *, is_reference: bool, styles: StreamStyles) -> Content:
    """The whole text of a stream.

    The reference is written plainly; another stream is quiet up to its first divergent token,
    which carries a mark and a visible form even if it is blank, and plain after it.
    """
    fork = stream.first_divergent_token
    if is_reference:
        parts: list[Content | str | tuple[str, Style]] = [Content(visible(stream.text))]
    elif fork is None:
        # Solo: this stream may be ahead of the reference, and then nothing is known of the rest.
        rest = "".join(stream.segments[stream.agreed :]) + stream.tail
        parts = [
            (visible("".join(stream.segments[: stream.agreed])), styles.shared),
            Content(visible(rest)),
        ]
    else:
        # The mark stands after the token's leading blanks, so that a line may break before it but
        # never between mark and token.
        token = _fork_text(stream, fork)
        word = token.lstrip(" ")
        parts = [
            (visible("".join(stream.segments[:fork])), styles.shared),
            token[: len(token) - len(word)],
            (f"{FORK_MARK}{word}", styles.fork),
            Content(visible(_after_fork(stream, fork))),
        ]
    if stream.error is not None:
        said = f"{stream.error.message} {stream.error.hint}".strip()
        parts.append((f"\n✗ {visible_line(said)}", styles.error))
    return Content.assemble(*parts)


def _fork_text(stream: Stream, fork: int) -> str:
    """The first divergent token in a form that can be seen."""
    if fork >= len(stream.tokens):
        return "end of text" if stream.finish_reason == "stop" else "end"
    text = stream.segments[fork]
    if not text:
        # A special token, or part of a character: the fork event names it.
        text = stream.fork.variant_text if stream.fork is not None else "…"
    return visible_line(text) if text.strip() else _visible_blank(text)


def _visible_blank(text: str) -> str:
    return visible_line(text).replace(" ", "␣") or "∅"


def _after_fork(stream: Stream, fork: int) -> str:
    rest = "".join(stream.segments[fork + 1 :]) + stream.tail
    # The mark shows a line break as a glyph; what follows still starts on a line of its own.
    broken = fork < len(stream.segments) and stream.segments[fork].endswith("\n")
    return "\n" + rest if broken else rest
