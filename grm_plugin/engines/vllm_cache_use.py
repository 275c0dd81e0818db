"""How full vLLM's KV cache is, as its engine tells with every step."""

from __future__ import annotations

from typing import Any


class CacheUse:
    """A logger of vLLM's statistics that keeps the last use of the KV cache; called, it is the factory of itself.

    vLLM's `StatLoggerBase` names the methods. It says that its statistics may change, so nothing but this one is read.
    """

    def __init__(self) -> None:
        self.share: float | None = None
        """0 to 1; None while vLLM has not said."""

    def __call__(self, *_: Any) -> CacheUse:
        return self

    def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
        """Called by vLLM for each step of its engine."""
        self.share = getattr(scheduler_stats, "kv_cache_usage", self.share)

    def log_engine_initialized(self) -> None:
        """Called by vLLM; there is nothing to tell."""

    def log(self) -> None:
        """Called by vLLM; there is nothing to tell."""

    def record_sleep_state(self, *_: Any) -> None:
        """Called by vLLM; this engine does not sleep."""
