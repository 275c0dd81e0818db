"""The engines of one process: which GPUs each gets, and several of one model as one."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from grm_plugin._util.nvidia_gpus import GPU
from grm_plugin.batch import local_engines, local_gpus
from grm_plugin.batch.local_gpus import assign_gpus, visible_gpus
from grm_plugin.batch.several_engines import SeveralEngines
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError, EngineError, PromptTooLong
from grm_plugin.judging.seams import CountsTokens
from grm_plugin.types import Completion, Conversation, Message, Prompt, Sampling
from support.factories import completions, make_config

PROMPT = Prompt((Message("user", "?"),), (0,))
SAMPLING = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=8)


class Model:
    """An engine that fails with `error` (where it has one), healthy or not."""

    def __init__(self, error: BaseException | None = None, healthy: bool = True) -> None:
        self.error, self.healthy = error, healthy
        self.asked, self.ended = 0, False
        self.saw = os.environ.get("CUDA_VISIBLE_DEVICES")

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return completions([5])

    async def rate(self, conversations: Any) -> list[float]:
        self.asked += 1
        return [0.5 for _ in conversations]

    async def check_health(self) -> None:
        if not self.healthy:
            raise EngineError("gone")

    def shutdown(self) -> None:
        self.ended = True


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """The models that were built, on a GPU build whose guard does nothing."""
    models: list[Model] = []

    def build(_: Any) -> Model:
        models.append(Model())
        return models[-1]

    monkeypatch.setattr(local_engines, "build_generator", build)
    monkeypatch.setattr(local_engines, "build_meta_rm", build)
    monkeypatch.setattr(local_engines, "_children_end_with_us", local_engines.ExitStack)
    monkeypatch.setattr(local_gpus, "is_cpu_build", lambda: False)
    return models


def two_models(engine: dict[str, Any] | None = None, **meta_rm: Any) -> Config:
    section = {"type": "vllm", "model": "a/grm", **(engine or {})}
    return make_config(engine=section, meta_rm={"model": "a/meta", **meta_rm})


def test_the_grm_and_the_meta_rm_get_gpus_of_their_own(built: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5, 6,7")
    with local_engines.running_engines(two_models({"tensor_parallel_size": 2}, tensor_parallel_size=2)) as (
        generator,
        meta_rm,
    ):
        assert [generator, meta_rm] == built
    assert [model.saw for model in built] == ["4,5", "6,7"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5, 6,7"
    assert all(model.ended for model in built)


def test_without_the_variable_the_machines_gpus_are_counted(
    built: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local_gpus, "local_gpus", lambda: [GPU(f"GPU {number}", 1, 0) for number in range(3)])
    with local_engines.running_engines(two_models()):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert [model.saw for model in built] == ["0", "1"]


@pytest.mark.parametrize(("visible", "expected"), [("", []), ("-1", []), ("1,-1,2", ["1"]), ("GPU-8f", ["GPU-8f"])])
def test_the_variable_is_read_as_cuda_does(
    visible: str, expected: list[str], built: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == expected


@pytest.mark.parametrize("on_cpu", [True, False])
def test_where_nobody_knows_the_gpus_vllm_chooses(
    on_cpu: bool, built: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local_gpus, "is_cpu_build", lambda: on_cpu)
    monkeypatch.setattr(local_gpus, "local_gpus", list)
    with local_engines.running_engines(two_models({"replicas": 4})):
        assert [model.saw for model in built] == [None, None]


def test_too_few_gpus_are_said_with_numbers(built: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    config = two_models({"tensor_parallel_size": 2}, tensor_parallel_size=2)
    words = r"4 GPU\(s\) are needed here \(engine 2 \+ meta_rm 2.*3 visible \(CUDA_VISIBLE_DEVICES: 0,1,2\).*to null"
    with pytest.raises(ConfigError, match=words), local_engines.running_engines(config):
        pass
    assert built == []


def models(**sections: VLLMConfig) -> dict[str, VLLMConfig]:
    return sections


def model(tp: int = 1, replicas: int = 1, share: float = 0.9) -> VLLMConfig:
    return VLLMConfig(model="a/b", tensor_parallel_size=tp, replicas=replicas, gpu_memory_utilization=share)


@pytest.mark.parametrize(
    ("sections", "gpus", "expected"),
    [
        (models(engine=model(replicas=2)), "01", {"engine": [("0",), ("1",)]}),
        (models(engine=model(replicas=8)), "01", {"engine": [("0",), ("1",)]}),
        (models(engine=model(2, replicas=3), meta_rm=model()), "01234",
         {"engine": [("0", "1"), ("3", "4")], "meta_rm": [("2",)]}),
        (models(engine=model(share=0.5), meta_rm=model(share=0.4)), "0", {"engine": [("0",)], "meta_rm": [("0",)]}),
        (models(engine=model(share=0.5), meta_rm=model(share=0.4)), "01", {"engine": [("0",)], "meta_rm": [("1",)]}),
    ],
)  # fmt: skip
def test_replicas_get_what_is_left(sections: dict[str, VLLMConfig], gpus: str, expected: dict[str, Any]) -> None:
    assert assign_gpus(sections, gpus) == expected


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 GPU\(s\) are needed.*1 visible"):
        assign_gpus(models(engine=model(2, share=0.1)), "0")
    with pytest.raises(ConfigError, match=r"2 GPU\(s\) are needed.*to share GPUs"):
        assign_gpus(models(engine=model(), meta_rm=model(share=0.1)), "0")


async def test_replicas_share_the_work(
    built: list[Model], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with local_engines.running_engines(two_models({"replicas": 5})) as (generator, meta_rm):
        assert meta_rm is not None
        await asyncio.gather(*(generator.generate(PROMPT, SAMPLING) for _ in range(6)))
        assert await meta_rm.rate([PROMPT.messages]) == [0.5]
        assert [model.asked for model in built] == [3, 3, 1]
    assert [model.saw for model in built] == ["0", "2", "1"]
    assert all(model.ended for model in built)
    assert "engine.replicas: 2 of 5 start, no GPUs for more" in caplog.text


@pytest.mark.parametrize("error", [EngineError("its process ended"), asyncio.CancelledError()], ids=repr)
async def test_a_dead_engines_requests_go_to_the_others(error: BaseException) -> None:
    dead, well = Model(error, healthy=False), Model()
    several = SeveralEngines([dead, well])
    answers = await asyncio.gather(*(several.generate(PROMPT, SAMPLING) for _ in range(4)))
    assert [len(answer) for answer in answers] == [1, 1, 1, 1]
    asked = dead.asked
    await several.generate(PROMPT, SAMPLING)
    assert dead.asked == asked


@pytest.mark.parametrize("error", [PromptTooLong("too long"), EngineError("cannot render")])
async def test_an_error_of_the_request_itself_is_not_tried_again(error: EngineError) -> None:
    engines = [Model(error), Model(error)]
    with pytest.raises(EngineError, match=str(error)):
        await SeveralEngines(engines).generate(PROMPT, SAMPLING)
    assert [model.asked for model in engines] == [1, 0]


async def test_when_all_are_dead_the_last_one_says_why() -> None:
    several = SeveralEngines([Model(EngineError("out of memory"), healthy=False) for _ in range(3)])
    for _ in range(2):
        with pytest.raises(EngineError, match="out of memory"):
            await several.generate(PROMPT, SAMPLING)


async def test_several_engines_count_tokens_as_one_does() -> None:
    class Counting(Model):
        async def count_tokens(self, conversation: Conversation) -> int:
            return len(conversation[0].content.split())

    several = SeveralEngines([Counting(), Counting()])
    assert isinstance(several, CountsTokens)
    assert await several.count_tokens((Message("user", "three short words"),)) == 3
