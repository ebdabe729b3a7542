"""Saved runs while several programs write them, and are killed."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document
from tests.support.histories import prompts, python


def test_instances_side_by_side_lose_nothing(history: History) -> None:
    code = (
        "history = History(Path(sys.argv[1]), patience_s=60)\n"
        "for i in range(12): history.save(run_document(f'{sys.argv[2]}.{i}'))\n"
    )
    writers = [python(code, history.path, writer) for writer in range(4)]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    assert sorted(prompts(history)) == sorted(f"{w}.{i}" for w in range(4) for i in range(12))


def test_instances_that_find_a_damaged_file_together_keep_every_run(history: History) -> None:
    history.path.parent.mkdir()
    history.path.write_bytes(b"damaged" * 1000)
    code = (
        "history = History(Path(sys.argv[1]), patience_s=60)\n"
        "for i in range(3): history.save(run_document(f'{sys.argv[2]}.{i}'))\n"
    )
    writers = [python(code, history.path, writer) for writer in range(4)]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    assert len(prompts(history)) == 12
    assert len(list(history.path.parent.glob("*.damaged-*"))) == 1


def test_a_writer_killed_at_any_moment_harms_no_run(history: History) -> None:
    code = (
        "history = History(Path(sys.argv[1]))\n"
        "texts = {'gelu': ['word'] * 2000}\n"
        "print('ready', flush=True)\n"
        "while True: print(history.save(run_document(texts=texts)), flush=True)\n"
    )
    saved = 0
    for round_number in range(5):
        writer = python(code, history.path)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        saved = int(writer.stdout.readline())
        time.sleep(0.007 * round_number)
        writer.kill()
        rest, _ = writer.communicate(timeout=60)
        saved = max([saved, *map(int, rest.split("\n")[:-1])])
        assert saved <= len(prompts(history)) <= saved + 1  # at most one more, if not yet told
        saved = history.save(run_document())
    assert len(prompts(history)) == saved
    assert history.pop_notice() is None


def test_a_writer_killed_in_the_middle_of_its_transaction(history: History) -> None:
    first = history.save(run_document("kept"))
    code = (
        "import sqlite3, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_spill = ON'); c.execute('PRAGMA cache_size = 1')\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute('UPDATE runs SET prompt = ?, document = ?', ('gone', os.urandom(10**6)))\n"
        "for i in range(9): c.execute('INSERT INTO runs SELECT NULL, created, model, prompt, "
        "activations, reference, divergences, status, total_tokens, document FROM runs LIMIT 1')\n"
        "print('spilled', flush=True); time.sleep(60)\n"
    )
    writer = python(code, history.path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "spilled\n"
    journal = Path(f"{history.path}-journal")
    assert journal.stat().st_size > 0 and history.path.stat().st_size > 10**6
    writer.kill()
    writer.communicate(timeout=60)
    assert prompts(history) == ["kept"]
    assert history.load(first) == run_document("kept")


def test_locked_for_too_long(history: History) -> None:
    history.save(run_document("kept"))
    holder = sqlite3.connect(history.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    hasty = History(history.path, patience_s=0.1)
    for call in (lambda: hasty.save(run_document()), hasty.entries):
        with pytest.raises(GeluError, match=r"kept the history locked for 0\.1 s") as caught:
            call()
        assert caught.value.info.kind == "history_locked"
    holder.close()
    assert prompts(hasty) == ["kept"]
