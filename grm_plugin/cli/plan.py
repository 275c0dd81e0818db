"""`grm-plugin plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin._util.pictures import check_picture
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, WITH_WORD, ConfigOrWord, example, load
from grm_plugin.config import Config, VLLMConfig, replicas_of
from grm_plugin.conversation.messages import to_conversation
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.plan.known import (
    Known,
    by_setting,
    cache_tokens,
    from_probe,
    from_published,
    from_rate,
    from_traces,
    gpu_bytes,
    sequences_at_once,
    with_lengths,
)
from grm_plugin.plan.picture import draw
from grm_plugin.plan.planning import make_plan
from grm_plugin.plan.published import PUBLISHED
from grm_plugin.plan.report import as_json, lines
from grm_plugin.score.input_groups import read_groups
from grm_plugin.types import Group

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    options_metavar=WITH_WORD,
    epilog=example("plan preset:deepseek_grm_16b --prompts 128 --n 8 --tokens-per-s 4000 --rollout-s 120", OVERRIDES),
)
def plan(
    context: typer.Context,
    config: ConfigOrWord = None,
    prompts: Annotated[int, typer.Option(min=1, max=1_000_000, help="Prompts of a training step.")] = 128,
    n: Annotated[int | None, typer.Option(min=1, max=4096, help="Responses per prompt; else group.n.")] = None,
    rollout_s: Annotated[
        float,
        typer.Option(min=0, max=1e6, help="Seconds of a rollout, in which the responses come; 0: all come at once."),
    ] = 0.0,
    traces: Annotated[
        Path | None, typer.Option(help="Lengths and speed from this GRM's trace store (trace.path of a service).")
    ] = None,
    traces_replicas: Annotated[
        int | None, typer.Option(min=1, help="Replicas that the service of --traces had; else engine.replicas.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Load the engine here and measure it: some minutes for a large model.")
    ] = False,
    groups: Annotated[
        Path | None, typer.Option(help="For --probe: JSONL file with the groups to judge, as `score` reads it.")
    ] = None,
    tokens_per_s: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e9, help="Tokens that one replica writes per second, all critiques together."),
    ] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Most critiques that one replica writes at once.")] = None,
    published: Annotated[
        str | None, typer.Option(help=f"A published speed of a similar model: {', '.join(PUBLISHED)}.")
    ] = None,
    critique_tokens: Annotated[float | None, typer.Option(min=1, max=1e7, help="Tokens of a mean critique.")] = None,
    longest_tokens: Annotated[
        float | None, typer.Option(min=1, max=1e7, help="Tokens of a long critique: one in twenty is longer.")
    ] = None,
    prompt_tokens: Annotated[
        float | None, typer.Option(min=0, max=1e7, help="Tokens of a mean prompt to the GRM.")
    ] = None,
    gpu_gib: Annotated[
        float | None,
        typer.Option(min=1, max=1e5, help="Memory of one GPU in GiB, for the KV cache; else of those here."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also draw the plan into this .png or .svg file.")
    ] = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say what a training step asks of the GRM, how long it takes, and how many replicas keep up with it.

    Counts critiques, tokens and KV cache from the configuration. With a speed (--traces, --probe, --tokens-per-s or
    --published) it also tells seconds for more and more replicas, which of them meet `failure.deadline_s`, which keep
    up with a rollout of --rollout-s seconds, and the largest k for the replicas that are
    configured. Lengths that are not given are those of the traces or the probe, else the longest that the configuration
    allows. Starts nothing but the engine of --probe. Exit status: 0; 2, a wrong command, configuration or file.
    """
    loaded = load(config, context.args, context)
    check_picture(output)
    if groups is not None and not probe:
        raise ConfigError("--groups is for --probe: give both, or none")
    if traces_replicas is not None and traces is None:
        raise ConfigError("--traces-replicas is for --traces: give both, or none")
    known = _known(loaded, traces, traces_replicas, probe, groups, tokens_per_s, published)
    known = with_lengths(known, critique_tokens, longest_tokens, prompt_tokens)
    if at_once is not None and known.speed is None and known.rate is None:
        raise ConfigError("--at-once is of a speed: give --traces, --probe, --tokens-per-s or --published too")
    if gpu_gib is not None and not isinstance(loaded.engine, VLLMConfig):
        raise ConfigError(f"--gpu-gib is for engine.type vllm, and this is {loaded.engine.type}: leave it out")
    size = gpu_bytes(gpu_gib)
    sequences = sequences_at_once(loaded, size) if at_once is None else at_once
    cache = cache_tokens(loaded, size)
    made = make_plan(loaded, known, prompts, n or loaded.group.n, rollout_s, cache, sequences)
    if output is not None:
        if not made.rows:
            raise ConfigError("--output draws seconds, and no speed is known: give --traces, --probe or --tokens-per-s")
        draw(made, output)
    typer.echo(as_json(made) if as_json_ else "\n".join(lines(made, loaded)))


def _known(
    config: Config,
    traces: Path | None,
    traces_replicas: int | None,
    probe: bool,
    groups: Path | None,
    tokens_per_s: float | None,
    published: str | None,
) -> Known:
    sources = {
        "--traces": traces is not None,
        "--probe": probe,
        "--tokens-per-s": tokens_per_s is not None,
        "--published": published is not None,
    }
    if len(given := [option for option, there in sources.items() if there]) > 1:
        raise ConfigError(f"{' and '.join(given)} each give a speed: give one of them")
    if traces is not None:
        return from_traces(config, traces, traces_replicas or max(1, replicas_of(config.engine)))
    if probe:
        return from_probe(config, _groups(config, groups) if groups is not None else ())
    if tokens_per_s is not None:
        return from_rate(tokens_per_s, config)
    if published is not None:
        return from_published(published, config)
    return by_setting(config)


def _groups(config: Config, path: Path) -> Sequence[Group]:
    reader = ConversationReader(config.conversation.format, config.conversation.tokenizer)
    groups = [line.group for line in read_groups(path, _refuse)]
    return [
        group.to_group(to_conversation(group.messages) if group.messages else reader.read(group.prompt or ""))
        for group in groups
    ]


def _refuse(message: str) -> None:
    raise WireError(message)
