"""The connections of a client: kept for later calls, closed when nobody needs them, one each for calls at once."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest

from grm_plugin.client import Client, http_client
from grm_plugin.client import connections as module
from grm_plugin.errors import ServiceError, WireError
from grm_plugin.types import Group, Message
from grm_plugin.wire.schemas import WireGroup
from support.certificates import write_certificate
from support.factories import make_group, until
from support.raw_server import RawServer, Step, body_of, http, says, says_and_closes

SAMPLE = make_group("10")
HALF = says(http(b"0.5", "Content-Type: application/json"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_PAUSE_S", 0.005)


def client_of(server: RawServer, **options: float) -> Client:
    return Client(server.url.removesuffix("/v1"), **options)  # type: ignore[arg-type]


def noting_ends(ended: list[str], step: Step = HALF) -> Step:
    """The step, and then a note where the client closes the connection."""

    async def answer_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await step(reader, writer)
        if not await reader.read(1):
            ended.append("closed")

    return answer_and_wait


async def test_one_is_kept_for_the_next_call() -> None:
    async with RawServer(HALF) as server, client_of(server) as client:
        assert [await client.areward(SAMPLE, 1) for _ in range(3)] == [0.5] * 3
        assert server.connections == 1
        assert server.requests[0].headers["content-type"] == "application/json"
        assert server.requests[0].line.startswith("POST /v1/sample?n=1&request_id=")


async def test_calls_at_once_have_one_each_and_each_gets_its_own_reply() -> None:
    many = 64
    all_there = asyncio.Event()

    async def when_all_are_there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = server.requests[-1]
        if len(server.requests) == many:
            all_there.set()
        await all_there.wait()
        await says(http(body_of(mine)["response"].encode(), "Content-Type: application/json"))(reader, writer)

    async with RawServer(when_all_are_there) as server, client_of(server) as client:
        rewards = await asyncio.gather(*(client.areward(make_group(str(number)), many) for number in range(many)))
        assert rewards == list(range(many))
        assert server.connections == many


async def test_one_that_the_service_closes_meanwhile_is_replaced() -> None:
    async with RawServer(HALF, says_and_closes(), HALF) as server, client_of(server) as client:
        assert [await client.areward(SAMPLE, 1), await client.areward(SAMPLE, 1)] == [0.5, 0.5]
        assert server.connections == 2


async def test_what_is_closed_while_a_call_runs_is_left_to_it() -> None:
    ended: list[str] = []
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        await go_on.wait()
        await HALF(reader, writer)

    async with RawServer(noting_ends(ended, later)) as server:
        client = client_of(server)
        asked = asyncio.create_task(client.areward(SAMPLE, 1))
        await taken.wait()
        await client.aclose()
        assert not ended
        go_on.set()
        assert await asked == 0.5
        await until(lambda: bool(ended))


async def test_a_client_that_is_closed_may_go_on() -> None:
    async with RawServer(HALF) as server, client_of(server) as client:
        for _ in range(2):
            assert await client.areward(SAMPLE, 1) == 0.5
            await client.aclose()
        assert server.connections == 2


@pytest.mark.parametrize("how", ["its loop ends", "it is dropped"])
async def test_nobody_has_to_close_them(how: str) -> None:
    ended: list[str] = []
    async with RawServer(noting_ends(ended)) as server:
        client = client_of(server)
        if how == "its loop ends":
            assert await asyncio.to_thread(asyncio.run, client.areward(SAMPLE, 1)) == 0.5
        else:
            assert await client.areward(SAMPLE, 1) == 0.5
            del client
            gc.collect()
        await until(lambda: bool(ended))


async def test_a_call_that_is_given_up_closes_its_own() -> None:
    ended: list[str] = []
    async with RawServer(noting_ends(ended, says(b""))) as server, client_of(server, timeout_s=0.1) as client:
        with pytest.raises(ServiceError, match=r"did not answer within 0\.1 s"):
            await client.areward(SAMPLE, 1)
        await until(lambda: bool(ended))


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with RawServer(HALF) as server, client_of(server) as client:
        assert await client.areward(SAMPLE, 1) == 0.5


async def test_a_token_goes_to_the_service_and_to_no_other() -> None:
    async with RawServer(HALF) as other:
        away = says(http(b"", f"Location: {other.url}", "Set-Cookie: a=b", status="307 Temporary Redirect"))
        async with RawServer(away, HALF) as server:
            async with Client(server.url.removesuffix("/v1").replace("http://", "http://grm:s3cret@")) as client:
                with pytest.raises(ServiceError, match=rf"{client.url}/v1/sample.* failed with 307") as refused:
                    await client.areward(SAMPLE, 1)
                assert await client.areward(SAMPLE, 1) == 0.5
            assert "s3cret" not in str(refused.value)
            assert [request.headers["authorization"] for request in server.requests] == ["Bearer s3cret"] * 2
            assert "cookie" not in server.requests[1].headers
        assert other.requests == []


async def test_a_certificate_is_asked_for(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    file, tls = write_certificate(tmp_path, "127.0.0.1")
    async with RawServer(HALF, tls=tls) as server:
        async with client_of(server, timeout_s=5) as client:
            with pytest.raises(ServiceError, match=r"(?i)no GRM service answers.*certificate"):
                await client.areward(SAMPLE, 1)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        async with client_of(server) as client:
            assert await client.areward(SAMPLE, 1) == 0.5


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (says_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n"), "no GRM service answers at"),
        (says_and_closes(http(b"0.5")[:-1]), "no GRM service answers at"),
        (says_and_closes(http(b"no", "Content-Encoding: gzip")), "no GRM service answers at"),
    ],
    ids=["another protocol", "cut", "not packed"],
)
async def test_what_is_no_whole_reply_is_asked_for_again(step: Step, words: str) -> None:
    async with RawServer(step) as server, client_of(server) as client:
        with pytest.raises(ServiceError, match=words):
            await client.areward(SAMPLE, 1)
        assert len(server.requests) == http_client.TRIES
    async with RawServer(step, HALF) as server, client_of(server) as client:
        assert await client.areward(SAMPLE, 1) == 0.5


async def test_a_reply_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_REPLY", 1000)
    async with RawServer(says(http(b" " * 2000))) as server, client_of(server) as client:
        with pytest.raises(WireError, match=r"answers with more than .*: make several calls"):
            await client.areward(SAMPLE, 1)


@pytest.mark.parametrize("text", ["plain", 'grün \U0001f600 \x00 " \\ \u2028', "caf\ud800", "\udfff"])
async def test_texts_are_sent_as_they_are(text: str) -> None:
    """Lone surrogates too: the service says what becomes of them."""
    samples = [
        WireGroup(prompt=text, responses=[text], reference="r"),
        WireGroup(messages=[{"role": "user", "content": text, "n": [float("nan"), 1e300, 2**70]}], responses=[text]),
    ]
    async with RawServer(HALF) as server, client_of(server) as client:
        for sample in samples:
            await client.areward(sample, 1)
            with pytest.raises(WireError):  # 0.5 is no list of judgements
                await client.ajudge([sample])
        of_prompt, group_of_prompt, of_messages, group_of_messages = (
            json.loads(request.body) for request in server.requests
        )
    assert (of_prompt["prompt"], of_prompt["response"], of_prompt["label"]) == (text, text, "r")
    assert group_of_prompt["groups"] == [{"prompt": text, "responses": [text], "reference": "r"}]
    assert {**group_of_prompt, "groups": [], "request_id": ""} == {"groups": [], "request_id": "", "detail": False}
    for message in (of_messages["prompt"][0], group_of_messages["groups"][0]["messages"][0]):
        assert message["content"] == text
        assert str(message["n"]) == str([float("nan"), 1e300, 2**70])


async def test_what_stands_deeper_than_the_fast_writer_goes_is_sent_too() -> None:
    deep: object = "x"
    for _ in range(400):
        deep = [deep]
    sample = WireGroup(messages=[{"role": "user", "content": "?", "deep": deep}], responses=["1"])
    async with RawServer(HALF) as server, client_of(server) as client:
        await client.areward(sample, 1)
        assert body_of(server.requests[0])["prompt"][0]["deep"] == deep


@pytest.mark.parametrize("url", ["http://", "https://:8790", "http://[no]:1"])
def test_an_address_without_a_host_is_refused_at_once(url: str) -> None:
    with pytest.raises(ServiceError, match="give http://HOST:PORT"):
        Client(url)


async def test_a_name_that_nobody_knows_is_told_in_the_systems_words() -> None:
    async with Client("http://no-such-host.invalid:8790", timeout_s=20) as client:
        with pytest.raises(
            ServiceError, match=r"no GRM service answers at http://no-such-host.invalid:8790 \([a-z ]+\)"
        ):
            await client.ajudge([Group((Message("user", "?"),), ("1",))])
