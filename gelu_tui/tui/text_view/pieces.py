"""The text of a stream token by token, with the first divergent token in a form that is seen."""

from __future__ import annotations

from collections.abc import Iterator

from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.comparison.state import Stream
from gelu_tui.core.safe_text import visible_line

FORK_MARK = "►"


def pieces(stream: Stream, fork: int | None, start: int = 0) -> Iterator[str]:
    """The text to show for every token from `start` on; what follows the tokens comes last.

    Of a stream that ended before its fork, the token at the fork is the end itself.
    """
    for index in range(start, len(stream.segments)):
        text = stream.segments[index]
        yield _marked(stream, index) if index == fork else text


def ending(stream: Stream, fork: int | None) -> str:
    """What stands after the last token: the fork of an ended stream, text cut off, an error."""
    parts = [stream.tail]
    if fork is not None and fork >= len(stream.tokens) and stream.finish_reason is not None:
        parts.append(f" {FORK_MARK}{FINISH[stream.finish_reason][0]}")
    if stream.error is not None:
        said = f"{stream.error.message} {stream.error.hint}".strip()
        parts.append(f"\n✗ {visible_line(said)}")
    return "".join(parts)


def named(stream: Stream, index: int) -> str:
    """A token on one line, blanks and special tokens named."""
    text = stream.segments[index] if index < len(stream.segments) else ""
    if not text:
        # A special token, the end, or part of a character: the fork event may name it.
        fork = stream.fork
        text = fork.variant_text if fork is not None and fork.step == index else ""
        if not text:
            ended = index == len(stream.tokens) - 1 and stream.finish_reason == "stop"
            return FINISH["stop"][0] if ended else "…"
    return visible_line(text) if text.strip() else visible_line(text).replace(" ", "␣")


def _marked(stream: Stream, index: int) -> str:
    # The mark stands after the token's leading blanks, so that a row may end before it but never
    # between mark and token. A line break shows as a glyph and still breaks.
    text = stream.segments[index]
    shown = named(stream, index)
    word = shown.lstrip(" ")
    broken = "\n" if text.endswith("\n") else ""
    return f"{shown[: len(shown) - len(word)]}{FORK_MARK}{word}{broken}"
