"""The environment's proxy: never before a server that is near, and named where it stands between."""

from __future__ import annotations

import socket

import pytest

from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai import OpenAIEngine
from grm_plugin.engines.proxies import is_near, proxy_variable
from grm_plugin.errors import EngineError
from grm_plugin.types import Message, Prompt, Sampling
from support.chat_server import Server

PROMPT = Prompt((Message("user", "Name three colours."),), (0,))
ONE = Sampling(n=1, temperature=0.5, top_p=1.0, max_tokens=8)
VARIABLES = [name for kind in ("HTTP", "HTTPS", "ALL", "NO") for name in (f"{kind}_PROXY", f"{kind}_proxy".lower())]


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 0)


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.0.0.1:8001/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://localhost:8001/v1", True),
        ("http://LOCALHOST./v1", True),
        ("https://grm.localhost/v1", True),
        ("http://[::1]:8001/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://[fe80::1%25eth0]/v1", True),
        ("http://0.0.0.0:8001/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://172.16.0.9/v1", True),
        ("http://192.168.1.7/v1", True),
        ("http://169.254.1.1/v1", True),
        ("http://100.64.0.1/v1", True),
        ("http://[fd00::7]/v1", True),
        ("http://gpu-node-3:8001/v1", True),
        ("https://8.8.8.8/v1", False),
        ("https://[2001:4860:4860::8888]/v1", False),
        ("https://api.example.com/v1", False),
        ("https://10.1.2.3.example.com/v1", False),
        ("https://localhost.example.com/v1", False),
        ("https://user:127.0.0.1@api.example.com/v1", False),
    ],
)
def test_who_is_near(url: str, near: bool) -> None:
    assert is_near(url) is near


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http", "socks5"])
async def test_a_server_of_this_machine_is_asked_directly(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str, nobody: str
) -> None:
    monkeypatch.setenv(variable, f"{proxy}://{nobody}")
    assert await OpenAIEngine(OpenAIConfig(model="grm", base_url=address)).generate(PROMPT, ONE)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_that_does_not_get_through_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, nobody: str
) -> None:
    monkeypatch.setenv(variable, f"http://{nobody}")
    engine = OpenAIEngine(OpenAIConfig(model="grm", base_url="http://judge.example.com/v1"))
    with pytest.raises(EngineError, match=rf"the proxy in the environment variable {variable} .*NO_PROXY"):
        await engine.generate(PROMPT, ONE)


async def test_a_proxys_own_refusal_names_it(address: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of this test is the proxy: it knows no such host."""
    monkeypatch.setenv("HTTP_PROXY", address.removesuffix("/v1"))
    server.status = 502
    engine = OpenAIEngine(OpenAIConfig(model="grm", base_url="http://judge.example.com/v1"))
    with pytest.raises(EngineError, match="the proxy in the environment variable HTTP_PROXY"):
        await engine.generate(PROMPT, ONE)


@pytest.mark.parametrize(
    "proxy", ["gopher://proxy.example.com:1", "socks5://proxy.example.com:1", "http://", "http://a:b"]
)
async def test_a_proxy_that_is_none_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    engine = OpenAIEngine(OpenAIConfig(model="grm", base_url="http://judge.example.com/v1"))
    with pytest.raises(EngineError, match=r"no connection can be made.*ALL_PROXY"):
        await engine.generate(PROMPT, ONE)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"HTTP_PROXY": "http://p:1"}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "HTTPS_PROXY"),
        ({"https_proxy": "http://p:1", "ALL_PROXY": "http://p:1"}, "https_proxy"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "other.com"}, "ALL_PROXY"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, ""),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, ""),
        ({"HTTPS_PROXY": ""}, ""),
    ],
)
def test_which_variable_puts_a_proxy_before_a_server(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_variable("https://judge.example.com/v1") == expected
