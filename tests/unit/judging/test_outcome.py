"""The outcome rule by hand-computed cases, and the two reward functions on top of it."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, GroupError, WireError
from grm_plugin.integrations.trl.spct_reward import outcome_reward
from grm_plugin.judging.outcome import Target, is_right, is_tie, verdict_of
from grm_plugin.types import Completion, UnparsedReason
from support.factories import critique_text
from support.paths import ROOT

PAIR = Target(2, best=(1,))


@pytest.mark.parametrize(
    ("scores", "best", "right", "tie"),
    [
        ((3, 7), (1,), True, False),
        ((7, 3), (1,), False, False),
        ((7, 7), (1,), False, True),  # level is not ahead
        ((1, 9, 8, 2), (1,), True, False),
        ((1, 9, 9, 2), (1,), False, True),
        ((10, 9, 9, 2), (1,), False, False),  # level with one, behind another
        ((8, 9, 3), (0, 1), True, False),  # two are best: both must lead
        ((8, 9, 8), (0, 1), False, True),
        ((2, 9, 8), (0, 1), False, False),
    ],
)
def test_the_best_must_be_strictly_ahead(scores: Any, best: Any, right: bool, tie: bool) -> None:
    target = Target(len(scores), best=best)
    assert (is_right(scores, target), is_tie(scores, target)) == (right, tie)


@pytest.mark.parametrize(("score", "label", "right"), [(1, 1, True), (0, 1, False), (0, 0, True), (1, 0, False)])
def test_a_single_response_is_scored_0_or_1(score: int, label: int, right: bool) -> None:
    verdict = verdict_of(Completion(critique_text([score])), Target(1, label=label))
    assert (verdict.right, verdict.tie, verdict.reward) == (right, False, 1.0 if right else -1.0)


def test_scores_of_the_other_scale_are_no_verdict() -> None:
    assert verdict_of(Completion(critique_text([7])), Target(1, label=1)).reason is UnparsedReason.OUT_OF_RANGE
    assert verdict_of(Completion(critique_text([0, 7])), PAIR).reason is UnparsedReason.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("text", "reward", "reason"),
    [
        (critique_text([2, 3]), 1.0, None),
        (critique_text([3, 2]), -1.0, None),
        ("I prefer the second.", -1.0, UnparsedReason.NO_SCORES),
        (critique_text([2, 3, 4]), -1.0, UnparsedReason.WRONG_COUNT),
        ("", -1.0, UnparsedReason.EMPTY),
    ],
)
def test_the_reward_is_plus_or_minus_one(text: str, reward: float, reason: Any) -> None:
    verdict = verdict_of(Completion(text), PAIR)
    assert (verdict.reward, verdict.reason) == (reward, reason)


def test_a_cut_critique_is_not_right() -> None:
    for cut in (Completion(critique_text([2, 3]), "length"), Completion(critique_text([2, 3]), tokens=100)):
        verdict = verdict_of(cut, PAIR, max_tokens=100)
        assert (verdict.reward, verdict.reason) == (-1, UnparsedReason.TRUNCATED)
    assert verdict_of(Completion(critique_text([2, 3]), tokens=99), PAIR, max_tokens=100).reward == 1


@pytest.mark.parametrize(
    ("label", "argument", "right"),
    [("reject", None, False), ("accept", None, True), ("accept", "reject", False), ("reject", "accept", True)],
)
def test_decimals_count_where_serving_reads_them(label: Any, argument: Any, right: bool) -> None:
    completion = Completion(critique_text([3, 7.5]))
    assert verdict_of(completion, Target(2, best=(1,), decimals=label), argument).right == right
    if argument is None:
        target = Target.from_json(Target(2, best=(1,), decimals=label).to_json())
        assert verdict_of(completion, target).right == right


def test_labels_written_before_decimals_read_as_before() -> None:
    assert PAIR.to_json() == '{"n": 2, "best": [1]}'
    assert Target.from_json('{"n": 2, "best": [1]}').decimals == "reject"
    assert Target(1, label=1, decimals="accept").to_json() == '{"n": 1, "label": 1, "decimals": "accept"}'


@pytest.mark.parametrize(
    ("n", "rest", "words"),
    [
        (2, {}, "need best"),
        (2, {"best": (2,)}, "no proper part"),
        (2, {"best": (-1,)}, "no proper part"),
        (2, {"best": (0, 1)}, "no proper part"),
        (2, {"label": 1}, "need best"),
        (1, {}, "needs label 0 or 1"),
        (1, {"label": 2}, "needs label 0 or 1"),
        (1, {"best": (0,)}, "needs label 0 or 1"),
        (0, {}, "at least one"),
        (2, {"best": (1,), "decimals": "some"}, "reject or accept"),
        (2, {"best": (1,), "decimals": True}, "reject or accept"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(n: int, rest: Any, words: str) -> None:
    with pytest.raises(WireError, match=words):
        Target(n, **rest)


@pytest.mark.parametrize(
    "target", [PAIR, Target(4, best=(0, 3)), Target(1, label=0), Target(2, (0,), decimals="accept")]
)
def test_labels_survive_json(target: Target) -> None:
    assert Target.from_json(target.to_json()) == target


@pytest.mark.parametrize(
    "text", ["", "42", "the sky is blue", '{"best": [1]}', '{"n": "x"}', "[]", '{"n": 2, "best": 1}']
)
def test_a_foreign_label_is_named(text: str) -> None:
    with pytest.raises(WireError, match=r"none of `grm-plugin spct rl-data`"):
        Target.from_json(text)


class TestOpenRLHF:
    """The file as OpenRLHF loads it: by path."""

    @pytest.fixture
    def reward_func(self) -> Any:
        path = ROOT / "integrations/openrlhf/spct_reward.py"
        spec = importlib.util.spec_from_file_location("reward_func", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.reward_func

    def test_one_sample_gives_plain_floats(self, reward_func: Any) -> None:
        prompt = "<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\n"
        query = f"{prompt}{critique_text([2, 9])}<|im_end|>"
        assert reward_func([query], [prompt], [PAIR.to_json()]) == {
            "rewards": 1.0,
            "scores": 1.0,
            "extra_logs": {"spct_right": 1.0, "spct_parsed": 1.0, "spct_tie": 0.0},
        }

    @pytest.mark.parametrize(
        ("text", "reward", "parsed", "tie"),
        [(critique_text([9, 2]), -1, 1, 0), (critique_text([5, 5]), -1, 1, 1), ("nothing", -1, 0, 0)],
        ids=["wrong", "tie", "nothing"],
    )
    def test_what_is_not_right(self, reward_func: Any, text: str, reward: float, parsed: float, tie: float) -> None:
        reply = reward_func([f"P{text}"], ["P"], [PAIR.to_json()])
        assert (reply["rewards"], reply["scores"]) == (reward, 0)
        assert reply["extra_logs"] == {"spct_right": 0, "spct_parsed": parsed, "spct_tie": tie}

    def test_scores_in_the_prompt_do_not_count(self, reward_func: Any) -> None:
        prompt = f"[begin of response 1]\n{critique_text([1, 10])}\n[end of response 1]"
        assert reward_func([f"{prompt}I cannot say."], [prompt], [PAIR.to_json()])["rewards"] == -1

    @pytest.mark.parametrize(
        ("opening", "end"),
        [
            ("<|im_start|>assistant\n", "<|im_end|>"),
            ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
            ("<start_of_turn>model\n", "<end_of_turn>"),
            ("[/INST]", "</s>"),
            ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
            ("[|assistant|]", "[|endofturn|]"),
            ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
            ("<|assistant|>\n", "<|user|>"),
        ],
    )
    def test_a_critique_without_its_end_token_was_cut(self, reward_func: Any, opening: str, end: str) -> None:
        # DeepSeek-V2's template opens the model's turn without a token, but begins with one.
        prompt = f"{opening}Which is better?\n\nAssistant:" if "begin" in opening else f"Which is better?\n{opening}"
        for text in (critique_text([2, 9]), f"{critique_text([2, 9])}\nAnd I could go on, since there is al"):
            assert reward_func([f"{prompt}{text}{end}"], [prompt], [PAIR.to_json()])["rewards"] == 1
            cut = reward_func([f"{prompt}{text}"], [prompt], [PAIR.to_json()])
            assert cut["rewards"] == -1
            assert cut["extra_logs"] == {"spct_right": 0, "spct_parsed": 0, "spct_tie": 0}

    def test_after_a_prompt_without_a_template_nobody_can_tell(self, reward_func: Any) -> None:
        prompt = "Which <b>one</b> is better? Write: Scores: \\boxed{x, x}\nASSISTANT:"
        assert reward_func([f"{prompt}{critique_text([2, 9])}"], [prompt], [PAIR.to_json()])["rewards"] == 1

    def test_decimals_count_where_the_label_says_so(self, reward_func: Any) -> None:
        target = Target(2, best=(0,), decimals="accept")
        query = "P" + critique_text([7.5, 3])
        assert reward_func([query], ["P"], [target.to_json()])["rewards"] == 1
        assert reward_func([query], ["P"], ['{"n": 2, "best": [0]}'])["rewards"] == -1

    def test_several_samples_are_told_and_logged(self, reward_func: Any, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(GroupError, match="2 samples in one call"):
            reward_func(["Pa", "Pb"], ["P", "P"], [PAIR.to_json()] * 2)
        assert "no reward" in caplog.text

    def test_a_missing_label_is_told_and_logged(self, reward_func: Any, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(WireError, match=r"--data\.label_key label"):
            reward_func(["Pc"], ["P"], [""])
        assert "no reward" in caplog.text


class TestTRL:
    def test_texts_and_messages(self) -> None:
        right, wrong = critique_text([2, 9]), critique_text([9, 2])
        labels = [PAIR.to_json()] * 2
        assert outcome_reward([right, wrong], label=labels, id=["a", "b"]) == [1.0, -1.0]
        chats = [[{"role": "assistant", "content": text}] for text in (right, wrong)]
        assert outcome_reward(chats, label=labels, prompts=["p", "p"]) == [1.0, -1.0]

    @pytest.mark.parametrize(
        ("completion_ids", "rewards"),
        [
            ([[5, 6, 2], [5, 6, 7, 8]], [1, -1]),  # 2 ended the one that is shorter, 8 is not 2
            ([[5, 6, 7, 2], [5, 6, 7, 8]], [1, 1]),  # both are of the same length: nobody can tell
            ([[5, 6, 2], [5, 6, 7, 2]], [1, 1]),
            ([[5, 2], []], [1, 1]),
            (None, [1, 1]),
        ],
    )
    def test_a_critique_that_was_cut(self, completion_ids: Any, rewards: list[float]) -> None:
        right, labels = critique_text([2, 9]), [PAIR.to_json()] * 2
        assert outcome_reward([right, right], label=labels, completion_ids=completion_ids) == rewards

    def test_the_trainer_knows_its_end_tokens(self) -> None:
        class Trainer:
            eos_token_ids = (2, 3)

            def log_metric(self, name: str, value: float) -> None: ...

        right, labels = critique_text([2, 9]), [PAIR.to_json()] * 3
        ids = [[5, 6, 2], [5, 6, 3], [5, 6, 7]]
        logs = Trainer().log_metric
        assert outcome_reward([right] * 3, label=labels, completion_ids=ids, log_metric=logs) == [1, 1, -1]

    def test_decimals_count_where_the_label_says_so(self) -> None:
        labels = [Target(2, best=(0,), decimals=decimals).to_json() for decimals in ("accept", "reject")]
        assert outcome_reward([critique_text([7.5, 3])] * 2, label=labels) == [1, -1]

    def test_mistakes_are_named(self) -> None:
        with pytest.raises(ConfigError, match="no column label"):
            outcome_reward(["text"])
        with pytest.raises(GroupError, match="must be a text"):
            outcome_reward([[{"role": "assistant"}]], label=[PAIR.to_json()])
        with pytest.raises(WireError, match="rl-data"):
            outcome_reward(["text"], label=[json.dumps({"best": 1})])
