"""A simulated engine in a process of its own: `POST /v1/chat/completions` after `--latency` seconds, without a bound.

    python -m reward_path.engine_server --port 9001 --latency 0.25

Also answers OpenRLHF's `POST /get_reward` at once: what OpenRLHF's HTTP hook costs with a server that costs nothing.
One small HTTP parser, one search in the body and bytes made in advance: it must not take the core that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import cast

from reward_path.texts import TOKENS, WORTH, critique_text, verdict

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
_COUNT = re.compile(rb'"n": ?(\d+)')
_CRITIQUE = json.dumps(critique_text()).encode()[1:-1]
_INSTANT = b'{"rewards": [0.5], "scores": [0.5], "extra_logs": {}}'


class Connection(asyncio.Protocol):
    """One connection, kept open between requests."""

    latency_s = 0.25

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:head_end])
            length = _LENGTH.search(head)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            body = bytes(self._received[head_end + 4 : end])
            del self._received[:end]
            if b"/get_reward" in head.split(b"\r\n", 1)[0]:
                self._answer(_INSTANT)
            else:
                scores = WORTH.findall(body)
                # What shows no response asks whether the engine is ready: it is, however slow.
                self._loop.call_later(self.latency_s if scores else 0.0, self._answer, completions(body, scores))

    def _answer(self, body: bytes) -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)


def completions(body: bytes, scores: list[bytes]) -> bytes:
    """The reply to a request: as many critiques as it asks for, with these scores of the responses shown, in order."""
    count = _COUNT.search(body)
    n = int(count[1]) if count else 1
    text = _CRITIQUE + json.dumps(verdict(scores)).encode()[1:-1]
    choice = b'{"index": %d, "finish_reason": "stop", "message": {"role": "assistant", "content": "%b"}}'
    choices = b", ".join(choice % (index, text) for index in range(n))
    return (
        b'{"id": "x", "object": "chat.completion", "created": 0, "model": "simulated", "choices": [%b], '
        b'"usage": {"prompt_tokens": 1, "completion_tokens": %d, "total_tokens": %d}}'
        % (choices, n * TOKENS, n * TOKENS + 1)
    )


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.25, help="seconds that each answer takes")
    arguments = parser.parse_args()
    Connection.latency_s = arguments.latency
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(arguments.port))
    else:
        uvloop.run(serve(arguments.port))


if __name__ == "__main__":
    main()
