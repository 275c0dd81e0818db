"""The `openai` engine and its server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai import OpenAIEngine
from support.chat_server import Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = uvicorn.Server(uvicorn.Config(server.app(), log_level="warning"))
        thread = threading.Thread(target=host.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        host.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture
def engine(address: str) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(model="grm", base_url=address, max_concurrency=2))
