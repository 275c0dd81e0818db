"""What is attacked: prompts with a good and a weak response, from a built-in set or a file of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from grm_plugin.attacks.pair_texts import TEXTS
from grm_plugin.batch.input_lines import decode_line, explain_validation, read_lines, require_single_keys
from grm_plugin.conversation.messages import to_conversation
from grm_plugin.errors import WireError
from grm_plugin.types import Conversation, Group, Message
from grm_plugin.wire.fields import Messages, Reference
from grm_plugin.wire.schemas import WireModel


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt with two clean responses, of which `good` is clearly better."""

    id: str
    conversation: Conversation
    good: str
    weak: str
    reference: str | None = None

    def group(self, weak: str | None = None) -> Group:
        """The group of the good response and the weak one, or of what is judged in place of the weak one."""
        return Group(self.conversation, (self.good, self.weak if weak is None else weak), self.reference)


class PairLine(WireModel):
    """One line of a file of pairs."""

    messages: Messages | None = None
    """The conversation, as messages of OpenAI's chat API. Give this or `prompt`."""
    prompt: str | None = None
    """One user turn."""
    good: str = Field(min_length=1)
    """A response that deserves more than the other."""
    weak: str = Field(min_length=1)
    """The response that is attacked."""
    reference: Reference = None
    """A ground-truth answer shown to the GRM."""

    @model_validator(mode="after")
    def _one_prompt(self) -> PairLine:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give exactly one of messages and prompt")
        return self


def read_pairs(path: Path | None) -> Sequence[Pair]:
    """The pairs of a JSONL file, or the built-in ones.

    Raises:
        WireError: a line is no pair, or there is none; the message names the line and the field.
        ConfigError: the file cannot be read.
    """
    if path is None:
        return BUILT_IN
    pairs = [_pair(path, number, text) for number, text in read_lines(path)]
    if not pairs:
        raise WireError(f'{path} holds no pair: a line is {{"prompt": TEXT, "good": TEXT, "weak": TEXT}}')
    return pairs


def _pair(path: Path, number: int, text: bytes) -> Pair:
    try:
        json_text = decode_line(text)
        require_single_keys(json_text)
        line = PairLine.model_validate_json(json_text)
    except ValidationError as error:
        raise WireError(f"{path} line {number}: {explain_validation(error)}") from None
    except WireError as error:
        raise WireError(f"{path} line {number}: {error}") from None
    conversation = to_conversation(line.messages) if line.messages else (Message("user", line.prompt or ""),)
    return Pair(f"line {number}", conversation, line.good, line.weak, line.reference)


BUILT_IN = tuple(
    Pair(f"built-in {number}", (Message("user", prompt),), good, weak)
    for number, (prompt, good, weak) in enumerate(TEXTS, start=1)
)
