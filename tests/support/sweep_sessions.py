"""Sessions of a sweep in tests: plans, what is told, and whether two have the same results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gelu_tui.core.runs.document import to_json
from gelu_tui.sweep import events as e
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.outcomes import PromptOutcome
from gelu_tui.sweep.plan import Plan, make_plan
from gelu_tui.sweep.progress import SweepProgress
from gelu_tui.sweep.runner import SweepSession
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document
from tests.support.sweep_engine import SweepEngines

PROMPTS = [f"prompt {n}" for n in range(12)]
FUNCTIONS = ("gelu", "gelu_approx", "relu")


def plan_of(prompts: Sequence[Any] = PROMPTS, **settings: Any) -> Plan:
    chosen = {"activations": FUNCTIONS, "max_tokens": 8, **settings}
    return make_plan(prompts, (), chosen, local=False)


class Told:
    """What a session told; `then` is called with each event."""

    def __init__(self, plan: Plan, then: Callable[[e.SweepEvent], object] = lambda _: None) -> None:
        self.events: list[e.SweepEvent] = []
        self.progress = SweepProgress(plan)
        self._then = then

    def __call__(self, event: e.SweepEvent) -> None:
        self.events.append(event)
        self.progress.apply(event)
        assert self.progress.line
        self._then(event)

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)


async def sweep(plan: Plan, engines: SweepEngines | None = None, **more: Any) -> SweepStore:
    session = SweepSession(plan, Told(plan), engine_command=engines or SweepEngines(), **more)
    await session.run()
    assert session.store is not None and session.error is None
    return session.store


def statistics(store: SweepStore) -> tuple[list[PromptOutcome], SweepDocument]:
    """Everything that must not depend on how often a sweep was disturbed."""
    document = stored_document(store)
    outcomes = list(store.outcomes())
    return outcomes, document


def same(one: SweepStore, other: SweepStore) -> bool:
    (outcomes, first), (others, second) = statistics(one), statistics(other)
    assert outcomes == others
    fields = ("results", "differences", "completed", "failed", "prompts", "status", "tokens")
    told, told_too = (
        to_json([getattr(document, name) for name in fields]).replace(document.id, "ID")
        for document in (first, second)
    )
    assert told == told_too
    return True
