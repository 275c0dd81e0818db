"""`grm-plugin score`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin.batch.group_judges import JudgeGroup, in_process, over_http
from grm_plugin.batch.run import Run, carry_out
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, example, load
from grm_plugin.client import MARGIN_S
from grm_plugin.client.readiness import read_ready
from grm_plugin.errors import ConfigError, EngineError, ServiceError
from grm_plugin.score.one_group import UNANSWERED, judge_task
from grm_plugin.score.results import Results, ScoredTask
from grm_plugin.score.score_meter import ScoreMeter
from grm_plugin.score.tasks import Task, read_tasks

BAD_LINES_SHOWN = 5

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    epilog=example("score answers.jsonl --config configs/nano_cpu.yaml --output rewards.jsonl", OVERRIDES),
)
def score(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSONL of groups.", exists=True, dir_okay=False, metavar="FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL of judgements; grows as they come.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file: loads the GRM here.")] = None,
    url: Annotated[str | None, typer.Option(help="Ask a running service instead: http://HOST:PORT.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Groups judged at once.")] = 32,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad lines out, and count them.")] = False,
) -> None:
    """Score a file of prompts and responses, with every vote and critique.

    A line of FILE is {"prompt": TEXT or "messages": [{"role", "content"}, ...], "responses": [TEXT, ...]}, and may have
    "reference", "rubric" and "id". A line of the output is the id, the line number, and what the service's
    POST /v1/score answers for the group. Run again, the same command scores what has no result yet. Exit status: 0, all
    groups have a result; 1, the engine failed for some; 2, a wrong command, configuration or line.
    """
    console = Console(stderr=True)
    _check_paths(file, output)
    judging = _judging(context.args, config, url, concurrency)
    bad: list[str] = []
    ids = [task.id for task in read_tasks(file, bad.append if skip_bad else None)]
    for message in bad[:BAD_LINES_SHOWN]:
        console.print(f"left out: {message}", soft_wrap=True, markup=False, highlight=False)
    with Results(output) as results:
        meter = ScoreMeter(console, len(ids), sum(name in results.done for name in ids))
        ended = carry_out(_run(judging, results, meter, concurrency, file), meter)
    summary = f"{output}: {meter.summary}"
    if bad:
        summary += f"; {len(bad):,} bad lines left out"
    if ended.missing:
        summary += f"; {ended.missing:,} groups have no result: {ended.reason}. The same command tries them again"
    console.print(summary, soft_wrap=True, markup=False, highlight=False)
    if ended.status:
        raise typer.Exit(ended.status)


def _check_paths(file: Path, output: Path) -> None:
    if not file.is_file():
        raise ConfigError(f"{file} must be a plain file: it is checked as a whole before anything is scored")
    if output.exists() and output.samefile(file):
        raise ConfigError(f"--output {output} is the input; give another file")


def _judging(
    arguments: list[str], config: Path | None, url: str | None, concurrency: int
) -> AbstractAsyncContextManager[JudgeGroup]:
    if (config is None) == (url is None):
        raise ConfigError("give either --config (loads the GRM here) or --url (a running service)")
    if config is not None:
        return in_process(load(config, arguments))
    assert url is not None
    if arguments:
        raise ConfigError(f"{arguments[0]} has no effect on a running service; leave it out, or use --config")
    return over_http(url, concurrency, read_ready(url).deadline_s + MARGIN_S)


async def _run(
    judging: AbstractAsyncContextManager[JudgeGroup], results: Results, meter: ScoreMeter, concurrency: int, file: Path
) -> str:
    """Score what is left; what the engine failed with last, or an empty string."""
    if meter.before == meter.total:
        return ""
    async with judging as judge:
        run: Run[Task, ScoredTask] = Run(results, meter, concurrency, UNANSWERED)
        try:
            with meter:
                await run.over(read_tasks(file, lambda _: None), partial(judge_task, judge))
        except (EngineError, ServiceError) as error:
            return str(error)
    return run.last_failure
