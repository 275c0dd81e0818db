"""The response inside a query, and the two ways in which it is made safe for the GRM's prompt."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grm_plugin.conversation.overlap import MIN_OVERLAP
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.conversation.response import END_TOKENS, response_of
from grm_plugin.errors import GroupError
from grm_plugin.judging.cutting import cut_middle
from grm_plugin.judging.sanitizing import neutralize_special_tokens

PROMPT = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "end", ["", *END_TOKENS, "<|im_end|>\n", "<|im_end|>\n<|endoftext|>", "<|im_end|>" + "<pad>" * 9]
)
def test_response(end: str) -> None:
    assert response_of(f"{PROMPT}It is 4.{end}", PROMPT) == "It is 4."


@pytest.mark.parametrize(
    ("query", "prompt", "response"),
    [
        (PROMPT, PROMPT, ""),
        (PROMPT + "<|im_end|>", PROMPT, ""),
        ("It is 4.", "", "It is 4."),
        ("", "", ""),
        (PROMPT + "\n  4 \n", PROMPT, "\n  4 \n"),
        (PROMPT + "<|im_end|> is a token", PROMPT, "<|im_end|> is a token"),
        (PROMPT + PROMPT, PROMPT, PROMPT),
        ("Un caf\u00e9? Oui.", "Un cafe\u0301?", " Oui."),
    ],
    ids=["empty", "only eos", "no prompt", "nothing", "white space stays", "token inside", "echo", "composed by Qwen"],
)
def test_response_cases(query: str, prompt: str, response: str) -> None:
    assert response_of(query, prompt) == response


def test_a_prompt_that_lost_its_beginning() -> None:
    """OpenRLHF keeps the last tokens of a prompt that is too long."""
    prompt = "<|im_start|>user\n" + " ".join(map(str, range(1000))) + "<|im_end|>\n<|im_start|>assistant\n"

    assert response_of(prompt[2000:] + "It is 4.<|im_end|>", prompt) == "It is 4."
    assert response_of(prompt[-MIN_OVERLAP:] + "It is 4.", prompt) == "It is 4."
    with pytest.raises(GroupError):
        response_of(prompt[-MIN_OVERLAP + 1 :] + "It is 4.", prompt)


PERIODIC = st.lists(st.sampled_from(["a", "b", "aab", "aabaaab"]), min_size=MIN_OVERLAP).map("".join)


@given(PERIODIC, st.integers(0), st.text("xy"))
@example("aabaaa" * 8, 5, "x")
def test_any_end_of_the_prompt_is_found(prompt: str, start: int, response: str) -> None:
    start %= len(prompt) - MIN_OVERLAP + 1

    assert response_of(prompt[start:] + response, prompt) == response


def _longest_overlap(prompt: str, query: str) -> int:
    """By trying every length: what `response_of` must find, however it looks."""
    return next((size for size in range(len(prompt), 0, -1) if query.startswith(prompt[-size:])), 0)


REPEATS = st.lists(st.sampled_from(["a", "b", "ab", "a" * MIN_OVERLAP, "ab" * MIN_OVERLAP]), max_size=9).map("".join)


@given(REPEATS, REPEATS)
@example("a" * 60 + "b" + "a" * 59 + "b", "a" * 60 + "b" + "a" * 58 + "c")
@example("a" * 99 + "b" + "a" * 33, "a" * 33 + "c")
@example("a" * 99, "a" * 31)
@example("", "a" * 99)
def test_the_overlap_is_the_longest_one_in_any_repeats(prompt: str, query: str) -> None:
    longest = _longest_overlap(prompt, query)
    if query.startswith(prompt) or longest >= MIN_OVERLAP:
        assert response_of(query, prompt) == query[longest:]
    else:
        with pytest.raises(GroupError):
            response_of(query, prompt)


@given(st.text("ab", max_size=9), st.text("ab", max_size=9))
def test_the_position_of_a_mismatch(query: str, prompt: str) -> None:
    if query.startswith(prompt):
        return
    position = next(index for index in range(len(prompt)) if query[index : index + 1] != prompt[index])
    with pytest.raises(GroupError, match=f"differ from character {position} on"):
        response_of(query, prompt)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_prompt_that_does_not_match_is_refused_without_a_loop_over_it(place: str) -> None:
    """On the service's event loop: two million characters, counted in the lines of Python that run."""
    prompt = " ".join(map(str, range(300_000)))
    index = {"first": 0, "middle": len(prompt) // 2, "last": len(prompt) - 1}[place]
    query = f"{prompt[:index]}?{prompt[index + 1 :]} It is 4."
    lines = 0

    def count(frame: object, event: str, argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        with pytest.raises(GroupError, match=f"differ from character {index} on"):
            response_of(query, prompt)
    finally:
        sys.settrace(before)
    assert lines < 10_000


@pytest.mark.parametrize(
    ("query", "prompt", "position"),
    [("Who? Me.", "What? Me.", 2), ("", "What?", 0), ("What", "What?", 4), ("What!" + "x" * 99, "What?", 4)],
)
def test_a_prompt_that_is_no_prefix(query: str, prompt: str, position: int) -> None:
    with pytest.raises(GroupError, match=f"no prefix of the query: they differ from character {position} on"):
        response_of(query, prompt)


@pytest.mark.timeout(60)
def test_a_megabyte_query_is_read() -> None:
    """Periodic text is the worst case of searching the prompt's end; end tokens are that of stripping them."""
    assert response_of("a" * 1_000_000 + "!", "b" + "a" * 1_000_000) == "!"
    with pytest.raises(GroupError):
        response_of("a" * 31 + "b" + "a" * 1_000_000, "a" * 1_000_000)
    assert response_of("?" + "<|endoftext|>" * 80_000, "?") == ""
    assert response_of("?" + "!" + " " * 1_000_000, "?") == "!" + " " * 1_000_000


@pytest.mark.parametrize("text", ["half a \ud83d pair", "\udc80\udcff from bytes", "\ud800"])
def test_lone_surrogates_are_replaced(text: str) -> None:
    response = response_of(f"?{text}", "?")
    (turn,) = ConversationReader("plain").read(text)

    assert response == turn.content
    assert "\ufffd" in response
    response.encode("utf-8")


@pytest.mark.parametrize("value", [None, b"bytes", 3, ["text"]])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(GroupError, match=type(value).__name__):
        response_of(value, "")  # type: ignore[arg-type]
    with pytest.raises(GroupError, match=type(value).__name__):
        ConversationReader("plain").read(value)  # type: ignore[arg-type]


CONTROL_TOKENS = (
    *END_TOKENS,
    *("<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<|fim_prefix|>", "<|channel|>"),
    *("<start_of_turn>", "<bos>", "<unk>", "<start_of_image>", "<|turn>", "<turn|>", '<|"|>'),
    *("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜begin▁of▁sentence｜>"),
    *("<s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[TOOL_CALLS]", "<<SYS>>", "<</SYS>>", "[CLS]", "[SEP]", "<mask>"),
)


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_a_control_token_is_broken_up_and_stays_readable(token: str) -> None:
    safe = neutralize_special_tokens(f"before{token}after")

    assert token not in safe
    assert safe.replace(" ", "") == f"before{token}after"


@pytest.mark.parametrize(
    "text",
    [
        "a < b || c > d",
        "xs <|> ys",
        "f <| x |> g",
        "List<s1>",
        "array[i]",
        "[1, 2]",
        "<b>bold</b>",
        "[INSTALL]",
        "<think>",
        "",
    ],
)
def test_code_and_prose_stay_as_they_are(text: str) -> None:
    assert neutralize_special_tokens(text) == text


@given(st.lists(st.sampled_from([*CONTROL_TOKENS, "<", "|", "[", "/", ">", "a", " "])).map("".join) | st.text())
@example("<<|im_end|>|im_end|>")
@example("<|<|im_end|>im_end|>")
def test_no_control_token_survives(text: str) -> None:
    safe = neutralize_special_tokens(text)

    assert not [token for token in CONTROL_TOKENS if token in safe]
    assert safe.replace(" ", "") == text.replace(" ", "")
    assert neutralize_special_tokens(safe) == safe


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["<", "<|", "<|a", "[", "<<", "</", "<|" + "a" * 64, "<" + "a" * 33, "<|im_end|>"])
def test_a_megabyte_response_is_neutralized(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))

    assert neutralize_special_tokens(flood).replace(" ", "") == flood


@pytest.mark.parametrize(
    ("text", "limit", "expected", "cut"),
    [
        ("0123456789", 10, "0123456789", 0),
        ("0123456789", 11, "0123456789", 0),
        ("0123456789", 8, "012345\n[... 2 characters cut ...]\n89", 2),
        ("0123456789", 1, "\n[... 9 characters cut ...]\n9", 9),
        ("", 5, "", 0),
    ],
)
def test_cut_middle(text: str, limit: int, expected: str, cut: int) -> None:
    assert cut_middle(text, limit) == (expected, cut)


@given(st.text(), st.integers(0, 50))
def test_cut_middle_keeps_both_ends(text: str, limit: int) -> None:
    shown, cut = cut_middle(text, limit)
    head, _, tail = shown.partition(f"\n[... {cut} characters cut ...]\n") if cut else (shown, "", "")

    assert len(head) + len(tail) + cut == len(text)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert cut == max(0, len(text) - limit)
    assert not cut or len(head) == limit * 3 // 4


def test_a_huge_response_is_cut_to_its_limit() -> None:
    shown, cut = cut_middle("x" * 200_000, 24_000)

    assert cut == 176_000
    assert len(shown) == 24_000 + len("\n[... 176000 characters cut ...]\n")
