import json
import re
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.config import FailureConfig
from grm_plugin.trace.stored_trace import (
    INDEXED_CHARS,
    PREVIEW_CHARS,
    Entry,
    Trace,
    pack,
    position_bias,
    searchable,
    settled_or_empty,
    spaced,
    summary_row,
    unpack,
    unpack_json,
)
from grm_plugin.types import Critique, Judgement, ListJudgement
from support.factories import make_config, make_critique, make_group
from support.paths import ROOT
from support.trace_factories import judged, silent

POLICY = FailureConfig()


def row(judgement: Judgement, policy: FailureConfig = POLICY) -> dict[str, object]:
    return summary_row(Entry(5.0, "grm", judgement), settled_or_empty(judgement, policy))


def voting(*critiques: Critique) -> ListJudgement:
    n = len(critiques[0].scores)
    return ListJudgement(tuple(range(n)), (None,) * n, critiques, (), (0,) * n)


def test_what_is_packed_comes_back_whole() -> None:
    judgement = judged("3", "it is 10", " ")
    trace = Trace(judgement, settled_or_empty(judgement, POLICY))
    assert unpack(pack(trace)) == trace
    assert json.loads(unpack_json(pack(trace)))["judgement"]["group"]["responses"] == ["3", "it is 10", " "]


def test_the_json_is_that_of_0_1_0() -> None:
    """`unit_mean` was `unit` then, and exports still call it so. `same_as` is new, how votes ended, and criteria."""
    store = ROOT / "tests" / "unit" / "written_by_0_1_0" / "traces.db"
    connection = sqlite3.connect(f"{store.as_uri()}?mode=ro&immutable=1", uri=True)
    bodies = [body for (body,) in connection.execute("SELECT body FROM bodies")]
    connection.close()
    assert bodies
    for body in bodies:
        trace = unpack(body)
        assert all(reward.unit_mean is not None for reward in trace.judgement.rewards)
        new = rb',"(same_as|reliability|length_corr)":null|,"rounds":\d|,"stopped":"all"|,"\w*forced\w*":(0|false|"")'
        criteria = rb',"(criteria|by_criterion)":\[\]|,"(source|principles)":null'
        modes = rb',"votes_tiebreak":0|,"purpose":"votes"'
        assert re.sub(b"|".join((new, criteria, modes)), b"", unpack_json(pack(trace))) == unpack_json(body)


@given(st.text(st.characters(), max_size=30))
def test_any_text_can_be_packed(text: str) -> None:
    trace = Trace(Judgement(make_group(text), ()), ())
    (kept,) = unpack(pack(trace)).judgement.group.responses
    assert kept == "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def test_the_row_of_a_group() -> None:
    config = make_config()
    assert config.normalize.method == "unit"
    found = row(judged("1", "10", question="  How\nmany? "))
    assert (found["reward_min"], found["reward_max"], found["reward_mean"]) == (0, 1, 0.5)
    assert (found["asked"], found["parsed"], found["kept"], found["fallbacks"]) == (2, 2, 2, 0)
    assert (found["spread"], found["preview"], found["responses"], found["time"]) == (0, "How many?", 2, 5.0)
    assert found["bias"] == "[0.0000,0.0000]"


def test_the_row_of_a_group_without_votes_holds_what_the_trainer_got() -> None:
    judgement = judged("1", "2", generator=silent())
    found = row(judgement, FailureConfig(constant=0.25))
    assert (found["reward_min"], found["reward_max"], found["fallbacks"]) == (0.25, 0.25, 2)
    # Two critiques of the pair, and, as neither can be read, one of each response alone.
    assert (found["asked"], found["parsed"], found["spread"], found["bias"]) == (4, 0, None, None)


def test_a_refused_reward_is_none() -> None:
    judgement = judged("1", generator=silent())
    refused = FailureConfig(policy="raise")
    assert settled_or_empty(judgement, refused) == ()
    assert row(judgement, refused)["reward_mean"] is None


def test_a_preview_is_short_and_storable() -> None:
    preview = row(judged("1", question="\ud800\0" + "x" * 10_000_000))["preview"]
    assert preview == "\ufffd " + "x" * (PREVIEW_CHARS - 2)


def test_position_bias_is_what_a_place_wins_over_the_response_that_stands_there() -> None:
    # Response 0 gets 8 when shown first and 6 when shown second; response 1 gets 4 and 2.
    first = replace(make_critique(8, 2), order=(0, 1))
    second = replace(make_critique(6, 4), order=(1, 0))
    assert position_bias((voting(first, second),)) == [1, -1]


def test_position_bias_needs_two_responses() -> None:
    assert position_bias((voting(make_critique(8)),)) == []
    assert position_bias(()) == []


def test_only_the_start_of_a_huge_text_is_searchable() -> None:
    text = searchable(judged("7 " + "x" * 100_000 + " needle"))
    assert len(text) < 5 * INDEXED_CHARS
    assert "needle" not in text


@pytest.mark.parametrize(("text", "expected"), [("光合作", "光  合  作"), ("plain text", "plain text")])
def test_unspaced_scripts_are_split(text: str, expected: str) -> None:
    assert spaced(text).strip() == expected
