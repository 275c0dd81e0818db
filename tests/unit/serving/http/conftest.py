"""What the tests of the HTTP routes share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.factories import by_number, make_config, scoring


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose GRM scores a response by the number in it."""
    service = RewardService(make_config(sampling__k=1), scoring(by_number))
    transport = httpx.ASGITransport(create_app(lambda: service))
    async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=10) as client:
        yield client
