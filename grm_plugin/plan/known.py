"""What is known of a GRM's speed and of the lengths of its texts, from whichever source the user has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grm_plugin._util.nvidia_gpus import GIB, local_gpus
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.gpu_room import room_on_gpu
from grm_plugin.engines.model_files import ModelFiles, find_folder, named_weights, read_files
from grm_plugin.engines.vllm_start import LARGE_GPU_BYTES
from grm_plugin.engines.vllm_start import SEQUENCES_AT_ONCE as SEQUENCES
from grm_plugin.errors import ConfigError
from grm_plugin.plan.probe import EXAMPLE, Probed, probe
from grm_plugin.plan.published import PUBLISHED
from grm_plugin.serving.capacity import Speed, Tokens, fit_speed, tokens_of
from grm_plugin.serving.observed import Observed, observed, speed_of
from grm_plugin.trace.store_reader import StoreReader
from grm_plugin.types import Group

CHARS_PER_TOKEN = 4.0
"""Of English text, where nothing better is known."""

SEQUENCES_SMALL = 256
"""vLLM's limit of sequences at a time on GPUs below `LARGE_GPU_BYTES`."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan rests on.

    Attributes:
        tokens: how long critiques and prompts are.
        tokens_from: who says so.
        speed: of one replica; None where nothing tells it. Its `at_once` is only the engine's own limit.
        speed_from: who says so.
        rate: tokens per second of one replica, all critiques together, where that is all that is known of its speed.
        seen: what the traces showed, if they were asked.
    """

    tokens: Tokens
    tokens_from: str
    speed: Speed | None = None
    speed_from: str = "not known"
    rate: float | None = None
    seen: Observed | None = None


def by_setting(config: Config) -> Known:
    """Critiques as long as `sampling.max_tokens` allows, prompts as long as they may be: the most."""
    limit, judge = config.sampling.max_tokens, config.judge
    prompt = judge.shown_together * judge.max_response_chars / CHARS_PER_TOKEN
    longest = getattr(config.engine, "max_model_len", None)
    if longest is not None:
        prompt = min(prompt, max(0.0, longest - limit))
    return Known(Tokens(limit, limit, prompt), "the longest that the configuration allows")


def from_traces(config: Config, store: Path, replicas: int) -> Known:
    """From a store of this GRM's traces, whose service had so many replicas.

    Raises:
        StoreError: it cannot be read, has no groups of this model, or tells no speed.
    """
    reader = StoreReader(store)
    try:
        seen = observed(reader, config)
    finally:
        reader.close()
    source = f"{seen.groups:,} groups in {store}"
    unnamed = "" if seen.named else "; the store does not say of which model"
    speed = speed_of(seen, replicas, SEQUENCES)
    return Known(seen.tokens, source, speed, f"{source}, judged by {replicas} replica(s){unnamed}", seen=seen)


def from_probe(config: Config, groups: Sequence[Group] = ()) -> Known:
    """From the engine itself, which is loaded here.

    Raises:
        EngineError, ConfigError: see `probe.probe`.
    """
    widest = sequences_at_once(config, gpu_bytes(None))
    found = probe(config, groups or (EXAMPLE,), min(widest, config.engine.max_concurrency))
    speed = fit_speed(found.points, SEQUENCES)
    tokens = tokens_of(found.lengths, found.prompt_chars / CHARS_PER_TOKEN)
    return Known(tokens, f"{len(found.lengths):,} critiques of a probe", speed, f"a probe: {_said(found)}")


def from_published(name: str, config: Config) -> Known:
    """A published figure of a model like it.

    Raises:
        ConfigError: there is none of this name.
    """
    figure = PUBLISHED.get(name)
    if figure is None:
        raise ConfigError(f"--published {name} is unknown: take one of {', '.join(PUBLISHED)}")
    return replace(by_setting(config), speed=figure.speed, speed_from=f"published: {figure.about}")


def from_rate(tokens_per_s: float, config: Config) -> Known:
    """A rate that the user knows: of one replica, while it writes as many critiques as it holds."""
    return replace(by_setting(config), rate=tokens_per_s, speed_from=f"--tokens-per-s {tokens_per_s:g}")


def with_lengths(known: Known, critique: float | None, longest: float | None, prompt: float | None) -> Known:
    """With the lengths that the user gives, in tokens.

    Raises:
        ConfigError: the longest critique is shorter than the mean.
    """
    if critique is longest is prompt is None:
        return known
    mean = critique if critique is not None else known.tokens.critique
    long = longest if longest is not None else mean if critique is not None else known.tokens.longest
    if long < mean:
        raise ConfigError(f"--longest-tokens ({long:g}) is below the mean critique ({mean:g})")
    tokens = Tokens(mean, long, prompt if prompt is not None else known.tokens.prompt)
    return replace(known, tokens=tokens, tokens_from=f"the command line, else {known.tokens_from}")


def gpu_bytes(gpu_gib: float | None) -> int | None:
    """Memory of one GPU: as given in GiB, else of the smallest of this machine; None where there is none."""
    return min((gpu.total for gpu in local_gpus()), default=None) if gpu_gib is None else int(gpu_gib * GIB)


def cache_tokens(config: Config, size: int | None) -> tuple[float | None, str]:
    """Tokens that a replica's KV cache holds, and by what; None and why not where that is not known.

    Of a model that is not here, but for its config.json, the weights are as large as its name says.

    Args:
        config: its `engine`.
        size: memory of one GPU in bytes; None where it is not known.

    Raises:
        ConfigError: the weights leave no room.
    """
    model = config.engine
    if not isinstance(model, VLLMConfig):
        return None, f"engine.type is {model.type}"
    files = _files(model)
    if files is not None and not files.weights:
        return None, "neither its weights nor its name say how large it is"
    if files is None:
        return None, f"its config.json is not here: hf download {model.model} --include config.json"
    if size is None:
        return None, "no GPU here: give --gpu-gib"
    room = room_on_gpu(model, files, size)
    if room.left <= 0:
        raise ConfigError(
            f"{room.weights / GIB:,.1f} GiB of weights per GPU leave no room for a KV cache in "
            f"{room.usable / GIB:,.1f} GiB: raise engine.tensor_parallel_size, or take larger GPUs"
        )
    if room.kv_tokens is None:
        return None, "the architecture is not known"
    return room.kv_tokens, f"{size / GIB:,.0f} GiB per GPU, {room.weights / GIB:,.1f} GiB of them weights"


def sequences_at_once(config: Config, size: int | None) -> int:
    """Most critiques that vLLM writes at a time on a GPU of `size` bytes (None: a large one), or as configured."""
    model = config.engine
    if not isinstance(model, VLLMConfig):
        return SEQUENCES
    large = size is None or size >= LARGE_GPU_BYTES
    return int(model.engine_args.get("max_num_seqs") or (SEQUENCES if large else SEQUENCES_SMALL))


def _files(model: VLLMConfig) -> ModelFiles | None:
    folder = find_folder(model.model)
    try:
        files = None if folder is None else read_files(folder)
    except (OSError, ValueError):
        return None
    if files is not None and (files.missing or not files.weights):
        return replace(files, weights=named_weights(model.model) or 0)
    return files


def _said(found: Probed) -> str:
    return ", ".join(f"{point.tokens_per_s:,.0f} tokens/s at {point.running:,.0f}" for point in found.points)
