"""What verl's configuration, or the environment, says about the GRM.

    +reward.reward_kwargs.grm.url=http://HOST:8790

Without a `url` the environment's GRM_URL is taken, which Ray's workers must see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from grm_plugin.client import MARGIN_S, Client
from grm_plugin.config import FailureConfig, Section
from grm_plugin.errors import ConfigError
from grm_plugin.wire.field_errors import explain
from grm_plugin.wire.ready import FEWEST_GROUPS_IN_FLIGHT, Ready

WHERE = "reward.reward_kwargs.grm"
"""Where verl's configuration holds the section."""


class GRMSettings(Section):
    """The section `grm` of verl's reward_kwargs."""

    url: str = Field(pattern=r"^https?://.")
    """Address of the service, http://HOST:PORT."""
    wait_s: float = Field(default=600.0, gt=0)
    """Longest wait for siblings that still generate, from the arrival of a group's first sample; then the samples that
    have arrived are judged."""
    failure: FailureConfig = FailureConfig()
    """What samples get while the service is down, or refuses because its own policy is `raise`. What is not set here
    is as in the service's own `failure` section; `deadline_s` always is."""
    max_concurrency: int = Field(default=FEWEST_GROUPS_IN_FLIGHT, ge=1)
    """Groups in flight; where it is not set, as many as keep the GRM's replicas busy."""

    def client(self) -> Client:
        """A client of the service, as these settings want it."""
        return Client(self.url, self.failure.deadline_s + MARGIN_S, self.max_concurrency)

    def completed(self, service: Ready, n: int) -> GRMSettings:
        """These settings with what the service, asked for groups of n, says about the keys that are not set."""
        found = {"max_concurrency": service.groups_in_flight(n)} | self.model_dump(exclude_unset=True)
        return GRMSettings.model_validate(found | {"failure": service.failure(self.failure)})


def read_settings(section: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None) -> GRMSettings:
    """The settings in `section` (of verl's configuration, at `WHERE`) and in the environment (None: ours).

    Raises:
        ConfigError: a key or value is wrong, or nothing says where the service is.
    """
    values: dict[str, Any] = json.loads(json.dumps(section or {}, default=dict))  # OmegaConf's containers as plain ones
    environ = os.environ if environ is None else environ
    if "url" not in values and environ.get("GRM_URL"):
        values["url"] = environ["GRM_URL"]
    if "url" not in values:
        raise ConfigError(
            f"verl does not know its GRM service: add +{WHERE}.url=http://HOST:PORT to its command line, or set "
            "GRM_URL where Ray's workers see it"
        )
    try:
        return GRMSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error.errors(), f"{WHERE}.")) from None
