"""Every report says which streams repeat themselves."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from gelu_tui.core.reports.html.comparison import comparison_page
from gelu_tui.core.reports.markdown import markdown_report
from gelu_tui.core.reports.repetition_sentences import repetition_sentences
from gelu_tui.core.reports.terminal import comparison_report
from tests.support.comparisons import run_document

LOOP = ["A", *["実", "際"] * 16]
SENTENCE = "gelu and relu repeat themselves from token 1 on: the same 2 tokens over and over."


def test_streams_of_one_repetition_share_a_sentence() -> None:
    texts = {"gelu": LOOP, "relu": ["B", *LOOP[1:]], "silu": ["x"] * 40, "mish": LOOP[:20]}
    alone = "silu repeats itself from token 0 on: the same token over and over."
    assert repetition_sentences(run_document(texts=texts)) == [SENTENCE, alone]


def test_text_markdown_and_html_have_it() -> None:
    saved = run_document(texts={"gelu": LOOP, "relu": ["B", *LOOP[1:]]})
    file = StringIO()
    Console(file=file, width=90, color_system=None).print(comparison_report(saved))
    assert "the reference · repeats from token 1" in file.getvalue()
    for report in (file.getvalue(), markdown_report(saved), comparison_page(saved)):
        assert SENTENCE in report
