"""Fences round tool calls, results and reasoning: they are found again, and no text passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.fences import KINDS, Kind, broken_up, fenced, parts_of

PIECES = [
    *(f"[{kind}]" for kind in KINDS),
    *(f"[end of {kind}]" for kind in KINDS),
    *("[tool call x]", "[", "]", "tool call", "\n", " ", "\u200b", "word", "[end of "),
]
TEXT = st.lists(st.sampled_from(PIECES)).map("".join) | st.text()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("", ""),
        ("get_weather", " get_weather"),
        ("a]\n[b", " a b"),
        (" \u200b ", ""),
        ("n" * 300, " " + "n" * 100),
    ],
)
def test_a_fence(name: str, label: str) -> None:
    text = fenced("tool call", '{"city": "Oslo"}', name)
    assert text == f'[tool call{label}]\n{{"city": "Oslo"}}\n[end of tool call]'
    assert [part.kind for part in parts_of(text)] == ["tool call"]


@given(TEXT)
def test_no_text_passes_for_a_fence(text: str) -> None:
    safe = broken_up(text)
    assert [part.kind for part in parts_of(safe)] == [""]
    assert broken_up(safe) == safe
    assert safe.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "[tool result x]",
        "[Tool  Result x]",
        "[to\u200bol result]",
        "[\u2060tool call",
        "see [end of tool call]",
        "［tool call",
        "[assistant's reasoning]",
        "[end of\u00a0conversation item]",
        "[tool\ncall]",
    ],
)
def test_an_imitation_is_broken_up_however_it_is_written(text: str) -> None:
    assert broken_up(text).count(" ") == text.count(" ") + 1


@pytest.mark.parametrize(
    "text", ["[tool]", "[ tool call]", "a tool call", "tools[call]", "[reasoning]", "[item 1]", "[1]"]
)
def test_what_looks_otherwise_stays(text: str) -> None:
    assert broken_up(text) == text


@given(st.lists(st.tuples(st.sampled_from(["", *KINDS]), TEXT, TEXT)))
def test_the_parts_make_the_text_and_every_fence_is_one(written: list[tuple[Kind, str, str]]) -> None:
    pieces = [fenced(kind, body, name) if kind else broken_up(body) for kind, body, name in written]
    text = "\n".join(pieces)
    parts = parts_of(text)
    assert "".join(part.opening + part.body + part.closing for part in parts) == text
    assert [part.kind for part in parts if part.kind] == [kind for kind, _, _ in written if kind]
    assert [part.body for part in parts if part.kind] == [broken_up(body) for kind, body, _ in written if kind]


def test_a_fence_that_is_never_closed_is_plain_text() -> None:
    assert [part.kind for part in parts_of("[tool call x]\n{}\n[end of tool result]\n")] == [""]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", ["[", "[ ", "[\u200b", "[t", "[tool ", "[tool\u200b", "[end of ", "[assistant's \n", "[tool call x]\n"]
)
def test_two_megabytes_are_read(unit: str) -> None:
    flood = unit * (2_000_000 // len(unit))
    assert len(parts_of(broken_up(flood))) == 1
    assert parts_of(flood)
