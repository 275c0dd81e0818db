"""`grm-plugin spct ...`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin.batch.fingerprint import fingerprint, model_name
from grm_plugin.batch.items import Item, digest, read_items
from grm_plugin.batch.local_engines import engines
from grm_plugin.batch.run import Run, carry_out
from grm_plugin.cli import spct_meta_rm as meta_cli
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, ConfigPath, example, load
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.errors import ConfigError
from grm_plugin.judging.seams import Generator
from grm_plugin.spct import rft
from grm_plugin.spct.collecting import UNANSWERED, TrajectoryCollector
from grm_plugin.spct.meta_data import meta_rows
from grm_plugin.spct.rejection import Rules
from grm_plugin.spct.rl_data import content_digest, rl_rows
from grm_plugin.spct.token_limit import TokenLimit
from grm_plugin.spct.training_files import TrainingRow, write_rows
from grm_plugin.spct.training_prompts import TrainingPrompts, check_sizes
from grm_plugin.spct.trajectories import ItemTrajectories, TrajectoryStore, read_trajectories
from grm_plugin.spct.trajectory_meter import TrajectoryMeter

app = typer.Typer(
    no_args_is_help=True,
    help="Train a GRM and its meta RM: SPCT, arXiv 2504.02495.",
    epilog=example("spct rft-data items.jsonl --config configs/deepseek_grm_16b.yaml --output runs/rft"),
)
app.command("meta-rm", epilog=example("spct meta-rm --model GRM --data meta.jsonl --output meta_rm"))(meta_cli.train)
app.command("meta-rm-eval", epilog=example("spct meta-rm-eval --model meta_rm --data held_out.jsonl"))(
    meta_cli.evaluate
)

ItemsPath = Annotated[Path, typer.Argument(help="JSONL of preference items.", metavar="ITEMS")]
SinglePath = Annotated[
    Path | None, typer.Option("--single-template", help="Prompt of single responses, scored 0 or 1 in training.")
]
Seed = Annotated[int, typer.Option(help="Of the order of each item's responses.")]


@app.command(
    "rft-data",
    context_settings=OVERRIDABLE,
    epilog=example("spct rft-data items.jsonl --config configs/deepseek_grm_16b.yaml --output runs/rft", OVERRIDES),
)
def rft_data(
    context: typer.Context,
    items: ItemsPath,
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; the same command goes on in it.")],
    samples: Annotated[int, typer.Option(min=0, max=64, help="Trajectories of each item without a hint.")] = 3,
    hint: Annotated[bool, typer.Option("--hint/--no-hint", help="One more, with the label in the prompt.")] = True,
    rejection: Annotated[
        bool, typer.Option("--rejection/--no-rejection", help="Drop wrong trajectories, and items that are all right.")
    ] = True,
    hint_template: Annotated[Path | None, typer.Option(help="Template of the prompt with a hint.")] = None,
    single_template: SinglePath = None,
    general: Annotated[list[Path] | None, typer.Option(help="Instruction data to mix in; may be repeated.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Leave longer rows out (prompt and critique): the trainer cuts them.")
    ] = None,
    format: Annotated[str, typer.Option(help="jsonl or parquet.")] = "jsonl",
    seed: Seed = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Items in flight.")] = 64,
    first: Annotated[int | None, typer.Option(min=1, help="The first so many items only.")] = None,
) -> None:
    """Draw trajectories of a GRM on preference items and keep the right ones: data for rejective fine-tuning.

    A line of ITEMS is {"id", "prompt": TEXT or "messages": [...], "responses": [TEXT, ...], "best": INDEX}, or has one
    response and "label": 0 or 1. The folder gets every trajectory (`trajectories.jsonl`), the rows to train on
    (`sft.jsonl`: `prompt` and `completion`, as chat messages) and a report. A killed run goes on where it stopped. Exit
    status: 0, done; 1, the engine failed for some items; 2, a wrong command, configuration or item.
    """
    if format not in ("jsonl", "parquet"):
        raise ConfigError(f"--format {format} is unknown: take jsonl or parquet")
    if not samples and not hint:
        raise ConfigError("--samples 0 with --no-hint draws nothing: leave one of them out")
    loaded = load(config, context.args)
    prompts = TrainingPrompts(loaded, single_template, hint_template)
    everything = read_items(items)
    wanted = everything[:first]
    check_sizes(wanted, loaded)
    manifest = {
        "model": model_name(loaded.engine),
        **fingerprint(_without_meta_rm(loaded)),
        "items": digest([item.to_json() for item in everything]),
        "samples": samples,
        "hinted": int(hint),
        "templates": prompts.digest,
        "seed": seed,
    }
    console, rules = Console(stderr=True), Rules(prompts, rejection, TokenLimit.of(loaded, "--max-tokens", max_tokens))
    with TrajectoryStore(output, manifest) as store:
        meter = TrajectoryMeter(console, len(wanted), sum(item.id in store.done for item in wanted), rules)
        collecting = partial(TrajectoryCollector, loaded, prompts, samples=samples, hinted=int(hint), seed=seed)
        ended = carry_out(_collect(loaded, collecting, wanted, store, meter, concurrency), meter)
    console.print(f"{output}: {meter.summary}", soft_wrap=True, markup=False, highlight=False)
    if ended.status:
        reason = f"{ended.missing:,} items have no trajectories: {ended.reason}"
        console.print(f"{reason}. The same command goes on.", soft_wrap=True, markup=False, highlight=False)
        raise typer.Exit(ended.status)
    ids = {item.id for item in wanted}
    records = (record for record in read_trajectories(output) if record.id in ids)
    report = rft.write_training_file(output / f"sft.{format}", records, rules, general or ())
    rft.write_report(output / "report.json", report)
    Console().print(report.table())


@app.command(
    "rl-data",
    context_settings=OVERRIDABLE,
    epilog=example("spct rl-data items.jsonl --config configs/deepseek_grm_16b.yaml --output runs/rl.jsonl", OVERRIDES),
)
def rl_data(
    context: typer.Context,
    items: ItemsPath,
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL, or Parquet if it ends in .parquet.")],
    drop_easy: Annotated[
        list[Path] | None, typer.Option(help="Folder of rft-data: items that it got right every time are left out.")
    ] = None,
    max_prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Leave longer prompts out.")] = None,
    single_template: SinglePath = None,
    seed: Seed = 0,
) -> None:
    """Make the prompts for online RL of a GRM, each with the right verdict as its label.

    Train on them with `--reward.remote_url $(grm-plugin path openrlhf-spct-reward)`: +1 for a right verdict, else -1.
    """
    loaded = load(config, context.args)
    prompts = TrainingPrompts(loaded, single_template)
    drawn = (record for folder in drop_easy or () for record in read_trajectories(folder))
    easy = {content_digest(record.shown) for record in drawn if record.easy}
    dropped: Counter[str] = Counter()
    limit = TokenLimit.of(loaded, "--max-prompt-tokens", max_prompt_tokens)
    kept = write_rows(output, rl_rows(read_items(items), loaded, prompts, seed, easy, limit, dropped))
    typer.echo(f"{output}: {kept:,} prompts" + "".join(f"; {count:,} {reason}" for reason, count in dropped.items()))
    if easy and not dropped["easy"]:
        typer.echo(
            f"warning: --drop-easy leaves nothing out: its {len(easy):,} easy items are not in {items}, or were shown "
            "otherwise; give a folder of rft-data drawn from the same file with the same configuration",
            err=True,
        )


@app.command(
    "meta-rm-data",
    context_settings=OVERRIDABLE,
    epilog=example(
        "spct meta-rm-data runs/rft runs/trained --config configs/deepseek_grm_16b.yaml --output meta.jsonl", OVERRIDES
    ),
)
def meta_rm_data(
    words: Annotated[list[str], typer.Argument(help="Folders of rft-data, or of eval.", metavar="FOLDER...")],
    config: ConfigPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL, or Parquet if it ends in .parquet.")],
) -> None:
    """Make data for the meta RM: critiques without a hint, each labelled by whether its verdict is right.

    Give the folder of the fine-tuning stage, and one of `rft-data --no-hint --no-rejection` with the trained GRM. A
    folder of `grm-plugin eval` will do as well.
    """
    overrides, folders = split_overrides(words)  # an argument of many words gets the overrides too
    loaded = load_config(config, overrides)
    prompts = TrainingPrompts(loaded)
    counts: Counter[str] = Counter()
    rows = (row for folder in folders for row in meta_rows(Path(folder), loaded, prompts, counts))
    write_rows(output, _both_kinds(rows, counts))
    right, wrong = counts["right"], counts["wrong"]
    typer.echo(f"{output}: {right:,} right and {wrong:,} wrong critiques; {counts['unread']:,} unread ones left out")


def _both_kinds(rows: Iterable[TrainingRow], counts: Counter[str]) -> Iterator[TrainingRow]:
    """The rows; raises `ConfigError` at the end, before they replace a former file, if they teach nothing."""
    yield from rows
    right, wrong = counts["right"], counts["wrong"]
    if not right or not wrong:
        raise ConfigError(
            f"a meta RM needs right and wrong critiques, these are {right:,} and {wrong:,}: give folders that hold both"
        )


def _without_meta_rm(config: Config) -> Config:
    """The meta RM has no part in drawing."""
    return config.model_copy(update={"meta_rm": None})


async def _collect(
    config: Config,
    collecting: Callable[[Generator], TrajectoryCollector],
    items: list[Item],
    store: TrajectoryStore,
    meter: TrajectoryMeter,
    concurrency: int,
) -> str:
    """Collect what is missing; what the engine failed with last, or an empty string."""
    if meter.before == meter.total:
        return ""
    with engines(_without_meta_rm(config)) as (generator, _), meter:
        collector = collecting(generator)
        run: Run[Item, ItemTrajectories] = Run(store, meter, concurrency, UNANSWERED, collector.check_readable)
        await run.over(items, collector.trajectories_of)
    return run.last_failure
