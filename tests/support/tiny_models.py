"""Tiny models with the architecture of the released GRMs: random weights, a tokenizer and a chat template.

    python -m support.tiny_models FOLDER [NAME ...]      (in tests/)

The same seed gives the same weights. They lie in bfloat16, as the released ones do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.released_models import BYTE_LEVEL, RELEASED, Released

SEED = 7
ENDS_OFTEN = 2.0
"""Factor for the row of the token that ends an answer: so a random model writes it after some tokens."""

NORM_SPREAD = 0.2
"""Of the weights of norms, which are all equal in a model that was never trained."""


def make_tiny_model(name: str, folder: Path, seed: int = SEED) -> Path:
    """Write a tiny model of a name in `RELEASED`. Returns its folder, which is made."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    released = RELEASED[name]
    write_configuration(released, folder, released.smaller)
    tokenizer = _tokenizer(released)
    kind: Any = AutoModelForSequenceClassification if "num_labels" in released.config else AutoModelForCausalLM
    torch.manual_seed(seed)
    model = kind.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    with torch.no_grad():
        for weight_name, weights in sorted(model.named_parameters()):
            if weights.ndim == 1:
                weights.add_(NORM_SPREAD * torch.randn(weights.shape))
            weights.mul_(_of(weight_name, released.factors, 1.0)).add_(_of(weight_name, released.added, 0.0))
        if (head := model.get_output_embeddings()) is not None:
            head.weight[tokenizer.convert_tokens_to_ids(released.ends_answers)] *= ENDS_OFTEN
    model.to(torch.bfloat16).save_pretrained(folder)
    # What save_pretrained made of it has the names of this version of transformers, not those of a release.
    write_configuration(released, folder, released.smaller)
    return folder


def teach_by_heart(folder: Path, conversation: Sequence[Mapping[str, str]], answer: str, steps: int = 150) -> None:
    """Train a tiny model in a folder until it answers a conversation with one text, and ends there.

    Raises:
        AssertionError: `steps` did not suffice.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    asked = tokenizer.apply_chat_template(list(conversation), tokenize=False, add_generation_prompt=True)
    prompt, target = (tokenizer.encode(text, add_special_tokens=False) for text in (asked, answer))
    target.append(model.generation_config.eos_token_id[0])
    tokens = torch.tensor([prompt + target])
    labels = torch.tensor([[-100] * len(prompt) + target])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    for _ in range(steps):
        output = model(tokens, labels=labels)
        if output.loss < 0.01:
            model.to(torch.bfloat16).save_pretrained(folder)
            return
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"not learnt within {steps} steps: loss {output.loss.item():.3f}")


def write_configuration(released: Released, folder: Path, changes: Mapping[str, Any], fill: bool = False) -> None:
    """Write everything but weights: `config.json` as published but for `changes`, tokenizer and chat template.

    Args:
        released: the model.
        folder: where to; it is made.
        changes: empty for the published sizes. A smaller model's vocabulary is its tokenizer's.
        fill: whether the tokenizer is filled up to the published vocabulary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(released, released.config["vocab_size"] if fill else 0)
    tokenizer.save_pretrained(folder)

    def number(token: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(token))

    config = {
        key: number(value) if key.endswith("_token_id") else value
        for key, value in {**released.config, **changes}.items()
    }
    if changes:
        config["vocab_size"] = len(tokenizer)
    if config.pop("num_labels", None) == 1:
        config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    generation = {"eos_token_id": list(map(number, released.stops)), "bos_token_id": config["bos_token_id"]}
    for file, content in (("config.json", config), ("generation_config.json", generation)):
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _tokenizer(released: Released, size: int = 0) -> Any:
    """A tokenizer of the model's kind that knows single characters and bytes only, and its special tokens.

    Filled up to `size` with tokens that no text is read as.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GemmaTokenizer, PreTrainedTokenizerFast

    config = released.config
    named = {key: config.get(f"{key}_id") for key in ("bos_token", "eos_token", "pad_token")}
    common = {key: token for key, token in named.items() if token} | {
        "additional_special_tokens": [token for token in released.special if token not in named.values()],
        "chat_template": released.template,
    }
    if released.tokenizer == BYTE_LEVEL:
        pieces = [*released.special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
        pieces += [f"{number}." for number in range(len(pieces) + len(released.shown), size)]
        backend = Tokenizer(models.BPE(vocab=_numbered(pieces), merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **common)
        tokenizer.add_tokens(list(released.shown))
        return tokenizer
    printable = ["▁", "\n", *map(chr, range(ord("!"), ord("~") + 1))]
    pieces = [*released.special, *(f"<0x{byte:02X}>" for byte in range(256)), *printable]
    return GemmaTokenizer(vocab=_numbered(pieces), merges=[], **common)


def _of(weight_name: str, values: Mapping[str, float], default: float) -> float:
    """The value for the weights whose name ends as its key does."""
    return next((value for end, value in values.items() if weight_name.endswith(end)), default)


def _numbered(pieces: Sequence[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=sorted(RELEASED))
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for chosen in options.names:
        print(make_tiny_model(chosen, options.folder / chosen, options.seed))
