"""What came of the reference's token at a fork, as styled text."""

from __future__ import annotations

from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import (
    explain_fork,
    explain_verdict,
    visible_token,
)
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.comparison.what_if import explain_what_if, next_steps
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare.what_if import Trying
from gelu_tui.tui.fork.context import Side, continuations, tail

PARTS = ("what-if", "what-if-texts", "what-if-fork")

_HEAD = ("What if: ", "bold")
_NOTHING = Content()


def what_if_view(
    comparison: Comparison, index: int, trying: Trying | None, width: int
) -> tuple[Content, Content, Content]:
    """The answer for a stream of the run, or how far it is: `PARTS`, empty where nothing was asked.

    A sentence, the texts beside each other, and what happened where it parts again.
    """
    if trying is not None and trying.stream == index:
        said = trying.why_not or f"{trying.doing}. w stops it."
        text = tail(visible_line("".join(trying.texts)), width)
        return Content.assemble(_HEAD, visible_line(said)), Content(text), _NOTHING
    stream, reference = comparison.streams[index], comparison.reference
    fork = stream.fork
    if fork is None or (what_if := fork.what_if) is None:
        return _NOTHING, _NOTHING, _NOTHING
    names, count = (reference.name, stream.name), len(reference.tokens)
    said, again = explain_what_if(fork, *names, count), what_if.fork
    if what_if.step is not None and next_steps(fork, count):
        said += f" w gives {visible_line(stream.name)} that token too."
    there = f"{explain_fork(again, *names)} {explain_verdict(again, *names)}" if again else ""
    texts = _texts(comparison, index, what_if, width)
    return Content.assemble(_HEAD, said), texts, Content(there)


def _texts(comparison: Comparison, index: int, what_if: p.Counterfactual, width: int) -> Content:
    """The text up to where the stream parts again, and how both sides continue from there."""
    reference, first = comparison.reference, what_if.given[-1] + 1
    if what_if.step is None:
        shared = "".join(reference.segments[:first]) + what_if.text
        return Content.styled(tail(visible_line(shared), width), "dim")
    before = "".join(reference.segments[: what_if.step])
    rest = what_if.text[len("".join(reference.segments[first : what_if.step])) :]
    one, other = reference.segments[what_if.step], ""
    if what_if.fork is not None:
        one, other = what_if.fork.reference_text, what_if.fork.variant_text
    tokens = reference.tokens[what_if.step], what_if.tokens[what_if.step - first]
    a, b = (visible_token(*pair) for pair in zip((one, other), tokens, strict=True))
    sides = [
        Side(reference.name, a, "".join(reference.segments[what_if.step + 1 :])),
        Side(comparison.streams[index].name, b, rest.removeprefix(other)),
    ]
    return continuations(before, sides, width)
