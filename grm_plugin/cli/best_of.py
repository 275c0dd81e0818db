"""`grm-plugin best-of`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin._util.files import replacing
from grm_plugin._util.packages import require
from grm_plugin.best_of.cost import Model
from grm_plugin.best_of.reading import read_problems, write_yaml
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, example, load
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError

RUNS = Path("runs/best_of")
"""Folder of the runs that are given no --output."""

app = typer.Typer()


class Truth(StrEnum):
    """Who says which samples are right."""

    STORED = "stored"
    RULE = "rule"
    COMMAND = "command"


_NAMED = {Truth.STORED: "the store", Truth.RULE: "rule", Truth.COMMAND: "command"}
"""Who says it, in a report. A scorer that says what is right is none to pick by."""


@app.command(
    "best-of",
    context_settings=OVERRIDABLE,
    epilog=example(
        "best-of runs/samples --config preset:deepseek_grm_16b --truth rule --rule checks.py:right", OVERRIDES
    ),
)
def best_of(
    context: typer.Context,
    store: Annotated[
        Path,
        typer.Argument(
            help="The --output of grm-plugin sample, a JSONL file, or a folder of YAML files.",
            exists=True,
            metavar="STORE",
        ),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of a GRM that picks: it is loaded in this process.")
    ] = None,
    scalar: Annotated[
        Path | None, typer.Option(help="YAML file whose engine is a scalar reward model that picks.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="A Python function, FILE.py:NAME, that says 0 to 1 of a sample.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(help="A test command that reads a sample and ends with exit status 0 if it is right.")
    ] = None,
    truth: Annotated[
        Truth, typer.Option(help="Who says which samples are right: the store, or the rule or command that is given.")
    ] = Truth.STORED,
    answer: Annotated[
        str,
        typer.Option(help="RE2 expression of the answer that is voted on; default: \\boxed{}, ####, the last line."),
    ] = "",
    n: Annotated[
        int | None, typer.Option("--n", "-n", min=1, help="Largest N; default: as many samples as every problem has.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of scores, report and curve; default: runs/best_of/STORE."),
    ] = None,
    yaml: Annotated[
        Path | None, typer.Option("--yaml", help="Also write the problems with their verdicts into this folder.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Longest run of rule or command on a sample.")
    ] = 10.0,
    memory: Annotated[int, typer.Option(min=16, help="Memory of a process of the command, in MiB.")] = 2048,
    printed: Annotated[
        int, typer.Option(min=1, help="Most that the command may print or write to a file, in KiB.")
    ] = 1024,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Runs of rule or command at once.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Problems scored at once.")] = 16,
    params: Annotated[
        float, typer.Option(min=0, help="Parameters of the policy for FLOPs; experts: the active ones.")
    ] = 0,
    layers: Annotated[int, typer.Option(min=0, help="Its layers, for attention.")] = 0,
    width: Annotated[int, typer.Option(min=0, help="Its width (hidden size), for attention.")] = 0,
    price: Annotated[
        str, typer.Option(help="Price of the policy per million tokens read and written: 0.15/0.60.")
    ] = "",
    judge_params: Annotated[float, typer.Option(min=0, help="Parameters of the GRM, likewise.")] = 0,
    judge_price: Annotated[str, typer.Option(help="Price of the GRM, likewise.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of lists, draws and intervals.")] = 0,
) -> None:
    """Say what N samples are worth, and what picking one of them is: by a GRM, a vote, a reward model, a rule or tests.

    Over N = 1, 2, 4 ...: coverage (one of N is right, the unbiased estimator of pass@k) and how often what is picked
    is right, with 95 % intervals over problems. The GRM reads lists, in rounds; equal answers are majority; every
    scorer also weighs a vote. Says where picking gets worse with N, which power law coverage follows, and what it
    costs. Scores are kept in OUTPUT, one file per scorer, and the same command goes on where it stopped; beside them
    lie report.json and curve.png. A test command runs what a model wrote: read "Test commands" in SECURITY.md before.
    Exit status: 0; 1, a scorer failed on some problems; 2, a wrong command, store or configuration.
    """
    require("numpy", "matplotlib", what="grm-plugin best-of")
    from grm_plugin.best_of import measuring, report  # load numpy
    from grm_plugin.best_of.checking import Limits
    from grm_plugin.best_of.grm_rounds import grm_scorer
    from grm_plugin.best_of.other_scorers import command_scorer, rule_scorer, scalar_scorer

    if truth is not Truth.STORED and {Truth.RULE: rule, Truth.COMMAND: command}[truth] is None:
        raise ConfigError(f"--truth {truth} needs --{truth}")
    if config is None and context.args:
        raise ConfigError(f"{context.args[0]} has no effect without --config; leave it out")
    policy = _priced(Model(params, layers, width), "--price", price)
    judge = _priced(Model(judge_params), "--judge-price", judge_price)
    problems = read_problems(store)
    most = measuring.require_samples(problems, n, store)
    folder = output or RUNS / (store.stem if store.is_file() else store.resolve().name)
    scorers, notes = [], []
    if rule is not None:
        scorers.append(rule_scorer(rule, seconds, workers))
    if command is not None:
        scorer, isolated = command_scorer(command, Limits(seconds, memory, printed), workers)
        scorers.append(scorer)
        notes.append(f"--command: the network was {'cut off' if isolated else 'OPEN (unshare does not work here)'}")
    if config is not None:
        loaded = load(config, context.args)
        check_packages(loaded)
        scorers.append(grm_scorer(loaded, seed))
    if scalar is not None:
        scorers.append(scalar_scorer(load(scalar, []), f"--scalar {scalar}"))
    status, scored = measuring.run_scorers(scorers, problems, folder, concurrency)
    if status:
        raise typer.Exit(status)
    told = measuring.with_verdicts(problems, scored, truth.value)
    if yaml is not None:
        write_yaml(yaml, told)
    known, most, further = measuring.to_judge(told, scored, most, n is not None)
    found = report.report_on(known, most, scored, _NAMED[truth], policy, judge, answer, seed, [*notes, *further])
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "report.json", "--output") as draft:
        draft.write_text(report.as_json(found) + "\n", encoding="utf-8")
    report.draw(found, folder / "curve.png")
    typer.echo(report.as_json(found) if json_ else "\n".join(report.lines(found)))


def _priced(model: Model, option: str, text: str) -> Model:
    if not text:
        return model
    try:
        read, written = map(float, text.split("/"))
    except ValueError:
        read = written = -1.0
    if not (0 <= read < 1e9 and 0 <= written < 1e9):
        raise ConfigError(f"{option} {text!r}: give two prices per million tokens, read and written, as in 0.15/0.60")
    return replace(model, price_in=read, price_out=written)
