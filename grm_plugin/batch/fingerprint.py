"""Fingerprints of configurations: digests of all that a vote depends on.

They keep votes apart that were sampled from different models, with different prompts or with different settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from grm_plugin.batch.digests import digest
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.types import Group, Message

READ_BYTES = 2**20
"""Bytes read at the start and at the end of each weight file, instead of all: a trained model differs in both."""

_PLACEMENT = {"replicas", "tensor_parallel_size", "gpu_memory_utilization", "max_concurrency", "delay_s", "api_key_env"}
"""Settings of an engine that change where and how fast it runs, not what it answers."""

_NOT_IN_A_VOTE = {"template", "list_size", "blank_response"}
"""Settings of the judge that no stored vote depends on: the template is part of `prompt`, and the GRM is shown all
responses of an item in one list, blank ones too. All other settings count, new ones included."""

_NEW_IN_A_VOTE = {"reasoning": "cut_first", "max_tool_chars": 8_000}
"""Settings of the judge that 0.1.0 had not, with the value at which its votes are gone on with."""


def fingerprint(config: Config) -> dict[str, str]:
    """The digest of each part: `engine`, `prompt`, `sampling`, `judge`, and `meta_rm` where there is one.

    Raises:
        PromptError: a template cannot be loaded or rendered.
    """
    prompts = PromptBuilder.of(config)
    judge = config.judge.model_dump(mode="json", exclude=_NOT_IN_A_VOTE)
    parts = {
        "engine": _engine(config.engine),
        "prompt": [prompts.listwise(group, order, "MARKER").messages[0].content for group, order in _EXAMPLES],
        "sampling": config.sampling.model_dump(exclude={"k", "adaptive"}),
        "judge": {key: value for key, value in judge.items() if (key, value) not in _NEW_IN_A_VOTE.items()},
    }
    if config.meta_rm:
        shown = [prompts.meta(group, order, "MARKER", "")[0].content for group, order in _EXAMPLES]
        parts["meta_rm"] = [_engine(config.meta_rm), shown]
    return {part: digest(content) for part, content in parts.items()}


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The keys that have different values, or are in only one of the two; sorted."""
    return sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))


def require_same(found: Mapping[str, str], now: Mapping[str, str], parts: Iterable[str], folder: Path) -> None:
    """Check that these parts of the fingerprint of the votes in `folder` are those of the configuration now.

    Args:
        found: the fingerprint of the stored votes.
        now: the fingerprint of the configuration.
        parts: the parts that must be the same.
        folder: for the message.

    Raises:
        ConfigError: a part differs; the message names it.
    """
    for part in parts:
        if found.get(part) != now.get(part):
            raise ConfigError(
                f"the votes in {folder} were sampled with another {part} than this configuration has: use the "
                "configuration that they were sampled with"
            )


def model_name(model: Any) -> str:
    """What a report calls a model: its Hugging Face id or name; for an absolute path, the name of the folder."""
    name = str(getattr(model, "model", getattr(model, "type", "?")))
    return Path(name).name if Path(name).is_absolute() else name


_PLAIN = Group((Message("user", "Which?"),), ("first", "second"))
_FULL = Group((Message("user", "Hm?"), Message("assistant", "Yes."), Message("user", "Which?")), ("one",), "ref", "rub")
_EXAMPLES = ((_PLAIN, (1, 0)), (_FULL, (0,)))


def _engine(model: Any) -> Any:
    settings = model.model_dump(mode="json", exclude=_PLACEMENT | {"k_meta", "template"})
    if isinstance(model, VLLMConfig) and Path(model.model).is_dir():
        settings["model"] = _weights(Path(model.model))
    return settings


def _weights(folder: Path) -> list[tuple[str, int, str]]:
    """Name, size and digest (of both ends) of every file of a model folder; the folder's own path does not count."""
    return [(file.name, file.stat().st_size, _ends(file)) for file in sorted(folder.iterdir()) if file.is_file()]


def _ends(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(READ_BYTES)
        stream.seek(max(stream.tell(), file.stat().st_size - READ_BYTES))
        content += stream.read(READ_BYTES)
    return hashlib.sha256(content).hexdigest()[:16]
