"""TRL's own GRPOTrainer with a reward function for each criterion, against a live service."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, EngineError
from grm_plugin.integrations.trl.by_criterion import by_criterion
from grm_plugin.integrations.trl.grm_reward import GRMReward, _client
from grm_plugin.types import Completion, Prompt, Sampling
from support.criteria_grm import CRITERIA, judging
from support.factories import Scripted
from support.paths import ROOT

trl = pytest.importorskip("trl")

pytestmark = pytest.mark.timeout(300)

POLICY = ROOT / "examples/nano/models/policy"


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    yield
    _client.cache_clear()


@pytest.fixture
def service(serve: Callable[..., Any]) -> tuple[str, Scripted]:
    grm = Scripted(judging)
    return serve(grm, judge__criteria=CRITERIA).url, grm


RESPONSES = ["9 kind", "1", "5", "5 kind"]
PROMPTS = ["Well?"] * 4


async def test_each_function_gives_its_criterion_and_the_grm_is_asked_once(service: tuple[str, Scripted]) -> None:
    url, grm = service
    right, kind = by_criterion(url)
    assert [function.weight for function in (right, kind)] == [3.0, 1.0]
    assert [function.__name__ for function in (right, kind)] == ["grm_right", "grm_kind"]
    assert await right(RESPONSES, PROMPTS) == [pytest.approx(it) for it in (8 / 9, 0, 4 / 9, 4 / 9)]
    asked = len(grm.calls)
    assert await kind(RESPONSES, PROMPTS) == [1.0, 0.0, 0.0, 1.0]
    assert len(grm.calls) == asked
    await right(RESPONSES, PROMPTS)
    assert len(grm.calls) > asked, "the same batch in the next step is judged anew"


async def test_copies_in_other_places_share_the_judging(service: tuple[str, Scripted]) -> None:
    url, grm = service
    right, kind = (pickle.loads(pickle.dumps(function)) for function in by_criterion(url))
    await right(RESPONSES, PROMPTS)
    asked = len(grm.calls)
    assert await kind(RESPONSES, PROMPTS) == [1.0, 0.0, 0.0, 1.0]
    assert len(grm.calls) == asked


async def test_a_criterion_without_votes_has_no_value(service: tuple[str, Scripted]) -> None:
    url, _ = service
    right, kind = by_criterion(url)
    assert await right(["broken", "1"], PROMPTS[:2]) == [None, None]
    assert await kind(["broken", "1"], PROMPTS[:2]) == [0.0, 0.0]


async def test_an_outage_is_no_value(serve: Callable[..., Any]) -> None:
    def down(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineError("down")

    grm = Scripted(judging)
    right, kind = by_criterion(serve(grm, judge__criteria=CRITERIA).url)
    grm.reply = down
    assert [await right(RESPONSES, PROMPTS), await kind(RESPONSES, PROMPTS)] == [[None] * 4] * 2


def test_names_are_checked(service: tuple[str, Scripted]) -> None:
    url, _ = service
    with pytest.raises(ConfigError, match="did you mean 'kind'"):
        by_criterion(url, ["kindd"])
    [kind] = by_criterion(url, ["kind"])
    assert kind.name == "kind"
    [tone] = by_criterion(url, ["tone"], own=True)
    assert tone.name == "tone"


def test_a_service_without_criteria_gives_no_vector(serve: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"judge\.criteria"):
        by_criterion(serve().url)


async def test_samples_bring_criteria_in_a_column(service: tuple[str, Scripted]) -> None:
    url, _ = service
    reward = GRMReward(url, criteria="asked", source="task")
    own = [[{"name": "right", "text": "Is it right?"}, {"name": "kind", "text": "Is it kind?", "kind": "penalty"}]] * 4
    values = await reward(RESPONSES, PROMPTS, asked=own, task=["math"] * 4)
    assert values == [pytest.approx(it) for it in (0.0, 0.0, 4 / 9, 0.0)]


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_the_trainer_takes_the_vector(service: tuple[str, Scripted], tmp_path: Path, aggregation: str) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    url, _ = service
    functions = by_criterion(url)
    settings: dict[str, Any] = {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
        "save_strategy": "no",
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "max_completion_length": 12,
        "max_steps": 2,
        "reward_weights": [function.weight for function in functions],
        "multi_objective_aggregation": aggregation,
    }
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(POLICY, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(POLICY, padding_side="left"),
        reward_funcs=functions,
        args=trl.GRPOConfig(**settings),
        train_dataset=Dataset.from_dict({"prompt": ["Name 3 fruits, use commas.", "Name 2 animals."] * 4}),
    )
    trainer.train()
    steps = [log for log in trainer.state.log_history if "reward" in log]
    assert len(steps) == 2
    for log in steps:
        assert all(math.isfinite(log[key]) for key in ("reward", "rewards/grm_right/mean", "rewards/grm_kind/mean"))
