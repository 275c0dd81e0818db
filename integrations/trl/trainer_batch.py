"""A batch as TRL passes it, column by column -> one row per completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.client.contiguous_groups import BatchRow
from grm_plugin.conversation.labels import is_missing, read_label
from grm_plugin.conversation.media import refuse_media_fields
from grm_plugin.errors import ConfigError, GroupError

Turns = Sequence[Mapping[str, Any]]
"""Chat messages."""

IMAGE_COLUMNS = ("image", "images")


@dataclass(frozen=True, slots=True)
class TrainerBatch:
    """What a trainer passes: `completions`, `prompts` (None from ms-swift) and the dataset's columns, row by row."""

    completions: Sequence[str | Turns]
    prompts: Sequence[str | Turns] | None
    columns: Mapping[str, Any]

    def rows(
        self,
        reference: str | None,
        rubric: str | None = None,
        criteria: str | None = None,
        source: str | None = None,
    ) -> list[BatchRow]:
        """One row per completion; `reference`, `rubric`, `criteria` and `source` name columns.

        Raises:
            ConfigError: the dataset has no such column.
            GroupError: prompts are missing, or the lengths do not match.
            PromptError: there are images, messages of an unknown kind, labels with unknown fields, or criteria that
                no response can be scored by.
        """
        refuse_media_fields(self.columns, IMAGE_COLUMNS, "the dataset")
        prompts = self._all_prompts()
        labels = zip(*map(self._column, (reference, rubric, criteria, source)), strict=True)
        tools = self._column("tools" if "tools" in self.columns else None)
        return [
            BatchRow(_with_tools(prompt, known), _text_or_turns(completion), *read_label(*label))
            for prompt, known, completion, label in zip(prompts, tools, self.completions, labels, strict=True)
        ]

    def _all_prompts(self) -> Sequence[str | Turns]:
        if self.prompts is not None:
            return self._of_same_length("prompts", self.prompts)
        if "messages" in self.columns:
            return [turns[:-1] for turns in self._column("messages")]
        raise GroupError("neither prompts nor a messages column came with the completions; the GRM needs the prompts")

    def _column(self, name: str | None) -> Sequence[Any]:
        if name is None:
            return [None] * len(self.completions)
        if name not in self.columns:
            raise ConfigError(f"the dataset has no column {name!r}; it has {', '.join(sorted(self.columns)) or 'none'}")
        return self._of_same_length(name, self.columns[name])

    def _of_same_length(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        if len(values) != len(self.completions):
            raise GroupError(
                f"{name} has {len(values)} entries but completions has {len(self.completions)}: one per completion"
            )
        return values


def in_training(log_metric: object) -> bool:
    """Whether a trainer calls in training, not in evaluation: it passes a method of its own, and its model knows.

    True where that cannot be told.
    """
    model = getattr(getattr(log_metric, "__self__", None), "model", None)
    return bool(getattr(model, "training", True))


def _with_tools(prompt: str | Turns, tools: Any) -> str | Turns:
    """The prompt, with the tools of its row, which only a chat template writes into a prompt."""
    if isinstance(prompt, str) or is_missing(tools):
        return _text_or_turns(prompt)
    return [{"type": "tools", "role": "system", "tools": tools}, *prompt]


def _text_or_turns(value: str | Turns) -> str | Turns:
    return encodable(value) if isinstance(value, str) else value
