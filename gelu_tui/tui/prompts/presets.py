"""Prompts to begin with, each with what it is good for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """`why` says in one sentence what the prompt shows about a changed activation function."""

    title: str
    prompt: str
    why: str


# The first two are those of the notebook that this comparison comes from.
PRESETS = (
    Preset(
        "Blue sky, English",
        "Why is the sky blue?",
        "A fact that every Gemma knows: streams stay together until the wording is a close call.",
    ),
    Preset(
        "Blue sky, Japanese",
        "空が青いのはなぜですか？",
        "The same question in rarer tokens: probabilities are flatter, and forks come sooner.",
    ),
    Preset(
        "Code",
        'def is_prime(n: int) -> bool:\n    """Return whether n is a prime number."""\n',
        "Syntax leaves little choice, so that a fork here is one of meaning and not of style.",
    ),
    Preset(
        "Arithmetic",
        "Question: A train leaves at 9:40 and arrives at 13:05. How many minutes does it take?\n"
        "Let us think step by step.\n",
        "One wrong digit changes all that follows: see whether the streams reach the same result.",
    ),
    Preset(
        "List",
        "Ten large rivers and the countries that they flow through:\n1.",
        "The order is free: streams leave each other early, and often meet again at the numbers.",
    ),
    Preset(
        "Long story",
        "Write a long story about a lighthouse keeper who finds a letter in a bottle. Begin at the "
        "beginning, and take your time.\n\n",
        "Free text with many close calls: how long do the streams stay together? Give it 1,000 "
        "tokens.",
    ),
    Preset(
        "Translation",
        "English: The early bird catches the worm, but the second mouse gets the cheese.\nGerman:",
        "The meaning is fixed and the words are not: a fork, and then the same thing said twice.",
    ),
    Preset(
        "Chat",
        "I have eggs, rice, two tomatoes and half an onion. What can I cook in twenty minutes?",
        "An everyday question for an instruction-tuned model, with the chat template.",
    ),
)
