"""What a vote depends on, as digests: stores of another model, prompt or sampling are told apart by them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from grm_plugin.batch.items import digest
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.types import Group, Message

READ_BYTES = 2**20
"""Of a weight file, so much is read at its start and its end: a trained model differs in both."""

_PLACEMENT = {"replicas", "tensor_parallel_size", "gpu_memory_utilization", "max_concurrency", "delay_s", "api_key_env"}
"""Settings of an engine that say where and how fast it runs, not what it answers."""

_NOT_SHOWN = {"template", "list_size", "blank_response"}
"""Settings of the judge that no vote of a store depends on: the template counts as `prompt`, an item is one list, and
every response of it is judged. All others count, so that a new one cannot be forgotten."""


def fingerprint(config: Config) -> dict[str, str]:
    """Part -> digest: `engine`, `prompt`, `sampling`, `judge`, and `meta_rm` where there is one.

    Raises:
        PromptError: a template cannot be loaded or rendered.
    """
    prompts = PromptBuilder.of(config)
    parts = {
        "engine": _engine(config.engine),
        "prompt": [prompts.listwise(group, order, "MARKER").messages[0].content for group, order in _EXAMPLES],
        "sampling": config.sampling.model_dump(exclude={"k", "adaptive"}),
        "judge": config.judge.model_dump(mode="json", exclude=_NOT_SHOWN),
    }
    if config.meta_rm:
        shown = [prompts.meta(group, order, "MARKER", "")[0].content for group, order in _EXAMPLES]
        parts["meta_rm"] = [_engine(config.meta_rm), shown]
    return {part: digest(content) for part, content in parts.items()}


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The keys that are in one only or have different values, sorted."""
    return sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))


def require_same(found: Mapping[str, str], now: Mapping[str, str], parts: Iterable[str], folder: Path) -> None:
    """Check that the votes in `folder` were drawn with the `parts` of a fingerprint that the configuration has now.

    Raises:
        ConfigError: a part is another one; the message names it.
    """
    for part in parts:
        if found.get(part) != now.get(part):
            raise ConfigError(f"{folder} was drawn with another {part} than the configuration says: use that one")


def model_name(model: Any) -> str:
    """How a model section is called in a report: the Hugging Face id or name, or the name of the folder."""
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
    """The files of a model folder, wherever it lies: name, size, digest of both ends."""
    return [(file.name, file.stat().st_size, _ends(file)) for file in sorted(folder.iterdir()) if file.is_file()]


def _ends(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(READ_BYTES)
        stream.seek(max(stream.tell(), file.stat().st_size - READ_BYTES))
        content += stream.read(READ_BYTES)
    return hashlib.sha256(content).hexdigest()[:16]
