"""`grm-plugin spct ...`."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Annotated, get_args

import typer

from grm_plugin._util.packages import require
from grm_plugin.batch.items import read_items
from grm_plugin.batch.label_noise import Fault, without_noise
from grm_plugin.cli import spct_meta_rm
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, ConfigPath, example, load
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError
from grm_plugin.spct.instruction_data import read_general
from grm_plugin.spct.meta_rm_data import meta_rm_rows
from grm_plugin.spct.rejection import RejectionRules
from grm_plugin.spct.rft_run import RFTRun
from grm_plugin.spct.rl_data import easy_items, rl_rows
from grm_plugin.spct.token_limit import TokenLimit
from grm_plugin.spct.training_files import PARQUET, write_rows
from grm_plugin.spct.training_prompts import TrainingPrompts

app = typer.Typer(
    no_args_is_help=True,
    help="Train a GRM and its meta RM: SPCT, arXiv 2504.02495.",
    epilog=example("spct rft-data items.jsonl --config preset:deepseek_grm_16b --output runs/rft"),
)
app.command("meta-rm", epilog=example("spct meta-rm --model GRM --data meta.jsonl --output meta_rm"))(
    spct_meta_rm.train
)
app.command("meta-rm-eval", epilog=example("spct meta-rm-eval --model meta_rm --data held_out.jsonl"))(
    spct_meta_rm.evaluate
)

ItemsPath = Annotated[Path, typer.Argument(help="JSONL file of preference items.", metavar="ITEMS")]
RowsPath = Annotated[
    Path, typer.Option("--output", "-o", help="File for the rows: Parquet if it ends in .parquet, else JSONL.")
]
SinglePath = Annotated[
    Path | None,
    typer.Option(
        "--single-template",
        help="Prompt template for items with a single response, which is scored 0 or 1 in training; default: built-in.",
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed for the order in which each item's responses are shown, and for that of the rows.")
]


@app.command(
    "rft-data",
    context_settings=OVERRIDABLE,
    epilog=example("spct rft-data items.jsonl --config preset:deepseek_grm_16b --output runs/rft", OVERRIDES),
)
def rft_data(
    context: typer.Context,
    items: ItemsPath,
    config: ConfigPath,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for trajectories, rows and report; a later run goes on in it."),
    ],
    samples: Annotated[int, typer.Option(min=0, max=64, help="Critiques to sample per item without a hint.")] = 3,
    hint: Annotated[
        bool, typer.Option("--hint/--no-hint", help="Sample one more critique with the label in the prompt, or none.")
    ] = True,
    rejection: Annotated[
        bool,
        typer.Option(
            "--rejection/--no-rejection",
            help="Drop wrong critiques, and those of items that are always right; or keep all that can be read.",
        ),
    ] = True,
    hint_template: Annotated[
        Path | None, typer.Option(help="Template of the prompt with a hint; default: built-in.")
    ] = None,
    single_template: SinglePath = None,
    general: Annotated[
        list[Path] | None, typer.Option(help="File of general instruction data to mix in; repeatable.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Leave out rows (prompt and critique) of more tokens than this: the trainer's limit."),
    ] = None,
    format: Annotated[str, typer.Option(help="Format of the training rows: jsonl or parquet.")] = "jsonl",
    seed: Seed = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Items worked on at once.")] = 64,
    first: Annotated[
        int | None, typer.Option(min=1, help="Use only this many items, from the top of the file.")
    ] = None,
) -> None:
    """Sample critiques of preference items from a GRM and keep the right ones: data for rejective fine-tuning.

    A line of ITEMS is {"id", "prompt": TEXT or "messages": [...], "responses": [TEXT, ...], "best": INDEX}, or has
    "chosen" and "rejected" instead, or one response and "label": 0 or 1. The folder gets every critique
    (`trajectories.jsonl`), the rows to train on (`sft.jsonl`: `prompt` and `completion`, as chat messages, shuffled)
    and a report. A killed run goes on where it stopped. Items are left out and counted whose best and worse responses
    are identical as the GRM is shown them, or whose label contradicts another item's on the same prompt and responses.
    Exit status: 0, done; 1, the engine failed on some items; 2, a wrong command, configuration or item.
    """
    if format not in ("jsonl", "parquet"):
        raise ConfigError(f"--format {format} is unknown: take jsonl or parquet")
    if not samples and not hint:
        raise ConfigError("--samples 0 with --no-hint samples nothing: leave one of them out")
    if format == "parquet" or any(path.suffix == PARQUET for path in general or ()):
        require("pyarrow", what="a Parquet file")
    loaded = load(config, context.args, context)
    check_packages(loaded)
    prompts = TrainingPrompts(loaded, single_template, hint_template)
    rules = RejectionRules(prompts, rejection, TokenLimit.of(loaded, "--max-tokens", max_tokens))
    run = RFTRun(loaded, prompts, rules, samples, int(hint), seed)
    found = read_items(items)
    for path in general or ():
        deque(read_general(path), maxlen=0)  # a file that is wrong is told now, not when all critiques are there
    left_out: Counter[str] = Counter()
    fit = {item.id for item in without_noise(found, loaded.judge, left_out)}
    wanted = [item for item in found[:first] if item.id in fit]
    if not wanted:
        raise ConfigError(f"no item is left ({dict(left_out)}): nothing was sampled")
    if status := run.collect(found, wanted, output, concurrency):
        raise typer.Exit(status)
    run.write(wanted, output, format, general or (), left_out)


@app.command(
    "rl-data",
    context_settings=OVERRIDABLE,
    epilog=example("spct rl-data items.jsonl --config preset:deepseek_grm_16b --output runs/rl.jsonl", OVERRIDES),
)
def rl_data(
    context: typer.Context,
    items: ItemsPath,
    config: ConfigPath,
    output: RowsPath,
    drop_easy: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of rft-data: leave out the items on which its GRM was right every time; repeatable."),
    ] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Leave out prompts of more tokens than this; default: no limit.")
    ] = None,
    single_template: SinglePath = None,
    seed: Seed = 0,
) -> None:
    """Make the prompts for online RL of a GRM, each with the right verdict as its label.

    The rows are shuffled by --seed. Items are left out as by rft-data: identical and contradictory ones teach noise.
    Train on them with `--reward.remote_url $(grm-plugin path openrlhf-spct-reward)`: +1 for a right verdict, else -1.
    """
    loaded = load(config, context.args, context)
    prompts = TrainingPrompts(loaded, single_template)
    easy = easy_items(drop_easy or ())
    dropped: Counter[str] = Counter()
    limit = TokenLimit.of(loaded, "--max-prompt-tokens", max_prompt_tokens)
    kept = write_rows(output, rl_rows(read_items(items), loaded, prompts, seed, easy, limit, dropped), seed)
    typer.echo(f"{output}: {kept:,} prompts" + "".join(f"; {count:,} {reason}" for reason, count in dropped.items()))
    if easy and not dropped["easy"]:
        typer.echo(
            f"warning: --drop-easy leaves nothing out: its {len(easy):,} easy items are not in {items}, or were shown "
            "otherwise; give a folder of rft-data made from the same file with the same configuration",
            err=True,
        )


@app.command(
    "meta-rm-data",
    context_settings=OVERRIDABLE,
    epilog=example(
        "spct meta-rm-data runs/rft runs/trained --config preset:deepseek_grm_16b --output meta.jsonl", OVERRIDES
    ),
)
def meta_rm_data(
    words: Annotated[list[str], typer.Argument(help="Folders made by rft-data, or by eval.", metavar="FOLDER...")],
    config: ConfigPath,
    output: RowsPath,
    seed: Annotated[int, typer.Option(help="Seed for the order of the rows.")] = 0,
) -> None:
    """Make data for the meta RM: critiques without a hint, each labelled by whether its verdict is right.

    Give the folder of the fine-tuning stage, and one of `rft-data --no-hint --no-rejection` with the trained GRM. A
    folder of `grm-plugin eval` will do as well. The rows are shuffled; items are left out as by rft-data.
    """
    overrides, folders = split_overrides(words)  # typer adds the --grm overrides to an argument of many words
    loaded = load_config(config, overrides)
    counts: Counter[str] = Counter()
    write_rows(output, meta_rm_rows(map(Path, folders), loaded, TrainingPrompts(loaded), counts), seed)
    right, wrong = counts["right"], counts["wrong"]
    left_out = "".join(f"; {counts[fault]:,} {fault} items left out" for fault in get_args(Fault) if counts[fault])
    typer.echo(
        f"{output}: {right:,} right and {wrong:,} wrong critiques; {counts['unread']:,} unread ones left out{left_out}"
    )
