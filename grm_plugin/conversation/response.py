"""Finds the response in a text that is prompt and response, decoded together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.conversation.alignment import first_difference, prompt_end
from grm_plugin.errors import GroupError

END_TOKENS = (
    *("<|im_end|>", "<|endoftext|>", "<|end|>", "<|return|>"),  # Qwen, Phi, gpt-oss
    *("<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"),  # Llama
    *("<end_of_turn>", "<turn|>", "<eos>", "<pad>"),  # Gemma
    *("<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),  # DeepSeek
    *("</s>", "[PAD]", "[SEP]"),  # Mistral, Llama 2, BERT
    *("<|user|>", "<|observation|>"),  # GLM, whose turns end where the next one begins
    *("<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>", "[|endofturn|]"),  # Cohere, EXAONE
    *("[EOS]", "[e~[", "<end_of_utterance>"),  # Kimi, MiniMax, SmolVLM
    *("<seed:eos>", "<seed:pad>"),  # Seed-OSS
)
"""Tokens that may follow a decoded response and are no part of it."""


def response_of(query: str, prompt: str) -> str:
    """The response in `query`, which is prompt + response decoded with special tokens (OpenRLHF, `utils/agent.py`).

    End-of-turn, end-of-text and padding tokens behind the response are left out; the white space at its start is its
    own. What the policy's tokenizer does to a prompt on its way may differ from it: see `alignment`.

    Raises:
        GroupError: the query holds neither the prompt nor an end of it of at least `overlap.MIN_OVERLAP` characters.
    """
    query, prompt = encodable(query), encodable(prompt)
    end = prompt_end(prompt, query)
    if end is None:
        raise GroupError(_mismatch(query, prompt))
    return _without_end_tokens(query[end:])


def decode_response(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of a response's tokens, without the special tokens at its end.

    Those inside stay: by them reasoning and calls of tools are told from the answer (`[THINK]`, `[TOOL_CALLS]`,
    gpt-oss's channels).

    Args:
        tokenizer: the policy's, of transformers.
        tokens: ids.
    """
    special = set(tokenizer.all_special_ids)
    end = len(tokens)
    while end and tokens[end - 1] in special:
        end -= 1
    return _without_end_tokens(tokenizer.decode(tokens[:end], skip_special_tokens=False))


def _without_end_tokens(text: str) -> str:
    end = len(text)
    while True:
        last = end
        while last and text[last - 1].isspace():
            last -= 1
        token = next((token for token in END_TOKENS if text.endswith(token, 0, last)), None)
        if token is None:
            return text[:end]
        end = last - len(token)


def _mismatch(query: str, prompt: str) -> str:
    ours, theirs = first_difference(prompt, query)
    # The code points and not the text, which must not get into logs.
    wanted, found = (
        f"U+{ord(text[place]):04X}" if place < len(text) else "its end"
        for text, place in ((prompt, ours), (query, theirs))
    )
    return (
        f"the prompt is no prefix of the query: they differ from character {ours} on, where the prompt has "
        f"{wanted} and the query {found}; send prompt + response with special tokens, undecorated"
    )
