"""The client of a running service, and what the framework hooks share: replies, readiness, calls in flight."""

from __future__ import annotations

from grm_plugin.client.http_client import MARGIN_S, Client

__all__ = ["MARGIN_S", "Client"]
