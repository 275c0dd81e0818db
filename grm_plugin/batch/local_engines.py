"""The engines of an offline run: loaded in this process, on the GPUs of this machine, and ended with the block."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from grm_plugin._util.process_guard import guard_children
from grm_plugin.batch.local_gpus import GPUs, assign_gpus, only_visible, visible_gpus
from grm_plugin.batch.several_engines import SeveralEngines
from grm_plugin.config import Config, FakeConfig, VLLMConfig
from grm_plugin.engines.build import build_generator, build_meta_rm, build_scalar, check_engine_can
from grm_plugin.errors import ConfigError
from grm_plugin.judging.seams import Generator, MetaRM

logger = logging.getLogger(__name__)

ModelT = TypeVar("ModelT")


@contextmanager
def running_engines(config: Config) -> Iterator[tuple[Generator, MetaRM | None]]:
    """The engines of the GRM and of the meta RM (if there is one); the processes that they start end with this one.

    On GPUs every engine gets GPUs of its own, and every model gets as many engines as its `replicas` ask for, as far as
    there are GPUs.

    Raises:
        ConfigError: there are not enough GPUs for one engine of each model.
        EngineError: a model cannot be loaded.
    """
    check_engine_can(config)
    with ExitStack() as stack:
        placed = _place({"engine": config.engine, "meta_rm": config.meta_rm}, stack)
        generator = _start(lambda: build_generator(config.engine), placed.get("engine", [None]), stack)
        meta_rm = None
        if (meta := config.meta_rm) is not None:
            meta_rm = _start(lambda: build_meta_rm(meta), placed.get("meta_rm", [None]), stack)
        yield generator, meta_rm


def scalar_model(config: Config) -> VLLMConfig | FakeConfig:
    """The section of a configuration that describes a scalar reward model: `engine`.

    Raises:
        ConfigError: a server would run it.
    """
    if not isinstance(config.engine, VLLMConfig | FakeConfig):
        raise ConfigError(
            f"--scalar reads logits, which a server behind engine.type {config.engine.type} does not give: set "
            "engine.type vllm and engine.model to the weights, or give --model"
        )
    return config.engine


@contextmanager
def running_scalar(model: VLLMConfig | FakeConfig, named: str) -> Iterator[MetaRM]:
    """The engines of a scalar reward model, as `running_engines` runs a GRM.

    Args:
        model: the section of the configuration that describes it.
        named: what the user typed it for, in errors about it.

    Raises:
        ConfigError, EngineError: as `running_engines`; the model has not exactly one label.
    """
    with ExitStack() as stack:
        placed = _place({"engine": model}, stack)
        yield _start(lambda: build_scalar(model, named), placed.get("engine", [None]), stack)


def _place(models: Mapping[str, Any], stack: ExitStack) -> dict[str, list[GPUs]]:
    """Section -> the GPUs of each of its engines, for those on vLLM, whose processes end with `stack`."""
    on_vllm = {section: model for section, model in models.items() if isinstance(model, VLLMConfig)}
    if not on_vllm:
        return {}
    placed = assign_gpus(on_vllm, visible_gpus())
    for section, model in on_vllm.items():
        if len(placed[section]) < model.replicas:
            started = len(placed[section])
            logger.warning("%s.replicas: %d of %d start, no GPUs for more", section, started, model.replicas)
    stack.enter_context(_children_end_with_us())
    return placed


@contextmanager
def _children_end_with_us() -> Iterator[None]:
    """Within the block, vLLM's processes end with this one even where it is ended by kill -9.

    Not where this process was started in somebody else's group on a terminal: the guard would move it to a group of its
    own, and Ctrl-C, which a terminal sends to one group only, would no longer reach it.
    """
    on_a_terminal = sys.stdin.isatty() or sys.stderr.isatty()
    if on_a_terminal and os.getpgrp() != os.getpid():
        yield
        return
    guard = guard_children()
    try:
        yield
    finally:
        os.killpg(guard.pid, signal.SIGKILL)  # before its pipe closes, on which it would kill this process too
        guard.communicate()


def _start(build: Callable[[], ModelT], places: Sequence[GPUs], stack: ExitStack) -> ModelT | SeveralEngines:
    """One engine per place. They start one after the other, as each measures the free memory when it starts."""
    engines: list[ModelT] = []
    for gpus in places:
        with only_visible(gpus):
            engines.append(build())
        stack.callback(_shut_down, engines[-1])
    return engines[0] if len(engines) == 1 else SeveralEngines(engines)


def _shut_down(model: Any) -> None:
    if hasattr(model, "shutdown"):
        model.shutdown()
