"""The two measures of `grm-plugin attack`, taken with the templates, tokenizers and models of a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from grm_plugin._util.deadline import Deadline
from grm_plugin.attacks.attack import Attack
from grm_plugin.attacks.corpus import token_attacks
from grm_plugin.attacks.measuring import AttackResult, Case, Measurement
from grm_plugin.attacks.pairs import Pair
from grm_plugin.attacks.prompt_check import check_prompts
from grm_plugin.attacks.quoting import check_quoting
from grm_plugin.attacks.report import FormatFigures
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.batch.meter import Meter
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError


def check_format(attacks: Sequence[Attack], config: Config) -> FormatFigures:
    """The format measure: what the attacks change in the prompts, and in the votes of a GRM that quotes all it reads.

    The special tokens of the models' own tokenizers are attacks too; only vLLM engines have a tokenizer here.

    Raises:
        ConfigError: a tokenizer cannot be loaded.
    """
    found = {"GRM": _tokenizer(config.engine), "meta RM": _tokenizer(config.meta_rm)}
    own = sorted({token for tokenizer in found.values() if tokenizer for token in tokenizer.all_special_tokens})
    prompts, changed = check_prompts([*attacks, *token_attacks(own)], config, found["GRM"], found["meta RM"])
    quoting = asyncio.run(check_quoting(attacks, config))
    return FormatFigures(prompts, changed, quoting, [name for name, tokenizer in found.items() if tokenizer])


async def measure_persuasion(
    config: Config, pairs: Sequence[Pair], todo: Sequence[Case], deadline_s: float, concurrency: int, console: Console
) -> tuple[list[AttackResult], str]:
    """The persuasion measure: judge every case with the configured models.

    Args:
        config: of the GRM and the meta RM.
        pairs: clean pairs, of which some are judged first to see whether the GRM gives votes at all.
        todo: the cases.
        deadline_s: seconds for the cases.
        concurrency: cases judged at once.
        console: shows the progress.

    Returns:
        The rows, and what the engine failed with (empty if it did not).

    Raises:
        ConfigError, EngineError: the models cannot be loaded, or no critique of a clean pair could be read.
    """
    with running_engines(config) as (generator, meta_rm):
        measurement = Measurement(config, generator, meta_rm, concurrency)
        await measurement.rehearse(pairs)
        rows = await measurement.rows(todo, Deadline.after(deadline_s), Meter(console, "rows", len(todo)))
        return rows, measurement.stopped


def _tokenizer(model: object) -> Any:
    if not isinstance(model, VLLMConfig):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.model, trust_remote_code=model.trust_remote_code)
    except Exception as error:  # transformers raises errors of any kind for files that it cannot read
        raise ConfigError(f"the tokenizer of {model.model} cannot be loaded: {error}") from None
