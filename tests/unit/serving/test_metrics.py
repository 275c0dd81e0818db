import json
import re
from dataclasses import fields
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from grm_plugin.engines.fake import FakeMetaRM
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.metrics import COUNTER_METRICS
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.schemas import GetRewardRequest, ScoreRequest
from support.factories import Scripted, by_number, completions, make_config, make_group, responses_shown, scoring
from support.paths import ROOT

DASHBOARD = ROOT / "examples" / "grafana" / "grm_plugin.json"
GROUP = ScoreRequest.model_validate({"groups": [{"prompt": "How many?", "responses": ["4", "10", " "]}]})


def samples(service: RewardService) -> dict[str, float]:
    """`name{labels}` -> value, as Prometheus reads them."""
    text = service.metrics.exposition()[0].decode()
    return {
        sample.name + "".join(f"{{{label}}}" for label in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def half_readable(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    good = completions([by_number(response) for response in responses_shown(prompt)], tokens=10)
    return [*good, Completion("no box", tokens=10)][: sampling.n]


async def test_tiebreaks_are_counted_and_travel_with_the_rewards() -> None:
    service = RewardService(make_config(sampling__k=2, judge__mode="tiebreak"), scoring(lambda _: 5))
    group = ScoreRequest.model_validate({"groups": [{"prompt": "How many?", "responses": ["a", "b", "c"]}]})
    (judgement,) = (await service.judge_groups(group)).judgements
    assert [reward.votes_tiebreak for reward in judgement.rewards] == [2, 4, 2]
    assert [reward.votes_asked for reward in judgement.rewards] == [4, 6, 4]
    seen = samples(service)
    assert (seen["grm_tiebreak_votes_total"], seen["grm_votes_asked_total"]) == (4, 6)


async def test_totals_of_a_scored_group() -> None:
    meta_rm = FakeMetaRM(lambda conversation: 0.5)
    config = make_config(sampling__k=2, sampling__orders=1, meta_rm={"model": "some/meta", "k_meta": 1})
    service = RewardService(config, Scripted(half_readable), meta_rm)
    await service.judge_groups(GROUP)
    seen = samples(service)
    expected = {
        "grm_requests_total": 1,
        "grm_samples_total": 3,
        "grm_groups_total": 1,
        "grm_votes_asked_total": 2,
        "grm_votes_parsed_total": 1,
        "grm_votes_kept_total": 1,
        "grm_votes_lost_total{no_scores}": 1,
        "grm_blank_responses_total": 1,
        "grm_tokens_total": 20,
        "grm_samples_waiting": 0,
        "grm_mean_score_count": 2,
        "grm_mean_score_sum": 14,
        "grm_stage_seconds_count{group}": 1,
        "grm_stage_seconds_count{grm}": 1,
        "grm_stage_seconds_count{meta_rm}": 1,
        "grm_stage_seconds_count{sample}": 0,
    }
    assert {name: seen[name] for name in expected} == expected
    assert not [name for name in seen if name.startswith("grm_fallbacks_total")]


async def test_why_votes_ended_how_reliable_they_are_and_whether_length_wins() -> None:
    service = RewardService(make_config(sampling__k=32, sampling__adaptive={}), scoring(by_number))
    await service.judge_groups(ScoreRequest.model_validate({"groups": [{"prompt": "?", "responses": ["9", "2!"]}]}))
    seen = samples(service)
    assert (seen["grm_lists_judged_total{winner}"], seen["grm_votes_asked_total"]) == (1, 8)
    assert seen["grm_reliability"] == 1.0
    assert seen["grm_length_corr"] == pytest.approx(-1.0)


async def test_fallbacks_by_reason() -> None:
    service = RewardService(make_config(sampling__k=2), Scripted(lambda prompt, sampling: []))
    await service.judge_groups(GROUP)
    seen = samples(service)
    assert seen["grm_fallbacks_total{engine}"] == 2, "the blank response has its reward"
    assert seen["grm_votes_lost_total{engine}"] == 2


async def test_a_sample_is_timed_from_its_arrival() -> None:
    service = RewardService(make_config(sampling__k=2), scoring(by_number))
    await service.get_reward(GetRewardRequest(query=["Q?7"], prompts=["Q?"]))
    assert samples(service)["grm_stage_seconds_count{sample}"] == 1


async def test_two_services_in_one_process_count_apart() -> None:
    services = [RewardService(make_config(sampling__k=2), scoring(by_number)) for _ in range(2)]
    await services[0].judge_groups(GROUP)
    assert [samples(service)["grm_groups_total"] for service in services] == [1, 0]


def test_every_counter_is_exported() -> None:
    assert set(COUNTER_METRICS) == {field.name for field in fields(Counters)} - {"fallbacks"}


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_the_endpoint(tmp_path: Path, accept: str) -> None:
    service = RewardService(make_config(trace__path=str(tmp_path / "a.db")), scoring(by_number))
    transport = httpx.ASGITransport(create_app(lambda: service))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        reply = await client.get("/metrics", headers={"Accept": accept})
    await service.close()
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("application/openmetrics-text" if accept else "text/plain")
    assert "grm_traces_written_total 0.0" in reply.text


def test_the_dashboard_names_metrics_that_exist(tmp_path: Path) -> None:
    service = RewardService(make_config(trace__path=str(tmp_path / "a.db")), scoring(by_number))
    service.metrics._fallbacks.labels("engine")
    service.metrics._unparsed.labels("engine")
    service.metrics.set_replicas({"Engine": {"RUNNING": 1}})
    exported = {re.sub(r"\{.*", "", name) for name in samples(service)}
    queries = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", ())
    ]
    named = {name for query in queries for name in re.findall(r"\bgrm_\w+", query)}
    assert len(named) > 15
    assert "grm_incomplete_groups_total" in named
    assert named <= exported


def test_a_state_that_no_replica_is_in_any_more_is_not_shown() -> None:
    service = RewardService(make_config(), scoring(by_number))
    service.metrics.set_replicas({"Engine": {"RUNNING": 2}, "MetaRM": {"STARTING": 1}})
    service.metrics.set_replicas({"Engine": {"RUNNING": 1, "DOWN": 1}})
    shown = {name: value for name, value in samples(service).items() if name.startswith("grm_replicas")}
    assert shown == {"grm_replicas{Engine}{RUNNING}": 1, "grm_replicas{Engine}{DOWN}": 1}


async def test_criteria_and_failed_rules_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rules.py").write_text("def short(response):\n    return {'7': 0.5}[response]\n")
    rule = {"name": "short", "kind": "rule", "function": f"{tmp_path}/rules.py:short"}
    service = RewardService(make_config(judge__criteria=[rule]), scoring(by_number))
    try:
        await service.judge.judge([make_group("7", "secret 4")])
        text = service.metrics.exposition()[0].decode()
    finally:
        await service.drain()
    assert 'grm_criterion_mean_score_count{criterion="short"} 1.0' in text
    assert 'grm_rule_failures_total{criterion="short"} 1.0' in text
    assert "the rule 'short' has no number" in caplog.text
    assert "secret" not in caplog.text
