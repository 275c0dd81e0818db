"""Errors of Ray and Ray Serve become errors that the judge knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException

from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.serving.ray.remote_engines import RayGenerator, RayMetaRM
from grm_plugin.serving.ray.replica_watch import watch_of
from grm_plugin.types import Completion, Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "Name three colours."),), (0,))
ONE = Sampling(n=1, temperature=0.5, top_p=1.0, max_tokens=64)


class Response:
    """As Serve's: to be awaited, and to be cancelled."""

    def __init__(self, outcome: Callable[[], Any]) -> None:
        self._outcome = outcome
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        outcome = self._outcome()
        if isinstance(outcome, BaseException):
            raise outcome
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle of a deployment with two replicas; `outcomes` are taken in order, the last one for ever."""

    app_name = "grm"

    def __init__(self, name: str, *outcomes: Any) -> None:
        self.deployment_name = name
        self._outcomes = list(outcomes)
        self.responses: list[Response] = []
        self._watch = watch_of(self.app_name, name)
        self._watch.set_replicas(["a", "b"])

    def __getattr__(self, name: str) -> Any:
        return self

    def remote(self, *arguments: Any, attempt: int) -> Response:
        assert self._watch.choose({"a": 8, "b": 8}, attempt) is not None
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        self.responses.append(Response(outcome if callable(outcome) else lambda: outcome))
        return self.responses[-1]


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("generate", "a remote traceback", cause)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.ray.remote_engines.NO_SERVE_PAUSE_S", 0.0)


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        RayServeException("restarting"),
        DeploymentUnavailableError("Engine"),
        raised(RuntimeError("CUDA error")),
        raised(EngineError("vLLM failed")),
        asyncio.CancelledError(),  # which a handle raises where the replica's method does
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_another_replica_can_do_is_done_by_it(error: BaseException, request: pytest.FixtureRequest) -> None:
    handle = Handle(request.node.name, error, [Completion("critique")])
    assert await RayGenerator(handle).generate(PROMPT, ONE) == [Completion("critique")]
    assert len(handle.responses) == 2


async def test_a_prompt_that_is_too_long_stays_one() -> None:
    handle = Handle("too long", raised(PromptTooLong("99 of 64 tokens")))
    with pytest.raises(PromptTooLong, match="99 of 64 tokens") as error:
        await RayGenerator(handle).generate(PROMPT, ONE)
    assert "remote traceback" not in str(error.value)
    assert len(handle.responses) == 1


async def test_garbage_is_no_answer() -> None:
    handle = Handle("garbage", [], ["text"], [Completion("one"), Completion("two")], [Completion("one")])
    assert await RayGenerator(handle).generate(PROMPT, ONE) == [Completion("one")]
    meta = Handle("meta garbage", [float("nan")], [], None, [1.5])
    assert await RayMetaRM(meta).rate([PROMPT.messages]) == [1.5]
    with pytest.raises(EngineError, match="NaN"):
        await RayMetaRM(Handle("always", [float("nan")])).rate([PROMPT.messages])


async def test_a_caller_that_leaves_cancels_the_remote_call() -> None:
    handle = Handle("hangs", lambda: asyncio.sleep(3600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await RayGenerator(handle).generate(PROMPT, ONE)
    await asyncio.sleep(0)
    assert [response.cancelled for response in handle.responses] == [True]
