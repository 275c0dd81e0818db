"""Judges one group with the configured engines, in a child process: that loads models, and can be ended if it hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from grm_plugin.batch.local_engines import running_engines
from grm_plugin.batch.lost_votes import advice, unread_rule
from grm_plugin.config import Config, TraceConfig, VLLMConfig, lone_response
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.errors import EngineError, GRMError
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import ScoreRequest, WireGroup, WireJudgement

QUESTION = "Name two colours."
RESPONSES = ("red and blue, which are two of the colours of many flags", "I do not know.")

JUDGED, FAILED = "dry run: ", "dry run failed: "
"""Starts of the line in which the child process tells its result; vLLM writes to standard output too."""


def loads_no_model(config: Config) -> bool:
    """Whether a dry run loads no model on this machine."""
    return not any(isinstance(model, VLLMConfig) for model in (config.engine, config.meta_rm))


def dry_run(config: Config) -> Finding:
    """Start the engines, judge one group of two responses, and end the engines.

    Takes at most service.ready_timeout_s + failure.deadline_s.
    """
    deadline_s = config.service.ready_timeout_s + config.failure.deadline_s
    command = [sys.executable, "-m", "grm_plugin.doctor.dry_run"]
    try:
        done = subprocess.run(
            command, input=config.model_dump_json(), capture_output=True, text=True, timeout=deadline_s, check=False
        )
    except subprocess.TimeoutExpired:
        return error("dry run", f"no reward within {deadline_s:g} s", "see service.ready_timeout_s")
    result = next((line for line in done.stdout.splitlines() if line.startswith((JUDGED, FAILED))), "")
    if result.startswith(JUDGED):
        return dry_run_finding(WireJudgement.model_validate_json(result.removeprefix(JUDGED)), config)
    ended = f"it ended with status {done.returncode}: {done.stderr.strip()[-500:]}"
    return error("dry run", result.removeprefix(FAILED) or ended)


def dry_run_finding(judgement: WireJudgement, config: Config) -> Finding:
    """What the judgement of the one group says about the configuration."""
    asked, read = judgement.rewards[0].votes_asked, judgement.rewards[0].votes_parsed
    took = f"{read} of {asked} votes read in {judgement.latency_s:.1f} s"
    lost = "; ".join(sorted({f"{vote.reason} {vote.detail}".strip() for vote in judgement.unparsed}))[:300]
    fix = unread_rule(config) or advice(vote.reason for vote in judgement.unparsed)
    if not read:
        return error("dry run", f"{took}: {lost}", fix)
    rewards = "rewards " + ", ".join(f"{reward.settled:.3g}" for reward in judgement.rewards)
    if lone_response(config.normalize.method, config.group.n):
        # Of two responses that were sent together: samples that come one by one would get none (see `check_group`).
        rewards = "mean votes " + ", ".join(f"{reward.mean:.3g}" for reward in judgement.rewards if reward.mean)
    if read < asked:
        return warning("dry run", f"{took}, {rewards}; lost: {lost}", fix)
    return ok("dry run", f"{took}, {rewards}")


async def _judge(config: Config) -> WireJudgement:
    # The dry run must leave nothing in the job's traces and statistics.
    normalize = config.normalize.model_copy(update={"state_path": None})
    one_each = {
        name: model.model_copy(update={"replicas": 1})
        for name, model in (("engine", config.engine), ("meta_rm", config.meta_rm))
        if isinstance(model, VLLMConfig)
    }
    config = config.model_copy(update={"trace": TraceConfig(), "normalize": normalize, **one_each})
    group = WireGroup(messages=[{"role": "user", "content": QUESTION}], responses=list(RESPONSES))
    with running_engines(config) as models:
        service = RewardService(config, *models)
        (judgement,) = (await service.judge_groups(ScoreRequest(groups=[group]))).judgements
        if any(reward.meta_failed for reward in judgement.rewards):
            raise EngineError(await service.problem() or "the meta RM did not rate the critiques, see its log")
        return judgement


if __name__ == "__main__":
    try:
        judged = asyncio.run(_judge(Config.model_validate_json(sys.stdin.read())))
    except GRMError as problem:
        print(f"{FAILED}{' '.join(str(problem).split())}", flush=True)
    else:
        print(f"{JUDGED}{judged.model_dump_json()}", flush=True)
