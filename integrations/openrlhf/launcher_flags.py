"""The launcher's command line: `--grm.*` for us, the rest for OpenRLHF."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.errors import ConfigError
from grm_plugin.wire.ready import require_siblings

Hook = Literal["agent", "function", "http"]
"""How OpenRLHF asks for rewards: through a file that it loads by path, or the service's URL."""

REWARD_URL = "--reward.remote_url"
AGENT = "--train.agent_func_path"
DRY_RUN = "--grm.dry-run"
N = "--rollout.n_samples_per_prompt"
EVAL_N = "--eval.n_samples_per_prompt"
EVAL_DATASET = "--eval.dataset"
TEMPERATURE = "--rollout.temperature"
EVAL_TEMPERATURE = "--eval.temperature"
BATCH_SIZE = "--rollout.batch_size"
GENERATE_BATCH_SIZE = "--rollout.vllm_generate_batch_size"
ROLLOUT_ACTORS = "--vllm.num_engines"

OPENRLHF_DEFAULT_N, OPENRLHF_DEFAULT_EVAL_N = 1, 4
OPENRLHF_DEFAULT_TEMPERATURE, OPENRLHF_DEFAULT_EVAL_TEMPERATURE = "1.0", "0.6"
OPENRLHF_DEFAULT_BATCH_SIZE = 1024
"""Of --rollout.batch_size: prompts whose samples OpenRLHF asks rewards for at once."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: `n` samples per prompt (also `config.group.n`), `arguments` for OpenRLHF. `eval_temperature` is that
    of evaluation, where it is another than in training; `actors` are the processes that ask for rewards; `dry_run` says
    what would run instead.

    For the user: `notes` on what may be a mistake. `prompts` are those of a step.
    """

    config: Config
    hook: Hook
    cpu: bool
    n: int
    arguments: tuple[str, ...]
    prompts: int
    notes: tuple[str, ...] = ()
    eval_temperature: float | None = None
    actors: int | None = None
    dry_run: bool = False


def parse(argv: Sequence[str]) -> Job:
    """Read a command line.

    Raises:
        ConfigError: `--grm.config` is missing, a `--grm.` value is wrong, a flag that the launcher sets is there, or
            the service would refuse a part of a rollout batch to a hook that cannot ask again, or all single samples.
    """
    overrides, arguments = split_overrides([argument for argument in argv if argument != DRY_RUN])
    path = overrides.pop("config", None)
    if path is None:
        raise ConfigError("--grm.config is missing: --grm.config CONFIG.yaml, or a preset such as preset:dry_run")
    hook = overrides.pop("hook", "agent")
    if hook not in get_args(Hook):
        raise ConfigError(f"--grm.hook {hook} is unknown: take one of {', '.join(get_args(Hook))}")
    cpu = overrides.pop("cpu", os.environ.get("GRM_CPU", "0")).lower()
    if cpu not in ("true", "false", "1", "0"):
        raise ConfigError(f"--grm.cpu {cpu} is unknown: take true or false")
    for flag in (REWARD_URL, AGENT):
        if (value := _value(arguments, flag)) is not None:
            several = "; it takes one address: scale the GRM by --grm.engine.replicas" if "," in value else ""
            raise ConfigError(f"{flag} is the launcher's to set: drop it, or run OpenRLHF itself with it{several}")
    n = _number(arguments, N, OPENRLHF_DEFAULT_N)
    if "group.n" in overrides:
        raise ConfigError(f"group.n is {N} here ({n}): drop --grm.group.n")
    config = load_config(path, {**overrides, "group.n": str(n)})
    require_siblings(config.normalize.method, n, N)
    eval_temperature = _eval_temperature(arguments)
    if hook == "http":
        _check_max_waiting(config, n, arguments)
    return Job(
        config=config,
        hook=cast(Hook, hook),
        cpu=cpu in ("true", "1"),
        n=n,
        arguments=tuple(arguments),
        prompts=_number(arguments, BATCH_SIZE, OPENRLHF_DEFAULT_BATCH_SIZE),
        notes=(*_notes(hook, n, arguments), *_learning_notes(config, hook, eval_temperature, arguments)),
        eval_temperature=eval_temperature,
        actors=_actors(arguments),
        dry_run=DRY_RUN in argv,
    )


def _check_max_waiting(config: Config, n: int, arguments: Sequence[str]) -> None:
    """OpenRLHF's HTTP call sends a whole batch at once, and gives a sample up that is refused five times in 5 s."""
    batch = _number(arguments, BATCH_SIZE, OPENRLHF_DEFAULT_BATCH_SIZE)
    samples = n * max(batch, _number(arguments, GENERATE_BATCH_SIZE, batch))
    if _value(arguments, EVAL_DATASET) is not None:
        samples = max(samples, batch * _number(arguments, EVAL_N, OPENRLHF_DEFAULT_EVAL_N))
    if samples > config.service.max_waiting:
        raise ConfigError(
            f"OpenRLHF may ask for {samples} rewards at once ({BATCH_SIZE} x samples per prompt), but the "
            f"service takes {config.service.max_waiting} (service.max_waiting), and what it refuses is lost to the "
            f"http hook: add --grm.service.max_waiting {samples}, or take --grm.hook agent"
        )


def _notes(hook: str, n: int, arguments: Sequence[str]) -> tuple[str, ...]:
    eval_n = _number(arguments, EVAL_N, OPENRLHF_DEFAULT_EVAL_N)
    if hook == "agent" or _value(arguments, EVAL_DATASET) is None or eval_n % n == 0:
        return ()
    return (
        f"evaluation draws {eval_n} samples per prompt, but the {hook} hook groups by {n} in training and evaluation "
        f"alike: its incomplete groups wait group.wait_s. Make {EVAL_N} a multiple of {N}, "
        "or take --grm.hook agent",
    )


def _learning_notes(
    config: Config, hook: str, eval_temperature: float | None, arguments: Sequence[str]
) -> tuple[str, ...]:
    """That evaluation moves the statistics of `normalize.method` running, where nothing tells it from training."""
    if config.normalize.method != "running" or _value(arguments, EVAL_DATASET) is None:
        return ()
    if hook != "agent":
        return (f"normalize.method running learns from evaluation too: the {hook} hook cannot tell it; agent can",)
    if eval_temperature is None:
        return (
            "normalize.method running learns from evaluation too: it is told from training by its temperature, and "
            f"{EVAL_TEMPERATURE} is that of {TEMPERATURE}",
        )
    return ()


def _eval_temperature(arguments: Sequence[str]) -> float | None:
    """The temperature of evaluation, where there is evaluation and by this it can be told from training."""
    if _value(arguments, EVAL_DATASET) is None:
        return None
    try:
        training = float(_value(arguments, TEMPERATURE) or OPENRLHF_DEFAULT_TEMPERATURE)
        evaluation = float(_value(arguments, EVAL_TEMPERATURE) or OPENRLHF_DEFAULT_EVAL_TEMPERATURE)
    except ValueError:  # OpenRLHF says so itself
        return None
    return evaluation if evaluation != training else None


def _actors(arguments: Sequence[str]) -> int | None:
    """The rollout actors; None where OpenRLHF will say itself that their number is wrong."""
    value = _value(arguments, ROLLOUT_ACTORS) or ""
    return int(value) if value.isdecimal() and int(value) else None


def _number(arguments: Sequence[str], flag: str, default: int) -> int:
    value = _value(arguments, flag)
    if value is None:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{flag} {value} is no number: take an integer >= 1")
    return int(value)


def _value(arguments: Sequence[str], flag: str) -> str | None:
    """The value of `--flag value` or `--flag=value`, the last one if repeated; None if absent."""
    found = None
    for position, argument in enumerate(arguments):
        if argument == flag:
            found = arguments[position + 1] if position + 1 < len(arguments) else ""
        elif argument.startswith(f"{flag}="):
            found = argument.removeprefix(f"{flag}=")
    return found
