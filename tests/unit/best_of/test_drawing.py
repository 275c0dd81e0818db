"""Drawing samples: what is asked of the policy, what is kept, and what a later run adds or refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.batch.resumable_run import EngineFailed, Run
from grm_plugin.best_of.drawing import PER_REQUEST, Drawer
from grm_plugin.best_of.problems import Problem, problem_of
from grm_plugin.best_of.reading import FILE_NAME, read_problems
from grm_plugin.best_of.sample_store import SampleStore
from grm_plugin.errors import ConfigError, EngineError, PromptTooLong
from grm_plugin.types import Completion, Conversation, Prompt, Sampling
from support.factories import Reply, Scripted, make_config

ONE = problem_of({"id": "one", "prompt": "Shots\n1+1?", "question": "1+1?", "gt_answer": "2", "test_cases": [1]})
TWO = problem_of({"id": "two", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "2+2?"}]})


def numbered(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    """A policy whose samples are numbered by their seeds."""
    first = sampling.seed or 0
    return [Completion(f"sample {first + number}", "stop", 3) for number in range(sampling.n)]


class Counting(Scripted):
    """One that can tell how long a prompt is."""

    async def count_tokens(self, conversation: Conversation) -> int:
        return sum(len(turn.content.split()) for turn in conversation)


def draw(
    policy: Scripted, folder: Path, n: int, problems: tuple[Problem, ...] = (ONE, TWO), name: str = "p"
) -> list[str]:
    """Draw samples as the command does; what the engine failed with."""
    failures = []
    with SampleStore(folder, name, {"engine": name}, n) as store:
        store.require_same(problems)
        meter = Meter(Console(quiet=True), "problems", len(problems))
        run: Run[Problem, Problem] = Run(store, meter, 4)
        drawer = Drawer(make_config(sampling__seed=100, sampling__temperature=0.9, sampling__top_p=0.95), policy, store)

        async def work(problem: Problem) -> Problem | EngineFailed:
            drawn = await drawer.draw(problem)
            if isinstance(drawn, EngineFailed):
                failures.append(drawn.reason)
            return drawn

        asyncio.run(run.process(problems, work))
    return failures


def test_samples_are_drawn_with_the_prompt_and_kept_with_all_else(tmp_path: Path) -> None:
    policy = Counting(numbered)
    assert draw(policy, tmp_path, 3) == []
    asked = {prompt.messages[-1].content: sampling for prompt, sampling in policy.calls}
    assert {*asked} == {"Shots\n1+1?", "2+2?"}
    assert {(it.n, it.temperature, it.top_p, it.seed) for it in asked.values()} == {(3, 0.9, 0.95, 100)}
    one, two = sorted(read_problems(tmp_path), key=lambda it: it.id)
    assert [sample.text for sample in one.samples] == ["sample 100", "sample 101", "sample 102"]
    assert (one.prompt_tokens, one.samples[0].tokens, one.samples[0].finish) == (2, 3, "stop")
    assert (one.question, one.reference, one.rest) == (ONE.question, "2", {"test_cases": [1]})
    assert two.asked == TWO.asked


def test_a_later_run_draws_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    assert draw(Scripted(numbered), tmp_path, 2, (ONE,)) == []
    again = Scripted(numbered)
    assert draw(again, tmp_path, 5) == []
    assert sorted(sampling.n for _, sampling in again.calls) == [3, 5]
    at_once = tmp_path / "at_once"
    assert draw(Scripted(numbered), at_once, 5) == []
    read = {it.id: it.samples for it in read_problems(tmp_path)}
    assert read == {it.id: it.samples for it in read_problems(at_once)}
    nothing = Scripted(numbered)
    assert draw(nothing, tmp_path, 4) == []
    assert nothing.calls == []


def test_many_samples_are_asked_for_in_parts_with_seeds_of_their_own(tmp_path: Path) -> None:
    policy = Scripted(numbered)
    assert draw(policy, tmp_path, 2 * PER_REQUEST + 1, (ONE,)) == []
    assert [sampling.n for _, sampling in policy.calls] == [PER_REQUEST, PER_REQUEST, 1]
    (problem,) = read_problems(tmp_path)
    assert [sample.text for sample in problem.samples] == [f"sample {100 + number}" for number in range(65)]


def short(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    return numbered(prompt, sampling)[:-1]


def too_long(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise PromptTooLong("the prompt has 9 of the 8 tokens")


def down(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise EngineError("gone")


@pytest.mark.parametrize(
    ("reply", "words"),
    [(short, "1 completions; 2 were asked for"), (too_long, "PromptTooLong: the prompt has 9"), (down, "gone")],
)
def test_what_the_engine_does_not_give_is_no_sample(reply: Reply, words: str, tmp_path: Path) -> None:
    (failure,) = draw(Scripted(reply), tmp_path, 2, (ONE,))
    assert failure.startswith("problem 'one': ")
    assert words in failure
    assert draw(Scripted(numbered), tmp_path, 2, (ONE,)) == []
    assert len(read_problems(tmp_path)[0].samples) == 2


def test_a_half_row_is_drawn_again(tmp_path: Path) -> None:
    assert draw(Scripted(numbered), tmp_path, 2) == []
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(read_problems(tmp_path)) == 1
    again = Scripted(numbered)
    assert draw(again, tmp_path, 2) == []
    assert len(again.calls) == 1
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_other_policies_and_prompts_and_files_are_refused(tmp_path: Path) -> None:
    assert draw(Scripted(numbered), tmp_path, 1) == []
    with pytest.raises(ConfigError, match=r"another policy or of other settings \(p, now q; engine differ\)"):
        draw(Scripted(numbered), tmp_path, 2, name="q")
    other = problem_of({"id": "one", "prompt": "Another?"})
    with pytest.raises(ConfigError, match="samples of another prompt with the id 'one'"):
        draw(Scripted(numbered), tmp_path, 2, (other,))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / FILE_NAME).write_text('{"prompt": "P", "samples": ["a"]}\n')
    with pytest.raises(ConfigError, match="line 1 is no row of `grm-plugin sample`"):
        draw(Scripted(numbered), tmp_path / "x", 2)
