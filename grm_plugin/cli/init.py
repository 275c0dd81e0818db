"""`grm-plugin init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from grm_plugin._util.nvidia_gpus import GIB, GPU, local_gpus
from grm_plugin.cli.options import example, named
from grm_plugin.config.loading import load_config
from grm_plugin.config.shipped import PRESET, is_preset, preset_file
from grm_plugin.errors import ConfigError

LARGE_BYTES = 75 * 10**9
"""A GPU sold as one of 80 GB has at least so much."""

app = typer.Typer()


@app.command(epilog=example("init --output grm.yaml", "Further examples: init preset:dry_run, init OWNER/NAME."))
def init(
    source: Annotated[
        str,
        typer.Argument(
            help="What to begin with: preset:NAME, or the folder or Hugging Face id of a GRM; default: what this "
            "machine can run.",
            metavar="PRESET|MODEL",
        ),
    ] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file to write; must not exist.")] = Path(
        "grm.yaml"
    ),
) -> None:
    """Write a configuration to edit: by what this machine has, a configuration that ships, or a model.

    Downloads nothing and loads no model. Exit status: 0; 2, a wrong command, or the file cannot be written.
    """
    why = "as you asked"
    if not source:
        source, why = suited(local_gpus())
    text = _text(source)
    load_config(yaml.safe_load(text))
    _write(output, f"# From {source} by grm-plugin init ({why}).\n{text}")
    typer.echo(
        f"{output}: {source}, {why}\n"
        f"next: grm-plugin doctor {output}, then grm-plugin serve {output}\n"
        f"every key, explained: grm-plugin config {output} --explain"
    )


def suited(gpus: list[GPU]) -> tuple[str, str]:
    """The configuration that suits a machine with these GPUs, and why."""
    smallest = min((gpu.total for gpu in gpus), default=0)
    here = f"{len(gpus)} {'GPU' if len(gpus) == 1 else 'GPUs'} of {smallest / GIB:.0f} GiB here"
    if smallest >= LARGE_BYTES:
        larger = f"; {PRESET}deepseek_grm_27b_meta_rm takes four" if len(gpus) >= 4 else ""
        return f"{PRESET}deepseek_grm_16b", f"{here}, of which it takes one{larger}"
    found = f"{here}, and DeepSeek-GRM wants 80 GB" if gpus else "no GPU found here"
    return f"{PRESET}openai_endpoint", f"{found}: it asks a server; for a smaller model: grm-plugin init OWNER/NAME"


def _text(source: str) -> str:
    """The text of the file, without its first line."""
    if is_preset(source):
        path = preset_file(source)
        text = path.read_text(encoding="utf-8")
        if "../" in text:
            raise ConfigError(f"{source} names files beside itself, and is of use in its own folder only: {path}")
        return text
    if Path(source).is_file():
        raise ConfigError(f"{source} is a file already: edit that; a model is a folder, or OWNER/NAME")
    return yaml.safe_dump(named(source, {}).model_dump(mode="json", exclude_unset=True), sort_keys=False)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists: give another --output, or remove it") from None
    except OSError as error:
        raise ConfigError(f"--output {path}: {error.strerror or error}") from None
