"""The response is found whatever the policy's tokenizer does to the prompt: real classes, real chat formats.

The query is made as OpenRLHF 0.11.2 makes it (openrlhf/utils/agent.py): decode(ids(prompt) + ids(response)), special
tokens and all.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from grm_plugin.conversation.overlap import MIN_OVERLAP
from grm_plugin.conversation.response import END_TOKENS, decode_response, response_of
from grm_plugin.errors import GroupError
from support.policy_tokenizers import PROMPTS, build_tokenizers

TOKENIZERS = build_tokenizers()

PIECES = (
    *("plum", " ", "\n", "\t", "  ", ".", " ?", "isn't", " 's", "A", "e\u0301", "é", "É", "ﬁ", "①", "你好。", "привет"),
    *(
        "🙂",
        "👩‍💻",
        "☃",
        "\u200b",
        "\ufffd",
        "´",
        "İ",
        "ß",
        "Σς",
        "<",
        "[/INST]",
        "ASSISTANT:",
        "assistant\n",
        "▁",
        "<b>",
    ),
)
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"])
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(CHARACTERS, max_size=8)


def ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text=text, add_special_tokens=False)["input_ids"]
    return found


def decoded(tokenizer: Any, tokens: list[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=False)
    return text


def without_end_tokens(text: str) -> str:
    while any((text := text.strip()).endswith(found := token) for token in END_TOKENS):
        text = text.removesuffix(found)
    return text


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_only_the_special_tokens_at_its_end_are_left_out_of_a_response(kind: str) -> None:
    """Those inside tell reasoning and calls from the answer."""
    tokenizer = TOKENIZERS[kind]
    said = "<|start_header_id|>hm<|end_header_id|>42"
    tokens = ids(tokenizer, f"{said}<|eot_id|><|im_end|>") + [tokenizer.all_special_ids[0]] * 2
    assert decode_response(tokenizer, tokens).replace(" ", "") == said
    assert decode_response(tokenizer, []) == ""


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(st.sampled_from(sorted(PROMPTS)), TEXTS, TEXTS)
@example("zephyr", "Name three fruits.", " plum, fig")
@example("llama 2", "Name three fruits.", "plum, fig")
@example("llama 2, turn 2", "e\u0301 ①", "")
@example("vicuna", "  Isn't it ?  ", "\n\n  plum\n")
@example("bare", "", "\u0301x")
def test_the_response_begins_where_the_tokens_of_the_prompt_end(kind: str, form: str, said: str, answer: str) -> None:
    tokenizer, prompt = TOKENIZERS[kind], PROMPTS[form].replace("{}", said)
    before = decoded(tokenizer, ids(tokenizer, prompt))
    query = decoded(tokenizer, ids(tokenizer, prompt) + ids(tokenizer, answer))
    assume(query.startswith(before))  # BERT's decoder may take a space between the two
    assume("[UNK]" not in before)  # a word that BERT does not know: refused, see below
    answer = query[len(before) :]
    assume(not answer.startswith("<unk>"))  # nothing tells it from one that the prompt ends in

    response = response_of(query, prompt)

    assert response.strip() == without_end_tokens(answer)
    assert response in query


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZERS if not kind.startswith("BERT")])
@pytest.mark.parametrize("form", ["zephyr", "vicuna", "llama 2", "chatml", "gemma"])
def test_a_prompt_that_lost_its_first_tokens(kind: str, form: str) -> None:
    """OpenRLHF keeps the last tokens of a prompt that is too long: here from the middle of a character on, too."""
    tokenizer, prompt = TOKENIZERS[kind], PROMPTS[form].replace("{}", "Why é? " + "So that é , I 'm told. " * 9)
    tokens, answer = ids(tokenizer, prompt), ids(tokenizer, " plum, fig</s>")
    found = [response_of(decoded(tokenizer, tokens[start:] + answer), prompt) for start in range(len(tokens) - 100)]
    assert {response.strip() for response in found} == {"plum, fig"}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_response_that_repeats_the_prompt_takes_nothing_from_it(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    for form in PROMPTS.values():
        prompt = form.replace("{}", "Name it.")
        for answer in (prompt, prompt[-20:], prompt[1:], "Name it. " * 40, "it." + prompt * 2):
            before = decoded(tokenizer, ids(tokenizer, prompt))
            query = decoded(tokenizer, ids(tokenizer, prompt) + ids(tokenizer, answer))
            assert response_of(query, prompt).strip() == without_end_tokens(query[len(before) :])


@pytest.mark.parametrize(
    "prefix", ["<s>", "<s><s>", "<|begin_of_text|>", "<pad><pad>", "[PAD] [PAD] [CLS] ", "</s> <s>"]
)
@pytest.mark.parametrize("form", PROMPTS)
def test_bos_and_padding_in_front_of_the_prompt_are_passed_over(prefix: str, form: str) -> None:
    prompt = PROMPTS[form].replace("{}", "Name three fruits.")
    assert response_of(f"{prefix}{prompt}plum, fig</s>", prompt) == "plum, fig"
    assert response_of(f"{prefix} {prompt} {prompt}", prompt) == f" {prompt}".removesuffix("</s>")


@pytest.mark.parametrize(
    ("query", "prompt", "response"),
    [
        ("<s> [INST] Hi [/INST] plum", "<s>[INST] Hi [/INST]", " plum"),
        ("<|user|> \nHi</s> \n<|assistant|> \n plum", "<|user|>\nHi</s>\n<|assistant|>\n", " plum"),
        ("<|user|> \nHi</s> \n<|assistant|> \n\n plum", "<|user|>\nHi</s>\n<|assistant|>\n", "\n plum"),
        ("<|user|>Hi<|assistant|>plum", "<|user|>\nHi\n<|assistant|>\n", "plum"),
        ("a b c", "a  b ", "c"),
        ("1 fi plum", "① \ufb01", " plum"),
        ("what ' s new ? plum", "What's NEW? ", "plum"),
        ("cafe plum", "CAF\u00c9", " plum"),
        ("Hi <unk>! plum", "Hi ☃☃!", " plum"),
        ("Hi <unk> <unk><unk> plum", "Hi ☃ ☃☃\n", " plum"),
        ("Hi ⁇ ! plum", "Hi ☃!", " plum"),
        ("Hi <unk> plum", "Hi ", "<unk> plum"),
        ("Hi \ufb01sh", "Hi ", "\ufb01sh"),
        ("Hi \u0301x", "Hi ", "\u0301x"),
        ("\ufffd\ufffd" + "x" * MIN_OVERLAP + " plum", "🙂" + "x" * MIN_OVERLAP, " plum"),
    ],
)
def test_white_space_behind_the_prompts_own_is_the_responses(query: str, prompt: str, response: str) -> None:
    assert response_of(query, prompt) == response


@pytest.mark.parametrize(
    ("query", "prompt", "place"),
    [
        ("Hi [UNK] plum", "Hi ☃", "character 3 on, where the prompt has U+2603 and the query U+005B"),
        ("Hi plum", "Hi ☃", "character 3 on, where the prompt has U+2603"),
        ("Hi <unk> plum", "Hi ☃ you", "character 3 on"),
        ("b <s> [INST] Hi", "<s>[INST] Hi", "character 0 on"),
        ("one <b> Hi", "Hi", "character 0 on"),
        ("<s> [INST] Hi you", "<s>[INST] Hi me", "character 13 on, where the prompt has U+006D and the query U+0079"),
    ],
)
def test_another_prompt_is_refused_at_the_place_that_counts(query: str, prompt: str, place: str) -> None:
    with pytest.raises(GroupError, match="no prefix of the query") as refusal:
        response_of(query, prompt)
    assert place in str(refusal.value)
