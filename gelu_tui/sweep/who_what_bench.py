"""OpenVINO who-what-bench's metrics of two token streams.

So does `evaluate_divergency` in openvinotoolkit/openvino.genai,
tools/who_what_benchmark/whowhatbench/whowhat_metrics.py: Python's difflib aligns the reference's
tokens with the others'. FDT is the length of the first matching block where it stands at the start
of both; SDT is the number of tokens of the second stream in no matching block. SDT norm is SDT by
that stream's length, FDT norm is the mean FDT by the mean length of the references.

Two things differ there. It encodes the finished texts once more, so that its tokens need not be
those that the model chose, and it counts a BOS that the tokenizer adds; here they are the tokens of
the streams. And difflib matches the longest block first (in streams of 200 tokens or more without
those tokens that make up over 1 %), so that its FDT may be less than the shared prefix, even 0.
That is kept, so that results can be put beside published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

Metrics = tuple[int, float, int, float]


def who_what_bench(reference: Sequence[int], stream: Sequence[int]) -> Metrics:
    """FDT, FDT by the reference's length, SDT, SDT by the stream's length."""
    if reference == stream:
        return len(stream), 1.0 if stream else 0.0, 0, 0.0  # difflib aligns all of it
    if not reference or not stream:
        return 0, 0.0, max(len(reference), len(stream)), 1.0
    blocks = SequenceMatcher(None, reference, stream).get_matching_blocks()
    first = blocks[0]
    fdt = first.size if first.a == first.b == 0 else 0
    sdt = len(stream) - sum(block.size for block in blocks)
    return fdt, fdt / len(reference), sdt, sdt / len(stream)
