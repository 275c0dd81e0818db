"""Checks whether the models are on this machine, complete, and of the right kind."""

from __future__ import annotations

import os

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.engines.build import check_engine_can
from grm_plugin.engines.model_files import find_folder, read_files, vllm_models
from grm_plugin.errors import EngineError

GB = 1e9


def check_models(config: Config) -> list[Finding]:
    """Whether the weights of the GRM and the meta RM, and the policy's tokenizer, are on this machine."""
    findings = [_check(f"{section}.model", model.model) for section, model in vllm_models(config).items()]
    if config.conversation.tokenizer is not None:
        name = config.conversation.tokenizer
        found = find_folder(name)
        findings.append(ok("tokenizer", f"conversation.tokenizer in {found}") if found else _absent("tokenizer", name))
    try:
        check_engine_can(config)
    except EngineError as problem:
        findings.append(
            error("sampling", str(problem), "the line `combination` of this list names versions that were tested")
        )
    return findings or [ok("models", f"none to load: engine.type is {config.engine.type}")]


def check_meta_rm(config: Config) -> list[Finding]:
    """Whether the meta RM is a classification model with one label."""
    if config.meta_rm is None:
        return [ok("meta_rm", "none: all votes count")]
    if not isinstance(config.meta_rm, VLLMConfig):
        return [ok("meta_rm", f"none to load: meta_rm.type is {config.meta_rm.type}")]
    folder = find_folder(config.meta_rm.model)
    if folder is None:
        return [warning("meta_rm", "its config.json is not on this machine: not checked")]
    try:
        files = read_files(folder)
    except (OSError, ValueError) as problem:
        return [error("meta_rm", f"{folder}: {problem}", "give a folder with config.json and weights")]
    architecture = ", ".join(files.config.get("architectures") or ["no architecture"])
    if files.labels != 1:
        return [
            error(
                "meta_rm",
                f"{config.meta_rm.model} has {files.labels} labels ({architecture})",
                "set meta_rm.model to a sequence classification model with one label",
            )
        ]
    k = config.sampling.k
    return [ok("meta_rm", f"{architecture} with one label; keeps {config.kept_of(k)} of {k} critiques")]


def _check(key: str, model: str) -> Finding:
    folder = find_folder(model)
    if folder is None:
        return _absent(key, model)
    try:
        files = read_files(folder)
    except (OSError, ValueError, KeyError) as problem:
        return error(key, f"{folder}: {problem}", "give a folder with config.json and weights")
    if files.missing:
        return error(
            key,
            f"{folder}: {len(files.missing)} files of weights are missing, first {files.missing[0]}",
            f"download it again: hf download {model}",
        )
    if not files.weights:
        return error(key, f"{folder} has no weights (*.safetensors, *.bin)", f"complete it: hf download {model}")
    return ok(key, f"{folder}, {files.weights / GB:,.3g} GB of weights")


def _absent(key: str, model: str) -> Finding:
    message = f"{model} is neither a folder nor in the Hugging Face cache of this machine"
    fix = f"hf download {model}"
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return error(key, f"{message}, and HF_HUB_OFFLINE is set", f"on a machine with a network: {fix}")
    return warning(key, f"{message}: the service downloads it when it starts", f"do it before the job: {fix}")
