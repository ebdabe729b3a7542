"""A stand-in for an engine that is asked about a run that has ended: replays and what ifs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from tests.support.made_up import fork_between, token_id, tokens_of, told
from tests.support.stand_in import CancelSeen

if TYPE_CHECKING:
    from tests.support.fake_engine import FakeEngine


def replay(engine: FakeEngine, command: p.Continue) -> None:
    names = [variant.name for variant in command.started.variants]
    texts = [
        tokens_of(name, i, engine.scenario)[: len(command.streams[i].tokens)]
        for i, name in enumerate(names)
    ]
    if engine.scenario == "compare_error":
        engine.emit(p.Failed(ErrorInfo("memory", "Memory ran out.", "Close programs."), ""))
        return
    reference = texts[command.started.reference]
    for i, text in enumerate(texts):
        pairs = enumerate(zip(reference, text, strict=False))
        at = next((step for step, (a, b) in pairs if a != b), None)
        if at is not None and not command.streams[i].judged:
            sides = ((token_id(x[at]), x[at]) for x in (reference, text))
            engine.emit(told(fork_between(i, at, *sides)))
    engine.emit(p.Replayed())


async def what_if(engine: FakeEngine, command: p.WhatIf) -> None:
    """gelu_fast_approx goes on for six tokens, silu parts again at once, others never do."""
    if engine.scenario == "compare_error":
        engine.emit(p.Failed(ErrorInfo("memory", "Memory ran out.", "Close programs."), ""))
        return
    run, (given,) = command.run, command.given
    names = [variant.name for variant in run.started.variants]
    reference = run.streams[run.started.reference].tokens
    words = tokens_of(names[run.started.reference], run.started.reference, engine.scenario)
    first, texts = given.steps[-1] + 1, list[str]()
    after = {"gelu_fast_approx": 6, "silu": 0}.get(names[given.stream], len(reference))
    parts = first + after if first + after < len(reference) else None
    end: p.FinishReason = "length"
    try:
        for step in range(first, len(reference)):
            await engine.sleep(engine.step_s)
            await engine.misbehave(step)
            engine.emit(p.Progress("what_if", "the forks", step + 1, len(reference), "tokens"))
            texts.append(words[step] if parts is None or step < parts else f" other{step}")
            token = p.StreamStep(given.stream, token_id(texts[-1]), texts[-1], -0.5, 1.5, 0, 1)
            engine.emit(p.WhatIfStep(step, (token,)))
    except CancelSeen:
        end = "cancelled"
    if parts is not None and parts >= first + len(texts):
        parts = None
    fork = None
    if parts is not None:
        sides = ((token_id(x), x) for x in (words[parts], texts[parts - first]))
        fork = fork_between(given.stream, parts, *sides).fork
    tokens = tuple(map(token_id, texts))
    parted = parts is not None
    answer = p.Counterfactual(given.steps, tokens, "".join(texts), end, parted, parts, fork)
    engine.emit(p.WhatIfAnswered(given.stream, answer))
    engine.emit(p.WhatIfEnded())
