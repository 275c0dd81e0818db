"""Fingerprints of configurations: digests of all that a vote, or a reward, depends on.

They keep apart what was sampled from different models, with different prompts or with different settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from grm_plugin._util.digests import digest
from grm_plugin._util.text_files import read_text
from grm_plugin.config import Config, JudgeConfig, SamplingConfig, Section, VLLMConfig
from grm_plugin.config.fields import SHIPPED
from grm_plugin.errors import ConfigError
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.judging.template_files import load_template
from grm_plugin.types import Group, Message

READ_BYTES = 2**20
"""Bytes read at the start and at the end of each weight file, instead of all: a trained model differs in both."""

_PLACEMENT = {
    *("replicas", "tensor_parallel_size", "gpu_memory_utilization", "max_concurrency", "delay_s", "api_key_env"),
    "max_tokens_name",
}
"""Settings of an engine that change where and how fast it runs, not what it answers."""

_WHERE_RULES_RUN = {"rule_timeout_s", "rule_workers"}

_NOT_IN_A_VOTE = {
    *(
        "preset",
        "template",
        "list_size",
        "blank_response",
        "mode",
        "comparisons",
        "pair_rewards",
        "tiebreak",
        "overall",
    ),
    *_WHERE_RULES_RUN,
}
"""Settings of the judge that no stored vote depends on: a preset is what it sets, the template is part of `prompt`, and
the GRM is shown all responses of an item in one list whatever the mode, blank ones too. All other settings count, new
ones included."""

_KEYS_OF_0_1_0 = {
    *("type", "model", "max_model_len", "dtype", "trust_remote_code", "engine_args", "base_url"),
    *("orders", "temperature", "top_p", "max_tokens", "seed"),
    *("decimals", "max_response_chars", "use_reference", "control_tokens", "invisible"),
}
"""Keys that count at their default, too. Later ones count where they are set, or every new key would make the votes of
former versions those of another configuration."""

_PARTS_SINCE = {"template", "single_template", "deepspeed_file"}
"""Parts that files of version 0.1.0 lack: there, they are not compared."""


def fingerprint(config: Config) -> dict[str, str]:
    """The digest of each part that a vote depends on: `engine`, `prompt`, `template`, `sampling`, `judge`, and
    `meta_rm` where there is one.

    Raises:
        PromptError: a template cannot be loaded or rendered.
    """
    prompts = PromptBuilder.of(config)
    examples = _PAIRS if config.judge.pairs else _EXAMPLES
    meta_template = config.meta_rm.template if config.meta_rm else None
    parts = {
        "engine": _engine(config.engine),
        "prompt": [prompts.listwise(group, order, "MARKER").messages[0].content for group, order in examples],
        "template": [
            *(source_of(template) for template in (config.judge.template, meta_template) if template),
            *_files_of(config.judge),
        ],
        "sampling": _settings(config.sampling, {"k", "adaptive"}),
        "judge": _settings(config.judge, _NOT_IN_A_VOTE),
    }
    if config.meta_rm:
        shown = [prompts.meta(group, order, "MARKER", "")[0].content for group, order in examples]
        parts["meta_rm"] = [_engine(config.meta_rm), shown]
    return {part: digest(content) for part, content in parts.items()}


def _files_of(judge: JudgeConfig) -> list[str]:
    """The texts of the files that criteria and principles name; none where there are none."""
    asked = [item for item in judge.criteria if item.kind != "rule"]
    principles = [text.file for text in (judge.principles, *judge.principles_of.values()) if text and text.file]
    rules = [item.function.rpartition(":")[0] for item in judge.criteria if item.function]
    # A template of the user's own counts for criteria that only the samples bring, too.
    own = judge.criteria_template != type(judge).model_fields["criteria_template"].default
    return [*([source_of(judge.criteria_template)] if asked or own else []), *map(source_of, (*principles, *rules))]


def reward_fingerprint(config: Config) -> dict[str, str]:
    """The digest of each part that a reward depends on: those of a vote, how votes are drawn and counted, and
    `conversation`, `normalize` and `failure`.

    Raises:
        PromptError: a template cannot be loaded or rendered.
    """
    further: dict[str, Any] = {
        "sampling": _settings(config.sampling, set()),
        "judge": _settings(config.judge, {"template", *_WHERE_RULES_RUN}),
        "conversation": _settings(config.conversation, set()),
        "normalize": _settings(config.normalize, {"state_path"}),
        "failure": _settings(config.failure, {"deadline_s"}),
    }
    parts = fingerprint(config)
    if config.meta_rm:
        further["meta_rm"] = [parts["meta_rm"], config.meta_rm.k_meta]
    return parts | {part: digest(content) for part, content in further.items()}


def scalar_fingerprint(model: Any) -> dict[str, str]:
    """The digest of all that the logit of a scalar reward model depends on, by the section of its engine."""
    return {"engine": digest(_engine(model))}


def policy_fingerprint(config: Config) -> dict[str, str]:
    """The digest of each part that a sample of a policy depends on: `engine` and `sampling`."""
    not_read = {*SamplingConfig.model_fields} - {"temperature", "top_p", "max_tokens", "seed"}
    return {"engine": digest(_engine(config.engine)), "sampling": digest(_settings(config.sampling, not_read))}


def source_of(template: str | Path) -> str:
    """The text of a template's file: the examples in `prompt` may not show every branch. No file stands for itself."""
    if str(template).startswith(SHIPPED):
        return load_template(str(template)).source
    try:
        return read_text(Path(template))
    except (OSError, ValueError):
        return str(template)


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The keys that have different values, or are in only one of the two; sorted.

    Args:
        found: what a file was made with.
        wanted: what is wanted now.
    """
    keys = found.keys() | (wanted.keys() - (_PARTS_SINCE - found.keys()))
    return sorted(key for key in keys if found.get(key) != wanted.get(key))


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
_PAIRS = ((_PLAIN, (1, 0)), (replace(_FULL, responses=_PLAIN.responses), (0, 1)))


def _settings(section: Section, leave_out: set[str]) -> dict[str, Any]:
    """The keys of a section that count, with their values."""
    values = section.model_dump(mode="json", exclude=leave_out)
    set_here = section.model_dump(mode="json", exclude=leave_out, exclude_defaults=True)
    return {key: value for key, value in values.items() if key in _KEYS_OF_0_1_0 or key in set_here}


def _engine(model: Any) -> Any:
    settings = _settings(model, _PLACEMENT | {"k_meta", "template"})
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
