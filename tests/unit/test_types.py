import dataclasses
import pickle
from typing import Any

import pytest

from grm_plugin import types
from grm_plugin.errors import GroupError
from grm_plugin.types import (
    AnswerLine,
    Completion,
    Criterion,
    CriterionReward,
    Group,
    Judgement,
    ListJudgement,
    Message,
    Prompt,
    Reward,
    RuleScore,
    Sample,
    Sampling,
    Scores,
    Unparsed,
    UnparsedReason,
    Vote,
)
from support.factories import make_critique, make_group

CRITIQUE = make_critique(8.0, 5.0, meta=0.5)
LOST = Unparsed(UnparsedReason.TIMEOUT)
VOTE = Vote((8.0,), 8.0, 8.0, 0.0)
LIST = ListJudgement((0, 1), (VOTE, None), (CRITIQUE,), (LOST,), (0, 3))
CARRIERS = [
    Message("user", "hi"),
    Sample((Message("user", "hi"),), "yes", reference="r"),
    make_group("a", "b"),
    Prompt((Message("user", "hi"),), (1, 0)),
    Criterion("right", "Is it right?", 2.0),
    CriterionReward("right", 7.5, 0.5, 8, 0.7),
    RuleScore(0.5),
    Sampling(n=2, temperature=0.5, top_p=1.0, max_tokens=9),
    Completion("text", tokens=3),
    AnswerLine("Scores: [", "]", 12),
    LOST,
    Scores((1.0,), "p", "a"),
    CRITIQUE,
    VOTE,
    Reward(0.5, "ok", mean=5.5),
    LIST,
    Judgement(make_group("a", "b"), (Reward(None, "no_votes"),), (LIST,)),
]


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: type(carrier).__name__)
def test_carriers_pickle_and_are_frozen(carrier: object) -> None:
    assert pickle.loads(pickle.dumps(carrier)) == carrier
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(carrier, dataclasses.fields(carrier)[0].name, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("conversation", "responses", "words"),
    [
        ((Message("user", "hi"),), "abc", "responses is one text: give a tuple of texts"),
        ("hi", ("a",), "conversation must be a tuple of Message, not str"),
        (({"role": "user", "content": "hi"},), ("a",), "conversation must be a tuple of Message, not dict"),
    ],
)
def test_a_group_is_not_made_of_letters(conversation: Any, responses: Any, words: str) -> None:
    with pytest.raises(GroupError, match=words):
        Group(conversation, responses)


def test_no_carrier_is_missing_above() -> None:
    defined = {name for name, kind in vars(types).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert defined == {type(carrier).__name__ for carrier in CARRIERS}
