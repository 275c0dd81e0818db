"""`grm-plugin doctor`."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from grm_plugin.batch.exit_status import FAILED
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, WITH_WORD, ConfigOrWord, example, load
from grm_plugin.config import Config
from grm_plugin.doctor.dry_run import dry_run, loads_no_model
from grm_plugin.doctor.examine import examine
from grm_plugin.doctor.findings import Finding

STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    options_metavar=WITH_WORD,
    epilog=example("doctor preset:deepseek_grm_16b --run", OVERRIDES),
)
def doctor(
    context: typer.Context,
    config: ConfigOrWord = None,
    run: Annotated[bool, typer.Option("--run", help="Also load the models and judge one group with them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at this machine and a configuration before a job: versions, GPUs, port, models, prompts, memory, a dry run.

    Downloads nothing and starts no Ray cluster. Without --run only engines that load no model here (fake, openai) are
    tried. Exit status: 0, no error; 1, an error; 2, a wrong command or configuration.
    """
    warnings.simplefilter("ignore")  # deprecation warnings of libraries are not findings
    findings = _findings(load(config, context.args, context), run)
    seen = list(findings) if as_json else [_print(finding) for finding in findings]
    counts = Counter(finding.level for finding in seen)
    if as_json:
        typer.echo(json.dumps({"ok": not counts["error"], "findings": [asdict(finding) for finding in seen]}, indent=2))
    else:
        typer.echo(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['error']} errors")
    if counts["error"]:
        raise typer.Exit(FAILED)


def _findings(config: Config, run: bool) -> Iterator[Finding]:
    yield from examine(config)
    if run or loads_no_model(config):
        yield dry_run(config)


def _print(finding: Finding) -> Finding:
    line = Text.assemble((f"{finding.level:<8}", STYLES[finding.level]), f"{finding.check:<14} ", finding.message)
    console = Console()
    console.print(line, soft_wrap=True, highlight=False)
    if finding.fix:
        console.print(Text(f"{'':8}{'':14} fix: {finding.fix}"), soft_wrap=True, highlight=False)
    return finding
