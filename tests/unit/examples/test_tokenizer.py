"""transformers swaps the tokenizer of any `qwen2` folder for Qwen2's: the ids must not change, whoever loads it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from examples.nano.answers import ALL_ITEMS
from examples.nano.batches import render
from examples.nano.groups import draw_training_group
from examples.nano.teacher import judge
from examples.nano.tokenizer import JUDGE_TEMPLATE, POLICY_TEMPLATE, build_tokenizer

FOLDERS = ("grm", "policy", "meta_rm")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(0)
    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    found = ["", " 3 items\n\n(70%)", "Füße 你好 🙂 \u0000", "<|im_start|>user\nhi<|im_end|>", *ALL_ITEMS]
    for n in (1, 2, 3, 4) * 10:
        task, responses = draw_training_group(rng, n)
        found.append(render(tokenizer, task, responses, "QXZABC") + judge(task, responses, rng).text)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_loader_gives_the_ids_in_the_file(shipped: Path, folder: str, texts: list[str]) -> None:
    file = Tokenizer.from_file(str(shipped / folder / "tokenizer.json"))
    assert file.padding is None
    assert file.truncation is None
    expected = [encoding.ids for encoding in file.encode_batch(texts, add_special_tokens=False)]
    for loader in (AutoTokenizer, PreTrainedTokenizerFast):
        tokenizer = loader.from_pretrained(shipped / folder)
        assert tokenizer(texts, add_special_tokens=False)["input_ids"] == expected, loader.__name__


@pytest.mark.parametrize("folder", FOLDERS)
def test_vllm_gives_the_ids_in_the_file(shipped: Path, folder: str, texts: list[str]) -> None:
    registry = pytest.importorskip("vllm.tokenizers")
    file = Tokenizer.from_file(str(shipped / folder / "tokenizer.json"))
    tokenizer = registry.get_tokenizer(str(shipped / folder))
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert ids == file.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text


def test_building_twice_gives_the_shipped_vocabulary(shipped: Path) -> None:
    for folder, template in (("grm", JUDGE_TEMPLATE), ("policy", POLICY_TEMPLATE)):
        built, loaded = build_tokenizer(template), AutoTokenizer.from_pretrained(shipped / folder)
        assert built.get_vocab() == loaded.get_vocab()
        assert built.chat_template == loaded.chat_template
        assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_words_of_the_domain_are_single_tokens(shipped: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shipped / "policy")
    assert all(len(tokenizer.tokenize(word)) == len(tokenizer.tokenize(f" {word}")) == 1 for word in ALL_ITEMS)


def test_chat_templates(shipped: Path) -> None:
    user, critique = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "C"}
    policy = AutoTokenizer.from_pretrained(shipped / "policy")
    assert policy.apply_chat_template([user], tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    )
    for folder in ("grm", "meta_rm"):
        tokenizer = AutoTokenizer.from_pretrained(shipped / folder)
        assert tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True) == "Q\n-->\n"
        assert tokenizer.apply_chat_template([user, critique], tokenize=False) == "Q\n-->\nC<|im_end|>"
