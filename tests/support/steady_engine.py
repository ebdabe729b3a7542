"""A fake engine that streams at a steady rate, for measurements of the app.

python -m tests.support.steady_engine --rate 60 --burst 30000 --stamped
"""

from __future__ import annotations

import argparse
import asyncio
import time

from gelu_tui.core import protocol as p
from tests.support import steady_text
from tests.support.fake_engine import FakeEngine
from tests.support.made_up import fork_between
from tests.support.stand_in import serve_in_process


class SteadyEngine(FakeEngine):
    """`rate` steps a second until `max_tokens`; the first `burst` of them at once."""

    def __init__(self, rate: float, burst: int, *, stamped: bool) -> None:
        super().__init__("five", 1 / rate)
        self.burst = burst
        self.stamped = stamped

    async def decode(self, texts: list[list[str]], reference: int) -> None:
        count = len(texts)
        sources = [steady_text.tokens(i, reference, stamped=self.stamped) for i in range(count)]
        forked = {reference}
        began = due = time.monotonic()
        self.ended.clear()
        for step in range(self.max_tokens):
            if step == self.burst:
                due = time.monotonic()
            if step >= self.burst:
                due += self.step_s
                await self.sleep(max(0.0, due - time.monotonic()))
            tokens = [next(source) for source in sources]
            elapsed_s = time.monotonic() - began
            self.emit(
                p.Step(
                    step,
                    elapsed_s,
                    tuple(
                        p.StreamStep(i, t.id, t.text, t.logprob, t.margin, t.kl, elapsed_s)
                        for i, t in enumerate(tokens)
                    ),
                )
            )
            a = tokens[reference]
            for i, b in enumerate(tokens):
                if i not in forked and a.id != b.id:
                    forked.add(i)
                    self.emit(fork_between(i, step, (a.id, a.text), (b.id, b.text)))
        for i in range(count):
            self.ended.add(i)
            self.emit(p.StreamFinished(i, "length"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=60, help="steps a second")
    parser.add_argument("--burst", type=int, default=0, help="steps that come at once, first")
    parser.add_argument("--stamped", action="store_true", help="write the time into the texts")
    arguments = parser.parse_args()
    engine = SteadyEngine(arguments.rate, arguments.burst, stamped=arguments.stamped)
    asyncio.run(serve_in_process(engine))


if __name__ == "__main__":
    main()
