"""`grm-plugin ...`: the commands that run the service, and the parts that bring their own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

import grm_plugin.cli.attack
import grm_plugin.cli.doctor
import grm_plugin.cli.eval
import grm_plugin.cli.score
import grm_plugin.cli.spct
import grm_plugin.cli.trace
from grm_plugin import __version__
from grm_plugin.batch.exit_status import USAGE_ERROR
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, ConfigPath, example, load
from grm_plugin.config import Config
from grm_plugin.config.explaining import explained
from grm_plugin.errors import ConfigError, GRMError, ServiceError
from grm_plugin.integrations.openrlhf.hook_files import HookFile

DEBUG = "--debug"

START = "Start: grm-plugin doctor --config configs/dry_run.yaml, then grm-plugin serve --config configs/dry_run.yaml"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=START,
    help="A generative reward model (GRM) as the reward of RLHF: it reads a prompt and its responses, writes "
    "critiques, and scores every response by votes.",
)


@app.command(
    context_settings=OVERRIDABLE, epilog=example("serve --config configs/nano_cpu.yaml --grm.sampling.k 4", OVERRIDES)
)
def serve(
    context: typer.Context,
    config: ConfigPath,
    detach: Annotated[bool, typer.Option(help="Return once it is ready; `grm-plugin stop` ends it.")] = False,
) -> None:
    """Start the reward service and keep it until Ctrl-C (with service.lifetime shared: until `grm-plugin stop`)."""
    from grm_plugin.serving.http.without_ray import runs_without_ray, serve_uvicorn

    loaded = load(config, context.args)
    if runs_without_ray(loaded):
        if detach:
            raise ConfigError("--detach needs the service on Ray: engine.type openai and fake run in this process")
        serve_uvicorn(loaded, lambda url: _announce(url, loaded.group.n))
    else:
        _serve_on_ray(loaded, detach)


@app.command(epilog=example("stop --name grm"))
def stop(name: Annotated[str, typer.Option(help="The service's name (service.name).")] = "grm") -> None:
    """Stop a service: on the Ray cluster of RAY_ADDRESS, or else on this machine, without Ray or with it."""
    from grm_plugin.serving.ray import launch

    if launch.stop(name):
        typer.echo(f"{name} stopped")
        return
    cluster = os.environ.get("RAY_ADDRESS")
    looked = (
        f"on the Ray cluster at {cluster}, nor on this machine without Ray"
        if cluster
        else "on this machine, with Ray or without; for one on another machine, set RAY_ADDRESS"
    )
    typer.echo(f"there is no service named {name} {looked}")


@app.command(
    "config", context_settings=OVERRIDABLE, epilog=example("config configs/nano_cpu.yaml --explain", OVERRIDES)
)
def show_config(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="YAML file.")],
    explain: Annotated[bool, typer.Option(help="Say above every key what it means.")] = False,
) -> None:
    """Print the whole configuration that a file and overrides amount to."""
    loaded = load(config, context.args)
    plain = yaml.safe_dump(loaded.model_dump(mode="json"), sort_keys=False)
    typer.echo(explained(loaded) if explain else plain, nl=False)


@app.command(epilog=example("path openrlhf-function"))
def path(hook: Annotated[HookFile, typer.Argument(help="Which hook.")]) -> None:
    """Print the path of an installed hook file, for --reward.remote_url or --train.agent_func_path."""
    typer.echo(hook.path)


app.add_typer(grm_plugin.cli.doctor.app)
app.add_typer(grm_plugin.cli.score.app)
app.add_typer(grm_plugin.cli.eval.app)
app.add_typer(grm_plugin.cli.attack.app)
app.add_typer(grm_plugin.cli.spct.app, name="spct")
app.add_typer(grm_plugin.cli.trace.app)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point. Expected errors are one line on stderr and exit status 2; `--debug` shows where they come from."""
    try:
        app([argument for argument in sys.argv[1:] if argument != DEBUG])
    except GRMError as error:
        if DEBUG in sys.argv:
            raise
        typer.echo(f"grm-plugin: {error}", err=True)
        sys.exit(USAGE_ERROR)


def _serve_on_ray(config: Config, detach: bool) -> None:
    from grm_plugin.serving.ray import launch

    private = not os.environ.get("RAY_ADDRESS")  # then the cluster ends with this process
    if detach and (private or config.service.lifetime != "shared"):
        raise ConfigError(
            "--detach needs a Ray cluster that stays and service.lifetime shared: run `ray start --head`, set "
            "RAY_ADDRESS to its address and add --grm.service.lifetime shared"
        )
    launch.connect()
    typer.echo(_loading(config), err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the service as Ctrl-C does
    service = launch.start(config)
    _announce(service.url, config.group.n)
    if detach:
        return
    ours = private or config.service.lifetime == "job"
    try:
        service.wait()
    except KeyboardInterrupt:
        if ours:
            service.stop()
    except ServiceError as error:
        if ours:
            service.stop()
            raise ServiceError(f"{error}. What was left of the service is stopped: start it again") from None
        raise ServiceError(
            f"{error}. The service still answers at {service.url}, but no further job finds it: end it with "
            f"grm-plugin stop --name {service.name}, and start it again"
        ) from None


def _loading(config: Config) -> str:
    """What goes on until the service is ready: minutes, for a large model."""
    from grm_plugin.serving.ray.gpus import cluster_gpus, needed_gpus

    models = [getattr(model, "model", model.type) for model in (config.engine, config.meta_rm) if model is not None]
    return (
        f"starting on Ray: loading {' and '.join(models)} on {sum(needed_gpus(config, cluster_gpus().total))} GPU(s) "
        f"(at most service.ready_timeout_s = {config.service.ready_timeout_s:g} s; logs on the cluster's nodes in "
        "/tmp/ray/session_latest/logs)"
    )


def _announce(url: str, n: int) -> None:
    """Say where the service is. Flushed, because scripts wait for this line."""
    typer.echo(f"GRM service at {url} (documentation: {url}/docs). For OpenRLHF, with n = its samples per prompt:")
    typer.echo(f'  --reward.remote_url "{url}/get_reward?n={n}"')
    sys.stdout.flush()


if __name__ == "__main__":
    main()
