"""Reads general instruction data, which is mixed into the fine-tuning of a GRM so that it keeps its other skills.

It has the largest effect of all ablations in the paper: without it the mean over benchmarks falls from 69.9 to 63.3
(Table 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.errors import WireError
from grm_plugin.spct.training_files import TrainingRow, read_rows

_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("instruction", "output"), ("input", "output"))
"""Names of the columns of request and answer. Tried in this order where a row has no `messages`."""


def read_general(path: Path) -> Iterator[TrainingRow]:
    """Rows with `prompt` and `completion` (chat messages) from a JSONL or Parquet file of instruction data.

    A row of the file has `messages`, of which the last is the assistant's; or a request and an answer, each a text or a
    list of messages, in columns named by one of `_PAIRS`. An `instruction` may come with an `input`.

    Raises:
        WireError: a row has neither; the message names the row.
        ConfigError: the file cannot be read.
    """
    for number, row in enumerate(read_rows(path), start=1):
        try:
            yield _chat(row)
        except WireError as error:
            raise WireError(f"{path} row {number}: {error}") from None


def _chat(row: Mapping[str, Any]) -> TrainingRow:
    if row.get("messages"):
        turns = _turns("messages", row["messages"], "user")
        prompt, completion = turns[:-1], turns[-1:]
    else:
        for asked, answered in _PAIRS:
            if row.get(asked) and row.get(answered):
                break
        else:
            raise WireError(
                f"no request and answer: give messages, or {' or '.join('/'.join(pair) for pair in _PAIRS)}"
            )
        request = row[asked]
        if asked == "instruction" and row.get("input"):
            request = f"{request}\n\n{row['input']}"
        prompt, completion = _turns(asked, request, "user"), _turns(answered, row[answered], "assistant")
    if not prompt or [turn["role"] for turn in completion] != ["assistant"]:
        raise WireError("it must end with one assistant turn, after at least one other turn")
    return {"prompt": prompt, "completion": completion}


def _turns(name: str, value: Any, role: str) -> list[dict[str, str]]:
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    try:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in value]
    except (TypeError, KeyError):
        turns = [{}]
    if not all(isinstance(text, str) for turn in turns for text in turn.values()) or turns == [{}]:
        raise WireError(f"{name} must be a text, or a list of messages with role and content")
    if any(turn.get(key) for turn in value for key in ("tool_calls", "function_call")):
        raise WireError(f"{name} calls tools, which this training data cannot hold: leave such rows out")
    return [{key: encodable(text) for key, text in turn.items()} for turn in turns]  # or the file could not be written
