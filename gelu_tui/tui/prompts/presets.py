"""The rows in the list of prompts; presets are rows with a title and a reason to use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.content import Content

from gelu_tui.core.safe_text import visible_line

_SEARCHED = 5_000  # characters of a prompt that a search looks at
_SHOWN = 200  # characters of a prompt in the list


@dataclass(frozen=True)
class PromptRow:
    """A prompt of the list: a preset or, without `title` and `why`, one of an earlier run.

    `why` is one sentence on what the prompt shows about a changed activation function.
    """

    title: str
    prompt: str
    why: str = ""

    def matches(self, words: Iterable[str]) -> bool:
        """Whether all words are in it."""
        text = f"{self.title}\n{self.prompt[:_SEARCHED]}".casefold()
        return all(word in text for word in words)

    def label(self) -> Content:
        """Return title and beginning of the prompt, on one line."""
        beginning = visible_line(self.prompt[:_SHOWN])
        if not self.title:
            return Content(f"  {beginning}")
        return Content.assemble(f"  {self.title:<20} ", (beginning, "dim"))


# The first two are those of the notebook that this comparison comes from.
PRESETS = (
    PromptRow(
        "Blue sky, English",
        "Why is the sky blue?",
        "A fact that every Gemma knows: streams stay together until the wording is a close call.",
    ),
    PromptRow(
        "Blue sky, Japanese",
        "空が青いのはなぜですか？",
        "The same question in rarer tokens: probabilities are flatter, and forks come sooner.",
    ),
    PromptRow(
        "Code",
        'def is_prime(n: int) -> bool:\n    """Return whether n is a prime number."""\n',
        "Syntax leaves little choice, so that a fork here is one of meaning and not of style.",
    ),
    PromptRow(
        "Arithmetic",
        "Question: A train leaves at 9:40 and arrives at 13:05. How many minutes does it take?\n"
        "Let us think step by step.\n",
        "One wrong digit changes all that follows: see whether the streams reach the same result.",
    ),
    PromptRow(
        "List",
        "Ten large rivers and the countries that they flow through:\n1.",
        "The order is free: streams leave each other early, and often meet again at the numbers.",
    ),
    PromptRow(
        "Long story",
        "Write a long story about a lighthouse keeper who finds a letter in a bottle. Begin at the "
        "beginning, and take your time.\n\n",
        "Free text with many close calls: how long do the streams stay together? Give it 1,000 "
        "tokens.",
    ),
    PromptRow(
        "Translation",
        "English: The early bird catches the worm, but the second mouse gets the cheese.\nGerman:",
        "The meaning is fixed and the words are not: a fork, and then the same thing said twice.",
    ),
    PromptRow(
        "Chat",
        "I have eggs, rice, two tomatoes and half an onion. What can I cook in twenty minutes?",
        "An everyday question for an instruction-tuned model, with the chat template.",
    ),
)
