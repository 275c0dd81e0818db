"""Reads the service's replies, and checks every number in them: a trainer would take any."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from grm_plugin._util.http_calls import Reply
from grm_plugin.errors import ServiceError, WireError
from grm_plugin.judging.fallback import CRITERION_KEY, LOG_KEYS
from grm_plugin.wire.field_errors import explain
from grm_plugin.wire.schemas import Number, SampleReply, ScoreReply, WireGroup, WireJudgement

_NUMBER: TypeAdapter[float] = TypeAdapter(Number)


def is_away(reply: Reply) -> bool:
    """Whether the service was away: a 503, or a 5xx or 404 in plain text, which comes from a proxy in front of it."""
    is_json = reply.headers.get("Content-Type", "").startswith("application/json")
    return reply.status == 503 or (not is_json and (500 <= reply.status < 600 or reply.status == 404))


def read_judgements(reply: Reply, groups: Sequence[WireGroup]) -> list[WireJudgement]:
    """One judgement of each group, with a reward of each response.

    Raises:
        ServiceError: the service has failed.
        WireError: it refuses the groups, or answers with something else.
    """
    _check(reply)
    try:
        judgements = ScoreReply.model_validate_json(reply.body).judgements
    except ValidationError as error:
        raise _strange(reply, f"{error.error_count()} fields, first {error.errors()[0]['loc']}") from None
    got = [len(judgement.rewards) for judgement in judgements]
    asked = [len(group.responses) for group in groups]
    if got != asked:
        raise WireError(f"the service must give rewards for groups of {asked} responses, and gave {got}: see its log")
    return judgements


def read_number(reply: Reply) -> float:
    """A finite number. Raises as `read_judgements`."""
    _check(reply)
    try:
        return _NUMBER.validate_json(reply.body)
    except ValidationError as error:
        raise _strange(reply, error.errors()[0]["msg"]) from None


def read_sample(reply: Reply) -> SampleReply:
    """A finite reward with all log values, in the order of `LOG_KEYS`, then those of criteria, and no others. Raises as
    `read_judgements`."""
    _check(reply)
    try:
        sample = SampleReply.model_validate_json(reply.body)
        criteria = [key for key in sample.logs if key.startswith(CRITERION_KEY)]
        logs = {key: sample.logs[key] for key in (*LOG_KEYS, *criteria)}
    except ValidationError as error:
        raise _strange(reply, f"{error.error_count()} fields, first {error.errors()[0]['loc']}") from None
    except KeyError as error:
        raise _strange(reply, f"no log value {error}") from None
    return sample.model_copy(update={"logs": logs})


def read_verdict(reply: Reply) -> dict[str, Any]:
    """A NeMo-Gym rollout with a finite `reward` and `mask_sample`. Raises as `read_judgements`."""
    _check(reply)
    try:
        verdict = dict(json.loads(reply.body))
        verdict["reward"] = _NUMBER.validate_python(verdict["reward"])
        if not isinstance(verdict["mask_sample"], bool):
            raise TypeError("mask_sample is neither true nor false")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _strange(reply, f"{type(error).__name__}: {error}"[:200]) from None
    return verdict


def what_is_wrong(reply: Reply) -> str:
    """What the server says is wrong: a text, or a list of fields with what is wrong with each."""
    try:
        said = json.loads(reply.body)["detail"]
        return explain(said) if isinstance(said, list) else str(said)
    except (ValueError, KeyError, TypeError, RecursionError):
        return reply.body.decode(errors="replace")[:500] or "(no text)"


def knows_no_detail(reply: Reply) -> bool:
    """Whether a service of an older version refuses the field `detail` of a request, as all that it does not know."""
    return reply.status == 422 and "body.detail: Extra inputs" in what_is_wrong(reply)


def _check(reply: Reply) -> None:
    if 400 <= reply.status < 500:
        raise WireError(f"{reply.url} rejects the request: {what_is_wrong(reply)}")
    if not reply.is_success:
        raise ServiceError(f"{reply.url} failed with {reply.status}: {what_is_wrong(reply)}")


def _strange(reply: Reply, problem: str) -> WireError:
    return WireError(
        f"{reply.url} answers what this version of grm_plugin does not understand ({problem}); install the same "
        "version on both sides"
    )
