"""Two ways to the same pipeline: the service's core in this process, or a running service."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from grm_plugin._util.process_guard import guard_children
from grm_plugin.batch.local_gpus import GPUs, hand_out, only, visible_gpus
from grm_plugin.batch.several_engines import SeveralEngines
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.judging.seams import Generator, MetaRM

logger = logging.getLogger(__name__)

M = TypeVar("M")


@contextmanager
def engines(config: Config) -> Iterator[tuple[Generator, MetaRM | None]]:
    """The GRM and the meta RM (if there is one) in this process; whatever they started ends with it.

    On GPUs each engine has its own, and each model has as many engines as its `replicas` say and there are GPUs for.

    Raises:
        ConfigError: there are too few GPUs for one engine of each.
        EngineError: a model cannot be loaded.
    """
    models = {"engine": config.engine, "meta_rm": config.meta_rm}
    placed: dict[str, list[GPUs]] = {}
    with ExitStack() as stack:
        if on_vllm := {section: model for section, model in models.items() if isinstance(model, VLLMConfig)}:
            placed = hand_out(on_vllm, visible_gpus())
            for section, model in on_vllm.items():
                if len(placed[section]) < model.replicas:
                    started = len(placed[section])
                    logger.warning("%s.replicas: %d of %d start, no GPUs for more", section, started, model.replicas)
            stack.enter_context(_guarded())
        generator = _start(lambda: build_generator(config.engine), placed.get("engine", [None]), stack)
        meta_rm = None
        if (meta := config.meta_rm) is not None:
            meta_rm = _start(lambda: build_meta_rm(meta), placed.get("meta_rm", [None]), stack)
        yield generator, meta_rm


@contextmanager
def _guarded() -> Iterator[None]:
    """Tie vLLM's processes to this one, so that kill -9 ends them too; except where it would harm.

    The guard makes a process group. A terminal sends Ctrl-C to one group only, and it must go on reaching this
    process.
    """
    on_a_terminal = sys.stdin.isatty() or sys.stderr.isatty()
    if on_a_terminal and os.getpgrp() != os.getpid():
        yield
        return
    guard = guard_children()
    try:
        yield
    finally:
        os.killpg(guard.pid, signal.SIGKILL)  # dismissed: when its pipe ends it would take this process along
        guard.communicate()


def _start(build: Callable[[], M], places: Sequence[GPUs], stack: ExitStack) -> M | SeveralEngines:
    """One engine per place, one after the other: each looks at the memory that is free when it starts."""
    engines: list[M] = []
    for gpus in places:
        with only(gpus):
            engines.append(build())
        stack.callback(_shut_down, engines[-1])
    return engines[0] if len(engines) == 1 else SeveralEngines(engines)


def _shut_down(model: Any) -> None:
    if hasattr(model, "shutdown"):
        model.shutdown()
