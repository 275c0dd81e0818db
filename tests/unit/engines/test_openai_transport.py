"""How the openai engine's requests travel: connections kept, lost and refused, replies in every form that HTTP has."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import logging
import resource
import warnings
from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.config import OpenAIConfig
from grm_plugin.engines import openai_retries, openai_transport
from grm_plugin.engines.openai import OpenAIEngine
from grm_plugin.errors import EngineError, EngineTimeout
from grm_plugin.types import Message, Prompt, Sampling
from support.certificates import write_certificate
from support.raw_server import (
    RawServer,
    answers,
    body_of,
    http,
    json_body,
    says,
    says_and_closes,
    says_and_resets,
)

PROMPT = Prompt((Message("user", "Name three colours."),), (0,))
ONE = Sampling(n=1, temperature=0.5, top_p=1.0, max_tokens=8)
CUT = http(json_body("one"))[:-10]
MANY = 2_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try more, after next to no pause; and a proxy of this machine does not matter."""
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 1)
    monkeypatch.setattr("grm_plugin.engines.openai.GARBAGE_PAUSE_S", 0.0)
    monkeypatch.setattr(openai_retries, "FIRST_PAUSE_S", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 0)


def engine_of(url: str, **keys: Any) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(model="grm", base_url=url, **keys))


async def ask(engine: OpenAIEngine) -> str:
    (completion,) = await engine.generate(PROMPT, ONE)
    return completion.text


class TestConnections:
    async def test_one_is_kept_for_the_next_request(self) -> None:
        async with RawServer(answers("one")) as server:
            engine = engine_of(server.url)
            assert [await ask(engine) for _ in range(3)] == ["one"] * 3
            assert server.connections == 1

    @pytest.mark.usefixtures("no_retries")
    async def test_one_that_the_server_closes_while_the_next_request_comes_is_replaced(self) -> None:
        async with RawServer(answers("one"), says_and_closes(), answers("two")) as server:
            engine = engine_of(server.url)
            assert [await ask(engine), await ask(engine)] == ["one", "two"]
            assert server.connections == 2

    @pytest.mark.usefixtures("no_retries")
    async def test_a_server_that_closes_all_of_them_is_not_asked_for_ever(self) -> None:
        async with RawServer(says_and_closes()) as server:
            with pytest.raises(EngineError, match=r"cannot be reached.*check engine\.base_url and the server"):
                await ask(engine_of(server.url))
            assert len(server.requests) == 2

    @pytest.mark.parametrize("step", [says_and_resets(CUT), says_and_closes(CUT)], ids=["reset", "closed"])
    async def test_a_reply_that_breaks_off_is_asked_for_again(self, step: Any) -> None:
        async with RawServer(step, answers("whole")) as server:
            assert await ask(engine_of(server.url)) == "whole"
        async with RawServer(step) as server:
            with pytest.raises(EngineError, match="cannot be reached"):
                await ask(engine_of(server.url))
            assert len(server.requests) == 2

    async def test_the_callers_cancellation_closes_the_connection(self) -> None:
        taken, closed = asyncio.Event(), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.set()
            assert await reader.read() == b""
            closed.set()

        async with RawServer(hang, answers("next")) as server:
            engine = engine_of(server.url, max_concurrency=1)
            asked = asyncio.create_task(ask(engine))
            await asyncio.wait_for(taken.wait(), 10)
            asked.cancel()
            await asyncio.wait_for(closed.wait(), 10)
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert await ask(engine) == "next", "its slot is free again"

    async def test_a_server_that_says_a_little_now_and_then_is_left_at_the_deadline(self) -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)

        async with RawServer(drip) as server:
            with working_until(Deadline.after(0.5)), pytest.raises(EngineTimeout, match="did not answer in time"):
                async with asyncio.timeout(20):
                    await ask(engine_of(server.url))
            assert len(server.requests) == 1

    async def test_they_end_with_their_event_loop(self) -> None:
        """Nobody closes an engine."""
        ended = asyncio.Event()
        here = asyncio.get_running_loop()

        async def answer_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answers("one")(reader, writer)
            assert await reader.read() == b""
            here.call_soon(ended.set)

        async with RawServer(answer_and_wait) as server:
            engine = engine_of(server.url)
            gc.collect()  # what other tests have left behind warns now
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                assert await asyncio.to_thread(asyncio.run, ask(engine)) == "one"
                await asyncio.wait_for(ended.wait(), 10)
                del engine
                gc.collect()
            assert not [note for note in warned if "aiohttp" in str(note.message) or "nclosed" in str(note.message)]

    async def test_open_requests_do_not_hinder_each_other(self) -> None:
        """All are under way at the same time, and each gets its own answer."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        many = min(MANY, files // 2 - 100)  # both ends are in this process
        all_there = asyncio.Event()

        async def echo_when_all_are_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mine = body_of(server.requests[-1])["messages"][0]["content"]
            if len(server.requests) == many:
                all_there.set()
            await all_there.wait()
            await answers(mine)(reader, writer)

        async with RawServer(echo_when_all_are_there) as server:
            engine = engine_of(server.url, max_concurrency=many)
            prompts = [Prompt((Message("user", f"prompt {number}"),), (0,)) for number in range(many)]
            replies = await asyncio.gather(*(engine.generate(prompt, ONE) for prompt in prompts))
            assert [reply[0].text for reply in replies] == [prompt.messages[0].content for prompt in prompts]
            assert server.connections == many

    async def test_no_more_are_opened_than_files_may_be(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        in_flight: set[object] = set()
        most = 0

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            in_flight.add(writer)
            most = max(most, len(in_flight))
            await asyncio.sleep(0.02)
            in_flight.remove(writer)
            await answers("one")(reader, writer)

        monkeypatch.setattr(resource, "getrlimit", lambda _: (8, 8))
        async with RawServer(slow) as server:
            engine = engine_of(server.url, max_concurrency=64)
            with caplog.at_level(logging.WARNING):
                await asyncio.gather(*(ask(engine) for _ in range(16)))
        assert most == 4
        assert "engine.max_concurrency 64 is bounded to 4, half of the 8 files" in caplog.text
        assert caplog.text.count("ulimit -n") == 1


class TestReplies:
    @pytest.mark.parametrize(
        "reply",
        [
            http(gzip.compress(json_body("one")), "Content-Encoding: gzip"),
            http(
                b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in json_body("one")) + b"0\r\n\r\n",
                "Transfer-Encoding: chunked",
                sized=False,
            ),
            http(json_body("one"), "Content-Type: text/plain"),
            http(json_body("one"), "Content-Type: text/event-stream; charset=nonsense"),
            http(json_body("one"), "Set-Cookie: a=b; Path=/"),
            http(json_body("one"), status="201 Created"),
            b"HTTP/1.1 100 Continue\r\n\r\n" + http(json_body("one")),
        ],
        ids=["gzip", "chunked", "text", "strange type", "cookie", "201", "100 first"],
    )
    async def test_whatever_form_they_have(self, reply: bytes) -> None:
        async with RawServer(says(reply)) as server:
            engine = engine_of(server.url)
            assert [await ask(engine), await ask(engine)] == ["one", "one"]
            assert server.connections == 1
            assert "cookie" not in server.requests[1].headers, "another replica of the server may answer"

    @pytest.mark.parametrize(
        "reply",
        [
            http(json_body("one"), "Connection: close"),
            http(json_body("one"), sized=False),
            http(json_body("one"), sized=False).replace(b"HTTP/1.1", b"HTTP/1.0"),
        ],
        ids=["closes", "until the end", "HTTP/1.0"],
    )
    async def test_a_server_may_close_after_each(self, reply: bytes) -> None:
        async with RawServer(says_and_closes(reply)) as server:
            engine = engine_of(server.url)
            assert [await ask(engine), await ask(engine)] == ["one", "one"]
            assert server.connections == 2

    @pytest.mark.parametrize(
        "reply",
        [
            http(b" " * 2000 + json_body("one")),
            http(gzip.compress(b" " * 2_000_000 + json_body("one")), "Content-Encoding: gzip"),
        ],
        ids=["plain", "packed"],
    )
    async def test_one_that_is_too_large_is_not_read(self, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
        monkeypatch.setattr(openai_transport, "LARGEST_REPLY", 1000)
        async with RawServer(says(reply)) as server:
            with pytest.raises(EngineError, match="answered with more than"):
                await ask(engine_of(server.url))

    @pytest.mark.parametrize(
        ("reply", "message"),
        [
            (http(b"<html>hello</html>", "Content-Type: text/html"), "answered with what is no JSON"),
            (http(b""), "answered with what is no JSON"),
            (http(b"", status="204 No Content"), "answered with what is no JSON"),
            (http(b"no", "Content-Encoding: gzip"), "cannot be reached"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "cannot be reached"),
            (http(json_body("one"), "X: " + "y" * 100_000), "cannot be reached"),
            (http(b"<html>sorry</html>", status="400 Bad Request"), "Error code: 400 - <html>sorry</html>; see the"),
            (http(b"", status="400 Bad Request"), "Error code: 400; see the server's log"),
            (http(b"x" * 100_000, status="400 Bad Request"), "Error code: 400 - x{1000}; see"),
            (http(b'{"error": {"message": ["no"]}}', status="401 Unauthorized"), "Error code: 401 - no; check the key"),
        ],
        ids=[
            "html",
            "empty",
            "204",
            "not packed",
            "another protocol",
            "large header",
            "400",
            "empty 400",
            "long",
            "401",
        ],
    )
    async def test_what_is_none(self, reply: bytes, message: str) -> None:
        async with RawServer(says_and_closes(reply)) as server:
            with pytest.raises(EngineError, match=message):
                await ask(engine_of(server.url))

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
    async def test_nobody_is_sent_on_to_another_server(self, status: str) -> None:
        async with RawServer(answers("stolen")) as other:
            redirect = says(http(b"", f"Location: {other.url}/chat/completions", status=status))
            async with RawServer(redirect) as server:
                with pytest.raises(EngineError, match=rf"sends requests on to '{other.url}.*correct engine\.base_url"):
                    await ask(engine_of(server.url))
            assert other.requests == []


class TestRequests:
    @pytest.mark.parametrize(
        ("end", "target"),
        [
            ("/v1", "/v1/chat/completions"), ("/v1/", "/v1/chat/completions"), ("", "/chat/completions"),
            ("/", "/chat/completions"), ("/a%20b/c%2Fd/v1", "/a%20b/c%2Fd/v1/chat/completions"),
            ("/openai?api-version=2024-06-01&x=%26", "/openai/chat/completions?api-version=2024-06-01&x=%26"),
        ],
    )  # fmt: skip
    async def test_where_they_go(self, end: str, target: str) -> None:
        async with RawServer(answers("one")) as server:
            await ask(engine_of(server.url.removesuffix("/v1") + end))
            assert server.requests[0].line == f"POST {target} HTTP/1.1"
            assert server.requests[0].headers["content-type"] == "application/json"

    async def test_who_asks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.delenv(name, raising=False)
        async with RawServer(answers("one")) as server:
            await ask(engine_of(server.url))
            monkeypatch.setenv("OPENAI_API_KEY", "secret\n")  # as it is read from a file
            monkeypatch.setenv("OPENAI_ORG_ID", "org")
            monkeypatch.setenv("OPENAI_PROJECT_ID", "project")
            await ask(engine_of(server.url))
            await ask(engine_of(server.url.replace("http://", "http://me:p%40ss@")))
        nobody, somebody, named = (request.headers for request in server.requests)
        assert nobody["authorization"] == "Bearer none"
        assert "openai-organization" not in nobody
        assert somebody["authorization"] == "Bearer secret"
        assert (somebody["openai-organization"], somebody["openai-project"]) == ("org", "project")
        assert named["authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()

    async def test_a_key_that_cannot_be_sent_is_named_and_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "secret\r\nX: y")
        with pytest.raises(EngineError, match="OPENAI_API_KEY") as refused:
            await ask(engine_of("http://127.0.0.1:1/v1"))
        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize("url", ["127.0.0.1:8001/v1", "localhost:8001/v1", "ftp://127.0.0.1/v1", "http:///v1", ""])
    async def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(EngineError, match=r"no connection can be made.*check engine\.base_url"):
            await ask(engine_of(url))

    async def test_long_and_strange_prompts_arrive(self) -> None:
        content = "grün \U0001f600 \x00 \"' \\ \u2028" * 100_000
        async with RawServer(answers("one")) as server:
            await engine_of(server.url).generate(Prompt((Message("user", content),), (0,)), ONE)
            assert body_of(server.requests[0])["messages"] == [{"role": "user", "content": content}]


class TestTLS:
    async def test_a_certificate_is_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file, tls = write_certificate(tmp_path, "judge.example.com")
        async with RawServer(answers("one"), tls=tls) as server:
            with pytest.raises(EngineError, match=r"cannot be reached.*certificate"):
                await ask(engine_of(server.url))
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            assert await ask(engine_of(server.url)) == "one"
            assert len(server.requests) == 1

    async def test_through_a_proxy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is shown where to connect to, and its own password; not the request."""
        file, tls = write_certificate(tmp_path, "judge.example.com")
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        monkeypatch.setenv("OPENAI_API_KEY", "secret")

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))

        async with RawServer(answers("one"), tls=tls) as server, RawServer(tunnel) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
            engine = engine_of("https://judge.example.com/v1")
            assert [await ask(engine), await ask(engine)] == ["one", "one"]
            (connect,) = proxy.requests
            assert connect.line == "CONNECT judge.example.com:443 HTTP/1.1"
            assert connect.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
            assert "authorization" not in connect.headers
            assert server.requests[0].headers["authorization"] == "Bearer secret"
            assert "proxy-authorization" not in server.requests[0].headers

    async def test_a_proxy_that_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refuse = says_and_closes(http(b"", status="407 Proxy Authentication Required"))
        async with RawServer(refuse) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"me:secret@127.0.0.1:{proxy.port}")
            with pytest.raises(
                EngineError, match=r"the proxy in the environment variable HTTPS_PROXY \(407"
            ) as refused:
                await ask(engine_of("https://judge.example.com/v1"))
            assert "secret" not in str(refused.value)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
