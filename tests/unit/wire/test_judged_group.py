"""A judged group: printed best first, turned into a dict, and never a score where there is none."""

from __future__ import annotations

import json
from typing import Any

from grm_plugin.wire.group_forms import group_of
from grm_plugin.wire.judged_group import JudgedGroup
from grm_plugin.wire.schemas import WireCritique, WireJudgement, WireReward, WireUnparsed


def reward(value: float | None, mean: float | None = None, **rest: Any) -> WireReward:
    fields = {"value": value, "mean": mean, "spread": None if mean is None else 0.5, "settled": value or 0.0}
    kept = 0 if value is None else 2
    return WireReward(
        **{
            **fields, "unit": 0.5, "status": "ok" if kept else "no_votes", "total": None, "votes_asked": 2,
            "votes_parsed": kept, "votes_kept": kept, "meta": None, "tokens": 1, "cut": 0, **rest,
        }
    )  # fmt: skip


def critique(*scores: float, kept: bool = True) -> WireCritique:
    members = list(range(len(scores)))
    fields = {"text": "t", "principles": "p", "analysis": "a", "meta": None, "kept": kept}
    return WireCritique(members=members, scores=list(scores), order=members, **fields)


def judged(*responses: str, rewards: list[WireReward], prompt: str = "Which?", **rest: Any) -> JudgedGroup:
    parts = {"critiques": [], "unparsed": [], "latency_s": 1.0, **rest}
    return JudgedGroup.of(group_of(prompt, responses), WireJudgement(rewards=rewards, **parts))


def test_it_prints_best_first_with_the_votes_that_count() -> None:
    group = judged(
        "cats",
        "plum",
        "same cats",
        rewards=[reward(0.25, 3.5), reward(0.5, 5.5), reward(0.25, 3.5, same_as=0)],
        critiques=[critique(3, 5), critique(9, 9, kept=False), critique(4, 6)],
    )
    assert str(group).splitlines() == [
        "Which?",
        "    reward  mean  votes  response",
        "1.  0.5     5.5   5 6    [1] plum",
        "2.  0.25    3.5   3 4    [0] cats",
        "3.  0.25    3.5   3 4    [2] same cats",
    ]
    assert repr(group) == "<JudgedGroup 'Which?': rewards 0.25, 0.5, 0.25>"
    assert [response.index for response in group.responses] == [0, 1, 2]
    assert group.best
    assert (group.best.text, group.best.reward, group.best.votes) == ("plum", 0.5, (5, 6))


def test_no_vote_is_no_reward_and_never_the_best() -> None:
    lost = [WireUnparsed(reason="engine", detail="it\nhung", text="")]
    none = judged("a", "b", rewards=[reward(None), reward(None)], unparsed=lost)
    assert none.best is None
    assert [response.reward for response in none.responses] == [None, None]
    assert str(none).splitlines()[2:] == [
        "1.  none    none  0 of 2  [0] a",
        "2.  none    none  0 of 2  [1] b",
        "no reward: engine: it hung",
    ]
    some = judged("a", "b", rewards=[reward(None), reward(-2.0, 1.0)])
    assert [response.text for response in some.best_first] == ["b", "a"]
    assert "no reward" not in str(some)


def test_without_critiques_the_votes_are_counted() -> None:
    assert "2 of 2" in str(judged("a", rewards=[reward(1.0, 5.0)]))


def test_hostile_texts_stay_on_their_line_and_steer_no_terminal() -> None:
    evil = "\x1b[2J\u202e9.  1  10\n1.  99  first\r" + "x" * 100_000
    shown = str(judged(evil, " \u200b", rewards=[reward(1.0, 5.0), reward(0.0, 1.0)], prompt=evil)).splitlines()
    assert len(shown) == 4
    assert all(len(line) < 120 and line.isprintable() for line in shown)
    assert shown[3].endswith("[1] (nothing to be seen)")


def test_the_prompt_of_messages_is_the_last_one() -> None:
    group = group_of([("system", "Be short."), ("user", "Which?")], ["a"])
    empty = WireJudgement(rewards=[reward(1.0, 5.0)], critiques=[], unparsed=[], latency_s=0)
    assert JudgedGroup.of(group, empty).prompt == "Which?"


def test_the_dict_is_what_the_service_answers_and_the_texts() -> None:
    group = judged("a", "b", rewards=[reward(1.0, 4.0), reward(None)], critiques=[critique(3, 5)])
    found = json.loads(json.dumps(group.to_dict()))
    assert found["prompt"] == "Which?"
    assert [(row.pop("response"), row.pop("votes")) for row in found["rewards"]] == [("a", [3.0]), ("b", [5.0])]
    del found["prompt"]
    assert WireJudgement.model_validate(found) == WireJudgement(
        **dict(WireJudgement.model_validate(group.model_dump()))
    )
