"""The token limit of training data: how long a prompt, or a prompt with its critique, may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grm_plugin._util.packages import require
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.chat_tokens import token_ids
from grm_plugin.errors import ConfigError
from grm_plugin.types import Conversation

END_TOKENS = 2
"""OpenRLHF's train_sft appends a blank and the end-of-text token to a text that does not end with this token."""


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """At most `limit` tokens, in the chat template of `tokenizer`; None is no limit."""

    tokenizer: Any = None
    limit: int | None = None

    @classmethod
    def of(cls, config: Config, flag: str, limit: int | None) -> TokenLimit:
        """The limit that the option `flag` of a command sets, counted by the GRM's tokenizer.

        Raises:
            ConfigError: there is a limit, but no tokenizer: the engine's type is not `vllm`, or loading it failed.
        """
        if limit is None:
            return UNLIMITED
        engine = config.engine
        if not isinstance(engine, VLLMConfig):
            raise ConfigError(f"{flag} needs the GRM's tokenizer: engine.type vllm")
        require("transformers", what=flag)
        from transformers import AutoTokenizer

        try:
            return cls(AutoTokenizer.from_pretrained(engine.model, trust_remote_code=engine.trust_remote_code), limit)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(f"{flag} needs the GRM's tokenizer, engine.model {engine.model}: {reason}") from None

    def fits(self, conversation: Conversation) -> bool:
        """Whether a prompt, or a conversation that ends with the assistant's answer, is within the limit.

        Raises:
            EngineError: the chat template cannot render it.
        """
        if self.limit is None:
            return True
        answered = conversation[-1].role == "assistant"
        ids = token_ids(self.tokenizer, conversation, add_generation_prompt=not answered)
        return len(ids) + (END_TOKENS if answered else 0) <= self.limit


UNLIMITED = TokenLimit()
