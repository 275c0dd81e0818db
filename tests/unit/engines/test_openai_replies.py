"""What the openai engine reads in a reply, and what it refuses to take for a completion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grm_plugin.engines.openai_replies import NoCompletionError, read_answer, read_refusal_body
from grm_plugin.types import Completion
from support.chat_server import reply


def encoded(**keys: Any) -> bytes:
    return json.dumps(reply("one") | keys).encode()


def choice(**message: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": "stop", "message": message}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"completion_tokens": 7}, 7), ({}, 0), (None, 0), ("7", 0), ([7], 0), ({"completion_tokens": "7"}, 0),
        ({"completion_tokens": None}, 0), ({"completion_tokens": 7.5}, 0), ({"completion_tokens": -7}, 0),
        ({"completion_tokens": 10**30}, 0),
    ],
    ids=repr,
)  # fmt: skip
def test_tokens_count_where_the_server_counts_them(usage: Any, tokens: int) -> None:
    assert read_answer(encoded(usage=usage)).completions == [Completion("one", "stop", tokens)]


def test_without_any_usage() -> None:
    body = reply("one")
    del body["usage"]
    assert read_answer(json.dumps(body).encode()).completions == [Completion("one", "stop", 0)]


@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": ""}, {"role": "assistant", "tool_calls": []}])
def test_no_text_is_an_empty_completion(message: dict[str, Any]) -> None:
    answer = read_answer(encoded(choices=[choice(**message)]))
    assert answer.completions == [Completion("", "stop", 0)]
    assert not answer.only_thought


@pytest.mark.parametrize("reasoning", ["hm", [{"type": "text", "text": "hm"}]])
def test_reasoning_without_an_answer_is_told(reasoning: Any) -> None:
    both = [choice(content="one", reasoning_content=reasoning), choice(content=None, reasoning_content=reasoning)]
    assert not read_answer(encoded(choices=both[:1])).only_thought
    assert read_answer(encoded(choices=both)).only_thought


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999", b"1" * 400])
def test_numbers_that_json_has_no_word_for_do_not_cost_the_completion(number: bytes) -> None:
    """Log probabilities have them."""
    body = encoded(logprobs=[0]).replace(b'"logprobs": [0]', b'"logprobs": [%s]' % number)
    assert number in body
    assert read_answer(body).completions[0].text == "one"


@pytest.mark.parametrize("text", ["\ud800", "half \udc00 of a pair", "grün \U0001f600 \x00", "\u2028"])
def test_any_text_comes_through(text: str) -> None:
    assert read_answer(encoded(choices=[choice(content=text)])).completions[0].text == text


def test_a_byte_order_mark_is_skipped() -> None:
    assert read_answer(b"\xef\xbb\xbf" + encoded()).completions[0].text == "one"


@pytest.mark.parametrize(
    ("body", "with_what"),
    [
        (b"", "no JSON"), (b"<html>busy</html>", "no JSON"), (encoded()[:-9], "no JSON"), (b'{"choices": [', "no JSON"),
        (encoded() + b"x", "no JSON"), (encoded() + encoded(), "no JSON"), (b'{"x": ' * 100_000, "no JSON"),
        (encoded().replace(b'"one"', b'"\xff\xfe"'), "no JSON"),
        (b"null", "no chat completion"), (b"[]", "no chat completion"), (b"[" * 100_000, "no chat completion"),
        (b"7", "no chat completion"), (b"{}", "no chat completion"), (b'{"choices": {}}', "no chat completion"),
        (b'{"choices": NaN}', "no chat completion"), (b'{"choices": "one"}', "no chat completion"),
        (encoded(choices=[]), "without a completion"),
        (encoded(choices=[None]), "has no text"), (encoded(choices=[{}]), "has no text"),
        (encoded(choices=[choice(content="one"), None]), "has no text"),
        (encoded(choices=[choice(content=["one"])]), "has no text"),
        (encoded(choices=[choice(content="one") | {"finish_reason": 7}]), "has no text"),
        (encoded(choices=[{"text": "of another API"}]), "has no text"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_is_no_completion_is_refused_and_said(body: bytes, with_what: str) -> None:
    with pytest.raises(NoCompletionError, match=with_what) as refused:
        read_answer(body)
    assert "one" not in str(refused.value), "critiques do not belong into logs"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"error": {"message": "no"}}', {"message": "no"}), (b'{"error": "no"}', "no"),
        (b'{"detail": 7}', {"detail": 7}),
        (b'["no"]', ["no"]), (b" no\n", "no"), (b"", ""), (b"\xff", "\ufffd"), (b"[" * 50_000, "[" * 50_000),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_the_body_of_a_refusal_may_be_anything(body: bytes, read: Any) -> None:
    assert read_refusal_body(body) == read
