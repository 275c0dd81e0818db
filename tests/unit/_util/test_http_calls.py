"""Requests whose reply is read whole: why there was none, and calls from where no event loop may wait."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from grm_plugin._util import http_calls
from grm_plugin._util.background import run_in_background
from grm_plugin._util.http_calls import NoReplyError, Reply, get, open_session, send, words
from support.raw_server import RawServer, Step, http, says

KEY: Any = SimpleNamespace(host="secret.example.com", port=1, ssl=True, is_ssl=False)


def unconnected(error: OSError) -> Exception:
    return aiohttp.ClientConnectorError(KEY, error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (unconnected(ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 1)")), "connection refused"),
        (unconnected(OSError(errno.ENETUNREACH, "y")), os.strerror(errno.ENETUNREACH).lower()),
        (unconnected(socket.gaierror(-2, "Name or service not known")), "name or service not known"),
        (unconnected(OSError(None, "DNS lookup failed")), "[Errno None] DNS lookup failed"),
        (
            unconnected(OSError("Multiple exceptions: [Errno 111] failed ('::1', 1), [Errno 99] not ('10.0.0.1', 1)")),
            f"connection refused, {os.strerror(99).lower()}",
        ),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "bad one")), "bad one"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "x"), os.strerror(errno.ECONNRESET).lower()),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (aiohttp.ClientPayloadError(), "ClientPayloadError"),
        (aiohttp.ConnectionTimeoutError(), "the connection was not taken in time: is it the right host"),
        (TimeoutError(), "there was no reply in time"),
        (NoReplyError("as it was"), "as it was"),
    ],
)
def test_why_there_was_no_reply(error: Exception, said: str) -> None:
    assert said in words(error)
    assert "secret.example.com" not in words(error)


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", f"http://{'a' * 70}.example", "http://a..b", "ftp://127.0.0.1", "127.0.0.1:1"]
)
async def test_an_address_that_is_none_gives_no_reply(url: str) -> None:
    async with open_session(False, {}) as session:
        with pytest.raises(NoReplyError):
            await send(session, "GET", url, largest=100, timeout_s=5)


async def answered_by(step: Step, **options: Any) -> Reply:
    async with RawServer(step) as server:
        return await asyncio.to_thread(get, server.url, None, options.get("timeout_s", 10.0))


class TestGet:
    async def test_it_reads_the_reply_whatever_its_status(self) -> None:
        reply = await answered_by(says(http(b"gone", "X-A: 1", status="410 Gone")))
        assert (reply.status, reply.body, reply.headers["x-a"], reply.is_success) == (410, b"gone", "1", False)

    async def test_nobody_is_sent_on_to_another_server(self) -> None:
        async with RawServer(says(http(b""))) as other:
            assert (await answered_by(says(http(b"", f"Location: {other.url}", status="302 Found")))).status == 302
            assert other.requests == []

    async def test_what_is_too_large_is_no_reply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_calls, "LARGEST_GET", 1000)
        with pytest.raises(NoReplyError, match="the reply has more than"):
            await answered_by(says(http(b"x" * 2000)))

    async def test_it_ends_in_time(self) -> None:
        with pytest.raises(TimeoutError):
            await answered_by(says(b""), timeout_s=0.1)

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    async def test_no_proxy_of_the_environment_is_asked(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await answered_by(says(http(b"here")))).body == b"here"

    async def test_it_may_block_the_background_loop_itself(self) -> None:
        """OpenRLHF's function hook looks for its service there, at the first call."""

        async def blocks() -> Reply:
            return get(server.url, None, 10.0)

        async with RawServer(says(http(b"here"))) as server:
            assert (await asyncio.to_thread(lambda: run_in_background(blocks()))).body == b"here"


@pytest.mark.parametrize("closed", [True, False])
async def test_what_a_loop_left_that_was_never_ended_is_no_error_in_the_log(
    closed: bool, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """As a framework leaves it that calls `loop.run_until_complete`."""
    async with RawServer(says(http(b"here"))) as server:

        async def ask() -> aiohttp.ClientSession:
            session = open_session(False, {})
            await send(session, "GET", server.url, largest=100, timeout_s=5)
            return session

        def use_a_loop() -> None:
            loop = asyncio.new_event_loop()
            session = loop.run_until_complete(ask())
            if closed:
                loop.close()
            del session
            gc.collect()
            loop.close()

        with caplog.at_level(logging.WARNING):
            await asyncio.to_thread(use_a_loop)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [note for note in recwarn if "aiohttp" in str(note.message) or "nclosed client" in str(note.message)]
