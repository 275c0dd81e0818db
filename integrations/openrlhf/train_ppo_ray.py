"""Run an OpenRLHF job that a GRM rewards.

    python -m grm_plugin.integrations.openrlhf.train_ppo_ray --grm.config CONFIG.yaml [--grm.KEY VALUE ...] FLAGS

FLAGS are those of `python -m openrlhf.cli.train_ppo_ray`, without --reward.remote_url and --train.agent_func_path.

    --grm.config CONFIG.yaml      required; or one that ships, such as preset:dry_run
    --grm.KEY VALUE               overrides a key of the configuration, for example --grm.sampling.k 16
    --grm.hook agent|function|http
                                  how OpenRLHF asks for rewards (default: agent)
    --grm.cpu true                runs on a machine without a GPU (as GRM_CPU=1 does; see grm_plugin.cpu)
    --grm.dry-run                 says which GPUs the job and the GRM would take, and ends

OpenRLHF's flags are checked and the GPUs added up before anything is loaded. The job runs on the Ray cluster of
RAY_ADDRESS (`ray job submit` sets it; auto is the one of this machine), or else on one of its own. The GRM's GPUs are
taken and its service is started before OpenRLHF reserves any; the service ends with the job, however that ends, and is
brought back when it disappears before. `service.lifetime: shared` leaves it running for further jobs.
The exit status is OpenRLHF's, or 2 when the GRM cannot start.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from types import SimpleNamespace

from packaging.version import Version

from grm_plugin._util.background import start_in_background
from grm_plugin._util.known_versions import COMBINATIONS, OLDEST_OPENRLHF
from grm_plugin.errors import ConfigError, GRMError, ServiceError
from grm_plugin.integrations.openrlhf.gpu_plan import check_room, roles_of, roles_of_grm, table
from grm_plugin.integrations.openrlhf.hook_files import HookFile
from grm_plugin.integrations.openrlhf.judging_plan import judging_plan
from grm_plugin.integrations.openrlhf.launcher_flags import AGENT, REWARD_URL, Hook, Job, N, parse
from grm_plugin.integrations.openrlhf.openrlhf_flags import read_flags
from grm_plugin.serving.ray.cluster_address import listens, not_connected, resolve
from grm_plugin.serving.ray.gpus import cluster_grows, gpus_per_node
from grm_plugin.serving.ray.launch import ServiceHandle, start, start_or_attach, stop_on_ray
from grm_plugin.serving.ray.reach import from_head_node_only
from grm_plugin.serving.ray.supervisor import Supervisor

OPENRLHF = "openrlhf.cli.train_ppo_ray"
IMPORTED_EARLY = "openrlhf.trainer.ray.ppo_actor"


def main(argv: Sequence[str] | None = None) -> int:
    """The launcher's command line; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or "--help" in argv or "-h" in argv:
        print(__doc__)
        return 0
    try:
        job = parse(argv)
        _require_openrlhf()
        run(job, _checked_flags(job))
    except GRMError as error:
        print(f"grm_plugin: {error}", file=sys.stderr)
        return 2
    return 0


def run(job: Job, flags: SimpleNamespace | None = None) -> None:
    """Start the service, run OpenRLHF in this process, and stop the service whatever happens.

    Args:
        job: what to run.
        flags: OpenRLHF's, as it reads them; None where they are not known.

    Raises:
        ServiceError: the service cannot be started.
        ConfigError: the cluster has not enough GPUs for both, or nodes that cannot reach the service; or OpenRLHF is
            installed, and broken.
        SystemExit: OpenRLHF ends with a status of its own; its exceptions pass through.
    """
    if job.cpu:
        from grm_plugin import cpu

        os.environ.update(cpu.environment())
        cpu.enable()
    import ray

    print(f"grm_plugin: {judging_plan(job.config, job.prompts, job.hook)}", flush=True)
    for note in job.notes:
        print(f"grm_plugin: {note}", file=sys.stderr)
    # The CPU profile makes a plain `ray.init()` start a cluster of the job's own, with GPUs that Ray pretends to have.
    address = os.environ.get("RAY_ADDRESS") or (None if job.cpu else _own_cluster())
    submitted = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    try:
        ray.init(address=address, runtime_env={"env_vars": beside_submitted(workers_environment(job), submitted)})
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise not_connected(address or "local", error) from None
    if reach := from_head_node_only(job.config.service):  # rollout actors, which ask for rewards, are on any node
        raise ConfigError(reach)
    if flags is not None and not job.cpu:  # where Ray pretends to have GPUs, as many as the job asks for
        _check_gpus(job, flags)
    if job.dry_run:
        return
    try:
        service = _start_beside_imports(job)
        print(f"grm_plugin: the GRM answers at {service.url}; the job asks it through the {job.hook} hook", flush=True)
        sys.argv = [OPENRLHF, *job.arguments, *_reward_flag(job.hook, service, job.n)]
        # A shared service may be stopped on purpose, and other jobs would bring it back, too.
        own = job.config.service.lifetime == "job"
        with Supervisor(job.config, service.url) if own else nullcontext():
            runpy.run_module(OPENRLHF, run_name="__main__", alter_sys=True)
    finally:
        if job.config.service.lifetime == "job":
            _stop(job.config.service.name)


def _checked_flags(job: Job) -> SimpleNamespace | None:
    """OpenRLHF's flags, as it reads them; None where they cannot be read.

    Raises:
        ConfigError: OpenRLHF refuses them, or reads another number of samples than the launcher.
    """
    flags = read_flags([*job.arguments, REWARD_URL if job.hook == "http" else AGENT, "a-reward"])
    if flags is not None and flags.rollout.n_samples_per_prompt != job.n:
        raise ConfigError(
            f"OpenRLHF takes {flags.rollout.n_samples_per_prompt} samples per prompt by an abbreviated flag: write it "
            f"in full, {N}"
        )
    return flags


def _own_cluster() -> str:
    """Have Ray start a cluster for this job: one that happens to run on this machine may be somebody else's."""
    with suppress(ConnectionError):
        if listens(found := resolve("auto")):
            print(
                f"grm_plugin: a Ray cluster runs on this machine ({found}); the job starts one of its own. To run on "
                "that one set RAY_ADDRESS=auto",
                file=sys.stderr,
            )
    return "local"


def _check_gpus(job: Job, flags: SimpleNamespace) -> None:
    """Say which GPUs the job and the GRM take.

    Raises:
        ConfigError: the cluster has not enough of them.
    """
    per_node = gpus_per_node()
    roles = [*roles_of(flags), *roles_of_grm(job.config, sum(per_node))]
    if not job.dry_run and not cluster_grows():
        check_room(roles, per_node)
    print(table(roles, sum(per_node)), flush=True)


def _start_beside_imports(job: Job) -> ServiceHandle:
    """Start the service; this process meanwhile imports what OpenRLHF will need, which takes about as long.

    A broken OpenRLHF is reported without waiting for the model, which may load for minutes.
    """
    begin = start if job.config.service.lifetime == "job" else start_or_attach
    service = start_in_background(lambda: begin(job.config), "grm-start")
    try:
        importlib.import_module(IMPORTED_EARLY)
    except Exception as error:  # a library below it that does not fit may raise anything
        raise ConfigError(
            f"OpenRLHF cannot be imported ({type(error).__name__}: {error}); see python -c 'import {IMPORTED_EARLY}'"
        ) from None
    return service.result()


def _reward_flag(hook: Hook, service: ServiceHandle, n: int) -> tuple[str, str]:
    if hook == "http":
        if service.token is not None:
            raise ConfigError(
                "--grm.hook http cannot carry the service's token: it would stand among OpenRLHF's arguments, which go "
                "to its log and its tracker. Take --grm.hook agent or function, or unset the token"
            )
        return REWARD_URL, f"{service.reward_url}?n={n}"
    if hook == "function":
        return REWARD_URL, HookFile.FUNCTION.path
    return AGENT, HookFile.AGENT.path


def workers_environment(job: Job) -> dict[str, str]:
    """What OpenRLHF gives to all workers when it starts Ray itself (cli/train_ppo_ray.py), and what our hooks read."""
    defaults = {
        "TOKENIZERS_PARALLELISM": "true",
        "NCCL_DEBUG": "WARN",
        # On, it has every Ray worker import torch, those of the service too: seconds each on a small machine.
        "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "0" if job.cpu else "1",
    }
    # An address or overrides of another job's, left in this shell, would beat the service that was just started.
    ours = {
        "GRM_CONFIG": job.config.model_dump_json(),
        "GRM_N": str(job.n),
        "GRM_URL": "",
        "GRM_OVERRIDES": "",
        "GRM_ACTORS": str(job.actors or ""),
        "GRM_EVAL_TEMPERATURE": "" if job.eval_temperature is None else str(job.eval_temperature),
    }
    return {key: os.environ.get(key, value) for key, value in defaults.items()} | ours


def beside_submitted(variables: dict[str, str], submitted: str | None) -> dict[str, str]:
    """Those of the workers' variables that are not among the `env_vars` of `ray job submit`, whose values count.

    Ray refuses a variable that both name, also where the values are equal.

    Args:
        variables: what `workers_environment` gives.
        submitted: what Ray tells the driver of a submitted job about it, in JSON; None in any other process.

    Raises:
        ConfigError: a variable of the job is one that the launcher sets to another value.
    """
    if not submitted or os.environ.get("RAY_OVERRIDE_JOB_RUNTIME_ENV") == "1":  # then Ray merges them itself
        return variables
    of_job = (json.loads(submitted).get("runtime_env") or {}).get("env_vars") or {}
    for name in variables.keys() & of_job.keys():
        if name.startswith("GRM_") and of_job[name] != variables[name]:
            raise ConfigError(
                f"{name} is among the env_vars of ray job submit, but it is the launcher's to set: take it out of them "
                "(the launcher's own flags are --grm.config and --grm.KEY)"
            )
    return {name: value for name, value in variables.items() if name not in of_job}


def _require_openrlhf() -> None:
    try:
        found = importlib.metadata.version("openrlhf")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(f"OpenRLHF is not installed: {COMBINATIONS[0].install} (see docs/versions.md)") from None
    # Checked first: an older OpenRLHF would refuse the job's flags only once the GRM is loaded.
    if Version(found) < Version(OLDEST_OPENRLHF):
        raise ConfigError(f"OpenRLHF {found} has other flags: install {OLDEST_OPENRLHF} or newer")


def _stop(name: str) -> None:
    try:
        stop_on_ray(name)
    except ServiceError as error:
        # The job's own end must not be hidden; the service goes down with this process anyway.
        logging.getLogger(__name__).warning("the service was not stopped cleanly: %s", error)


if __name__ == "__main__":
    sys.exit(main())
