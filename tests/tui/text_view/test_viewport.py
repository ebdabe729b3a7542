"""The window over a token buffer: what is in view after whatever moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.text_view.search import Finder
from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.viewport import Viewport
from tests.support.counting import calls_of

words = st.lists(st.sampled_from([" a", " word", "\n", "空", " longerword"]), max_size=120)


def shown(texts: list[str], width: int = 12, height: int = 5) -> Viewport:
    buffer = TokenBuffer()
    view = Viewport(buffer)
    view.resize(width, height)
    for text in texts:
        buffer.append(text)
        view.follow()
    return view


def all_rows(view: Viewport) -> list[tuple[int, str]]:
    lines = enumerate(view.buffer.lines)
    return [(index, row.text) for index, line in lines for row in line.rows(view.width)]


def in_view(view: Viewport) -> list[tuple[int, str]]:
    return [(line, row.text) for line, row in view.rows()]


@given(words, st.integers(4, 20), st.integers(1, 9))
def test_a_followed_end_is_in_view(texts: list[str], width: int, height: int) -> None:
    view = shown(texts, width, height)
    assert in_view(view)[-1] == all_rows(view)[-1]
    view.follow(settle=True)
    assert in_view(view) == all_rows(view)[-height:]


@given(words, st.lists(st.integers(-9, 9), max_size=8), st.integers(4, 20), st.integers(1, 9))
def test_scrolling_shows_neighbouring_rows(
    texts: list[str], moves: list[int], width: int, height: int
) -> None:
    view = shown(texts, width, height)
    view.to_end()
    rows = all_rows(view)
    top = max(0, len(rows) - height)
    for count in moves:
        view.scroll(count)
        top = max(0, min(top + count, len(rows) - height))
        assert in_view(view) == rows[top : top + height]
        assert view.follows == (top + height >= len(rows))


@given(words, st.data(), st.integers(4, 20), st.integers(1, 9))
def test_a_character_is_brought_into_view(
    texts: list[str], data: st.DataObject, width: int, height: int
) -> None:
    view = shown(texts, width, height)
    offset = data.draw(st.integers(0, view.buffer.length))
    view.reveal(offset)
    y = view.y_of(offset)
    line, row = view.rows()[y]
    start = view.buffer.lines[line].start + row.start
    assert start <= offset <= start + len(row.text)
    assert not view.reveal(offset)


@given(words, st.integers(4, 20), st.integers(4, 20), st.integers(1, 9))
def test_a_new_width_keeps_the_place(texts: list[str], width: int, other: int, height: int) -> None:
    view = shown(texts, width, height)
    view.to_start()
    view.scroll(2)
    view.follows = False
    offset = view.offset
    view.resize(other, height)
    assert view.y_of(offset) == 0


@given(words, st.integers(1, 9))
def test_the_bar_stays_inside(texts: list[str], height: int) -> None:
    view = shown(texts, 10, height)
    for _ in range(3):
        bar = view.bar()
        assert 0 <= bar.start <= bar.stop <= height
        assert bool(bar) == (len(all_rows(view)) > len(view.rows()))
        view.scroll(-2)


def test_only_lines_that_were_looked_at_are_wrapped_on_resize() -> None:
    buffer = TokenBuffer()
    for _ in range(1000):
        buffer.append("some words of a line\n")
    view = Viewport(buffer)
    view.resize(30, 10)
    wrapped = 0
    for line in buffer.lines:
        wrapped += line._wrapped is not None
    assert wrapped <= 20


def test_scrolling_up_stops_following_and_the_end_resumes_it() -> None:
    view = shown(["word\n"] * 20)
    view.scroll(-1)
    assert not view.follows
    before = in_view(view)
    view.buffer.append("more\n")
    assert in_view(view) == before
    view.scroll(99)
    assert view.follows


def test_a_tail_is_followed_in_jumps() -> None:
    view = shown([], height=8)
    moves = 0
    for _ in range(40):
        view.buffer.append("word\n")
        moves += view.follow()
    assert moves <= 40 / 2


def test_up_and_down_keep_the_column() -> None:
    view = shown(["abcdef\n", "空が青\n", "xyz"], width=12)
    assert view.buffer.text[view.beside(4, 1, view.column(4))] == "青"
    at = view.buffer.text.index("青")
    assert view.buffer.text[view.beside(at, 1, view.column(at))] == "z"
    assert view.buffer.text[view.beside(at, -1, view.column(at))] == "e"


@given(
    st.lists(st.sampled_from([" a", "aa", " word", "\n", "空", "wo", "rdword"]), max_size=60),
    st.sampled_from(["a", "aaa", "WORD", "word word", "wordword", "空", "nothing"]),
)
def test_every_place_is_found(texts: list[str], query: str) -> None:
    buffer = TokenBuffer()
    finder = Finder(buffer, query)
    for text in texts:
        buffer.append(text)
        list(finder)
    text = buffer.text.lower()
    found = list(finder)
    assert all(text[a:b] == query.lower() for a, b in found)
    assert len(found) == text.count(query.lower())
    for start, end in ((0, 7), (3, 4), (10, 30)):
        line = buffer.lines[buffer.line_at(start)]
        end = min(end, line.start + line.length)
        touched = [span for span in found if span[0] < end and span[1] > start]
        assert finder.between(start, end) == touched


def test_a_search_costs_a_growing_line_what_is_new() -> None:
    def calls_to_append(length: int) -> int:
        buffer = TokenBuffer()
        finder = Finder(buffer, "word")
        for _ in range(length):
            buffer.append(" a word")
        list(finder)

        def append() -> None:
            for _ in range(10):
                buffer.append(" a word")
                finder.between(buffer.length - 40, buffer.length)

        return calls_of(append)

    assert calls_to_append(10_000) <= 1.2 * calls_to_append(300)


@given(words, st.data(), st.sampled_from(["a", "wo", "WORD", "空", " "]))
def test_a_mark_is_neither_searched_nor_copied(
    texts: list[str], data: st.DataObject, query: str
) -> None:
    plain, marked = TokenBuffer(), TokenBuffer()
    growing = Finder(marked, query)
    at = data.draw(st.integers(0, len(texts)), label="the token that is marked")
    for index, text in enumerate([*texts, "end"]):
        plain.append(text)
        if index == at:
            marked.marks.append(marked.length)
        marked.append("►" + text if index == at else text)
        list(growing)
    lines = range(len(plain.lines))
    assert [marked.without_marks(index) for index in lines] == [line.text for line in plain.lines]
    found = [marked.text[a:b].replace("►", "") for a, b in Finder(marked, query)]
    assert found == [plain.text[a:b] for a, b in Finder(plain, query)]
    assert list(growing) == list(Finder(marked, query))
    assert not any(marked.text[a] == "►" for a, _ in Finder(marked, query))
    marked.truncate(at)
    assert marked.marks == []
