"""who-what-bench's metrics by hand, and against its own lines."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.sweep.who_what_bench import Metrics, who_what_bench


@pytest.mark.parametrize(
    ("reference", "stream", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], (4, 1.0, 0, 0.0)),
        # 1 2 is the first block, 4 5 the second: one token of five is to be corrected
        ([1, 2, 3, 4, 5], [1, 2, 9, 4, 5], (2, 0.4, 1, 0.2)),
        # nothing is equal
        ([1, 2], [3, 4, 5], (0, 0.0, 3, 1.0)),
        # the equal tokens do not stand at the start of both
        ([1, 2, 3, 4], [9, 1, 2, 3, 4], (0, 0.0, 1, 0.2)),
        # the second stream ends earlier, and later
        ([1, 2, 3, 4], [1, 2], (2, 0.5, 0, 0.0)),
        ([1, 2], [1, 2, 3, 4], (2, 1.0, 2, 0.5)),
        # the longest block, 3 4 5, is matched first, and nothing stands before it in the second
        ([1, 3, 4, 5], [3, 4, 5, 1], (0, 0.0, 1, 0.25)),
        # … so that an equal first token counts for nothing: block 1 2 3 is at 0 and 2
        ([1, 2, 3], [1, 9, 1, 2, 3], (0, 0.0, 2, 0.4)),
        ([], [], (0, 0.0, 0, 0.0)),
        ([1, 2], [], (0, 0.0, 2, 1.0)),
        ([], [1, 2, 3], (0, 0.0, 3, 1.0)),
    ],
)
def test_by_hand(reference: list[int], stream: list[int], expected: Metrics) -> None:
    assert who_what_bench(reference, stream) == pytest.approx(expected)


tokens = st.lists(st.integers(0, 5), min_size=1, max_size=300)


@given(tokens, tokens, st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_against_difflib_always(start: list[int], rest: list[int], shared: int) -> None:
    reference, stream = start, start[:shared] + rest
    blocks = SequenceMatcher(None, reference, stream).get_matching_blocks()
    fdt = blocks[0].size if (blocks[0].a, blocks[0].b) == (0, 0) else 0
    sdt = len(stream) - sum(block.size for block in blocks)
    expected = (fdt, fdt / len(reference), sdt, sdt / len(stream))
    assert who_what_bench(reference, stream) == pytest.approx(expected)
    same = who_what_bench(reference, list(reference))
    assert same == (len(reference), 1.0, 0, 0.0)
