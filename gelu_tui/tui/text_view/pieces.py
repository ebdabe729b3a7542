"""The text of a stream token by token, with a visible form of the first divergent token."""

from __future__ import annotations

from collections.abc import Iterator

from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.comparison.state import Stream
from gelu_tui.core.safe_text import visible_line

FORK_MARK = "►"


def pieces(stream: Stream, fork: int | None, start: int = 0) -> Iterator[str]:
    """The text to show for every token from `start` on."""
    for index in range(start, len(stream.segments)):
        yield _marked(stream, index) if index == fork else stream.segments[index]


def ending(stream: Stream, fork: int | None) -> str:
    """The text after the last token: its cut-off rest, the end if that is the fork, an error."""
    parts = [stream.tail]
    if fork is not None and fork >= len(stream.tokens) and stream.finish_reason is not None:
        parts.append(f" {FORK_MARK}{FINISH[stream.finish_reason][0]}")
    if stream.error is not None:
        error = f"{stream.error.message} {stream.error.hint}".strip()
        parts.append(f"\n✗ {visible_line(error)}")
    return "".join(parts)


def named(stream: Stream, index: int) -> str:
    """A token on one line, blanks and special tokens named."""
    text = stream.segments[index] if index < len(stream.segments) else ""
    if not text and stream.fork is not None and stream.fork.step == index:
        text = stream.fork.variant_text  # of a special token, or a part of a character
    if not text:
        ended = index == len(stream.tokens) - 1 and stream.finish_reason == "stop"
        return FINISH["stop"][0] if ended else "…"
    return visible_line(text) if text.strip() else visible_line(text).replace(" ", "␣")


def _marked(stream: Stream, index: int) -> str:
    # The mark follows the token's leading blanks, so that a row may end before it but never between
    # mark and token. A line break shows as a glyph and still breaks.
    shown = named(stream, index)
    word = shown.lstrip(" ")
    broken = "\n" if stream.segments[index].endswith("\n") else ""
    return f"{shown[: len(shown) - len(word)]}{FORK_MARK}{word}{broken}"
