"""A chat-completions server over real HTTP, which behaves as a test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Server:
    """A chat-completions server; `handler` says how it behaves, `requests` what it was asked."""

    def __init__(self) -> None:
        self.handler: Handler = answer_n
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = 200
        self.in_flight = self.most_in_flight = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions", response_model=None)
        async def completions(request: Request) -> Any:
            if self.status != 200:
                return JSONResponse({"error": "said"}, self.status)
            body = await request.json()
            self.requests.append(body)
            self.keys.append(request.headers["authorization"])
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                return await self.handler(body)
            finally:
                self.in_flight -= 1

        return app


def reply(*texts: str | None, tokens: int = 0) -> dict[str, Any]:
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "grm",
        "choices": [
            {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
    }  # fmt: skip


async def answer_n(body: dict[str, Any]) -> dict[str, Any]:
    return reply(*(f"critique {index}" for index in range(body["n"])), tokens=10 * body["n"])


async def answer_one(body: dict[str, Any]) -> dict[str, Any]:
    return reply(f"seed {body.get('seed')}", tokens=10)
