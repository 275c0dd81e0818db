"""NeMo-Gym resources server: passes rollouts on to a GRM service, which judges each cohort (the rollouts of a prompt)
together.

Gym starts it from an `app.py` of two lines (examples/nemo/resources_servers/grm). Unlike Gym's own genrm_compare it
compares up to `judge.list_size` responses at a time, votes over k critiques, and waits for a cohort no longer than
`group.wait_s`. Written for nemo-gym 0.7.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import ConfigDict, Field

from grm_plugin.client import Client
from grm_plugin.errors import GRMError

try:
    from nemo_gym.base_resources_server import (
        BaseResourcesServerConfig,
        BaseVerifyRequest,
        BaseVerifyResponse,
        SimpleResourcesServer,
    )
    from nemo_gym.judge import JudgeError
except ImportError as error:
    raise ImportError(f"this needs nemo-gym (tested: 0.7.0; not 0.4): {error}") from error


class GRMResourcesServerConfig(BaseResourcesServerConfig):  # type: ignore[misc]
    """The server's section in Gym's configuration."""

    grm_url: str
    """`http://HOST:PORT` of the GRM service."""
    num_rollouts_per_prompt: int = Field(ge=1)
    """Size of a cohort."""
    timeout_s: float = Field(default=1800.0, gt=0)
    """Longest wait for one reward. Keep it above the service's `failure.deadline_s`."""


class GRMVerifyRequest(BaseVerifyRequest):  # type: ignore[misc]
    """A rollout with the task's own fields; `expected_answer` and `principle` are shown to the GRM."""

    model_config = ConfigDict(extra="allow")


class GRMVerifyResponse(BaseVerifyResponse):  # type: ignore[misc]
    """The rollout with `reward`, and the log values of the GRM in `grm`. Gym leaves out what has `mask_sample`."""

    model_config = ConfigDict(extra="allow")


class GRMResourcesServer(SimpleResourcesServer):  # type: ignore[misc]
    """`POST /verify` for Gym's agents."""

    config: GRMResourcesServerConfig

    async def verify(self, body: GRMVerifyRequest) -> GRMVerifyResponse:
        """The reward of one rollout.

        Raises:
            JudgeError: the service failed; Gym makes of it a row that is left out (`mask_sample`).
        """
        rollout = body.model_dump(mode="json")
        try:
            reply: dict[str, Any] = await self._client.averify(rollout, self.config.num_rollouts_per_prompt)
        except GRMError as error:
            raise JudgeError(str(error)) from error
        verdict: GRMVerifyResponse = GRMVerifyResponse.model_validate(reply)
        return verdict

    @cached_property
    def _client(self) -> Client:
        return Client(self.config.grm_url, timeout_s=self.config.timeout_s)
