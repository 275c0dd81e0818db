import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.trace.safe_text import SHOWN_CHARS, plain, visible, with_letters


@given(st.text())
def test_nothing_on_the_page_is_markup_or_invisible(text: str) -> None:
    shown = str(visible(text)).replace('<span class="invisible" title="', "").replace("</span>", "")
    rest = shown
    for part in ('">',):
        rest = rest.replace(part, "")
    assert "<" not in rest
    assert not [c for c in rest if unicodedata.category(c) in ("Cf", "Cs", "Co") or (c < " " and c not in "\t\n")]


@pytest.mark.parametrize(
    ("text", "code"),
    [("\u202e", "U+202E"), ("\u200b", "U+200B"), ("\ud800", "U+D800"), ("\x1b", "U+001B"), ("\U000e0041", "U+E0041")],
)
def test_hidden_characters_are_shown(text: str, code: str) -> None:
    assert code in visible(f"a{text}b")
    assert text not in visible(f"a{text}b")
    assert plain(f"a{text}b") == f"a<{code}>b"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Tab\tand\nnewline, é ü 日本語 שלום 😀 x^2"
    assert visible(text) == text


def test_markup_is_escaped() -> None:
    assert visible("<script>alert('x')</script>&amp;") == ("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;")


def test_a_huge_text_keeps_its_ends() -> None:
    shown = visible("first " + "x" * 10_000_000 + " last")
    assert len(shown) < 2 * SHOWN_CHARS
    assert shown.startswith("first")
    assert shown.endswith("last")
    assert "9,960,011 characters are not shown" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Response 1 wins", 'Response 1<b class="letter">B</b> wins'),
        ("response 2.", 'response 2<b class="letter">A</b>.'),
        ("Response 3", "Response 3"),
        ("Response 0", "Response 0"),
        ("Responses 12", "Responses 12"),
        ("<Response 1>", '&lt;Response 1<b class="letter">B</b>&gt;'),
    ],
)
def test_positions_are_named_by_letter(text: str, expected: str) -> None:
    assert with_letters(text, ["B", "A"]) == expected
