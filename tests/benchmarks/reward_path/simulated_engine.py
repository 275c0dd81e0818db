"""The simulated engine for replicas on Ray: a `Generator` that stands in for the package's `FakeEngine`."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from reward_path.texts import TOKENS, WORTH, critique_text, verdict

FAKES = "grm_plugin.engines.fake"
_CRITIQUE = critique_text()


class SimulatedEngine:
    """Gives every response that a prompt shows the score that it says, after `delay_s` seconds, without a bound.

    Takes the arguments of `FakeEngine`; the script is not looked at.
    """

    def __init__(self, script: object, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s

    async def generate(self, prompt: Any, sampling: Any) -> list[Any]:
        await asyncio.sleep(self._delay_s)
        return answer(prompt, sampling)

    async def check_health(self) -> None:
        """Always healthy."""


def answer(prompt: Any, sampling: Any) -> list[Any]:
    """The completions that `prompt` gets."""
    from grm_plugin.types import Completion

    scores = WORTH.findall(prompt.messages[-1].content.encode())
    return [Completion(_CRITIQUE + verdict(scores), "stop", TOKENS)] * int(sampling.n)


def install() -> None:
    """Have the class put into the module of fakes when that is imported: at start-up it would cost every process of
    Python its imports."""
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != FAKES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = _Loader(spec.loader.exec_module)
        return spec


class _Loader(Loader):
    def __init__(self, exec_module: Callable[[ModuleType], None]) -> None:
        self._exec_module = exec_module

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._exec_module(module)
        module.FakeEngine = SimulatedEngine  # type: ignore[attr-defined]
