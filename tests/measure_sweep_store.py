"""The size of a stored sweep and the time to list it: python -m tests.measure_sweep_store RUN.json

RUN.json is a real run, as `gelu-tui run --format json` prints it. It is stored as 1,000 prompts,
with other numbers in each, so that they compress no better than those of real ones.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from gelu_tui.core.runs.restore import read_document
from gelu_tui.sweep.saved_sweeps import list_sweeps
from gelu_tui.sweep.store import SweepStore
from tests.support.stored_sweeps import header, outcome_of, prompt, with_other_numbers

PROMPTS = 1000


def main() -> None:
    document = read_document(Path(sys.argv[1]).read_bytes())
    seed = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = SweepStore.create(header(PROMPTS), root)
        saving = 0.0
        for number in range(PROMPTS):
            other = with_other_numbers(document, seed)
            before = time.perf_counter()
            store.save(0, other, outcome_of(other, number), prompt(number))
            saving += time.perf_counter() - before
        size = sum(file.stat().st_size for file in store.folder.iterdir())
        print(f"{PROMPTS} prompts, {len(document.variants)} functions: {size / 1e6:.1f} MB")
        print(f"save: {saving / PROMPTS * 1000:.1f} ms a prompt")
        for what, work in {
            "list of sweeps": lambda: list_sweeps(root),
            "list of runs": lambda: list(SweepStore.open(store.folder).rows()),
            "first claim": lambda: SweepStore.open(store.folder).claim(0, 8, range(PROMPTS)),
            "one run": lambda: store.load(0, 500),
        }.items():
            before = time.perf_counter()
            work()
            print(f"{what}: {time.perf_counter() - before:.3f} s")


if __name__ == "__main__":
    main()
