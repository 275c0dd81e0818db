"""The same with real vLLM engines and the nano GRM. Its right answers are what it says when nothing is broken."""

from __future__ import annotations

import random
from pathlib import Path

from questions import N, Question

from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.wire.schemas import WireGroup, WireJudgement

NANO = Path(__file__).parents[2] / "configs" / "nano_cpu.yaml"
QUESTIONS = 40
THINGS = ["plum", "fig", "pear", "apple", "grape", "kiwi", "lemon", "peach", "melon", "cherry", "mango", "lime"]


def nano_config(port: int) -> Config:
    """Two replicas, a GPU each of a cluster that claims to have two. Greedy, so that answers repeat."""
    keys = {
        "engine.replicas": "2",
        "engine.dtype": "float32",  # in bfloat16 an answer depends on what else is in its batch
        "sampling.k": "4",
        "sampling.temperature": "0",
        "sampling.seed": "1",
        "group.wait_s": "10",
        "failure.policy": "constant",
        "failure.constant": "-1",
        "failure.deadline_s": "80",
        "service.port": str(port),
    }
    return load_config(NANO, keys)


def reference_questions(url: str, rng: random.Random) -> list[Question]:
    """Groups with the rewards that the undisturbed service gives: from the lowest to the highest of its votes.

    A vote that is lost changes a mean, but not beyond the other votes.
    """
    prompts = [f"Name {2 + number % 5} fruits, use commas. ({number})" for number in range(QUESTIONS)]
    groups = [
        (prompt, tuple(", ".join(rng.sample(THINGS, rng.randrange(1, 7))) for _ in range(N))) for prompt in prompts
    ]
    with Client(url) as client:
        asked = [WireGroup(prompt=prompt, responses=list(texts)) for prompt, texts in groups]
        judgements = client.judge(asked, detail=True)
    return [_question(*group, judgement) for group, judgement in zip(groups, judgements, strict=True)]


def _question(prompt: str, responses: tuple[str, ...], judgement: WireJudgement) -> Question:
    votes = [[(critique.scores[index] - 1) / 9 for critique in judgement.critiques] for index in range(N)]
    if not all(votes):
        raise ValueError(f"the nano GRM has no vote on {prompt!r}: choose another question")
    return Question(prompt, responses, tuple(map(min, votes)), tuple(map(max, votes)))
