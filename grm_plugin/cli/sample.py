"""`grm-plugin sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.best_of.drawing import draw_samples
from grm_plugin.best_of.reading import read_problems, write_yaml
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, ConfigPath, example, load
from grm_plugin.config.loading import split_overrides
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError

NOT_READ = ("judge.", "meta_rm.", "normalize.", "failure.", "sampling.k", "sampling.orders", "sampling.adaptive")
"""Keys of a configuration that say nothing of a policy."""

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    epilog=example("sample problems.jsonl --config policy.yaml --n 64 --output runs/samples", OVERRIDES),
)
def sample(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="Problems: JSONL with one per line, or a folder with one YAML file each.",
            exists=True,
            metavar="PROBLEMS",
        ),
    ],
    config: ConfigPath,
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=100_000, help="Samples per problem.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the store; a later run adds to it.")],
    yaml: Annotated[
        Path | None, typer.Option("--yaml", help="Also write one YAML file per problem into this folder.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Problems sampled at once.")] = 16,
) -> None:
    """Draw N samples per problem from a policy, for grm-plugin best-of.

    The section engine of the configuration is the policy, and sampling its temperature, top_p, max_tokens and seed;
    nothing else of it is read. A problem is {"prompt": TEXT or "messages": [...]}, and may have "id", "question" (what
    judges are shown instead of the prompt), "gt_answer" and anything else, which is kept. The same command goes on
    where it stopped, and with a larger --n draws what is missing; another policy, another sampling, or another prompt
    under the same id is refused. Exit status: 0, all problems have N samples; 1, the engine failed on some; 2, a wrong
    command, configuration or problem.
    """
    if typed := [key for key in split_overrides(context.args)[0] if key.startswith(NOT_READ)]:
        raise ConfigError(f"--grm.{typed[0]} says nothing of a policy: leave it out (--n is the number of samples)")
    loaded = load(config, context.args)
    check_packages(loaded)
    if n > 1 and loaded.sampling.temperature == 0:
        raise ConfigError(f"sampling.temperature is 0: {n} samples would be {n} copies; set it above 0, or --n 1")
    status = draw_samples(loaded, read_problems(file), output, n, concurrency)
    if yaml is not None and status == 0:
        write_yaml(yaml, read_problems(output))
    if status:
        raise typer.Exit(status)
