"""Real tokenizer classes of transformers with vocabularies of single characters: no files, no network."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import (
    BertTokenizer,
    GemmaTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    Qwen2Tokenizer,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<s>", "</s>"),
    *("<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
)
"""Special tokens of the chat formats below; every tokenizer has them."""

PROMPTS = {
    "llama 2": "<s>[INST] {} [/INST]",
    "llama 2, turn 2": "<s>[INST] Hi. [/INST] Hello! </s><s>[INST] {} [/INST]",
    "zephyr": "<|user|>\n{}</s>\n<|assistant|>\n",
    "vicuna": "A chat. USER: Hi. ASSISTANT: Hello!</s>USER: {} ASSISTANT:",
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    "deepseek": "<｜begin▁of▁sentence｜>Be brief.\n\n<｜User｜>{}<｜Assistant｜>",
    "plain": "Q: {} A:",
    "bare": "Say: {}",
}
"""Chat formats; {} is what the user says."""

KNOWN = sorted({chr(code) for code in range(33, 127)} | set("éèüößÄñ你好。，？！привет"))
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _bpe(*special: str) -> dict[str, Any]:
    """SentencePiece's BPE with byte fallback, as of Llama 2, Mistral 7B and Gemma."""
    return {"vocab": {token: number for number, token in enumerate([*special, *_BYTES, "▁", *KNOWN])}, "merges": []}


def _byte_level() -> dict[str, Any]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {"vocab": {token: number for number, token in enumerate(["<|endoftext|>", *alphabet])}, "merges": []}


def _unigram(*special: str) -> list[tuple[str, float]]:
    """SentencePiece's unigram model: a character that is not in it becomes `<unk>`."""
    return [*((token, 0.0) for token in special), *((token, -5.0) for token in ["▁", *KNOWN])]


def _normalised(tokenizer: Any, form: Any) -> Any:
    """As the character map of T5's and XLM-R's files: NFKC, and one space for several."""
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([form, normalizers.Replace(Regex(r"\s{2,}"), " ")])
    return tokenizer


def _bert(**options: Any) -> Any:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KNOWN, *(f"##{character}" for character in KNOWN)]
    return BertTokenizer(vocab={token: number for number, token in enumerate(words)}, **options)


def build_tokenizers() -> dict[str, Any]:
    """One of each kind, by name."""
    llama = _bpe("<unk>", "<s>", "</s>")
    cleaned_up = {
        "clean_up_tokenization_spaces": True,
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True,
    }
    tokenizers = {
        "Llama, legacy": LlamaTokenizer(**llama, legacy=True),
        "Llama": LlamaTokenizer(**llama, legacy=False),
        "Llama, without prefix space": LlamaTokenizer(**llama, legacy=False, add_prefix_space=False),
        "Llama, cleaned up": LlamaTokenizer(**llama, legacy=True, **cleaned_up),
        "Gemma": GemmaTokenizer(**_bpe("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")),
        "GPT-2": GPT2Tokenizer(**_byte_level()),
        "GPT-2, cleaned up": GPT2Tokenizer(**_byte_level(), **cleaned_up),
        "Qwen2, NFC": Qwen2Tokenizer(**_byte_level()),
        "T5, NFKC": _normalised(T5Tokenizer(vocab=_unigram("<pad>", "</s>", "<unk>")), normalizers.NFKC()),
        "XLM-R, NFKC": _normalised(
            XLMRobertaTokenizer(vocab=_unigram("<s>", "<pad>", "</s>", "<unk>", "<mask>")), normalizers.NFKC()
        ),
        "BERT, cased": _bert(do_lower_case=False),
        "BERT, lower case": _bert(do_lower_case=True),
    }
    for tokenizer in tokenizers.values():
        tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    return tokenizers
