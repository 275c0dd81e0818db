"""What transformers computes on the CPU from the weights in a folder: vLLM is held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Reference:
    """A model in a folder, in transformers' plainest implementation.

    Args:
        folder: the model.
        changes: of its configuration, as `Released.features` has them.
        dtype: the numbers that it computes with. In others than float32 it shows how much rounding changes.
    """

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None, dtype: str = "float32") -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

        config = AutoConfig.from_pretrained(folder)
        for key, value in (changes or {}).items():
            setattr(config, key, value)
        rates = config.architectures[0].endswith("ForSequenceClassification")
        kind: Any = AutoModelForSequenceClassification if rates else AutoModelForCausalLM
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        # Other implementations of attention leave Gemma's cap out.
        self._model: Any = kind.from_pretrained(
            folder, config=config, dtype=getattr(torch, dtype), attn_implementation="eager"
        ).eval()

    def prompt(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True, **template_kwargs: Any
    ) -> list[int]:
        """The token ids of a conversation, as transformers makes them in one go."""
        encoded = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=add_generation_prompt, return_dict=True, **template_kwargs
        )
        return list(encoded["input_ids"])

    def logprobs(self, tokens: Sequence[int]) -> Any:
        """Log-probabilities after each token, shape (tokens, vocabulary), float32."""
        import torch

        with torch.inference_mode():
            return self._model(torch.tensor([list(tokens)])).logits[0].float().log_softmax(-1)

    def rating(self, tokens: Sequence[int]) -> float:
        """The logit of a sequence classification model with one label."""
        import torch

        with torch.inference_mode():
            return float(self._model(torch.tensor([list(tokens)])).logits.item())
