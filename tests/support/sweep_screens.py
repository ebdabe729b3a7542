"""The screen of a sweep over results that no engine made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.sweep.header import PromptSetInfo, SweepHeader
from gelu_tui.sweep.outcomes import FailedPrompt, PromptOutcome
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.store import SweepStore
from tests.support.comparisons import run_document
from tests.support.sweep_outcomes import FUNCTIONS, MAX_TOKENS, prompt_outcomes

FIRST_WORDS = (
    "Why is the sky blue?",
    "A haiku about rounding errors",
    "def gelu(x):\n    return",
    "空はなぜ青いですか。",
    "\x1b[31mred [bold]x[/]",
)


def sweep_header(count: int, name: str = "mixed", key: str = "0123456789abcdef") -> SweepHeader:
    """The header of a sweep over `count` prompts with the functions of `prompt_outcomes`."""
    own = tuple(name for name in FUNCTIONS if name != CONTROL)
    return SweepHeader(
        key=key,
        name=name,
        created="2024-03-09T09:07:00+00:00",
        settings=SweepSettings(
            name=name, prompts="builtin:mixed", models=("demo",), activations=own,
            reference=FUNCTIONS[0], max_tokens=MAX_TOKENS,
        ),
        prompts=PromptSetInfo(name, "ab" * 32, count),
        models=("demo",),
        functions=tuple(
            p.VariantInfo(n, "f(x)", "float32", native=not i, control=n == CONTROL)
            for i, n in enumerate(FUNCTIONS)
        ),
        reference=FUNCTIONS[0],
    )  # fmt: skip


def a_store(
    finished: int = 12,
    count: int = 12,
    *,
    failed: Sequence[int] = (),
    root: Path | None = None,
    name: str = "mixed",
    key: str = "0123456789abcdef",
    seed: int = 0,
) -> SweepStore:
    """A store with so many finished prompts; those that are `failed` come besides."""
    store = SweepStore.create(sweep_header(count, name, key), root)
    for outcome in prompt_outcomes(finished, seed=seed):
        save_outcome(store, outcome)
    for number in failed:
        reason = f"The prompt has {number}0,000 tokens, and the model takes 32,768."
        store.save_failed(0, FailedPrompt(f"{number:04d}", reason, number, "demo"))
    return store


def save_outcome(store: SweepStore, outcome: PromptOutcome) -> None:
    """Save an outcome with a short saved run."""
    text = FIRST_WORDS[outcome.number % len(FIRST_WORDS)]
    texts = {name: ["The", " sky", " is", " blue"] for name in FUNCTIONS}
    document = run_document(text, texts=texts, control=CONTROL)
    document = replace(document, device="cpu", versions={"mlx": "0.32.4"})
    prompt = Prompt(number=outcome.number, id=outcome.id, prompt=text)
    store.save(outcome.model, document, outcome, prompt, seconds=1.0)
