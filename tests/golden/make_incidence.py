"""Stored values of lifelines' AalenJohansenFitter, for tests/sweep/test_incidence.py.

    pip install lifelines && python tests/golden/make_incidence.py

lifelines breaks ties by jitter, so that no two pairs here end at the same step, and it leaves out
what happens at time 0, so that step 0 is time 1. A pair that is censored after step t was still
compared at t, hence the half.
"""

import json
from pathlib import Path

import lifelines
import numpy as np

CENSORED, DIVERGED, IDENTICAL = 0, 1, 2


def pairs(seed: int, count: int, cap: int) -> tuple[list[int], list[int]]:
    """The last step of each pair, and how it ended; some of them at the cap."""
    random = np.random.default_rng(seed)
    steps = random.choice(cap - 1, size=count, replace=False)
    endings = random.choice([CENSORED, DIVERGED, IDENTICAL], size=count, p=[0.2, 0.5, 0.3])
    at_cap = np.full(count // 4, cap - 1)
    return (
        [*steps.tolist(), *at_cap.tolist()],
        [*endings.tolist(), *([CENSORED] * len(at_cap))],
    )


def case(seed: int, count: int, cap: int) -> dict:
    steps, endings = pairs(seed, count, cap)
    both = list(zip(steps, endings, strict=True))
    times = [step + (1.5 if ending == CENSORED else 1.0) for step, ending in both]
    # Censored at the cap together, which is no tie of events but would be jittered.
    times = [t + 0.01 * i if t > cap else t for i, t in enumerate(times)]
    fitter = lifelines.AalenJohansenFitter(calculate_variance=True)
    fitter.fit(np.array(times), np.array(endings), event_of_interest=DIVERGED)
    at = sorted({step for step, ending in both if ending == DIVERGED})
    table = fitter.cumulative_density_
    return {
        "cap": cap,
        "steps": steps,
        "endings": endings,
        "diverged_at": at,
        "share": [float(table.loc[step + 1.0].iloc[0]) for step in at],
        "variance": [float(fitter.variance_.loc[step + 1.0]) for step in at],
    }


if __name__ == "__main__":
    stored = {
        "lifelines": lifelines.__version__,
        "cases": [case(1, 12, 30), case(2, 40, 256), case(3, 200, 256)],
    }
    path = Path(__file__).with_name("incidence.json")
    path.write_text(json.dumps(stored, indent=1) + "\n")
