"""The fork view: what it explains, how it follows a run, what it does with odd text and room."""

from __future__ import annotations

import msgspec
import pytest
from rich.cells import cell_len

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.tui.fork.screen import ForkScreen
from tests.support.comparisons import LIGHT, SCATTERING, begun, feed, finish, five, fork
from tests.support.driving import WIDE, alone
from tests.support.made_up import BASE, token_id

SIZES = [(40, 12), (80, 24), (120, 36), (200, 50)]


async def test_a_fork_explains_itself() -> None:
    run = five()
    finish(run)
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown(
            "► Fork at token 10",
            "At token 10 gelu_approx took “␣scattering” (31.2 %) and gelu_fast_approx took "
            "“␣light” (28.0 %). A close call: each had the other's token second, "
            "0.05 and 0.12 logits behind its own.",
            "Why is the sky blue?The sky is blue",  # the prompt, and what both sides share
            "● ␣scattering.↵↵Sunlight",
            "● ␣light scattering.↵↵Sunlight",
            "0.05 logits ahead; the other's token is second",
            "KL 0.25 nats",
            "Verdict: unverified.",
            "forks are not replayed yet",
        )


async def test_both_lists_mark_what_was_taken_and_where_it_stands_in_the_other() -> None:
    async with alone(ForkScreen(five(), 1, 2), WIDE) as it:
        await it.until_shown("1 ● ␣scattering")
        lines = it.screen().splitlines()
        first = next(i for i, line in enumerate(lines) if "1 ● ␣scattering" in line)
        rows = lines[first : first + 3]
        left, right = (
            [row[half].split() for row in rows] for half in (slice(0, 60), slice(60, None))
        )
        full = "█"
        assert left[0][:6] == ["1", "●", "␣scattering", "31.2", "%", "#2"]
        assert left[1][:6] == ["2", "○", "␣light", "28.0", "%", "#1"]
        assert left[2][:5] == ["3", "␣r0", "3.0", "%", "–"]
        assert right[0][:6] == ["1", "●", "␣light", "28.0", "%", "#2"]
        assert right[1][:6] == ["2", "○", "␣scattering", "24.9", "%", "#1"]
        # One scale for both: the bar of 31.2 % is longer than that of 28.0 %, at either side.
        assert left[0][6].count(full) > left[1][6].count(full) == right[0][6].count(full) > 5


async def test_after_the_fork_the_streams_rejoin() -> None:
    run = five()
    finish(run)
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown(
            "After the fork they rejoin: from token 10 of gelu_approx and token 11 of "
            "gelu_fast_approx on, 29 tokens in a row agree again.",
            "gelu_approx ──────────►AAAA",
            "gelu_fast_approx ──────────►AAAA",
            "A 10 ↔ 11 29 tokens scattering.↵↵Sunlight",
        )


async def test_streams_that_do_not_rejoin() -> None:
    run = five()
    async with alone(ForkScreen(run, 1, 3), WIDE) as it:
        await it.until_shown("So far they do not rejoin: after the fork, no 8 tokens in a row")
        finish(run)
        await it.until_shown("They do not rejoin")


async def test_from_stream_to_stream_and_back() -> None:
    run = five()
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown("gelu_fast_approx against gelu_approx 2 of 4", "rejoin")
        await it.press("n")
        await it.until_shown("silu against gelu_approx 3 of 4", "At token 1 gelu_approx took")
        await it.press("n", "n")
        await it.until_shown("= No fork", "gelu_approx and gelu: same so far (40 tokens)")
        await it.until_gone("rejoin")
        await it.press("p", "p")
        await it.until_shown("silu against gelu_approx 3 of 4", "do not rejoin")
        await it.press("q")
        await it.until(lambda: it.results == [3], "the screen says which stream was shown")


@pytest.mark.parametrize("key", ["q", "escape", "backspace"])
async def test_ways_out(key: str) -> None:
    async with alone(ForkScreen(five(), 1, 2), WIDE) as it:
        await it.press(key)
        await it.until(lambda: it.results == [2], "the screen is closed")


async def test_streams_without_a_fork_say_so() -> None:
    run = five()
    finish(run)
    async with alone(ForkScreen(run, 1, 0), WIDE) as it:
        await it.until_shown(
            "gelu_approx and gelu: identical (40 tokens).",
            "There is no fork to explain; n shows the next stream.",
        )


async def test_a_pair_without_candidates_says_why_and_is_aligned_all_the_same() -> None:
    async with alone(ForkScreen(five(), 0, 2), WIDE) as it:
        await it.until_shown(
            "No candidates were kept for this pair; run again with gelu as the reference",
            "● ␣scattering.↵↵Sunlight",
            "After the fork they rejoin",
        )
        assert "taken here" not in it.flat()


async def test_the_fork_seen_from_the_other_side() -> None:
    async with alone(ForkScreen(five(), 2, 1), WIDE) as it:
        await it.until_shown(
            "At token 10 gelu_fast_approx took “␣light” (28.0 %) and gelu_approx took",
            "0.12 and 0.05 logits",
            "KL against gelu_approx 0.25 nats",
        )


async def test_it_follows_the_run() -> None:
    run = five(tokens=10)
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown("same so far (10 tokens)")
        feed(run, BASE[10:14], BASE[10:14], [" light", " scattering", *BASE[11:13]], [], [])
        fork(run, 2, SCATTERING, LIGHT)
        await it.until_shown("► Fork at token 10", "1 ● ␣light", "So far they do not rejoin")
        feed(run, BASE[14:30], BASE[14:30], BASE[13:29], [], [])
        await it.until_shown("After the fork they rejoin", "19 tokens in a row")
        feed(run, BASE[30:32], BASE[30:32], BASE[29:31], [], [])
        await it.until_shown("21 tokens in a row")


async def test_a_long_repetition_does_not_stop_the_keys() -> None:
    run = begun("gelu", "relu")
    loop = [" of", " the"] * 4000
    feed(run, ["a", *loop], ["b", *loop[1:]])
    async with alone(ForkScreen(run, 0, 1), WIDE) as it:
        await it.until_shown("7,998 tokens in a row agree again", "1 cell =")
        await it.press("q")
        await it.until(lambda: it.results == [1], "the screen is closed")


HOSTILE = ["\x1b]0;owned\x07", "\u202eabc", "\n\n", "  ", "[/]", "[bold]x", "\t", "\r\n", "空"]


def hostile(name: str = "relu") -> Comparison:
    run = begun("gelu", name, prompt="空は\x1b[31mなぜ\u202e青い\nのですか？")
    feed(run, [*HOSTILE, "👨‍👩‍👧", "\n\n", "a"], [*HOSTILE, "👨‍👩‍👧", "<start_of_image>", "[/b]"])
    reference = [("\n\n", 0.4), ("<start_of_image>", 0.1), *((text, 0.01) for text in HOSTILE[:8])]
    variant = [("<start_of_image>", 0.4), *((text, 0.01) for text in HOSTILE), ("\n\n\n", 0.01)]
    fork(run, 1, reference, variant, ranks={"b_in_reference": 1, "a_in_variant": 3})
    return run


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_text_is_shown_and_nothing_else(size: tuple[int, int]) -> None:
    async with alone(ForkScreen(hostile(), 0, 1), size) as it:
        await it.until_shown("At token 10 gelu took “↵↵”")
        for _ in range(12):
            screen = it.screen()
            assert not set(screen) & {"\x1b", "\x07", "\u202e", "\r", "\t"}
            assert all(cell_len(row) <= size[0] for row in screen.splitlines())
            await it.press("pagedown")
        await it.press("q")
        await it.until(lambda: it.results == [1], "the screen is closed")


async def test_odd_candidates_can_be_told_apart() -> None:
    async with alone(ForkScreen(hostile(), 0, 1), WIDE) as it:
        await it.until_shown(
            "1 ● ↵↵", "2 ○ <start_of_image>", "␛]0;owned␇", "⟨U+202E⟩abc", "␣␣", "[bold]x", "→"
        )


async def test_the_others_token_is_listed_even_if_it_is_far_down() -> None:
    run = five()
    top = [(" scattering", 0.9), *((f" r{i}", 0.01) for i in range(9))]
    fork(run, 2, top, LIGHT, ranks={"b_in_reference": 411, "a_in_variant": 1})
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown(
            "412 ○ ␣light <0.1 % #1", "0.05 logits ahead; the other's token is number 412"
        )


async def test_what_is_not_known_of_a_pair_is_not_made_up() -> None:
    run = begun("gelu", "silu", "relu")
    feed(run, ["a", "b"], ["c", "d"], ["e", "f"])
    fork(run, 1, [("a", 0.5), ("c", 0.4)], [("c", 0.5), ("e", 0.3), ("a", 0.1)])
    fork(run, 2, [("a", 0.5), ("e", 0.4)], [("e", 0.9), ("a", 0.01)])
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown("2 ○ e 30.0 %", "? ○ c ?", "not among the first 2")
        await it.until_shown("run again with silu as the reference")


@pytest.mark.parametrize("size", SIZES)
async def test_everything_can_be_reached_at_every_size(size: tuple[int, int]) -> None:
    run = five()
    async with alone(ForkScreen(run, 1, 2), size) as it:
        await it.until_shown("At token 10 gelu_approx took", "q, Esc back")
        await it.until(lambda: it.app.screen.query_one("#map").display, "the alignment")
        seen = it.flat()
        for _ in range(8):
            await it.press("pagedown")
            await it.pilot.wait_for_scheduled_animations()  # a page, before the next one begins
            seen += it.flat()
        for text in ("● ␣scattering", "○ ␣light", "Verdict: unverified", "rejoin", "►A"):
            assert text in seen, text


async def test_lists_stand_one_under_the_other_where_it_is_narrow() -> None:
    async with alone(ForkScreen(five(), 1, 2), (50, 60)) as it:
        await it.until_shown("1 ● ␣light")
        rows = it.screen().splitlines()
        first = next(i for i, row in enumerate(rows) if "1 ● ␣scattering" in row)
        second = next(i for i, row in enumerate(rows) if "1 ● ␣light" in row)
        assert second > first + 10


async def test_a_stream_that_ended_first() -> None:
    run = begun("gelu", "relu")
    feed(run, ["a", "b", "c"], ["a"])
    finish(run, "stop")
    feed(run, ["d"], [])
    async with alone(ForkScreen(run, 0, 1), WIDE) as it:
        await it.until_shown("relu ended after 1 token, where gelu went on.", "● (ended)")


def test_the_texts_of_these_tests_are_different_tokens() -> None:
    texts = {*BASE, " light", *HOSTILE, "<start_of_image>", "a", "b", "[/b]"}
    assert len({token_id(text) for text in texts}) == len(texts)


# --- the replay -----------------------------------------------------------------------------------

REPLAY = p.ForkReplay(
    {"reference": 0.31, "variant": 0.004},
    {"reference": 0.31, "variant": 0.004},
    {"reference_a": 0.4, "reference_b": 0.3, "variant_a": 0.2, "variant_b": 0.201},
    {"b_in_reference": 2, "a_in_variant": 1},
    tuple(p.Candidate(90 + i, f"again{i}", 0.4 - i / 20) for i in range(4)),
    tuple(p.Candidate(95 + i, f"variant{i}", 0.2 - i / 20) for i in range(3)),
)


async def test_r_asks_for_a_replay_then_shows_it_and_the_run_again() -> None:
    run, asked = five(), []

    async def ask() -> None:
        asked.append(len(run.streams[2].tokens))

    async with alone(ForkScreen(run, 1, 2, ask), WIDE) as it:
        await it.until_shown("Verdict: unverified.", "It is replayed at the end; r does it now.")
        await it.press("r")
        await it.until_shown("It is being replayed.")
        assert len(asked) == 1
        run.apply(p.ForkReplayed(2, "formula", replay=REPLAY))
        await it.until_shown(
            "Verdict: formula. The formula made this fork: replayed in float32, gelu_approx still "
            "prefers “␣scattering” (by 0.31 logits) and gelu_fast_approx still “␣light” (by "
            "0.0040 logits).",
            "0.05 logits ahead; the other's token is second",
        )
        assert "again1" not in it.flat()
        await it.press("r")
        await it.until_shown(
            "replayed in float32",
            "again1",
            "variant2",
            "0.31 logits ahead; the other's token is third",
        )
        await it.press("r")
        await it.until_shown("0.05 logits ahead; the other's token is second")
        assert "again1" not in it.flat() and len(asked) == 1


async def test_what_was_not_replayed_says_why_and_asks_nobody() -> None:
    run = five()
    finish(run)
    run.apply(p.ForkReplayed(2, "unverified", "the replay was switched off"))
    async with alone(ForkScreen(run, 1, 2), WIDE) as it:
        await it.until_shown("Not checked: the replay was switched off.")
        await it.press("r")
        await it.until_shown("There is no replay to show.")
        assert "r does it now" not in it.flat() and "being replayed" not in it.flat()


async def test_a_drawn_token_is_shown_wherever_it_stands() -> None:
    run = five()
    finish(run)
    found = run.streams[2].fork
    assert found is not None
    drawn = p.Candidate(4242, " drawn", 0.001)
    run.streams[2].fork = msgspec.structs.replace(
        found,
        variant_token=drawn.id,
        variant_text=drawn.text,
        ranks={**found.ranks, "b_in_variant": 37},
        probabilities={**found.probabilities, "variant_b": drawn.probability},
    )
    async with alone(ForkScreen(run, 1, 2), (120, 36)) as it:
        await it.until_shown("38 ● ␣drawn")
