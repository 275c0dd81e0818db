"""Reads the service's replies, and checks every number in them: a trainer would take any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from grm_plugin.errors import ServiceError, WireError
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.wire.schemas import Number, SampleReply, ScoreReply, WireGroup, WireJudgement

_NUMBER: TypeAdapter[float] = TypeAdapter(Number)


def is_away(response: httpx.Response) -> bool:
    """Whether the service was away: a 503, or a 5xx or 404 in plain text, which comes from a proxy in front of it."""
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    return response.status_code == 503 or (not is_json and (response.is_server_error or response.status_code == 404))


def read_judgements(response: httpx.Response, groups: Sequence[WireGroup]) -> list[WireJudgement]:
    """One judgement of each group, with a reward of each response.

    Raises:
        ServiceError: the service has failed.
        WireError: it refuses the groups, or answers with something else.
    """
    _check(response)
    try:
        judgements = ScoreReply.model_validate_json(response.content).judgements
    except ValidationError as error:
        raise _strange(response, f"{error.error_count()} fields, first {error.errors()[0]['loc']}") from None
    got = [len(judgement.rewards) for judgement in judgements]
    asked = [len(group.responses) for group in groups]
    if got != asked:
        raise WireError(f"the service must give rewards for groups of {asked} responses, and gave {got}: see its log")
    return judgements


def read_number(response: httpx.Response) -> float:
    """A finite number. Raises as `read_judgements`."""
    _check(response)
    try:
        return _NUMBER.validate_json(response.content)
    except ValidationError as error:
        raise _strange(response, error.errors()[0]["msg"]) from None


def read_sample(response: httpx.Response) -> SampleReply:
    """A finite reward with all log values, in the order of `LOG_KEYS`, and no others. Raises as `read_judgements`."""
    _check(response)
    try:
        reply = SampleReply.model_validate_json(response.content)
        logs = {key: reply.logs[key] for key in LOG_KEYS}
    except ValidationError as error:
        raise _strange(response, f"{error.error_count()} fields, first {error.errors()[0]['loc']}") from None
    except KeyError as error:
        raise _strange(response, f"no log value {error}") from None
    return reply.model_copy(update={"logs": logs})


def read_verdict(response: httpx.Response) -> dict[str, Any]:
    """A NeMo-Gym rollout with a finite `reward` and `mask_sample`. Raises as `read_judgements`."""
    _check(response)
    try:
        reply = dict(response.json())
        reply["reward"] = _NUMBER.validate_python(reply["reward"])
        if not isinstance(reply["mask_sample"], bool):
            raise TypeError("mask_sample is neither true nor false")
    except (ValueError, KeyError, TypeError) as error:
        raise _strange(response, f"{type(error).__name__}: {error}"[:200]) from None
    return reply


def what_is_wrong(response: httpx.Response) -> str:
    """What the server says is wrong: a text, or a list of fields with what is wrong with each."""
    try:
        said = response.json()["detail"]
        return explain(said) if isinstance(said, list) else str(said)
    except (ValueError, KeyError, TypeError):
        return response.text[:500] or "(no text)"


def knows_no_detail(response: httpx.Response) -> bool:
    """Whether a service of an older version refuses the field `detail` of a request, as all that it does not know."""
    return response.status_code == 422 and "body.detail: Extra inputs" in what_is_wrong(response)


def explain(errors: Sequence[Mapping[str, Any]], where: str = "") -> str:
    """pydantic's errors in one line, each with its field; `where` stands before it."""
    return "; ".join(f"{where}{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in errors)


def _check(response: httpx.Response) -> None:
    if response.is_client_error:
        raise WireError(f"{response.url} rejects the request: {what_is_wrong(response)}")
    if not response.is_success:
        raise ServiceError(f"{response.url} failed with {response.status_code}: {what_is_wrong(response)}")


def _strange(response: httpx.Response, problem: str) -> WireError:
    return WireError(
        f"{response.url} answers what this version of grm_plugin does not understand ({problem}); install the same "
        "version on both sides"
    )
