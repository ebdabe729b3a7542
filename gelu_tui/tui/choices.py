"""What the next run will compare, as the user has set it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.activations import Variant, parse_variants
from gelu_tui.core.errors import UsageError
from gelu_tui.core.requests import compare_command
from gelu_tui.tui.options import AppOptions

if TYPE_CHECKING:
    from gelu_tui.core.document import ComparisonDocument


@dataclass(frozen=True)
class Choices:
    """The settings of the next `Compare`; `activations` are specs, in the order of the panes."""

    activations: tuple[str, ...]
    reference: str | None
    max_tokens: int
    schedule: p.Schedule
    chat: bool | None
    activation_precision: p.Precision
    sampling: p.Sampling = p.GREEDY
    control: bool = False
    replay: bool = True

    @classmethod
    def from_options(cls, options: AppOptions) -> Choices:
        """The choices that the command line made."""
        return cls(
            activations=options.activations,
            reference=options.reference,
            max_tokens=options.max_tokens,
            schedule=options.schedule,
            chat=options.chat,
            activation_precision=options.activation_precision,
            sampling=options.sampling,
            control=options.control,
            replay=options.replay,
        )

    def command(self, prompt: str) -> p.Compare:
        """The command for `prompt`. Raises `UsageError`."""
        return compare_command(
            prompt,
            self.activations,
            reference=self.reference,
            max_tokens=self.max_tokens,
            schedule=self.schedule,
            chat=self.chat,
            activation_precision=self.activation_precision,
            sampling=self.sampling,
            control=self.control,
            replay=self.replay,
        )

    def like(self, saved: ComparisonDocument) -> Choices:
        """The choices that a saved comparison was made with, as far as they can be run again."""
        from gelu_tui.core.restore import command_of

        command = command_of(saved)
        try:
            parse_variants(command.activations)
        except UsageError:
            return self
        return replace(
            self,
            activations=command.activations,
            reference=command.reference,
            max_tokens=command.max_tokens,
            schedule=command.schedule,
            chat=command.chat,
            activation_precision=command.activation_precision,
            sampling=command.sampling,
            control=command.control,
            replay=command.replay,
        )

    def variants(self) -> list[Variant]:
        """The chosen functions, none if the choice cannot be run."""
        try:
            return parse_variants(self.activations)
        except UsageError:
            return []


_TEMPERATURES = (0.0, 0.3, 0.5, 0.7, 0.8, 1.0, 1.2)
_LIMITS: tuple[tuple[str, str, float, tuple[float, ...], str], ...] = (
    ("Top-p", "top_p", 1.0, (0.9, 0.95), "Draw from the fewest tokens of this probability in all."),
    ("Top-k", "top_k", 0, (20, 40), "Draw from so many of the most probable tokens."),
    ("Min-p", "min_p", 0.0, (0.05, 0.1), "Leave out what is less probable than this × the first."),
)
_TOKENS = (16, 40, 64, 80, 128, 256, 512, 1024, 2048, 4096)


def setting_variations(
    choices: Choices, shown: p.Sampling = p.GREEDY
) -> list[tuple[str, str, Choices]]:
    """What can be changed about the next run besides its functions: title, explanation, result.

    `shown` is how the tokens of the run on the screen were drawn.
    """
    other: p.Schedule = "solo" if choices.schedule == "lockstep" else "lockstep"
    found = [
        (
            f"Schedule: {other}",
            "Each variant alone at batch size 1." if other == "solo" else "All in one batch.",
            replace(choices, schedule=other),
        )
    ]
    for chat, title in (
        (True, "chat template"),
        (False, "raw text"),
        (None, "as the model has it"),
    ):
        if chat is not choices.chat:
            found.append(
                (f"Prompt: {title}", "How the next prompt is fed.", replace(choices, chat=chat))
            )
    precision: p.Precision = "model" if choices.activation_precision == "float32" else "float32"
    found.append(
        (
            f"Activation precision: {precision}",
            "The dtype in which the function itself is evaluated.",
            replace(choices, activation_precision=precision),
        )
    )
    found += _other_sampling(choices, shown)
    found.append(
        (
            f"Control: {'off' if choices.control else 'on'}",
            "The reference once more, in another order of operations: what rounding alone does.",
            replace(choices, control=not choices.control),
        )
    )
    found.append(
        (
            f"Replay: {'off' if choices.replay else 'on'}",
            "Forks again in float32 when all streams have ended: formula, or rounding?",
            replace(choices, replay=not choices.replay),
        )
    )
    found.extend(
        (
            f"Tokens: {tokens}",
            f"At most {tokens} in each stream.",
            replace(choices, max_tokens=tokens),
        )
        for tokens in _TOKENS
        if tokens != choices.max_tokens
    )
    if choices.reference is not None:
        found.append(
            (
                "Reference: the native function",
                "If it is chosen, else the first.",
                replace(choices, reference=None),
            )
        )
    return found


def _other_sampling(choices: Choices, shown: p.Sampling) -> list[tuple[str, str, Choices]]:
    """Other temperatures; and where tokens are drawn, the seed of what is shown or a new one."""
    now = choices.sampling

    def drawn(**changed: float | None) -> Choices:
        return replace(choices, sampling=msgspec.structs.replace(now, **changed))

    found = [
        (
            f"Temperature: {temperature:g}" if temperature else "Temperature: 0 (most probable)",
            "All functions draw with the same random numbers."
            if temperature
            else "Each function takes its most probable token.",
            drawn(temperature=temperature),
        )
        for temperature in _TEMPERATURES
        if temperature != now.temperature
    ]
    if now.temperature:
        found += [
            (
                f"{name}: {value:g}" if value != off else f"{name}: off",
                explanation if value != off else "No token is left out for this.",
                drawn(**{field: value}),
            )
            for name, field, off, values, explanation in _LIMITS
            for value in (*values, off)
            if value != getattr(now, field)
        ]
    if now.temperature and shown.temperature and shown.seed != now.seed:
        found.append(
            (
                f"Seed: {shown.seed}, as shown",
                "Draw with the random numbers of this run.",
                drawn(seed=shown.seed),
            )
        )
    if now.temperature and now.seed is not None:
        found.append(
            (
                "Seed: a new one for every run",
                "Draw with other random numbers each time.",
                drawn(seed=None),
            )
        )
    return found
