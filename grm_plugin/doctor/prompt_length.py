"""Checks whether the prompt templates render, fit into the models, and are those that they know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.config.presets import known_judge
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.engines.chat_tokens import unread_by_template
from grm_plugin.engines.model_files import find_folder, read_files
from grm_plugin.engines.vllm import tokens_left_free
from grm_plugin.errors import PromptError
from grm_plugin.judging.applying import Applying
from grm_plugin.judging.prompts import MARKER_LENGTH, PromptBuilder
from grm_plugin.types import Conversation, Group, Message, message_dicts

PROSE = "The quick brown fox jumps over the lazy dog, and nobody knows why it would want to do such a thing. "
"""Stands for a response: about as many tokens per character as English has."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of a prompt of `judge.list_size` responses: of one word each, and of the greatest length that is shown."""

    shortest: int
    longest: int


def check_prompts(config: Config) -> list[Finding]:
    """Render the templates of the GRM and the meta RM; count tokens if the models' tokenizers are on this machine."""
    try:
        builder = PromptBuilder.of(config)
        left_out = [warning("prompt", problem) for problem in builder.check()]
    except PromptError as problem:
        return [error("prompt", str(problem))]
    short = _group(config, PROSE.split()[0])
    # With `keep` the reasoning of a response has as many characters of its own.
    long = _group(config, _prose(config.judge.max_response_chars * (2 if config.judge.reasoning == "keep" else 1)))
    order, marker = tuple(range(config.judge.shown_together)), "X" * MARKER_LENGTH
    findings = [ok("prompt", "the template renders")]
    if isinstance(config.engine, VLLMConfig):
        prompts = [builder.listwise(group, order, marker).messages for group in (short, long)]
        findings = _fit("prompt", config, config.engine, prompts, generates=True)
    findings += left_out + _templates_of_the_models(config)
    if isinstance(config.meta_rm, VLLMConfig):
        prompts = [builder.meta(group, order, marker, "") for group in (short, long)]
        findings += _fit("meta prompt", config, config.meta_rm, prompts, generates=False)
    return findings


_GENERAL = "gets the general template, and was trained with another"


def _templates_of_the_models(config: Config) -> list[Finding]:
    """Warns where a model of a known family is asked by the general template, which it was not trained with."""
    findings = []
    model = getattr(config.engine, "model", "")
    preset = known_judge(model)
    if preset is not None and config.judge.template is None and config.judge.preset is None:
        findings.append(warning("prompt", f"{model} {_GENERAL}", f"set judge.preset: {preset}"))
    meta_rm = getattr(config.meta_rm, "model", "")
    if config.meta_rm is not None and config.meta_rm.template is None and known_judge(meta_rm) == "deepseek_grm":
        fix = "set meta_rm.template: builtin:deepseek_grm_meta_rm"
        findings.append(warning("meta prompt", f"{meta_rm} {_GENERAL}", fix))
    return findings


def _fit(name: str, config: Config, model: VLLMConfig, prompts: list[Conversation], generates: bool) -> list[Finding]:
    folder = find_folder(model.model)
    if folder is None:
        return [warning(name, f"the template renders; its length is unknown without the tokenizer of {model.model}")]
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=model.trust_remote_code, local_files_only=True
        )
        lengths = Lengths(*(_count(tokenizer, prompt, generates, model) for prompt in prompts))
    except Exception as problem:  # transformers raises errors of any type for files that it cannot read
        reason = " ".join(str(problem).split())[:300]
        return [warning(name, f"the template renders; its length is unknown, the tokenizer fails: {reason}")]
    limit = model.max_model_len or read_files(folder).context
    if limit is None:
        findings = [ok(name, f"{lengths.shortest} to {lengths.longest} tokens; the model names no limit")]
    else:
        findings = [lengths_finding(name, config, lengths, limit)]
    if unread := unread_by_template(tokenizer, model.chat_template_kwargs):
        findings.append(
            warning(
                name,
                f"the chat template of {model.model} does not read {', '.join(unread)}",
                f"correct {'meta_rm' if name.startswith('meta') else 'engine'}.chat_template_kwargs",
            )
        )
    return findings


def lengths_finding(name: str, config: Config, lengths: Lengths, limit: int) -> Finding:
    """Whether a prompt of these lengths and the critique after it fit into a model of `limit` tokens."""
    critique, size, chars = config.sampling.max_tokens, config.judge.shown_together, config.judge.max_response_chars
    key = "meta_rm.max_model_len" if name.startswith("meta") else "engine.max_model_len"
    if lengths.shortest + tokens_left_free(critique, limit) > limit:
        return error(
            name,
            f"the template takes {lengths.shortest} of {limit} tokens without any response",
            f"raise {key}, or shorten the template",
        )
    if lengths.shortest + critique > limit:
        return warning(
            name,
            f"a template of {lengths.shortest} tokens and a critique of {critique} exceed {limit}: critiques are cut",
            f"raise {key}, or lower sampling.max_tokens",
        )
    if lengths.longest + critique > limit:
        # Only the responses take more tokens when they have more characters; the rest of the prompt stays as it is.
        share = (limit - critique - lengths.shortest) / max(1, lengths.longest - lengths.shortest)
        shown = max(100, int(chars * share) // 100 * 100)
        return warning(
            name,
            f"{size} responses of {chars:,} characters make a prompt of about {lengths.longest:,} tokens: too long for "
            f"{limit:,} with a critique of {critique:,}",
            f"if your responses get that long: lower judge.max_response_chars to about {shown}, "
            f"or judge.list_size, or raise {key}",
        )
    return ok(name, f"{lengths.shortest} to {lengths.longest} tokens and a critique of {critique} fit into {limit}")


def _count(tokenizer: Any, conversation: Conversation, generates: bool, model: VLLMConfig) -> int:
    options = {"tokenize": False, "add_generation_prompt": generates, **model.chat_template_kwargs}
    text = tokenizer.apply_chat_template(message_dicts(conversation), **options)
    # verbose=False: transformers would warn of a long prompt, about which the finding says more.
    return len(tokenizer.encode(text, add_special_tokens=False, verbose=False))


def _group(config: Config, response: str) -> Group:
    group = Group((Message("user", PROSE),), (response,) * config.judge.shown_together)
    return Applying(config.judge).applied(group)


def _prose(chars: int) -> str:
    return (PROSE * (chars // len(PROSE) + 1))[:chars]
