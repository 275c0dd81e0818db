"""`grm-plugin attack`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from grm_plugin._util.deadline import Deadline
from grm_plugin.attacks.attack import Attack
from grm_plugin.attacks.corpus import FAMILIES, build_corpus, token_attacks
from grm_plugin.attacks.measuring import AttackResult, Case, Measurement, cases
from grm_plugin.attacks.pairs import Pair, read_pairs
from grm_plugin.attacks.prompt_check import check_prompts
from grm_plugin.attacks.quoting import check_quoting
from grm_plugin.attacks.report import FormatFigures, table, write_json
from grm_plugin.attacks.summary import summarise
from grm_plugin.batch.exit_status import FAILED, INTERRUPTED
from grm_plugin.batch.local_engines import engines
from grm_plugin.batch.meter import Meter
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, ConfigPath, example, load
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError

WIDTH = 180

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    epilog=example("attack --config configs/nano_cpu.yaml --output attack.json", OVERRIDES),
)
def attack(
    context: typer.Context,
    config: ConfigPath,
    data: Annotated[Path | None, typer.Option(help="JSONL of clean pairs; a small built-in set without.")] = None,
    families: Annotated[str | None, typer.Option(help=f"Comma-separated; all of: {', '.join(FAMILIES)}.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many attacks of each family.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Judge all once more without the defences.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON with every attack and every row.")] = None,
    deadline: Annotated[
        float,
        typer.Option(min=1, help="Seconds for judging, after the clean pairs were tried; then what is there is shown."),
    ] = 3600,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Cases judged at once.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the corpus.")] = 0,
) -> None:
    """Measure what hostile responses change: first in how scores are bound, then in what the GRM believes.

    Format: every attack in every place of a prompt, without the GRM; nothing may change. Persuasion: a weak response,
    clean and attacked, judged beside a good one; the inflation is a property of the GRM, "harmless" shows its noise.
    A line of --data is {"prompt": TEXT or "messages": [...], "good": TEXT, "weak": TEXT}. Exit status: 0, measured; 1,
    the format changed, or rows are missing; 2, a wrong command, configuration or line, or a GRM without votes.
    """
    loaded = load(config, context.args)
    pairs = read_pairs(data)
    chosen = FAMILIES if families is None else [name.strip() for name in families.split(",")]
    attacks = build_corpus(chosen, limit, seed)
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.absolute().parent}")
    screen, progress = Console(width=WIDTH), Console(stderr=True)
    checked = _check_format(attacks, loaded)
    for line in checked.lines:
        screen.print(line, soft_wrap=True, markup=False, highlight=False)
    todo = cases(attacks, pairs, compare)
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # the table has stdout to itself
    try:
        rows, stopped = asyncio.run(_measure(loaded, pairs, todo, deadline, concurrency, progress))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    summaries = summarise(rows)
    screen.print()
    screen.print(table(summaries))
    if output is not None:
        model = getattr(loaded.engine, "model", loaded.engine.type)
        write_json(output, model, loaded.sampling.k, attacks, checked, summaries, rows)
    if len(rows) < len(todo):
        reason = stopped or f"--deadline {deadline:g} s has passed"
        progress.print(f"{len(rows)} of {len(todo)} rows: {reason}", soft_wrap=True, markup=False, highlight=False)
    if len(rows) < len(todo) or checked.changed or checked.quoting.forged:
        raise typer.Exit(FAILED)


def _check_format(attacks: Sequence[Attack], config: Config) -> FormatFigures:
    """The format measure with the configured templates, and with the models' own tokenizers where they can be had."""
    found = {"GRM": _tokenizer(config.engine), "meta RM": _tokenizer(config.meta_rm)}
    own = sorted({token for tokenizer in found.values() if tokenizer for token in tokenizer.all_special_tokens})
    prompts, changed = check_prompts([*attacks, *token_attacks(own)], config, found["GRM"], found["meta RM"])
    quoting = asyncio.run(check_quoting(attacks, config))
    return FormatFigures(prompts, changed, quoting, [name for name, tokenizer in found.items() if tokenizer])


def _tokenizer(model: object) -> Any:
    if not isinstance(model, VLLMConfig):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.model, trust_remote_code=model.trust_remote_code)
    except Exception as error:  # transformers raises whatever the files make it
        raise ConfigError(f"the tokenizer of {model.model} cannot be loaded: {error}") from None


async def _measure(
    config: Config, pairs: Sequence[Pair], todo: Sequence[Case], deadline_s: float, concurrency: int, console: Console
) -> tuple[list[AttackResult], str]:
    """The rows, and what the engine failed with (empty if it did not)."""
    with engines(config) as (generator, meta_rm):
        measurement = Measurement(config, generator, meta_rm, concurrency)
        await measurement.rehearse(pairs)
        with Meter(console, "rows", len(todo)) as meter:
            return await measurement.rows(todo, Deadline.after(deadline_s), meter), measurement.stopped
