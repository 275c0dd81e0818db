"""Errors, named after the boundary that was crossed.

    GRMError
    ├── ConfigError       a key or value of the configuration (names the key)
    ├── PromptError       a template, or a conversation that cannot be rendered
    ├── EngineError       the GRM or the meta RM did not answer, or answered with nothing
    │   ├── EngineTimeout   ... within its deadline
    │   ├── EngineRefusal   ... and will not, however often it is asked (a wrong key, a model that it does not have)
    │   └── PromptTooLong   the prompt leaves the model no room for a critique
    ├── GroupError        samples that cannot form a group (no response, too many, prompt is no prefix of the query)
    ├── RewardError       a reward is missing and `failure.policy` is `raise`
    ├── ServiceError      starting, finding or stopping the service (ports, GPUs, readiness)
    │   └── ServiceBusy     more is waiting than `service.max_waiting` allows; try again later
    ├── StoreError        a trace store that cannot be read or written
    │   └── DamagedStore    it is no trace store, or a broken one
    └── WireError         a request or reply that does not fit the HTTP schema

Unparsable critiques are no error: they are missing votes (`grm_plugin.types.Unparsed`).
Every error is built from one message string, so it pickles across Ray and process pools unchanged.
"""

from __future__ import annotations


class GRMError(Exception):
    """Base of everything this package raises on purpose. The message says what to do."""


class ConfigError(GRMError):
    """A configuration key or value is wrong."""


class PromptError(GRMError):
    """A prompt template cannot be loaded or rendered."""


class EngineError(GRMError):
    """The GRM or meta RM engine failed."""


class EngineTimeout(EngineError):
    """The engine did not answer in time."""


class EngineRefusal(EngineError):
    """The server of the engine refuses every request, until somebody changes the configuration or the server."""


class PromptTooLong(EngineError):
    """Prompt and critique do not fit into the model's context."""


class GroupError(GRMError):
    """Samples do not form a valid group."""


class RewardError(GRMError):
    """A reward could not be produced and the policy is `raise`."""


class ServiceError(GRMError):
    """The service cannot be started, reached or stopped."""


class ServiceBusy(ServiceError):
    """The service has as much work as it may hold."""


class StoreError(GRMError):
    """A trace store cannot be used."""


class DamagedStore(StoreError):
    """The file is no trace store, or a broken one."""


class WireError(GRMError):
    """A message on the wire does not fit the schema."""
